// Two tenants with the same prompts: what one did never shows in what the other is told, not after
// a restart and not after statistics have travelled.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "tests/integration/placement_fixture.h"

namespace cairn::test {
namespace {

class PlacementTenantsTest : public PlacementTest {
 protected:
  static constexpr std::uint32_t kWhole = 4 * kTurnTokens;

  static NamespaceSpec Of(const char* tenant) {
    NamespaceSpec spec = SmallModel();
    spec.tenant = tenant;
    return spec;
  }
  /// What a tenant is told about a prompt. Nothing is stored.
  Client::Hit Ask(const char* tenant, std::span<const std::uint32_t> tokens) {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Of(tenant));
    EXPECT_TRUE(engine.Open());
    const Client::Prompt prompt = engine.Prompt(tokens);
    auto hit = engine.client().Match(prompt, Soon());
    EXPECT_TRUE(hit.has_value()) << Why(hit);
    if (!hit) {
      return {};
    }
    EXPECT_TRUE(engine.client().Release(*hit, Soon()));
    key_ = engine.client().KeyAt(prompt, static_cast<std::uint32_t>(tokens.size()))->Hex();
    return std::move(*hit);
  }
  /// Places shown, by tenant.
  std::map<std::string, int> Shown() {
    std::map<std::string, int> by_tenant;
    const auto shown = Ctl()({"placement", "show", "--json", "--max=1000"}).Json();
    for (const auto& place : shown.at("top")) {
      ++by_tenant[place.at("tenant")];
    }
    return by_tenant;
  }

  std::string key_;  // Of the end of the last prompt asked about.
};

TEST_F(PlacementTenantsTest, ShareNeitherPrefixesNorPlacesNorCheckpoints) {
  ASSERT_TRUE(StartDaemon(Learning()));
  EXPECT_GT(Converse(0, 40, Of("north")), 0U);
  const std::uint64_t nodes = daemon().Status().index_nodes();
  for (std::uint64_t number = 30; number < 40; ++number) {
    EXPECT_EQ(OverlapOf(number, Of("south")), 0U);
    EXPECT_EQ(OverlapOf(number, Of("north")), kWhole);
  }
  EXPECT_EQ(Shown(), (std::map<std::string, int>{{"north", 40 * 4 + 10}, {"south", 10}}));
  EXPECT_GT(daemon().Status().index_nodes(), nodes) << "blocks of one are no blocks of the other";
  const auto text = Ctl()({"placement", "show", "--max=1000"}).out;
  EXPECT_NE(text.find("north"), std::string::npos) << text;
  EXPECT_NE(text.find("south"), std::string::npos) << text;

  // The first prompt of a conversation that north has checkpoints of.
  const auto tokens = Tokens(7, kWhole);
  EXPECT_GT(Ask("north", tokens).resume_at, 0U);
  const auto north = Ctl()({"placement", "explain", key_, "--json"}).Json();
  const Client::Hit hit = Ask("south", tokens);
  EXPECT_EQ(hit.resume_at, 0U);
  EXPECT_EQ(hit.lease, 0U);
  const auto south = Ctl()({"placement", "explain", key_, "--json"}).Json();
  ASSERT_EQ(south.at("places").size(), 1U) << south;
  EXPECT_EQ(south.at("places").at(0).at("tenant"), "south");
  EXPECT_EQ(south.at("places").at(0).at("uses"), 0);
  EXPECT_TRUE(south.at("kept").empty()) << south;
  ASSERT_GE(north.at("places").size(), 4U);
  for (const auto& place : north.at("places")) {
    EXPECT_EQ(place.at("tenant"), "north");
  }
  EXPECT_FALSE(north.at("kept").empty()) << north;
  const auto words = Ctl()({"placement", "explain", key_});
  EXPECT_NE(words.out.find("south"), std::string::npos) << words.out;
  EXPECT_EQ(words.out.find("north"), std::string::npos) << words.out;
}

// Prompts of north part after 80 tokens, where no distance from a prompt's end leads: only who saw
// them part can ask for a checkpoint there.
TEST_F(PlacementTenantsTest, PlansDoNotTellWhereTheOthersPromptsPart) {
  static constexpr std::uint32_t kShared = 80;
  ASSERT_TRUE(StartDaemon(Learning()));
  const auto variant = [](std::uint64_t number) {
    auto tokens = Tokens(1, kShared);
    const auto rest = Tokens(1000 + number, kWhole - kShared);
    tokens.insert(tokens.end(), rest.begin(), rest.end());
    return tokens;
  };
  const auto asks_there = [](const Client::Hit& hit) {
    return std::find(hit.plan.begin(), hit.plan.end(), kShared) != hit.plan.end();
  };
  bool north = false;
  for (std::uint64_t number = 0; number < 40; ++number) {
    north = asks_there(Ask("north", variant(number)));
  }
  EXPECT_TRUE(north) << "it has seen forty prompts part there";
  EXPECT_FALSE(asks_there(Ask("south", variant(0))));
  EXPECT_EQ(Shown().at("south"), 1);
}

TEST_F(PlacementTenantsTest, BothSurviveARestart) {
  ASSERT_TRUE(StartDaemon(OnSsd()));
  Converse(0, 20, Of("north"));
  Converse(0, 10, Of("south"));
  const std::map<std::string, int> both = {{"north", 80}, {"south", 40}};
  EXPECT_EQ(Shown(), both);
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(Shown(), both);
  EXPECT_EQ(OverlapOf(7, Of("north")), kWhole);
  EXPECT_EQ(OverlapOf(7, Of("south")), kWhole);
  EXPECT_EQ(OverlapOf(15, Of("north")), kWhole);
  EXPECT_EQ(OverlapOf(15, Of("south")), 0U);
}

// Without an SSD nobody knows after a restart what tenants there are. Places wait for their own to
// come, and through as many restarts as that takes.
TEST_F(PlacementTenantsTest, PlacesWaitForTheirTenant) {
  ASSERT_TRUE(StartDaemon(Learning({"--placement-file=" + (dir_ / "learned")})));
  Converse(0, 20, Of("north"));
  Converse(0, 10, Of("south"));
  const auto waiting = [this] {
    return Ctl()({"placement", "show", "--json"}).Json().at("waiting_places");
  };
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(waiting(), 120);
  EXPECT_EQ(OverlapOf(15, Of("south")), 0U);
  EXPECT_EQ(OverlapOf(7, Of("south")), kWhole);
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(waiting(), 120 + 2) << "those of north, that south has learned, and the two new ones";
  EXPECT_EQ(OverlapOf(15, Of("north")), kWhole);
  EXPECT_EQ(OverlapOf(7, Of("north")), kWhole);
}

TEST_F(PlacementTenantsTest, StayApartInAnotherDaemon) {
  ASSERT_TRUE(StartDaemon(Learning()));
  Converse(0, 20, Of("north"));
  Converse(0, 5, Of("south"));
  const std::string file = dir_ / "learned";
  ASSERT_EQ(Ctl()({"placement", "export", file}).code, 0);
  daemon().Stop();

  ASSERT_TRUE(daemon().Start());  // Another one, which knows south only, and other prompts of it.
  Converse(100, 10, Of("south"));
  const auto added = Ctl()({"placement", "import", file, "--json"});
  ASSERT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(added.Json().at("places"), 100);
  EXPECT_EQ(Shown(), (std::map<std::string, int>{{"south", 40 + 20}}));
  EXPECT_EQ(OverlapOf(7, Of("south")), 0U) << "only north asked that";
  EXPECT_EQ(OverlapOf(2, Of("south")), kWhole);
  EXPECT_EQ(OverlapOf(7, Of("north")), kWhole);
  EXPECT_EQ(OverlapOf(105, Of("north")), 0U) << "only south asked that";
  EXPECT_EQ(Shown().at("north"), 80 + 2) << "where 7 came back inside its last turn, and 105";
}

}  // namespace
}  // namespace cairn::test
