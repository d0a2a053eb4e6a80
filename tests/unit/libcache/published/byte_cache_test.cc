#include "libcache/published/byte_cache.h"

#include <gtest/gtest.h>

#include <limits>

#include "libcache/published/byte_placements.h"
#include "tests/unit/libcache/published/synthetic_run.h"

namespace cairn {
namespace {

/// Requests of 1,000 tokens that leave their group at 960.
PublishedRun RunOf(const std::vector<std::uint32_t>& groups) {
  PublishedRun run;
  run.max_tokens = 4096;
  for (const std::uint32_t group : groups) {
    PublishedRequest request;
    request.group = group;
    request.tokens = 1000;
    request.divergence = 960;
    run.requests.push_back(request);
  }
  return run;
}

/// One checkpoint at 960 and all KV, for everybody.
class Fixed final : public BytePlacement {
 public:
  Result<StoredPlan> Plan(const PublishedRequest& request, const Context& context) override {
    contexts.push_back(context);
    return StoredPlan{.positions = {960}, .kv_tokens = request.tokens};
  }
  void Stored(const CacheFlow& flow) override { flows.push_back(flow); }

  std::vector<Context> contexts;
  std::vector<CacheFlow> flows;
};

constexpr double kEntry = 1'609'728 + 1000 * 2048;

/// In hits of 960 tokens.
double Hits(const PublishedRun& run, ByteCacheKind kind, double capacity) {
  Fixed placement;
  const double share = std::move(SavedShare(run, kind, capacity, placement)).value();
  return share * static_cast<double>(run.MeasuredTokens()) / 960;
}

TEST(ByteCacheTest, FifoDropsTheOldestWhateverItsUse) {
  const auto run = RunOf({1, 1, 2, 1, 1});
  EXPECT_NEAR(Hits(run, ByteCacheKind::kFifo, 2 * kEntry), 3, 1e-9);
  EXPECT_NEAR(Hits(run, ByteCacheKind::kFifo, kEntry), 2, 1e-9);
  EXPECT_NEAR(Hits(run, ByteCacheKind::kFifo, kEntry - 1), 0, 1e-9) << "too large to store";
}

TEST(ByteCacheTest, DedupStoresAGroupOnceAndDropsTheLeastRecentlyUsed) {
  // Two entries fit: 3 drives out 2, which was used before 1 was.
  const auto run = RunOf({1, 1, 1, 2, 1, 3, 1, 2});
  EXPECT_NEAR(Hits(run, ByteCacheKind::kDedup, 2 * kEntry), 4, 1e-9);
  EXPECT_NEAR(Hits(run, ByteCacheKind::kDedup, 3 * kEntry), 5, 1e-9);
}

TEST(ByteCacheTest, PlacementsLearnWhatWasSeenAndWhatIsHeld) {
  Fixed placement;
  ASSERT_TRUE(SavedShare(RunOf({1, 2, 1, 1}), ByteCacheKind::kDedup, kEntry, placement));
  ASSERT_EQ(placement.contexts.size(), 4U);
  EXPECT_FALSE(placement.contexts[0].seen);
  EXPECT_TRUE(placement.contexts[2].seen);
  EXPECT_EQ(placement.contexts[2].found, 0U) << "it was evicted";
  EXPECT_EQ(placement.contexts[3].found, 960U);
  EXPECT_EQ(placement.flows[0].inserted_bytes, kEntry);
  EXPECT_EQ(placement.flows[1].displaced_saving, 960);
  EXPECT_EQ(placement.flows[3].inserted_bytes, 0) << "it replaced itself";
}

TEST(BranchBytesTest, LearnsTheTailFromOtherGroups) {
  BranchBytes placement(64);
  const auto plan = [&](std::uint32_t group, std::uint32_t tokens, std::uint32_t divergence,
                        bool seen) {
    PublishedRequest request;
    request.group = group;
    request.tokens = tokens;
    request.divergence = divergence;
    return std::move(placement.Plan(request, {.seen = seen, .found = 0})).value();
  };
  EXPECT_EQ(plan(1, 1000, 777, false).positions, std::vector<std::uint32_t>({960}))
      << "nothing is known: the end";
  const StoredPlan second = plan(1, 1100, 900, true);
  EXPECT_EQ(second.positions, std::vector<std::uint32_t>({896})) << "where it was left";
  EXPECT_EQ(second.kv_tokens, 896U) << "KV beyond is of no use";
  // 100 tokens before the end, as in group 1; the divergence of its own is not looked at.
  EXPECT_EQ(plan(2, 5100, 17, false).positions, std::vector<std::uint32_t>({4992}));
}

TEST(BranchBytesTest, NeverKeepsTheWholePrompt) {
  BranchBytes placement(64);
  PublishedRequest request;
  request.tokens = request.divergence = 1024;
  EXPECT_EQ(placement.Plan(request, {})->positions, std::vector<std::uint32_t>({960}));
  EXPECT_EQ(placement.Plan(request, {.seen = true})->positions, std::vector<std::uint32_t>({960}));
  request.group = 1;
  request.tokens = request.divergence = 1;
  EXPECT_TRUE(placement.Plan(request, {})->positions.empty());
  EXPECT_TRUE(placement.Plan(request, {.seen = true})->positions.empty());
  request.tokens = 0;
  EXPECT_TRUE(placement.Plan(request, {.seen = true})->positions.empty());
}

TEST(BranchBytesTest, BytesHaveNoPriceWhileThereIsRoom) {
  BranchBytes placement(64);
  EXPECT_EQ(placement.Price(), 0);
  placement.Stored({.inserted_bytes = 1000, .displaced_saving = 0});
  EXPECT_EQ(placement.Price(), 0);
  placement.Stored({.inserted_bytes = 1000, .displaced_saving = 500});
  EXPECT_GT(placement.Price(), 0.2);
  EXPECT_LT(placement.Price(), 0.3);
}

// At equal bytes, on documents that divide shortly before their end, in any of ten groups at 40
// requests: what the table of the published runs shows, on a run of our own.
TEST(BranchBytesTest, SavesMoreThanThePublishedPlacementsInEqualBytes) {
  auto run = MakeSyntheticRun({.groups = 25, .requests = 500, .measured = 500}, 7);
  for (PublishedRequest& request : run.requests) {
    request.divergence = 2000 + request.group * 100;
    request.tokens = request.divergence + 30 + request.group % 7 * 10;
  }
  for (const double capacity : {30e6, 100e6, 250e6}) {
    BranchBytes ours(64);
    const double share = std::move(SavedShare(run, ByteCacheKind::kDedup, capacity, ours)).value();
    for (const std::string strategy : {"block:64", "block:512", "hist_exp_decay:5", "balanced:5"}) {
      for (const auto kind : {ByteCacheKind::kFifo, ByteCacheKind::kDedup}) {
        auto theirs = std::move(PublishedBytes::Create(strategy, run, kind)).value();
        EXPECT_GE(share, std::move(SavedShare(run, kind, capacity, theirs)).value()) << strategy;
      }
    }
  }
}

}  // namespace
}  // namespace cairn
