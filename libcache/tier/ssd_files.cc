#include "libcache/tier/ssd_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <system_error>

#include "libcache/base/errno_text.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> SystemError(const std::string& what, int error) {
  ErrorCode code = ErrorCode::kIo;
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS: code = ErrorCode::kPermissionDenied; break;
    case ENOSPC:
    case EDQUOT: code = ErrorCode::kNoSpace; break;
    case ENOENT: code = ErrorCode::kNotFound; break;
    default: break;
  }
  return Fail(code, what + ": " + ErrnoText(error));
}

/// Closes on every way out.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

Status SyncDirectory(const std::string& directory) {
  const FileDescriptor dir(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.ok() || ::fsync(dir.get()) != 0) {
    return SystemError("cannot sync " + directory, errno);
  }
  return {};
}

Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return SystemError("cannot write " + path, written < 0 ? errno : ENOSPC);
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status WriteAndSync(const std::string& path, std::string_view text) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.ok()) {
    return SystemError("cannot write " + path, errno);
  }
  if (auto written = WriteAll(file.get(), text, path); !written) {
    return written;
  }
  if (::fsync(file.get()) != 0) {
    return SystemError("cannot sync " + path, errno);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<DirectoryLock>> DirectoryLock::Take(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return SystemError("cannot open " + directory, errno);
  }
  // The directory itself is locked, so a directory that turns out not to be ours stays untouched.
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(fd);
    if (error == EWOULDBLOCK) {
      return Fail(ErrorCode::kUnavailable, directory + " is in use by another process");
    }
    return SystemError("cannot lock " + directory, error);
  }
  return std::unique_ptr<DirectoryLock>(new DirectoryLock(fd));
}

DirectoryLock::~DirectoryLock() { ::close(fd_); }

Status MakeDirectory(const std::string& directory) {
  std::error_code error;
  const bool made = fs::create_directories(directory, error);
  if (error) {
    return SystemError("cannot make directory " + directory, error.value());
  }
  // What is cached tells what was asked: nobody else's business, unless the owner opens it.
  if (made && ::chmod(directory.c_str(), S_IRWXU) != 0) {
    return SystemError("cannot close directory " + directory, errno);
  }
  return {};
}

Status WriteFileDurably(const std::string& directory, const std::string& name,
                        std::string_view text) {
  const std::string path = directory + "/" + name;
  const std::string temporary = path + ".tmp";
  Status done = WriteAndSync(temporary, text);
  if (done) {
    done = RenameDurably(directory, name + ".tmp", name);
  }
  if (!done) {
    // Half a file helps nobody, and its bytes may be those that a full disk lacks.
    ::unlink(temporary.c_str());
  }
  return done;
}

Result<std::string> ReadSmallFile(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) {
    return SystemError("cannot read " + path, errno);
  }
  std::array<char, 4096> buffer{};
  const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
  if (size < 0) {
    return SystemError("cannot read " + path, errno);
  }
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

Result<std::vector<std::string>> ListDirectory(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    return SystemError("cannot list " + directory, error.value());
  }
  return names;
}

Status RenameDurably(const std::string& directory, const std::string& from, const std::string& to) {
  const std::string source = directory + "/" + from;
  const std::string target = directory + "/" + to;
  if (::rename(source.c_str(), target.c_str()) != 0) {
    return SystemError("cannot rename " + source + " to " + target, errno);
  }
  return SyncDirectory(directory);
}

Status RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    return SystemError("cannot remove " + path, error.value());
  }
  return {};
}

std::uint64_t DirectoryBytes(const std::string& directory) {
  std::uint64_t total = 0;
  std::error_code error;
  fs::recursive_directory_iterator it(directory, error);
  while (!error && it != fs::recursive_directory_iterator()) {
    struct stat info {};
    if (::lstat(it->path().c_str(), &info) == 0) {
      // Preallocated blocks count, and so does the tail of a file that is not yet allocated.
      total += std::max(static_cast<std::uint64_t>(info.st_size),
                        static_cast<std::uint64_t>(info.st_blocks) * 512U);
    }
    it.increment(error);
  }
  return total;
}

std::uint64_t FreeBytes(const std::string& directory) {
  struct statvfs info {};
  if (::statvfs(directory.c_str(), &info) != 0) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

bool SupportsDirectIo(const std::string& directory) {
  const std::string probe = directory + "/direct_io_probe.tmp";
  bool works = false;
  {
    const FileDescriptor file(::open(probe.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644));
    void* page = nullptr;
    if (file.ok() && ::posix_memalign(&page, 4096, 4096) == 0) {
      std::fill_n(static_cast<char*>(page), 4096, '\0');
      // Some file systems accept the flag and refuse the transfer.
      works =
          ::pwrite(file.get(), page, 4096, 0) == 4096 && ::pread(file.get(), page, 4096, 0) == 4096;
      std::free(page);
    }
  }
  ::unlink(probe.c_str());
  return works;
}

}  // namespace cairn
