#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/integration/temp_dir.h"

namespace cairn::test {

#ifdef CAIRN_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// One program that this process started. Killed when the object goes, and by the kernel should the
/// test itself be killed. What it prints, on both streams, goes to a file.
class ChildProcess {
 public:
  using Variables = std::vector<std::pair<std::string, std::string>>;

  /// Inherits the environment less CAIRN_*, plus `variables`. Call from the thread that outlives
  /// it.
  ChildProcess(const std::vector<std::string>& command, const std::string& output_path,
               const Variables& variables = {})
      : output_path_(output_path) {
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (std::string_view(*entry).substr(0, 6) != "CAIRN_") {
        environment.emplace_back(*entry);
      }
    }
    for (const auto& [name, value] : variables) {
      environment.push_back(name + "=" + value);
    }
    const std::vector<char*> args = Pointers(command);
    const std::vector<char*> envs = Pointers(environment);
    const int out = open(output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {  // Only async-signal-safe calls from here on.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) {
        _exit(126);
      }
      dup2(out, STDOUT_FILENO);
      dup2(out, STDERR_FILENO);
      execve(args[0], args.data(), envs.data());
      _exit(127);
    }
    close(out);
    EXPECT_GT(pid_, 0);
  }
  ~ChildProcess() { Kill(); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return pid_ > 0; }
  [[nodiscard]] std::string Output() const { return ReadFile(output_path_); }

  void Signal(int signal) const {
    if (running()) {
      kill(pid_, signal);
    }
  }
  /// Returns once all of its threads stand still: the signal alone lets one that runs go on a
  /// while.
  void Freeze() const {
    Signal(SIGSTOP);
    siginfo_t info{};
    if (running()) {
      waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WEXITED | WNOWAIT);
    }
  }
  /// kill -9, and waits for it to be gone.
  void Kill() {
    Signal(SIGKILL);
    if (running()) {
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }
  /// The exit code (128 + signal if a signal ended it) once it has ended, nullopt when it still
  /// runs after `limit`.
  std::optional<int> WaitExit(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (running()) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        break;
      }
      if (std::chrono::steady_clock::now() >= until) {
        return std::nullopt;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return exit_code_;
  }

 private:
  static std::vector<char*> Pointers(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (const std::string& text : texts) {
      pointers.push_back(const_cast<char*>(text.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
  }

  std::string output_path_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

}  // namespace cairn::test
