#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/digest.h"
#include "libcache/ucx/transports.h"
#include "libcache/ucx/ucx.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::test {

inline constexpr const char* kUcxTransports = "posix,sysv,cma,self";

/// Why the UCX plane cannot be tested here; empty if it can.
inline std::string WithoutUcx() {
  if (kSanitized) {
    return "UCX is not instrumented, and writes what a sanitizer cannot follow";
  }
  const auto context = ucx::Context::Open(kUcxTransports);
  return context ? "" : context.error().message;
}

/// For SetUp: skips, and says so, where there is no UCX.
inline void SkipWithoutUcx() {
  if (const std::string why = WithoutUcx(); !why.empty()) {
    std::fprintf(stderr, "NOT TESTED: the UCX plane: %s\n", why.c_str());
    GTEST_SKIP() << why;
  }
}

/// What makes a daemon offer UCX.
inline std::vector<std::string> UcxFlags() {
  return {"--ucx=on", std::string("--ucx-tls=") + kUcxTransports};
}

/// A daemon with the UCX plane on. Skips, and says so, where there is no UCX.
class UcxTest : public DaemonTest {
 protected:
  void SetUp() override { SkipWithoutUcx(); }
  bool StartUcx(std::vector<std::string> more = {}) {
    const std::vector<std::string> ucx = UcxFlags();
    more.insert(more.end(), ucx.begin(), ucx.end());
    return StartDaemon({.flags = std::move(more), .variables = {}, .memory = "192MiB"});
  }
  /// What the status says of the plane.
  v1::PlaneStatus PlaneOf(const std::string& name) {
    const v1::StatusReply status = daemon().Status();
    for (const v1::PlaneStatus& plane : status.planes()) {
      if (plane.name() == name) {
        return plane;
      }
    }
    ADD_FAILURE() << "the status has no plane " << name;
    return {};
  }
};

inline constexpr Way kUcx = {"ucx", PlaneChoice::kUcx, false};

/// A recurrent model with states of `bytes`, and a block of KV of one byte.
inline NamespaceSpec StatesOf(std::uint64_t bytes) {
  NamespaceSpec spec = SmallModel();
  spec.model = "states of " + std::to_string(bytes);
  spec.block_tokens = 1;
  spec.kv_bytes_per_token = 1;
  spec.checkpoint_bytes = bytes;
  return spec;
}

/// What an engine's connector sends, made by hand.
struct HandMade {
  std::shared_ptr<ucx::Context> context;
  std::unique_ptr<ucx::Worker> worker;
  std::unique_ptr<ucx::Region> staging;

  explicit HandMade(std::uint64_t bytes) {
    context = *ucx::Context::Open(kUcxTransports);
    worker = std::move(*context->OpenWorker());
    staging = std::move(*context->Allocate(bytes));
  }
  [[nodiscard]] v1::Request Attach() const {
    v1::Request request;
    v1::AttachUcx& attach = *request.mutable_attach_ucx();
    attach.set_worker_address(*worker->Address());
    attach.set_remote_key(*staging->RemoteKey());
    attach.set_address(reinterpret_cast<std::uint64_t>(staging->memory().data()));
    attach.set_bytes(staging->memory().size());
    Sign(attach);
    return request;
  }
  static void Sign(v1::AttachUcx& attach) {
    const std::string both = attach.worker_address() + attach.remote_key();
    attach.set_checksum(DigestOf(std::as_bytes(std::span(both))).low);
  }
};

}  // namespace cairn::test
