// cairnctl against a live daemon: every command in both forms, exit codes, and what it changes.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"
#include "tests/integration/temp_dir.h"

namespace cairn::test {
namespace {

using nlohmann::json;

/// Every command that needs a daemon.
std::vector<std::vector<std::string>> AskingCommands() {
  return {{"status"}, {"tiers"},           {"members"},     {"tree"},        {"lookup", "ab"},
          {"leases"}, {"pin", "ab"},       {"unpin", "ab"}, {"evict", "ab"}, {"clear", "--yes"},
          {"drain"},  {"drain", "--wait"}, {"config"}};
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::set<std::string> Names(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) {
    names.insert(name);
  }
  return names;
}

class CairnctlTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> flags = {}) {
    daemon_.emplace(dir_, DaemonProcess::Options{.flags = std::move(flags), .variables = {}});
    engine_.emplace(daemon_->UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(daemon_->Start());
    ASSERT_TRUE(engine_->Open());
  }
  void StartWithSsd() { Start({"--ssd-path=" + (dir_ / "ssd"), "--ssd=256MiB"}); }
  /// Two prompts that share two of their four blocks, with checkpoints where they part and end.
  /// Returns the keys of: the shared boundary, the first end, the second end.
  std::vector<std::string> StoreTwoBranches(bool durable = false) {
    std::vector<std::uint32_t> first = Tokens(1, 64);
    std::vector<std::uint32_t> second = first;
    second[40] += 1;
    EXPECT_TRUE(engine_->Store(first, {32, 64}, durable));
    EXPECT_TRUE(engine_->Store(second, {64}, durable));
    return {Key(first, 32), Key(first, 64), Key(second, 64)};
  }
  std::string Key(std::span<const std::uint32_t> tokens, std::uint32_t position) {
    return engine_->client().KeyAt(engine_->Prompt(tokens), position)->Hex();
  }
  void TearDown() override {
    engine_.reset();
    if (daemon_ && daemon_->running()) {
      daemon_->ExpectNothingHeld();
      daemon_->Stop();
    }
  }
  Cairnctl Ctl() { return {dir_, daemon_->UnixEndpoint()}; }

  TempDir dir_;
  std::optional<DaemonProcess> daemon_;
  std::optional<Engine> engine_;
};

TEST_F(CairnctlTest, StatusShowsTheDaemonInBothForms) {
  Start();
  StoreTwoBranches();
  Cairnctl ctl = Ctl();
  const Ran text = ctl({"status"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.err, "");
  for (const char* const part :
       {"serving", "TIER", "host", "KiB", "small", "turn_end_demand", "Since the start"}) {
    EXPECT_TRUE(Contains(text.out, part)) << part << " in\n" << text.out;
  }
  EXPECT_FALSE(Contains(text.out, "\033")) << "no colours without a terminal";
  const json status = ctl({"--json", "status"}).Json();
  EXPECT_EQ(Names(status),
            (std::set<std::string>{
                "version", "state", "uptime_seconds", "rss_bytes", "peak_rss_bytes", "index",
                "sessions", "leases", "reservations", "planner", "eviction", "tiers", "planes",
                "namespaces", "counters", "members", "members_problem", "member_self", "tls"}));
  EXPECT_EQ(status["state"], "serving");
  EXPECT_TRUE(status["uptime_seconds"].is_number_float());
  EXPECT_GT(status["rss_bytes"].get<std::uint64_t>(), 1U << 20U);
  EXPECT_GT(status["peak_rss_bytes"].get<std::uint64_t>(), 1U << 20U);
  EXPECT_EQ(status["index"]["nodes"], 7) << "the root, two shared blocks, two ends of two blocks";
  EXPECT_GE(status["sessions"], 2) << "the engine's and this one";
  ASSERT_EQ(status["namespaces"].size(), 1U);
  EXPECT_EQ(status["namespaces"][0]["model"], "small");
  EXPECT_EQ(status["namespaces"][0]["block_tokens"], 16);
  EXPECT_EQ(status["namespaces"][0]["fidelity"], "exact");
  EXPECT_EQ(Names(status["namespaces"][0]),
            (std::set<std::string>{"id", "tenant", "model", "block_tokens", "kv_bytes_per_token",
                                   "checkpoint_bytes", "root_key", "fidelity", "checkpoint_shape",
                                   "kv_shape", "ssd_codec"}));
  EXPECT_EQ(status["counters"]["commits"], 9) << "six blocks of KV, three checkpoints";
  EXPECT_EQ(status["members"], json::array({daemon_->UnixEndpoint()}));
}

TEST_F(CairnctlTest, TiersCountWhatIsStored) {
  StartWithSsd();
  StoreTwoBranches(true);
  Cairnctl ctl = Ctl();
  const json tiers = ctl({"tiers", "--json"}).Json()["tiers"];
  ASSERT_EQ(tiers.size(), 3U);
  EXPECT_EQ(Names(tiers[0]), (std::set<std::string>{"name", "state", "capacity_bytes", "used_bytes",
                                                    "kv", "checkpoint", "location", "codec",
                                                    "copies", "copy_switch_bytes"}));
  EXPECT_EQ(tiers[0]["name"], "host");
  EXPECT_EQ(tiers[1]["name"], "ssd");
  EXPECT_EQ(tiers[2]["name"], "gpu");
  EXPECT_EQ(tiers[2]["state"], "off");
  for (const json& tier : {tiers[0], tiers[1]}) {
    EXPECT_EQ(tier["state"], "ok");
    EXPECT_EQ(tier["kv"], json({{"bytes", 6 * 1024}, {"objects", 6}}));
    EXPECT_EQ(tier["checkpoint"], json({{"bytes", 3 * 4096}, {"objects", 3}}));
  }
  EXPECT_EQ(tiers[1]["location"], dir_ / "ssd");
  EXPECT_EQ(tiers[0]["codec"], "");
  EXPECT_EQ(tiers[1]["codec"], "none");
  const Ran text = ctl({"tiers"});
  EXPECT_EQ(text.code, 0);
  EXPECT_TRUE(Contains(text.out, "12.0 KiB in 3")) << text.out;
}

TEST_F(CairnctlTest, ConfigShowsWhatTheDaemonRunsWith) {
  Start();
  Cairnctl ctl = Ctl();
  const json config = ctl({"config", "--json"}).Json();
  EXPECT_EQ(config["memory"], 64 * kMiB);
  EXPECT_EQ(config["huge-pages"], false);
  EXPECT_EQ(config["listen-unix"], daemon_->socket_path());
  EXPECT_EQ(config["listen-tcp"], "127.0.0.1:0");
  EXPECT_EQ(config["planner"], "turn_end_demand");
  const Ran text = ctl({"config"});
  EXPECT_EQ(text.code, 0);
  EXPECT_TRUE(Contains(text.out, "64.0 MiB")) << text.out;
}

TEST_F(CairnctlTest, TreeShowsWherePrefixesPart) {
  Start();
  Cairnctl ctl = Ctl();
  const std::vector<std::string> keys = StoreTwoBranches();
  const json tree = ctl({"tree", "--json"}).Json();
  EXPECT_EQ(tree["truncated"], false);
  ASSERT_EQ(tree["nodes"].size(), 7U);
  EXPECT_EQ(tree["nodes"][0]["parent"], nullptr);
  json shared;
  std::set<std::string> ends;
  for (const json& node : tree["nodes"]) {
    EXPECT_EQ(Names(node), (std::set<std::string>{"key", "parent", "depth", "position", "kv",
                                                  "checkpoint", "bytes", "children", "pins"}));
    shared = node["key"] == keys[0] ? node : shared;
    if (node["position"] == 64) {
      ends.insert(node["key"].get<std::string>());
    }
  }
  EXPECT_EQ(shared["position"], 32);
  EXPECT_EQ(shared["depth"], 2);
  EXPECT_EQ(shared["children"], 2);
  EXPECT_EQ(shared["kv"], "host");
  EXPECT_EQ(shared["checkpoint"], "host");
  EXPECT_EQ(shared["bytes"], 1024 + 4096);
  EXPECT_EQ(ends, (std::set<std::string>{keys[1], keys[2]}));

  const Ran text = ctl({"tree"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_TRUE(Contains(text.out, "small (tenant default")) << text.out;
  EXPECT_TRUE(Contains(text.out, "\n" + keys[0].substr(0, 12) + " ")) << text.out;
  EXPECT_TRUE(Contains(text.out, "├─ ")) << text.out;
  EXPECT_TRUE(Contains(text.out, "\n   " + keys[1].substr(0, 12)) ||
              Contains(text.out, "\n   " + keys[2].substr(0, 12)))
      << text.out;
  EXPECT_FALSE(Contains(text.out, keys[0]));
  EXPECT_TRUE(Contains(ctl({"tree", "--full"}).out, keys[0]));
}

TEST_F(CairnctlTest, TreeCanBeNarrowedAndSaysWhenItIsCut) {
  Start();
  Cairnctl ctl = Ctl();
  const std::vector<std::string> keys = StoreTwoBranches();
  const json below = ctl({"tree", "--prefix", keys[0], "--json"}).Json();
  EXPECT_EQ(below["nodes"].size(), 5U);
  const Ran cut = ctl({"tree", "--max", "2"});
  EXPECT_EQ(cut.code, 0);
  EXPECT_TRUE(Contains(cut.out, "more than these 2")) << cut.out;
  EXPECT_EQ(ctl({"tree", "--max", "2", "--json"}).Json()["truncated"], true);
  const Ran none = ctl({"tree", "--prefix", std::string(64, '0')});
  EXPECT_EQ(none.code, 1);
  EXPECT_TRUE(Contains(none.err, "no key starts with 0000")) << none.err;
}

TEST_F(CairnctlTest, LookupTakesTheFirstDigitsOfAKey) {
  Start();
  Cairnctl ctl = Ctl();
  const std::string key = StoreTwoBranches()[0];
  std::string digits = key.substr(0, 16);
  const json found = ctl({"lookup", digits, "--json"}).Json();
  EXPECT_EQ(found["key"], key);
  EXPECT_EQ(found["model"], "small");
  EXPECT_EQ(found["restorable"], true);
  EXPECT_EQ(found["restore_bytes"], 2 * 1024 + 4096);
  for (char& c : digits) {
    c = static_cast<char>(std::toupper(c));
  }
  const Ran text = ctl({"lookup", digits});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_TRUE(Contains(text.out, key)) << text.out;
  EXPECT_TRUE(Contains(text.out, "yes, by loading 6.00 KiB")) << text.out;

  // 17 prompts have two keys with the same first digit.
  for (std::uint64_t id = 10; id < 27; ++id) {
    EXPECT_TRUE(engine_->Store(Tokens(id, 16), {16}));
  }
  bool ambiguous = false;
  for (const char first : std::string("0123456789abcdef")) {
    const Ran ran = ctl({"lookup", std::string(1, first), "--json"});
    ambiguous = ambiguous || (ran.code == 1 && ran.Error()["code"] == "invalid_argument");
  }
  EXPECT_TRUE(ambiguous);
}

TEST_F(CairnctlTest, APinKeepsItsPrefixUntilItIsUndone) {
  Start();
  Cairnctl ctl = Ctl();
  const std::vector<std::string> keys = StoreTwoBranches();
  const Ran none = ctl({"leases"});
  EXPECT_EQ(none.code, 0);
  EXPECT_TRUE(Contains(none.out, "no leases")) << none.out;

  const json pinned = ctl({"pin", keys[0].substr(0, 20), "--json"}).Json();
  EXPECT_EQ(pinned, json({{"key", keys[0]},
                          {"position", 32},
                          {"pinned", true},
                          {"restore_bytes", 2 * 1024 + 4096}}));
  EXPECT_EQ(ctl({"pin", keys[0], "--json"}).Error()["code"], "exists");
  const json leases = ctl({"leases", "--json"}).Json()["leases"];
  ASSERT_EQ(leases.size(), 1U);
  EXPECT_EQ(leases[0]["kind"], "pin");
  EXPECT_EQ(leases[0]["position"], 32);
  EXPECT_EQ(leases[0]["expires_in_ms"], nullptr);
  EXPECT_TRUE(Contains(ctl({"leases"}).out, "never"));
  EXPECT_EQ(ctl({"lookup", keys[0], "--json"}).Json()["pins"], 1);

  const json cleared = ctl({"clear", "--yes", "--json"}).Json();
  EXPECT_EQ(cleared["objects"], 6) << "all but the pinned checkpoint and its two blocks";
  EXPECT_EQ(ctl({"lookup", keys[0], "--json"}).Json()["restorable"], true);
  EXPECT_EQ(ctl({"evict", keys[0], "--json"}).Json()["objects"], 0);

  const Ran unpinned = ctl({"unpin", keys[0]});
  EXPECT_EQ(unpinned.code, 0) << unpinned.err;
  EXPECT_TRUE(Contains(unpinned.out, "unpinned " + keys[0].substr(0, 12))) << unpinned.out;
  const Ran twice = ctl({"unpin", keys[0]});
  EXPECT_EQ(twice.code, 1);
  EXPECT_TRUE(Contains(twice.err, "not pinned")) << twice.err;
  const json evicted = ctl({"evict", keys[0], "--json"}).Json();
  EXPECT_EQ(evicted["objects"], 2) << "its checkpoint and its block; the block before it stays";
  EXPECT_EQ(evicted["bytes"], 1024 + 4096);
}

TEST_F(CairnctlTest, OnlyARestorableBoundaryCanBePinned) {
  Start();
  Cairnctl ctl = Ctl();
  StoreTwoBranches();
  const Ran ran = ctl({"pin", Key(Tokens(1, 64), 16)});
  EXPECT_EQ(ran.code, 1);
  EXPECT_TRUE(Contains(ran.err, "no restorable boundary")) << ran.err;
}

TEST_F(CairnctlTest, EvictFromHostOnlyLeavesTheSsd) {
  StartWithSsd();
  Cairnctl ctl = Ctl();
  const std::vector<std::string> keys = StoreTwoBranches(true);
  EXPECT_EQ(ctl({"lookup", keys[0], "--json"}).Json()["checkpoint"], "host+ssd");
  const Ran evicted = ctl({"evict", keys[0], "--host-only"});
  EXPECT_EQ(evicted.code, 0) << evicted.err;
  EXPECT_TRUE(Contains(evicted.out, "from host memory only")) << evicted.out;
  EXPECT_EQ(ctl({"lookup", keys[0], "--json"}).Json()["checkpoint"], "ssd");
  const auto read = engine_->Load(Tokens(1, 65));
  ASSERT_TRUE(read) << Why(read);
  EXPECT_EQ(read->resume_at, 64U);
  EXPECT_EQ(read->tier, TierKind::kSsd);
  EXPECT_EQ(read->wrong, 0U);

  EXPECT_EQ(ctl({"clear", "--yes"}).code, 0);
  EXPECT_EQ(ctl({"tiers", "--json"}).Json()["tiers"][1]["checkpoint"]["objects"], 0);
  const auto gone = engine_->Load(Tokens(1, 65));
  ASSERT_TRUE(gone) << Why(gone);
  EXPECT_EQ(gone->resume_at, 0U);
}

TEST_F(CairnctlTest, ClearAsksOnATerminal) {
  Start();
  Cairnctl ctl = Ctl();
  StoreTwoBranches();
  const Ran unasked = ctl({"clear"});
  EXPECT_EQ(unasked.code, 2);
  EXPECT_TRUE(Contains(unasked.err, "--yes")) << unasked.err;
  if (access("/usr/bin/script", X_OK) != 0) {
    GTEST_SKIP() << "needs script(1) to make a terminal";
  }
  const auto on_terminal = [&ctl](const std::string& answer) {
    return ctl.Command({"/bin/sh", "-c",
                        "echo " + answer + " | /usr/bin/script -qec '" + Cairnctl::Program() +
                            " clear' /dev/null"});
  };
  const Ran declined = on_terminal("n");
  EXPECT_EQ(declined.code, 1);
  EXPECT_TRUE(Contains(declined.out, "[y/N]")) << declined.out;
  EXPECT_EQ(daemon_->Status().tiers(0).kv_objects(), 6U);
  const Ran agreed = on_terminal("y");
  EXPECT_EQ(agreed.code, 0) << agreed.out;
  EXPECT_EQ(daemon_->Status().tiers(0).kv_objects(), 0U);
}

TEST_F(CairnctlTest, LeasesOfEnginesAreListed) {
  Start();
  Cairnctl ctl = Ctl();
  StoreTwoBranches();
  const auto tokens = Tokens(1, 65);
  const auto hit = engine_->client().Match(engine_->Prompt(tokens), Soon());
  ASSERT_TRUE(hit) << Why(hit);
  const json leases = ctl({"leases", "--json"}).Json()["leases"];
  ASSERT_EQ(leases.size(), 1U);
  EXPECT_EQ(Names(leases[0]), (std::set<std::string>{"lease_id", "kind", "session_id", "request_id",
                                                     "position", "expires_in_ms"}));
  EXPECT_EQ(leases[0]["kind"], "read");
  EXPECT_EQ(leases[0]["position"], 64);
  EXPECT_GT(leases[0]["expires_in_ms"], 1000);
  EXPECT_TRUE(engine_->client().Release(*hit, Soon()));
}

// What an engine calls its model must not reach the terminal as an escape sequence.
TEST_F(CairnctlTest, NamesCannotSteerTheTerminal) {
  Start();
  NamespaceSpec spec = SmallModel();
  spec.model = "evil\033[2J\nmodel\xC2\x9B";
  Engine engine(daemon_->UnixEndpoint(), PlaneChoice::kAuto, spec);
  ASSERT_TRUE(engine.Open());
  ASSERT_TRUE(engine.Store(Tokens(5, 16), {16}));
  Cairnctl ctl = Ctl();
  for (const char* const command : {"status", "tree"}) {
    const Ran text = ctl({command});
    EXPECT_TRUE(Contains(text.out, "evil?[2J model?")) << text.out;
    EXPECT_FALSE(Contains(text.out, "\033"));
  }
  EXPECT_EQ(ctl({"status", "--json"}).Json()["namespaces"][1]["model"], spec.model);
}

TEST_F(CairnctlTest, DrainEndsTheDaemon) {
  StartWithSsd();
  Cairnctl ctl = Ctl();
  StoreTwoBranches();
  const auto tokens = Tokens(1, 65);
  const auto hit = engine_->client().Match(engine_->Prompt(tokens), Soon());
  ASSERT_TRUE(hit) << Why(hit);
  const auto drain = ctl.Start({"drain", "--wait"});
  for (int i = 0; i < 500 && !Contains(ReadFile(ctl.Err()), "1 lease and"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(daemon_->running()) << "a request is under way";
  EXPECT_TRUE(engine_->client().Release(*hit, Soon()));
  const Ran ran = ctl.Finish(*drain);
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(Contains(ran.err, "waiting: 1 lease and 0 reservations under way")) << ran.err;
  EXPECT_TRUE(Contains(ran.out, "has ended")) << ran.out;
  // It had ended when cairnctl said so.
  EXPECT_EQ(daemon_->process().WaitExit(std::chrono::milliseconds(0)), 0) << daemon_->Log();
  EXPECT_TRUE(Contains(daemon_->Log(), "stopped leases=0 reservations=0")) << daemon_->Log();
}

TEST_F(CairnctlTest, DrainOfAnIdleDaemonAlwaysSucceeds) {
  for (int round = 0; round < 10; ++round) {
    const bool wait = round % 2 == 0;
    daemon_.emplace(dir_);
    ASSERT_TRUE(daemon_->Start());
    Cairnctl ctl = Ctl();
    const Ran ran = wait ? ctl({"drain", "--wait", "--json"}) : ctl({"drain", "--json"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.Json()["state"], wait ? "stopped" : "draining");
    EXPECT_EQ(ran.Json().contains("seconds") && ran.Json()["cut_off"] == false, wait);
    EXPECT_EQ(daemon_->process().WaitExit(std::chrono::seconds(30)), 0) << daemon_->Log();
  }
}

TEST_F(CairnctlTest, WithoutADaemonItSaysHowToGetOne) {
  const std::string endpoint = "unix:" + (dir_ / "none.sock");
  Cairnctl ctl(dir_, endpoint);
  for (std::vector<std::string> args : AskingCommands()) {
    const Ran text = ctl(args);
    EXPECT_EQ(text.code, 1) << args[0];
    EXPECT_EQ(text.out, "");
    EXPECT_TRUE(Contains(text.err, "no daemon at " + endpoint)) << text.err;
    EXPECT_TRUE(Contains(text.err, "cairnd --memory 4GiB, or give --connect")) << text.err;
    args.emplace_back("--json");
    const Ran as_json = ctl(args);
    EXPECT_EQ(as_json.code, 1);
    EXPECT_EQ(as_json.out, "");
    EXPECT_EQ(as_json.Error()["code"], "unavailable") << as_json.err;
  }
  const Ran version = ctl({"version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_TRUE(Contains(version.out, "cairnctl 0.")) << version.out;
  EXPECT_TRUE(Contains(version.out, "cairnd not reached")) << version.out;
  const json as_json = ctl({"version", "--json"}).Json();
  EXPECT_EQ(as_json["cairnd"], nullptr);
  EXPECT_EQ(as_json["endpoint"], endpoint);
  EXPECT_EQ(as_json["error"]["code"], "unavailable");
}

TEST_F(CairnctlTest, VersionShowsBothPrograms) {
  Start();
  Cairnctl ctl = Ctl();
  const json version = ctl({"version", "--json"}).Json();
  EXPECT_EQ(version["cairnctl"], version["cairnd"]);
  EXPECT_TRUE(Contains(ctl({"version"}).out, "cairnd " + version["cairnd"].get<std::string>()));
}

TEST_F(CairnctlTest, ADaemonThatDoesNotAnswerCostsTheTimeout) {
  Start();
  Cairnctl ctl = Ctl();
  daemon_->Freeze();
  const auto began = std::chrono::steady_clock::now();
  const Ran ran = ctl({"status", "--timeout", "300", "--json"});
  const auto took = std::chrono::steady_clock::now() - began;
  daemon_->Thaw();
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.Error()["code"], "deadline_exceeded");
  EXPECT_GE(took, std::chrono::milliseconds(300));
  EXPECT_LT(took, std::chrono::seconds(3));
}

TEST_F(CairnctlTest, WrongUsageIsCodeTwoAndChangesNothing) {
  Start();
  Cairnctl ctl = Ctl();
  StoreTwoBranches();
  const std::vector<std::pair<std::vector<std::string>, std::string>> calls = {
      {{}, "which command?"},
      {{"stauts"}, "no command 'stauts'"},
      {{"--bogus", "status"}, "--bogus"},
      {{"status", "extra"}, "extra"},
      {{"lookup"}, "KEY is required"},
      {{"lookup", "xyz"}, "'xyz' is no key"},
      {{"lookup", ""}, "'' is no key"},
      {{"evict", std::string(65, 'a')}, "is no key"},
      {{"tree", "--prefix", "0x12"}, "'0x12' is no key"},
      {{"tree", "--max", "0"}, "from 1 to 10000"},
      {{"tree", "--max", "99999999999999999999"}, "from 1 to 10000"},
      {{"status", "--timeout", "-1"}, "from 1 to 3600000"},
      {{"--connect", "nowhere", "status"}, "127.0.0.1:7411"},
      {{"--connect", "unix:" + std::string(200, 'x'), "status"}, "at most 107 bytes"},
      {{"completion", "tcsh"}, "bash, zsh, fish"},
      {{"clear"}, "--yes"}};
  for (auto [args, part] : calls) {
    const Ran text = ctl(args);
    EXPECT_EQ(text.code, 2) << part;
    EXPECT_EQ(text.out, "");
    EXPECT_TRUE(Contains(text.err, part)) << text.err;
    args.emplace_back("--json");
    const Ran as_json = ctl(args);
    EXPECT_EQ(as_json.code, 2) << part;
    EXPECT_EQ(as_json.Error()["code"], "usage") << as_json.err;
  }
  Cairnctl confused(dir_, "nowhere");
  const Ran ran = confused({"status"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_TRUE(Contains(ran.err, "CAIRN_CONNECT")) << ran.err;
  EXPECT_EQ(daemon_->Status().tiers(0).kv_objects(), 6U);
}

TEST_F(CairnctlTest, TcpIsNotForAdministration) {
  Start();
  Cairnctl ctl = Ctl();
  const Ran ran = ctl({"--connect", daemon_->TcpEndpoint(), "status", "--json"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.Error()["code"], "permission_denied") << ran.err;
  const Ran drain = ctl({"--connect", daemon_->TcpEndpoint(), "drain", "--wait"});
  EXPECT_EQ(drain.code, 1);
  EXPECT_TRUE(daemon_->running());
  EXPECT_EQ(ctl({"--connect", daemon_->TcpEndpoint(), "version", "--json"}).Json()["cairnd"],
            ctl({"version", "--json"}).Json()["cairnd"]);
}

TEST_F(CairnctlTest, AnotherUserIsRefused) {
  if (geteuid() != 0 || access("/usr/bin/setpriv", X_OK) != 0) {
    GTEST_SKIP() << "needs root and setpriv(1) to become another user";
  }
  Start();
  // A copy: the build folder may be closed to others.
  TempDir open;
  std::filesystem::copy_file(Cairnctl::Program(), open / "cairnctl");
  ASSERT_EQ(chmod(open.path().c_str(), 0755), 0);
  Cairnctl ctl = Ctl();
  const auto as_nobody = [&] {
    return ctl.Command({"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                        open / "cairnctl", "status", "--json"});
  };
  const Ran closed = as_nobody();
  EXPECT_EQ(closed.code, 1);
  EXPECT_EQ(closed.Error()["code"], "permission_denied") << closed.err;
  EXPECT_TRUE(Contains(closed.err, "belongs to another user")) << closed.err;
  // Even if the socket was opened to engines of other users.
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(daemon_->socket_path().c_str(), 0666), 0);
  const Ran refused = as_nobody();
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.Error()["code"], "permission_denied") << refused.err;
  EXPECT_TRUE(Contains(refused.err, "administration needs")) << refused.err;
}

TEST_F(CairnctlTest, TheDefaultSocketIsTheDaemons) {
  Cairnctl ctl(dir_, "");
  const auto endpoint = [&ctl](const std::string& variable) {
    return ctl
        .Command({"/usr/bin/env", variable, Cairnctl::Program(), "--timeout", "100", "version",
                  "--json"})
        .Json()["endpoint"];
  };
  const json with_runtime = endpoint("XDG_RUNTIME_DIR=" + dir_.path());
  EXPECT_EQ(with_runtime,
            geteuid() == 0 ? "unix:/run/cairn/cairn.sock" : "unix:" + (dir_ / "cairn.sock"));
  EXPECT_EQ(endpoint("CAIRN_CONNECT=127.0.0.1:9"), "127.0.0.1:9");
}

/// The words of `cairnctl --help` that begin a line of its list of commands.
std::set<std::string> CommandsInHelp(const std::string& help) {
  std::set<std::string> names;
  std::istringstream lines(help.substr(help.find("Subcommands:")));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && line.rfind("  ", 0) == 0) {
    if (line[2] != ' ') {
      names.insert(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

TEST_F(CairnctlTest, CompletionKnowsEveryCommand) {
  Cairnctl ctl(dir_, "");
  const Ran help = ctl({"--help"});
  EXPECT_EQ(help.code, 0);
  const std::set<std::string> commands = CommandsInHelp(help.out);
  EXPECT_EQ(commands.size(), 16U) << help.out;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const Ran script = ctl({"completion", shell});
    EXPECT_EQ(script.code, 0);
    for (const std::string& command : commands) {
      EXPECT_TRUE(Contains(script.out, command)) << shell << ": " << command;
    }
    for (const std::string action : {"show", "explain", "export", "import"}) {
      EXPECT_TRUE(Contains(script.out, action)) << shell << ": placement " << action;
    }
    for (const std::string option : {"host-only", "prefix", "connect", "json", "yes", "wait"}) {
      EXPECT_TRUE(Contains(script.out, option)) << shell << ": " << option;
    }
    EXPECT_EQ(ctl({"completion", shell, "--json"}).Json()["script"], script.out);
    // Where the shell is installed, it must accept the script.
    const std::string path = dir_ / ("completion." + shell);
    WriteFile(path, script.out);
    const Ran checked =
        ctl.Command({"/bin/sh", "-c",
                     "command -v " + shell + " >/dev/null || exit 0; " + shell + " -n " + path});
    EXPECT_EQ(checked.code, 0) << checked.err;
  }
}

TEST_F(CairnctlTest, BashCompletes) {
  Cairnctl ctl(dir_, "");
  WriteFile(dir_ / "script", ctl({"completion", "bash"}).out);
  const auto completed = [&ctl, this](const std::string& words) {
    return ctl
        .Command(
            {"/bin/bash", "-c",
             "source " + (dir_ / "script") + "; COMP_WORDS=(" + words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cairnctl; echo \"${COMPREPLY[@]}\""})
        .out;
  };
  EXPECT_EQ(completed("cairnctl st"), "status\n");
  EXPECT_EQ(completed("cairnctl --json tr"), "tree\n");
  EXPECT_EQ(completed("cairnctl placement ex"), "explain export\n");
  EXPECT_EQ(completed("cairnctl evict ab --h"), "--host-only --help\n");
  EXPECT_TRUE(
      Contains(completed("cairnctl completion ''"), "bash zsh fish --connect --member --timeout"));
  EXPECT_EQ(completed("cairnctl tree --prefix ''"), "\n");
}

}  // namespace
}  // namespace cairn::test
