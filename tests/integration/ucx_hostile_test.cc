// Engines that are known but broken, or hostile: whatever they give for an address, a key or a
// place, the daemon lives on and serves the others. UCX 1.13.1 alone ends the process over some.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "tests/integration/ucx_fixture.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

constexpr std::uint32_t kSeed = 20260;

class UcxHostileTest : public UcxTest {
 protected:
  /// On a connection of its own, as one that is taken cannot be repeated.
  Result<v1::Response> Attach(v1::Request request) {
    HandMade::Sign(*request.mutable_attach_ucx());
    OpenedChannel opened = OpenedChannel::To(daemon().UnixEndpoint(), StatesOf(1));
    auto response = opened.Call(request);
    EXPECT_TRUE(response || response.error().code != ErrorCode::kUnavailable)
        << "the daemon hung up: " << response.error().message << "\n"
        << request.attach_ucx().ShortDebugString();
    return response;
  }
  void ExpectItServes() {
    ASSERT_TRUE(daemon().running());
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kUcx, StatesOf(kMiB));
    ASSERT_TRUE(engine.Open());
    const auto tokens = Tokens(++prompts_, 3);
    ASSERT_TRUE(engine.Store(tokens, {2}));
    const auto read = engine.Load(tokens);
    ASSERT_TRUE(read.has_value()) << Why(read);
    EXPECT_EQ(read->resume_at, 2U);
    EXPECT_EQ(read->wrong, 0U);
  }
  /// Processes that the daemon waits for, or should have: "123 (cairnd) S".
  std::vector<std::string> Children() {
    const std::string pid = std::to_string(daemon().process().pid());
    std::vector<std::string> states;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
      std::ifstream file(entry.path() / "stat");
      std::string number;
      std::string name;
      std::string state;
      std::string parent;
      if (file >> number >> name >> state >> parent && parent == pid) {
        states.push_back(number + " " + name + " " + state);
      }
    }
    return states;
  }

  std::uint64_t prompts_ = 0;
};

TEST_F(UcxHostileTest, DamagedAddressesAndKeysEndNothing) {
  ASSERT_TRUE(StartUcx());
  const HandMade engine(64 * kKiB);
  const v1::Request good = engine.Attach();
  ASSERT_TRUE(Attach(good));
  std::mt19937 random(kSeed);
  int refused = 0;
  int tried = 0;
  const auto attach = [&](const v1::Request& request) {
    tried += 1;
    refused += Attach(request) ? 0 : 1;
  };
  const auto damage = [&](std::string& blob) {
    for (std::uint32_t flips = 1 + random() % 4; flips > 0; --flips) {
      const auto bit = static_cast<unsigned char>(1U << random() % 8);
      char& byte = blob[random() % blob.size()];
      byte = static_cast<char>(static_cast<unsigned char>(byte) ^ bit);
    }
  };
  for (int i = 0; i < 70 && !HasFailure(); ++i) {
    v1::Request request = good;
    damage(*request.mutable_attach_ucx()->mutable_worker_address());
    attach(request);
    request = good;
    damage(*request.mutable_attach_ucx()->mutable_remote_key());
    attach(request);
  }
  for (std::size_t i = 0; i < 25 && !HasFailure(); ++i) {
    v1::Request request = good;
    std::string& address = *request.mutable_attach_ucx()->mutable_worker_address();
    address.resize(1 + i * (address.size() - 1) / 25);
    attach(request);
    request = good;
    std::string& key = *request.mutable_attach_ucx()->mutable_remote_key();
    key.resize(1 + i * (key.size() - 1) / 25);
    attach(request);
  }
  for (const char fill : {'\xA5', '\xFF', '\x01', '\x7F'}) {
    for (const std::size_t size : {1U, 8U, 300U, 4096U}) {
      v1::Request request = good;
      request.mutable_attach_ucx()->set_worker_address(std::string(size, fill));
      attach(request);
      request = good;
      request.mutable_attach_ucx()->set_remote_key(std::string(size, fill));
      attach(request);
    }
  }
  std::printf("[ measured ] %d of %d damaged requests were refused\n", refused, tried);
  EXPECT_GE(tried, 200);
  EXPECT_GT(refused, tried / 3);
  ExpectItServes();
  // One child waits for the next peer. None is left of all the others.
  const std::vector<std::string> children = Children();
  EXPECT_LE(children.size(), 1U);
  for (const std::string& child : children) {
    EXPECT_EQ(child.find(" Z"), std::string::npos) << child;
  }
}

TEST_F(UcxHostileTest, MemoryThatIsNotWhereItShouldBeIsRefused) {
  ASSERT_TRUE(StartUcx());
  const HandMade engine(64 * kKiB);
  const v1::Request good = engine.Attach();
  v1::Request longer = good;
  longer.mutable_attach_ucx()->set_bytes(kGiB);  // Of which all but the first 64 KiB is not there.
  v1::Request elsewhere = good;
  elsewhere.mutable_attach_ucx()->set_address(good.attach_ucx().address() + kGiB);
  for (const v1::Request& request : {longer, elsewhere}) {
    const auto refused = Attach(request);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported) << refused.error().message;
  }
  EXPECT_EQ(daemon().Counter("ucx_refused_attach"), 2U);
  EXPECT_TRUE(Attach(good));
  ExpectItServes();
}

TEST_F(UcxHostileTest, ToAttachTakesMillisecondsAndTheDaemonLeavesNoChild) {
  ASSERT_TRUE(StartUcx());
  const HandMade engine(64 * kKiB);
  std::vector<double> ms;
  for (int i = 0; i < 20; ++i) {
    // Time enough for the next child to wait, as engines that come one by one leave it.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const TimePoint begin = SteadyClock::Instance().Now();
    ASSERT_TRUE(Attach(engine.Attach()));
    const std::chrono::duration<double, std::milli> spent = SteadyClock::Instance().Now() - begin;
    ms.push_back(spent.count());
  }
  std::sort(ms.begin(), ms.end());
  std::printf("[ measured ] to connect and attach took %.1f ms, %.1f at most\n", ms[ms.size() / 2],
              ms.back());
  EXPECT_LT(ms[ms.size() / 2], 5000);
  std::vector<std::string> children;
  for (int i = 0; i < 500 && children.size() != 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    children = Children();
  }
  ASSERT_EQ(children.size(), 1U) << "one waits for the next peer";
  const pid_t child = std::stoi(children[0]);
  daemon().Stop();
  EXPECT_NE(kill(child, 0), 0) << "it goes with the daemon";
}

}  // namespace
}  // namespace cairn::test
