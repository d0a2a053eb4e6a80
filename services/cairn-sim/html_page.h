#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "libcache/base/result.h"

namespace cairn::sim {

/// Where a report goes, and the command that makes it again.
struct HtmlTarget {
  std::string path;  ///< Empty: no report is asked for.
  std::string command;
};

/// A file that a report will be written to. It is opened before the work that the report is about,
/// so that a wrong path is not found out after it.
class HtmlFile {
 public:
  /// Errors: kIo. Without a path nothing is opened.
  static Result<HtmlFile> Open(const HtmlTarget& target);
  /// Writes all of it and closes the file, which must be open. Errors: kIo.
  Status Write(const std::string& html);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// A whole document, one file without scripts that asks nobody for anything. `title` is text,
/// `body` markup.
std::string HtmlPage(const std::string& title, const std::string& body, const HtmlTarget& target);

}  // namespace cairn::sim
