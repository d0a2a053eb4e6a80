#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"

namespace cairn::test {

/// A test against a daemon of its own. At its end nothing may be held, and the daemon must stop in
/// order. Engines of the test must be gone by then.
class DaemonTest : public ::testing::Test {
 protected:
  bool StartDaemon(DaemonProcess::Options options = {}) {
    daemon_.emplace(dir_, std::move(options));
    return daemon_->Start();
  }
  DaemonProcess& daemon() { return *daemon_; }

  void TearDown() override {
    if (daemon_ && daemon_->running()) {
      daemon_->ExpectNothingHeld();
      daemon_->Stop();
    }
    if (HasFailure() && daemon_) {
      std::fprintf(stderr, "---- log of cairnd\n%s----\n", daemon_->Log().c_str());
    }
  }

  TempDir dir_;
  std::optional<DaemonProcess> daemon_;
};

/// Ways from an engine to its daemon.
struct Way {
  const char* name;
  PlaneChoice plane;
  bool tcp;
  bool tls = false;
};
inline constexpr Way kShm = {"shm", PlaneChoice::kShm, false};
inline constexpr Way kStreamUnix = {"stream_unix", PlaneChoice::kStream, false};
inline constexpr Way kStreamTcp = {"stream_tcp", PlaneChoice::kStream, true};

/// The same, for tests that hold on every way. Keeps GoogleTest from printing raw bytes.
inline void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

inline std::string EndpointOf(const DaemonProcess& daemon, const Way& way) {
  return way.tcp ? daemon.TcpEndpoint() : daemon.UnixEndpoint();
}

}  // namespace cairn::test
