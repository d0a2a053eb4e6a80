#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "services/placement_file/placement_file.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::test {

/// A daemon that learns, and engines that store what it asks for.
class PlacementTest : public DaemonTest {
 protected:
  static constexpr std::uint32_t kTurnTokens = 64;

  static DaemonProcess::Options Learning(std::vector<std::string> more = {}) {
    DaemonProcess::Options options;
    options.flags = {"--planner=trie"};
    options.flags.insert(options.flags.end(), more.begin(), more.end());
    return options;
  }
  DaemonProcess::Options OnSsd() {
    return Learning({"--ssd-path=" + (dir_ / "ssd"), "--ssd=256MiB", "--ssd-min-free=1MiB"});
  }
  Cairnctl Ctl() { return {dir_, daemon().UnixEndpoint()}; }

  /// Conversations of four turns, each of which stores what the daemon asks for. The tokens that
  /// were resumed in all.
  std::uint64_t Converse(std::uint64_t first, std::uint64_t count,
                         const NamespaceSpec& spec = SmallModel()) {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
    EXPECT_TRUE(engine.Open());
    std::uint64_t resumed = 0;
    for (std::uint64_t number = first; number < first + count; ++number) {
      const auto tokens = Tokens(number, 4 * kTurnTokens);
      for (std::uint32_t turn = 1; turn <= 4; ++turn) {
        const std::span<const std::uint32_t> prompt(tokens.data(), std::size_t{turn} * kTurnTokens);
        const Client::Prompt asked = engine.Prompt(prompt);
        const auto hit = engine.client().Match(asked, Soon());
        EXPECT_TRUE(hit.has_value()) << Why(hit);
        if (!hit) {
          return 0;
        }
        resumed += hit->resume_at;
        const std::vector<std::uint32_t> plan = hit->plan;
        EXPECT_TRUE(engine.client().Release(*hit, Soon()));
        if (!plan.empty()) {
          EXPECT_TRUE(engine.Store(prompt, plan).has_value());
        }
        first_turn_ = engine.client().KeyAt(asked, kTurnTokens)->Hex();
      }
    }
    return resumed;
  }
  /// Changes what a file of statistics says; its digest is right.
  static void Rewrite(const std::string& path,
                      const std::function<void(v1::PlacementStatistics&)>& change) {
    auto statistics = ReadPlacementFile(path);
    ASSERT_TRUE(statistics.has_value()) << Why(statistics);
    change(*statistics);
    std::ofstream(path, std::ios::binary) << *EncodePlacement(*statistics);
  }
  /// How much of the prompt of these tokens was seen before.
  std::uint32_t OverlapOf(std::uint64_t number, const NamespaceSpec& spec = SmallModel()) {
    const std::uint64_t before = daemon().Counter("overlap_tokens");
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
    EXPECT_TRUE(engine.Open());
    const auto hit = engine.client().Match(engine.Prompt(Tokens(number, 4 * kTurnTokens)), Soon());
    EXPECT_TRUE(hit.has_value());
    EXPECT_TRUE(engine.client().Release(*hit, Soon()));
    return static_cast<std::uint32_t>(daemon().Counter("overlap_tokens") - before);
  }

  std::string first_turn_;  // Key of the last conversation's first turn.
};

}  // namespace cairn::test
