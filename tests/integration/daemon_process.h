#pragma once

#include <gtest/gtest.h>

#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/connector/client.h"
#include "libcache/transport/channel.h"
#include "tests/integration/child_process.h"

namespace cairn::test {

/// The built cairnd, with its socket and its log in `dir`, TCP and HTTP on free ports of loopback.
class DaemonProcess {
 public:
  struct Options {
    std::vector<std::string> flags;  ///< Beside those that place it; may repeat none of them.
    ChildProcess::Variables variables;
    bool tcp = true;
    bool http = true;
    std::string tcp_address = "127.0.0.1:0";
    std::string memory = "64MiB";
  };

  explicit DaemonProcess(const TempDir& dir) : DaemonProcess(dir, Options{}) {}
  DaemonProcess(const TempDir& dir, Options options)
      : dir_(dir.path()), options_(std::move(options)) {}

  /// Runs it with arguments of the caller's only. For starts that shall fail.
  static std::unique_ptr<ChildProcess> Raw(const TempDir& dir, std::vector<std::string> args,
                                           const ChildProcess::Variables& variables = {}) {
    args.insert(args.begin(), std::string(CAIRN_BINARY_DIR) + "/bin/cairnd");
    return std::make_unique<ChildProcess>(args, dir / "raw.log", variables);
  }

  /// Starts and waits until it serves. False, with its log in the test's output, if it does not.
  bool Start() {
    started_ = std::chrono::steady_clock::now();
    log_start_ = ReadFile(log_path()).size();
    process_.reset();
    std::vector<std::string> command = {
        std::string(CAIRN_BINARY_DIR) + "/bin/cairnd",
        "--memory=" + options_.memory,
        "--listen-unix=" + socket_path(),
        "--huge-pages=false",
        "--prefault=false",
        "--listen-tcp=" + (options_.tcp ? options_.tcp_address : ""),
        std::string("--listen-http=") + (options_.http ? "127.0.0.1:0" : "")};
    command.insert(command.end(), options_.flags.begin(), options_.flags.end());
    process_ = std::make_unique<ChildProcess>(command, log_path(), options_.variables);
    const auto until = started_ + std::chrono::seconds(kSanitized ? 60 : 20);
    while (std::chrono::steady_clock::now() < until) {
      if (Log().find(" serving ") != std::string::npos && Status(nullptr)) {
        ready_after_ = std::chrono::steady_clock::now() - started_;
        tcp_port_ = Number(Log(), "tcp_port=");
        http_port_ = Number(Log(), "http_port=");
        return true;
      }
      if (process_->WaitExit(std::chrono::milliseconds(1))) {
        break;
      }
    }
    ADD_FAILURE() << "cairnd does not serve:\n" << Log();
    return false;
  }

  /// SIGTERM, and checks that it ends in order: code 0, nothing held, no error that was not
  /// expected.
  void Stop() {
    const bool was_running = process_ != nullptr && process_->running();
    ASSERT_TRUE(was_running) << "cairnd is gone already:\n" << Log();
    process_->Signal(SIGTERM);
    const auto code = process_->WaitExit(std::chrono::seconds(kSanitized ? 120 : 30));
    ASSERT_TRUE(code.has_value()) << "cairnd does not end on SIGTERM:\n" << Log();
    EXPECT_EQ(*code, 0) << Log();
    EXPECT_NE(Log().find("stopped leases=0 reservations=0"), std::string::npos) << Log();
  }
  void Kill() { process_->Kill(); }
  void Freeze() { process_->Freeze(); }
  void Thaw() { process_->Signal(SIGCONT); }

  [[nodiscard]] ChildProcess& process() { return *process_; }
  [[nodiscard]] bool running() const { return process_ != nullptr && process_->running(); }
  [[nodiscard]] std::string socket_path() const { return dir_ + "/cairn.sock"; }
  [[nodiscard]] std::string log_path() const { return dir_ + "/cairnd.log"; }
  [[nodiscard]] std::string UnixEndpoint() const { return "unix:" + socket_path(); }
  [[nodiscard]] std::string TcpEndpoint() const { return "127.0.0.1:" + std::to_string(tcp_port_); }
  [[nodiscard]] std::uint16_t tcp_port() const { return tcp_port_; }
  [[nodiscard]] std::uint16_t http_port() const { return http_port_; }
  /// What it printed since the last start.
  [[nodiscard]] std::string Log() const {
    const std::string all = ReadFile(log_path());
    return all.substr(std::min(all.size(), log_start_));
  }
  /// From the start of the program to its first answer.
  [[nodiscard]] std::chrono::steady_clock::duration ready_after() const { return ready_after_; }

  /// One admin request on a connection of its own.
  [[nodiscard]] Result<v1::AdminReply> Admin(const v1::AdminRequest& admin) const {
    const TimePoint deadline = In(std::chrono::seconds(kSanitized ? 60 : 10));
    auto channel = Channel::Open(*ParseEndpoint(UnixEndpoint()), {}, deadline);
    if (!channel) {
      return Fail(channel.error());
    }
    v1::Request request;
    *request.mutable_admin() = admin;
    auto response = channel->Call(request, deadline);
    if (!response) {
      return Fail(response.error());
    }
    return response->admin();
  }
  [[nodiscard]] v1::StatusReply Status() const {
    v1::StatusReply reply;
    EXPECT_TRUE(Status(&reply));
    return reply;
  }
  bool Status(v1::StatusReply* reply) const {
    v1::AdminRequest request;
    request.mutable_status();
    const auto answered = Admin(request);
    if (answered && reply != nullptr) {
      *reply = answered->status();
    }
    return answered.has_value();
  }
  [[nodiscard]] std::uint64_t Counter(const std::string& name) const {
    const v1::StatusReply status = Status();
    const auto it = status.counters().find(name);
    EXPECT_NE(it, status.counters().end()) << name;
    return it == status.counters().end() ? 0 : it->second;
  }

  /// No lease, no reservation and no session but the asking one, at once or by `until`.
  void ExpectNothingHeld(TimePoint until = In(std::chrono::seconds(10))) const {
    v1::StatusReply status = Status();
    while (!NothingHeld(status) && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      status = Status();
    }
    EXPECT_TRUE(NothingHeld(status)) << "leases " << status.leases() << ", reservations "
                                     << status.reservations() << ", sessions " << status.sessions();
  }

 private:
  static bool NothingHeld(const v1::StatusReply& status) {
    return status.leases() == 0 && status.reservations() == 0 && status.sessions() == 1;
  }
  static std::uint16_t Number(const std::string& text, std::string_view name) {
    std::uint16_t value = 0;
    if (const std::size_t at = text.find(name); at != std::string::npos) {
      std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
    }
    return value;
  }

  std::string dir_;
  Options options_;
  std::unique_ptr<ChildProcess> process_;
  std::size_t log_start_ = 0;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::duration ready_after_{};
  std::uint16_t tcp_port_ = 0;
  std::uint16_t http_port_ = 0;
};

}  // namespace cairn::test
