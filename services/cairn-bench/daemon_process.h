#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/v1/admin.pb.h"
#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"
#include "libcache/transport/tls_client.h"

namespace cairn::bench {

/// A directory of our own below $TMPDIR, or below another one; removed with all it holds.
class TempDir {
 public:
  /// Errors: kIo, naming the directory.
  static Result<std::unique_ptr<TempDir>> Create(const std::string& below);
  /// Of the whole process, before it ends without destroying its objects. Thread-safe.
  static void RemoveAll();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path);
  std::string path_;
};

/// A program we run, killed if it does not end when asked to. Dies with this process, but not by
/// Ctrl-C, which is for this process alone.
class ChildProcess {
 public:
  /// Its output goes to `log`. Errors: kIo; kNotFound if there is no such program.
  static Result<std::unique_ptr<ChildProcess>> Start(const std::vector<std::string>& command,
                                                     const std::string& log);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// SIGTERM, and SIGKILL after 15 s; false if that was needed or it failed.
  bool Stop();
  [[nodiscard]] bool Running();
  /// CPU time of all its threads, in seconds; 0 where /proc does not tell.
  [[nodiscard]] double CpuSeconds() const;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  bool WaitUntil(TimePoint deadline);
  pid_t pid_;
  bool ended_ = false;
  int status_ = 0;
};

/// A daemon for one measurement: the cairnd beside this program, in a directory of its own.
class DaemonProcess {
 public:
  struct Config {
    std::uint64_t memory_bytes = 0;
    std::uint64_t ssd_bytes = 0;  ///< 0: no SSD tier.
    std::string below;            ///< Where its directory goes; empty: $TMPDIR.
    bool tcp = false;
    bool tls = false;  ///< With certificates that are made for it.
    std::vector<std::string> more_flags{};
  };
  /// Errors: kNotFound if cairnd was not built; kUnavailable with the end of its log.
  static Result<std::unique_ptr<DaemonProcess>> Start(const Config& config);
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  /// A clean stop and a new start on the same directory.
  Status Restart();
  /// Empties all tiers.
  Status Clear() const;
  /// Errors: those of AdminClient::Status.
  [[nodiscard]] Result<v1::StatusReply> Ask() const;
  [[nodiscard]] std::string endpoint() const { return "unix:" + dir_->path() + "/cairn.sock"; }
  [[nodiscard]] const std::string& tcp_endpoint() const { return tcp_endpoint_; }
  /// What an engine needs to reach it by TCP; empty without TLS.
  [[nodiscard]] TlsClientOptions Tls() const;
  /// The daemon's own files.
  [[nodiscard]] TlsFiles TlsServerFiles() const;
  [[nodiscard]] const std::string& dir() const { return dir_->path(); }
  [[nodiscard]] double CpuSeconds() const { return child_->CpuSeconds(); }

 private:
  DaemonProcess(Config config, std::unique_ptr<TempDir> dir);
  Status Launch();
  void WatchSignals();

  const Config config_;
  std::string tcp_endpoint_;
  std::unique_ptr<TempDir> dir_;
  Mutex mu_;  // Held while the child comes or goes, so that a signal finds it in one state.
  std::unique_ptr<ChildProcess> child_;
  std::atomic<bool> ending_{false};
  std::thread watcher_;
};

/// A TCP port of the loopback interface that nobody uses at the moment. 0 if there is none.
std::uint16_t FreePort();

/// The program's path if it is beside this one or in $PATH; empty otherwise.
std::string FindProgram(const std::string& name);

}  // namespace cairn::bench
