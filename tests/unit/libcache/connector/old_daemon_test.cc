// A daemon of a release that knows no fidelity ignores the field and gives out the exact namespace.
// A client that declared another must notice, or states that are not exact would mix with those
// that are.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "libcache/connector/client.h"
#include "tests/unit/libcache/connector/fake_daemon.h"

namespace cairn {
namespace {

/// Answers Hello and OpenNamespace as a daemon of the first release did.
bool AnswerAsOld(const v1::Request& request, v1::Response& response) {
  if (request.has_hello()) {
    test::FakeDaemon::AnswerHello(response);
    response.mutable_hello()->add_planes(v1::PLANE_STREAM);
  } else {
    response.mutable_open_namespace()->set_namespace_id(1);
    response.mutable_open_namespace()->set_seed(std::string(32, 's'));
    response.mutable_open_namespace()->set_grid_tokens(16);
  }
  return true;
}

TEST(OldDaemonTest, GivesNoNamespaceThatIsNotExact) {
  const std::string path =
      ::testing::TempDir() + "cairn_old_daemon_" + std::to_string(getpid()) + ".sock";
  const test::FakeDaemon daemon(path, AnswerAsOld);
  ClientOptions options;
  options.endpoint = "unix:" + path;
  options.plane = PlaneChoice::kStream;
  Client client(options);
  NamespaceSpec spec;
  spec.model = "test";
  spec.block_tokens = 16;
  spec.checkpoint_bytes = 64;
  const auto exact = client.OpenNamespace(spec, In(std::chrono::seconds(20)));
  ASSERT_TRUE(exact.has_value()) << ToString(exact.error());
  for (const Fidelity fidelity : {Fidelity::kNear, Fidelity::kCompact}) {
    spec.fidelity = fidelity;
    const auto other = client.OpenNamespace(spec, In(std::chrono::seconds(20)));
    ASSERT_FALSE(other.has_value());
    EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(other.error().message,
              "fidelity: the daemon is too old for a namespace that is not exact; update it");
  }
}

}  // namespace
}  // namespace cairn
