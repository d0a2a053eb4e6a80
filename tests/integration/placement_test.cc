// The learned placement in a daemon, and what cairnctl shows and carries of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/integration/placement_fixture.h"

namespace cairn::test {
namespace {

TEST_F(PlacementTest, ShowsAndExplains) {
  ASSERT_TRUE(StartDaemon(Learning()));
  EXPECT_GT(Converse(0, 40), 0U);
  const auto shown = Ctl()({"placement", "show", "--json", "--max=5"});
  ASSERT_EQ(shown.code, 0) << shown.err;
  const auto json = shown.Json();
  EXPECT_EQ(json.at("places"), 1 + 40 * 4);
  EXPECT_GT(json.at("checkpoints"), 0);
  EXPECT_EQ(json.at("top").size(), 5U);
  EXPECT_EQ(json.at("top").at(0).at("model"), "small");
  EXPECT_LE(json.at("planned_bytes"), json.at("engine_written_bytes"));
  const auto text = Ctl()({"placement", "show"});
  EXPECT_NE(text.out.find("POSITION"), std::string::npos) << text.out;

  const auto explained = Ctl()({"placement", "explain", first_turn_, "--json"});
  ASSERT_EQ(explained.code, 0) << explained.err;
  const auto path = explained.Json();
  ASSERT_EQ(path.at("places").size(), 1U);
  EXPECT_EQ(path.at("places").at(0).at("position"), kTurnTokens);
  EXPECT_EQ(path.at("places").at(0).at("uses"), 1);
  EXPECT_EQ(path.at("kept").size() + (path.at("next").is_null() ? 0 : 1), 1U);
  const auto words = Ctl()({"placement", "explain", first_turn_.substr(0, 16)});
  EXPECT_EQ(words.code, 0) << words.err;
  EXPECT_NE(words.out.find("memory costs"), std::string::npos) << words.out;
}

TEST_F(PlacementTest, WrongUseIsSaid) {
  ASSERT_TRUE(StartDaemon());
  auto ctl = Ctl();
  const auto other = ctl({"placement", "show", "--json"});
  EXPECT_EQ(other.code, 1);
  EXPECT_EQ(other.Error().at("code"), "unsupported");
  EXPECT_NE(other.err.find("planner trie"), std::string::npos) << other.err;
  EXPECT_EQ(ctl({"placement"}).code, 2);
  EXPECT_EQ(ctl({"placement", "shw"}).code, 2);
  EXPECT_EQ(ctl({"placement", "explain"}).code, 2);
  EXPECT_EQ(ctl({"placement", "explain", "xyz"}).code, 2);
  EXPECT_EQ(ctl({"placement", "--help"}).code, 0);
  const auto none = ctl({"placement", "import", dir_ / "none", "--json"});
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(none.Error().at("code"), "not_found");
}

TEST_F(PlacementTest, TravelsToAnotherDaemon) {
  ASSERT_TRUE(StartDaemon(Learning()));
  Converse(0, 40);
  const std::string file = dir_ / "learned";
  const auto written = Ctl()({"placement", "export", file, "--json"});
  ASSERT_EQ(written.code, 0) << written.err;
  EXPECT_EQ(written.Json().at("places"), 160);
  EXPECT_EQ(Ctl()({"placement", "export", file}).code, 1) << "never over what is there";
  daemon().Stop();

  ASSERT_TRUE(daemon().Start());  // Another one, as far as memory goes.
  const auto added = Ctl()({"placement", "import", file, "--json"});
  ASSERT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(added.Json().at("places"), 160);
  EXPECT_EQ(OverlapOf(7), 4 * kTurnTokens);
  // It knows at once that conversations go on.
  EXPECT_GT(Converse(1000, 1), 0U);

  std::string bytes = ReadFile(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::ofstream(dir_ / "damaged", std::ios::binary) << bytes;
  const auto damaged = Ctl()({"placement", "import", dir_ / "damaged", "--json"});
  EXPECT_EQ(damaged.code, 1);
  EXPECT_EQ(damaged.Error().at("code"), "corrupt");
}

TEST_F(PlacementTest, HostileStatisticsAreRefused) {
  ASSERT_TRUE(StartDaemon(Learning()));
  Converse(0, 3);
  PrefixKey root;
  ASSERT_TRUE(root.Assign(FromHex(daemon().Status().namespaces(0).root_key()).value_or("")));
  const std::string seed(reinterpret_cast<const char*>(root.bytes.data()), PrefixKey::kBytes);
  const auto import = [this, &seed](const std::function<void(v1::PlacementStatistics&)>& change) {
    v1::AdminRequest request;
    v1::PlacementStatistics& part = *request.mutable_placement_import()->mutable_part();
    part.set_version(1);
    part.set_saved_at_unix_s(1e9);
    v1::PlaceStatistics& place = *part.add_places();
    place.set_key(std::string(32, 'k'));
    place.set_above(seed);
    place.set_position(64);
    change(part);
    const auto answered = daemon().Admin(request);
    return answered ? ErrorCode::kOk : answered.error().code;
  };
  using Part = v1::PlacementStatistics;
  EXPECT_EQ(import([](Part&) {}), ErrorCode::kOk);
  EXPECT_EQ(import([](Part& p) { p.set_version(2); }), ErrorCode::kUnsupported);
  EXPECT_EQ(import([](Part& p) { p.set_saved_at_unix_s(1e300); }), ErrorCode::kOk);
  EXPECT_EQ(import([](Part& p) { p.set_saved_at_unix_s(NAN); }), ErrorCode::kOk);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_key("short"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_mass(NAN); }), ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_mass(-1); }), ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_age_s(INFINITY); }), ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_uses(UINT32_MAX); }),
            ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_gap_bin(300); }), ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.add_reuse(1); }), ErrorCode::kCorrupt);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_gap_bin(200); }), ErrorCode::kCorrupt);
  // A place at the end of what can be counted, one above itself.
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_position(UINT32_MAX); }), ErrorCode::kOk);
  EXPECT_EQ(import([](Part& p) { p.mutable_places(0)->set_above(std::string(32, 'k')); }),
            ErrorCode::kOk);
  // Ages are numbers still, and go on: what is written now can be read again.
  ASSERT_EQ(Ctl()({"placement", "export", dir_ / "after"}).code, 0);
  EXPECT_EQ(Ctl()({"placement", "import", dir_ / "after"}).code, 0);
  // A name of its own: in the head of a C++20 range-for only the last temporary lives on.
  const auto shown = Ctl()({"placement", "show", "--json"}).Json();
  for (const auto& place : shown.at("top")) {
    EXPECT_TRUE(place.at("mass").is_number() && place.at("idle_s").is_number()) << place;
  }
  EXPECT_GT(Converse(100, 40), 0U) << "it goes on learning";
}

TEST_F(PlacementTest, WhatItWritesIsItsOwnersAlone) {
  using std::filesystem::perms;
  ASSERT_TRUE(StartDaemon(OnSsd()));
  Converse(0, 5);
  ASSERT_EQ(Ctl()({"placement", "export", dir_ / "exported"}).code, 0);
  daemon().Stop();
  for (const auto* const name : {"exported", "ssd/placement"}) {
    EXPECT_EQ(std::filesystem::status(dir_ / name).permissions(),
              perms::owner_read | perms::owner_write)
        << name;
  }
  EXPECT_EQ(std::filesystem::status(dir_ / "ssd").permissions(), perms::owner_all);
}

TEST_F(PlacementTest, AnExportNeedsAFile) {
  ASSERT_TRUE(StartDaemon(Learning()));
  std::filesystem::create_directories(dir_ / "taken.tmp");
  for (const std::string& name : {std::string(), std::string("-"), dir_ / "taken"}) {
    EXPECT_NE(Ctl()({"placement", "export", name}).code, 0) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(".tmp"));
  EXPECT_FALSE(std::filesystem::exists("-"));
}

TEST_F(PlacementTest, SurvivesARestart) {
  ASSERT_TRUE(StartDaemon(OnSsd()));
  Converse(0, 40);
  daemon().Stop();
  ASSERT_TRUE(std::filesystem::exists(dir_ / "ssd/placement"));
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(Ctl()({"placement", "show", "--json"}).Json().at("places"), 1 + 40 * 4);
  EXPECT_EQ(OverlapOf(7), 4 * kTurnTokens);
  EXPECT_GT(Converse(1000, 1), 0U);
}

TEST_F(PlacementTest, WhatIsNoFileIsLeftAlone) {
  std::filesystem::create_directories(dir_ / "folder");
  ASSERT_TRUE(StartDaemon(Learning({"--placement-file=" + (dir_ / "folder")})));
  EXPECT_NE(daemon().Log().find("placement_not_loaded"), std::string::npos);
  Converse(0, 3);
  daemon().Stop();
  EXPECT_TRUE(std::filesystem::is_directory(dir_ / "folder"));
}

TEST_F(PlacementTest, ADamagedFileIsPutAside) {
  ASSERT_TRUE(StartDaemon(Learning({"--placement-file=" + (dir_ / "kept/learned")})));
  Converse(0, 10);
  daemon().Stop();
  const std::string file = dir_ / "kept/learned";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 3);
  ASSERT_TRUE(daemon().Start());
  EXPECT_NE(daemon().Log().find("placement_not_loaded"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(file + ".bad"));
  EXPECT_EQ(OverlapOf(7), 0U);
}

// A file of before an update, or of a newer daemon: places mean the same in all, the models of how
// soon and where prompts return do not. No damage, so nothing is put aside.
TEST_F(PlacementTest, ModelsOfAnotherVersionStartAnew) {
  ASSERT_TRUE(StartDaemon(Learning({"--placement-file=" + (dir_ / "learned")})));
  Converse(0, 40);
  const std::string exported = dir_ / "exported";
  ASSERT_EQ(Ctl()({"placement", "export", exported}).code, 0);
  daemon().Stop();
  const auto reuse = [](v1::PlacementStatistics& s) {
    s.set_reuse(0, s.reuse(0) + 1);
    s.mutable_reuse()->Truncate(9);  // It is of another length as well.
  };
  Rewrite(dir_ / "learned", reuse);
  ASSERT_TRUE(daemon().Start());
  EXPECT_FALSE(std::filesystem::exists(dir_ / "learned.bad"));
  const std::string log = daemon().Log();
  EXPECT_NE(log.find("placement_loaded"), std::string::npos) << log;
  EXPECT_NE(log.find("placement_models_left_out"), std::string::npos) << log;
  EXPECT_NE(log.find("reuse statistics are of version"), std::string::npos) << log;
  EXPECT_EQ(log.find("distance statistics"), std::string::npos) << log;
  EXPECT_EQ(OverlapOf(7), 4 * kTurnTokens);
  daemon().Stop();  // What is saved now is of the version it knows.
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(daemon().Log().find("left_out"), std::string::npos) << daemon().Log();

  Rewrite(exported, reuse);
  const auto json = Ctl()({"placement", "import", exported, "--json"});
  EXPECT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(json.Json().at("places"), 160);
  EXPECT_NE(std::string(json.Json().at("left_out")).find("reuse"), std::string::npos) << json.out;
  Rewrite(exported, [](v1::PlacementStatistics& s) { s.set_distance(0, s.distance(0) + 1); });
  const auto words = Ctl()({"placement", "import", exported});
  EXPECT_EQ(words.code, 0) << words.err;
  EXPECT_EQ(std::count(words.out.begin(), words.out.end(), '\n'), 1) << words.out;
  EXPECT_NE(words.out.find("left out: reuse statistics are of version"), std::string::npos)
      << words.out;
  EXPECT_NE(words.out.find("; distance statistics are of version"), std::string::npos) << words.out;

  // Damage in one model is damage, whatever the version of the other.
  Rewrite(exported, [](v1::PlacementStatistics& s) { s.clear_distance(); });
  EXPECT_EQ(Ctl()({"placement", "import", exported, "--json"}).Error().at("code"), "corrupt");
}

// Statistics with more places than are still free, half of them unused for long. The others stay.
TEST_F(PlacementTest, AfterAnImportTheLongestUnusedGoFirst) {
  ASSERT_TRUE(StartDaemon(Learning({"--placement-memory=1KiB"})));
  Converse(0, 1);
  PrefixKey root;
  ASSERT_TRUE(root.Assign(FromHex(daemon().Status().namespaces(0).root_key()).value_or("")));
  const std::string file = dir_ / "learned";
  ASSERT_EQ(Ctl()({"placement", "export", file}).code, 0);
  constexpr int kHalf = 450;
  constexpr std::uint32_t kShallow = 16;
  Rewrite(file, [&root](v1::PlacementStatistics& s) {
    s.clear_places();
    for (int i = 0; i < 2 * kHalf; ++i) {
      v1::PlaceStatistics& place = *s.add_places();
      place.set_key(std::string(28, 'k') + std::to_string(1000 + i));
      place.set_above(root.bytes.data(), PrefixKey::kBytes);
      // Shallow ones come first, and are forgotten first if nobody looks at their uses.
      place.set_position(i < kHalf ? kShallow : 2 * kShallow);
      place.set_age_s(i < kHalf ? 10 : 1e6);
      place.set_mass(1);
      place.set_uses(1);
    }
  });
  const auto added = Ctl()({"placement", "import", file, "--json"});
  ASSERT_EQ(added.code, 0) << added.err;
  ASSERT_EQ(added.Json().at("places"), 2 * kHalf);
  ASSERT_EQ(Ctl()({"placement", "show", "--json"}).Json().at("most_places"), 1024);
  for (std::uint64_t number = 1000; number < 1300; ++number) {
    EXPECT_EQ(OverlapOf(number), 0U);
  }
  ASSERT_EQ(Ctl()({"placement", "export", dir_ / "after"}).code, 0);
  const auto after = ReadPlacementFile(dir_ / "after");
  ASSERT_TRUE(after.has_value()) << Why(after);
  int shallow = 0;
  int deep = 0;
  for (const v1::PlaceStatistics& place : after->places()) {
    const bool imported = place.key().starts_with("kkkk");
    shallow += imported && place.position() == kShallow ? 1 : 0;
    deep += imported && place.position() != kShallow ? 1 : 0;
  }
  EXPECT_EQ(shallow, kHalf);
  EXPECT_LT(deep, kHalf);
}

}  // namespace
}  // namespace cairn::test
