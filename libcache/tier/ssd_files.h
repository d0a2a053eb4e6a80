#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

// The plain files and directories around the store. Errors of the operating system become
// kPermissionDenied, kNoSpace, kNotFound or kIo, with the path and the system's own words.

/// Holds the directory for this process until destroyed.
class DirectoryLock {
 public:
  /// Errors: kUnavailable when another process (or another tier of this one) holds it.
  static Result<std::unique_ptr<DirectoryLock>> Take(const std::string& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

/// Makes the directory and those above it. One that was not there is its owner's alone.
Status MakeDirectory(const std::string& directory);

/// Replaces `directory`/`name` so that after a power cut it holds the old or the new text. Where it
/// fails, the disk being full for one, the old text stays (or the new one, if only the directory
/// could not be synced) and nothing is left beside it.
Status WriteFileDurably(const std::string& directory, const std::string& name,
                        std::string_view text);

/// Reads a file of at most 4 KiB; what is longer is cut.
Result<std::string> ReadSmallFile(const std::string& path);

/// Names in a directory, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const std::string& directory);

Status RenameDurably(const std::string& directory, const std::string& from, const std::string& to);
/// Removes a file or a whole directory. Not an error when it is absent.
Status RemoveTree(const std::string& path);

/// What the files below a directory take: the larger of size and allocated blocks, summed. Files
/// that vanish meanwhile count nothing.
std::uint64_t DirectoryBytes(const std::string& directory);

/// Free for us, or the maximum when the system does not say.
std::uint64_t FreeBytes(const std::string& directory);

/// Whether files here can be read with O_DIRECT (tmpfs, for one, refuses).
bool SupportsDirectIo(const std::string& directory);

}  // namespace cairn
