#include "services/cairn-sim/html_page.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include "libcache/base/check.h"
#include "services/cairn-sim/html_style.h"
#include "services/cairn-sim/html_text.h"

namespace cairn::sim {
namespace {

tl::unexpected<Error> CannotWrite(const std::string& path) {
  return Fail(ErrorCode::kIo,
              "--html: cannot write " + path + ": " + std::generic_category().message(errno));
}

}  // namespace

Result<HtmlFile> HtmlFile::Open(const HtmlTarget& target) {
  HtmlFile file;
  if (target.path.empty()) {
    return file;
  }
  file.path_ = target.path;
  file.file_.reset(std::fopen(target.path.c_str(), "wb"));
  if (!file.file_) {
    return CannotWrite(target.path);
  }
  return file;
}

Status HtmlFile::Write(const std::string& html) {
  CAIRN_CHECK(file_ != nullptr);
  const bool written = std::fwrite(html.data(), 1, html.size(), file_.get()) == html.size();
  // Not before it is closed has a full disk said so.
  if (std::fclose(file_.release()) != 0 || !written) {
    return CannotWrite(path_);
  }
  return {};
}

std::string HtmlPage(const std::string& title, const std::string& body, const HtmlTarget& target) {
  // The policy forbids what the page has no use for, so that even markup that got past HtmlEscape
  // could neither run nor call anybody. The empty icon keeps browsers from asking for one.
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n";
  html += Element("title", HtmlEscape(title)) + "\n";
  html += Element("style", HtmlStyle()) + "\n</head>\n<body>\n";
  html += Element("h1", HtmlEscape(title)) + "\n";
  html +=
      Element(
          "p",
          "A simulation: prompts of a trace, a cache of some size, and no engine. The command:") +
      "\n";
  html += Element("pre", Element("code", HtmlEscape(target.command)), "class=\"command\"") + "\n";
  html += body;
  html += Element("footer", "cairn-sim " CAIRN_VERSION) + "\n</body>\n</html>\n";
  return html;
}

}  // namespace cairn::sim
