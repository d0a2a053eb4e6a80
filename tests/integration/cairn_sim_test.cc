// cairn-sim as a person or a script calls it: what it prints, and what it says when it cannot do
// its work.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/integration/cairn_sim_fixture.h"

namespace cairn::test {
namespace {

using nlohmann::json;

json WithoutSeconds(json run) {
  for (const char* const field : {"planner_cpu_seconds", "simulated_in_seconds"}) {
    EXPECT_EQ(run.erase(field), 1U) << field;
  }
  return run;
}

TEST_F(CairnSimTest, RunReportsEveryField) {
  const Ran ran = Sim({"run", "--trace", Trace(200), "--capacity", "20GB", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  const json run = ran.Json();
  EXPECT_EQ(run.at("trace"), dir_ / "mixed.jsonl.gz");
  EXPECT_EQ(run.at("strategy"), "trie");
  EXPECT_EQ(run.at("eviction"), "value");
  EXPECT_EQ(run.at("model"), "qwen3.5-27b");
  EXPECT_EQ(run.at("block_tokens"), 64);
  EXPECT_EQ(run.at("capacity_bytes"), 20'000'000'000);
  EXPECT_EQ(run.at("requests"), 200);
  for (const char* const field : {"prompt_tokens",          "overlap_tokens",
                                  "served_tokens",          "gap_tokens",
                                  "saved_prefill_fraction", "checkpoints_written",
                                  "bytes_written",          "peak_bytes",
                                  "planner_cpu_seconds",    "hits",
                                  "refused_requests",       "prefill_seconds",
                                  "saved_seconds",          "evicted_checkpoints",
                                  "span_seconds",           "simulator_bytes",
                                  "simulated_in_seconds",   "checkpoint_bytes",
                                  "kv_bytes_per_token",     "per_token_seconds"}) {
    EXPECT_TRUE(run.at(field).is_number()) << field;
  }
  EXPECT_EQ(run["served_tokens"].get<std::int64_t>() + run["gap_tokens"].get<std::int64_t>(),
            run["overlap_tokens"].get<std::int64_t>());
  EXPECT_LE(run["peak_bytes"], run["capacity_bytes"]);
  EXPECT_GT(run["served_tokens"], 0);
  ASSERT_TRUE(run.at("prices").is_array());
  for (const json& point : run["prices"]) {
    EXPECT_EQ(point.size(), 2U);
  }
}

// Room for one or two documents. Once a price was reached that no prompt was worth, nothing was
// admitted, nothing evicted, and the price stood still for the rest of the run.
TEST_F(CairnSimTest, APriceThatWasTooHighComesDownAgain) {
  const Ran ran = Sim({"run", "--generate", "documents", "--requests", "2000", "--capacity", "2GB",
                       "--quiet", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json run = ran.Json();
  const json& prices = run.at("prices");
  ASSERT_GT(prices.size(), 100U);
  std::size_t still = 0;
  for (std::size_t i = 1; i < prices.size(); ++i) {
    still = prices[i][1] == prices[i - 1][1] ? still + 1 : 0;
    ASSERT_LT(still, 20U) << "from " << prices[i - 20][0] << " s on the price stood still";
  }
  EXPECT_GT(run.at("served_tokens"), run.at("overlap_tokens").get<double>() / 50);
}

TEST_F(CairnSimTest, AStrategyEvictsAsItIsKnownTo) {
  const std::string trace = Trace(100);
  for (const auto& [strategy, eviction] :
       {std::pair("trie", "value"), std::pair("marconi", "marconi"),
        std::pair("turn_end_demand", "lru"), std::pair("oracle", "oracle")}) {
    const Ran ran =
        Sim({"run", "--trace", trace, "--capacity", "20GB", "--strategy", strategy, "--json"});
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.Json().at("eviction"), eviction) << strategy;
  }
}

TEST_F(CairnSimTest, SameRunSameFigures) {
  for (const char* const strategy : {"trie", "turn_end", "block:512"}) {
    const auto args = Run({"--capacity", "20GB", "--strategy", strategy});
    EXPECT_EQ(WithoutSeconds(Sim(args).Json()), WithoutSeconds(Sim(args).Json())) << strategy;
  }
}

TEST_F(CairnSimTest, NothingIsServedWithoutStates) {
  const json run =
      Sim(Run({"--capacity", "unlimited", "--strategy", "none", "--eviction", "lru"})).Json();
  EXPECT_EQ(run["served_tokens"], 0);
  EXPECT_EQ(run["gap_tokens"], run["overlap_tokens"]);
  EXPECT_TRUE(run["capacity_bytes"].is_null());
}

TEST_F(CairnSimTest, WithoutBoundsDenseStatesServeAllThatWasSeen) {
  const json run =
      Sim(Run({"--capacity", "unlimited", "--strategy", "dense", "--eviction", "lru"})).Json();
  EXPECT_EQ(run["gap_tokens"], 0);
}

TEST_F(CairnSimTest, CapacityMayBeCountedInStates) {
  const json run = Sim(Run({"--capacity-checkpoints", "10"})).Json();
  EXPECT_EQ(run["kv_bytes_per_token"], 0);
  EXPECT_EQ(run["capacity_bytes"], 10 * run["checkpoint_bytes"].get<std::uint64_t>());
  EXPECT_LE(run["peak_bytes"], run["capacity_bytes"]);
}

TEST_F(CairnSimTest, TiersSayWhatLoadingTook) {
  const json whole = Sim(Run({"--capacity", "40GB"})).Json();
  EXPECT_FALSE(whole.contains("tiers"));
  const json run = Sim(Run({"--tiers", "host=10GB:25GB/s,ssd=30GB:3GB/s"})).Json();
  EXPECT_EQ(run["capacity_bytes"], 40'000'000'000);
  ASSERT_EQ(run.at("tiers").size(), 2U);
  const json& ssd = run["tiers"][1];
  EXPECT_EQ(ssd.at("name"), "ssd");
  EXPECT_EQ(ssd.at("capacity_bytes"), 30'000'000'000);
  EXPECT_EQ(ssd.at("bytes_per_second"), 3e9);
  EXPECT_GT(ssd.at("hits"), 0);
  EXPECT_GT(ssd.at("written_bytes"), 0);
  EXPECT_NEAR(ssd.at("load_seconds"), ssd.at("loaded_bytes").get<double>() / 3e9, 1e-6);
  EXPECT_EQ(run["tiers"][0]["hits"].get<int>() + ssd["hits"].get<int>(), run["hits"]);
  const Ran text = Sim({"run", "--generate", "chat", "--requests", "50", "--tiers", "ram=1GB:9GB"});
  EXPECT_NE(text.out.find("ram hits"), std::string::npos) << text.out;
  for (const auto& [tiers, part] : std::vector<std::pair<std::string, std::string>>{
           {"host", "host=64GB:25GB/s"},
           {"host=1GB", "host=64GB:25GB/s"},
           {"=1GB:1GB", "host=64GB:25GB/s"},
           {"host=much:1GB", "much"},
           {"host=0:1GB", "room"},
           {"host=1GB:0/s", "speed above 0"},
           {"host=1GB:fast", "fast"},
           {"a=1GB:1GB,a=1GB:1GB", "name of a tier before it"},
           {"a=9000000TB:1GB,b=9000000TB:1GB,c=9000000TB:1GB", "counted"}}) {
    ExpectRefused(Run({"--tiers", tiers}), 2, part);
  }
  ExpectRefused(Run({"--tiers", "host=1GB:1GB", "--capacity", "1GB"}), 2, "--capacity");
  ExpectRefused(Run({"--tiers", "host=1GB:1GB", "--strategy", "oracle"}), 2, "oracle");
}

TEST_F(CairnSimTest, LimitsAndAblationsAndCosts) {
  const json limited = Sim(Run({"--capacity", "20GB", "--limit", "50"})).Json();
  EXPECT_EQ(limited["requests"], 50);
  const json refused = Sim(Run({"--capacity", "20GB", "--context", "1000"})).Json();
  EXPECT_GT(refused["refused_requests"], 0);
  EXPECT_EQ(refused["context_tokens"], 1000);
  const json ablated = Sim(Run({"--capacity", "20GB", "--no-admission", "--no-write-bound",
                                "--no-reuse-statistics", "--no-distance-statistics"}))
                           .Json();
  EXPECT_GT(ablated["bytes_written"],
            Sim(Run({"--capacity", "20GB"})).Json()["bytes_written"].get<std::uint64_t>());
  const json one = Sim(Run({"--capacity", "20GB", "--max-plan", "1"})).Json();
  EXPECT_LE(one["checkpoints_written"], one["requests"]);
  const json dear = Sim(Run({"--capacity", "20GB", "--write-bandwidth", "1MB/s"})).Json();
  EXPECT_EQ(dear["checkpoints_written"], 0);
  const json flops =
      Sim(Run({"--capacity", "20GB", "--cost", "flops", "--query-heads", "24"})).Json();
  EXPECT_GT(flops["per_pair_seconds"], 0);
  const json marconi = Sim(Run({"--capacity", "20GB", "--strategy", "marconi", "--eviction",
                                "marconi", "--marconi-alpha", "0.5"}))
                           .Json();
  EXPECT_EQ(marconi["marconi_alpha"], 0.5);
  EXPECT_GT(marconi["served_tokens"], 0);
}

TEST_F(CairnSimTest, TablesForPeople) {
  const Ran run = Sim({"run", "--generate", "chat", "--requests", "50", "--capacity", "1GB"});
  EXPECT_EQ(run.code, 0);
  EXPECT_NE(run.out.find("qwen3.5-27b"), std::string::npos);
  const Ran names = Sim({"strategies"});
  EXPECT_EQ(names.code, 0);
  for (const char* const name : {"trie", "oracle", "turn_end", "w_tinylfu"}) {
    EXPECT_NE(names.out.find(name), std::string::npos) << name;
  }
  EXPECT_TRUE(Sim({"strategies", "--json"}).Json().at("strategies").is_array());
}

TEST_F(CairnSimTest, WrongUsageIsNamed) {
  ExpectRefused(Run({"--capacity", "1GB", "--strategy", "best"}), 2, "turn_end_demand");
  ExpectRefused(Run({"--capacity", "1GB", "--eviction", "best"}), 2, "w_tinylfu");
  ExpectRefused(Run({"--capacity", "1GB", "--model", "qwen3.5-28b"}), 2, "qwen3.5-27b");
  ExpectRefused(Run({"--capacity", "0"}), 2, "--capacity");
  ExpectRefused(Run({"--capacity", "much"}), 2, "much");
  ExpectRefused(Run({}), 2, "--capacity");
  ExpectRefused(Run({"--capacity", "1GB", "--capacity-checkpoints", "5"}), 2, "exclude");
  ExpectRefused(Run({"--capacity", "1GB", "--block-tokens", "0"}), 2, "--block-tokens");
  ExpectRefused(Run({"--capacity", "1GB", "--block-tokens", "-1"}), 2, "--block-tokens");
  ExpectRefused(Run({"--capacity", "1GB", "--write-bandwidth", "0"}), 2, "--write-bandwidth");
  ExpectRefused(Run({"--capacity", "1GB", "--cost", "flops"}), 2, "--query-heads");
  ExpectRefused(Run({"--capacity", "1GB", "--flops-per-second", "nan"}), 2, "--flops-per-second");
  ExpectRefused(Run({"--capacity", "1GB", "--marconi-alpha", "nan"}), 2, "--marconi-alpha");
  ExpectRefused(Run({"--capacity", "1GB", "--strategy", "two_sided:0"}), 2, "two_sided:<m>");
  ExpectRefused(Run({"--capacity", "1GB", "--trace", "x"}), 2, "one of them");
  ExpectRefused(Run({"--capacity", "1GB", "--colour"}), 2, "--colour");
  ExpectRefused({"run", "--capacity", "1GB", "--json"}, 2, "--trace");
  ExpectRefused({"frob", "--json"}, 2, "frob");
  ExpectRefused({"run", "--generate", "mixd", "--capacity", "1GB", "--json"}, 2, "templates");
}

TEST_F(CairnSimTest, BrokenTracesAreNamedByLine) {
  const auto trace = [this](const std::string& second) {
    WriteFile(dir_ / "t.jsonl",
              R"({"timestamp": 5, "input_length": 1024, "output_length": 1, "hash_ids": [1, 2]})"
              "\n" +
                  second + "\n");
    return std::vector<std::string>{"run",        "--json", "--trace",        dir_ / "t.jsonl",
                                    "--capacity", "1GB",    "--block-tokens", "512"};
  };
  const std::string fine =
      R"({"timestamp": 6, "input_length": 512, "output_length": 1, "hash_ids": [1]})";
  EXPECT_EQ(Sim(trace(fine)).Json()["requests"], 2);
  ExpectRefused(trace("{\"timestamp\": 6,"), 1, "t.jsonl:2: ");
  ExpectRefused(
      trace(R"({"timestamp": 1, "input_length": 512, "output_length": 1, "hash_ids": [1]})"), 1,
      "t.jsonl:2: timestamp");
  ExpectRefused({"run", "--json", "--trace", dir_ / "none", "--capacity", "1GB"}, 1, "none");
  std::vector<std::string> odd = trace(fine);
  odd.back() = "100";
  ExpectRefused(odd, 1, "100");
}

TEST_F(CairnSimTest, SweepRunsAllCombinations) {
  const std::string trace = Trace(100);
  const std::vector<std::string> args = {"sweep",
                                         "--traces",
                                         trace,
                                         "--strategies",
                                         "trie,turn_end",
                                         "--capacities",
                                         "5GB,50GB",
                                         "--block-tokens",
                                         "64",
                                         "--jobs",
                                         "2"};
  std::vector<std::string> as_json = args;
  as_json.emplace_back("--json");
  const json runs = Sim(as_json).Json();
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0]["strategy"], "trie");
  EXPECT_EQ(runs[0]["eviction"], "value");
  EXPECT_EQ(runs[1]["strategy"], "turn_end");
  EXPECT_EQ(runs[1]["eviction"], "lru");
  EXPECT_EQ(runs[2]["capacity_bytes"], 50'000'000'000);
  const json alone = Sim({"run", "--trace", trace, "--capacity", "5GB", "--json"}).Json();
  EXPECT_EQ(WithoutSeconds(runs[0]), WithoutSeconds(alone));
  const Ran states = Sim({"sweep", "--traces", trace, "--strategies", "marconi",
                          "--capacity-checkpoints", "20,200", "--json"});
  ASSERT_EQ(states.Json().size(), 2U);
  EXPECT_EQ(states.Json()[1]["capacity_checkpoints"], 200);
  EXPECT_EQ(states.Json()[1]["eviction"], "marconi");
  EXPECT_EQ(Sim({"sweep", "--traces", trace, "--strategies", "trie", "--json"}).code, 2);
  const Ran table = Sim(args);
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out.find("turn_end@lru"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("50 GB"), std::string::npos) << table.out;
}

TEST_F(CairnSimTest, AFailingRunLeavesTheOthers) {
  WriteFile(dir_ / "broken.jsonl", "{}\n");
  const Ran ran = Sim({"sweep", "--traces", (dir_ / "broken.jsonl") + "," + Trace(50),
                       "--strategies", "turn_end,trie@lru", "--capacities", "5GB", "--json"});
  EXPECT_EQ(ran.code, 1);
  const json runs = json::parse(ran.out);
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_TRUE(runs[0].contains("error"));
  EXPECT_TRUE(runs[1].contains("error"));
  EXPECT_EQ(runs[2]["requests"], 50);
  EXPECT_EQ(runs[3]["eviction"], "lru");
  const Ran wrong =
      Sim({"sweep", "--traces", "x", "--strategies", "trie@best", "--capacities", "5GB", "--json"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_NE(wrong.err.find("w_tinylfu"), std::string::npos) << wrong.err;
}

TEST_F(CairnSimTest, PositionsAddUpToTheFigures) {
  for (const char* const strategy : {"trie", "oracle", "turn_end_demand"}) {
    for (const char* const eviction : {"value", "lru"}) {
      const json run =
          Sim(Run({"--capacity", "20GB", "--strategy", strategy, "--eviction", eviction})).Json();
      const auto sum = [&run](const char* name) {
        std::int64_t total = 0;
        for (const json& count : run.at("positions").at(name)) {
          total += count.get<std::int64_t>();
        }
        return total;
      };
      EXPECT_EQ(sum("written"), run["checkpoints_written"]) << strategy << eviction;
      EXPECT_LE(sum("kept"), sum("written"));
      EXPECT_LE(sum("served"), sum("overlaps"));
      EXPECT_LE(sum("served"), run["hits"]);
      EXPECT_LE(sum("overlaps"), run["requests"]);
      EXPECT_GT(sum("served"), 0);
      EXPECT_EQ(run["positions"]["bin_tokens"].get<int>() % 64, 0);
    }
  }
}

// tests/browser looks at it as a browser shows it; this much can be said without one.
TEST_F(CairnSimTest, ReportsHoldNamesAsText) {
  const std::string trace = dir_ / "a\xFF<b onclick=\"x\">&.jsonl.gz";
  const auto generator = TraceGenerator::Create(*GeneratorScenario("mixed", 1, 100));
  ASSERT_TRUE(WriteTrace(trace, **generator));
  const std::string file = dir_ / "report.html";
  const std::string name = "a\xEF\xBF\xBD&lt;b onclick=&quot;x&quot;&gt;&amp;.jsonl.gz";
  for (const bool sweep : {false, true}) {
    const Ran ran =
        sweep ? Sim({"sweep", "--traces", trace, "--capacities", "4GB", "--strategies",
                     "trie,turn_end", "--json", "--html", file})
              : Sim({"run", "--trace", trace, "--capacity", "4GB", "--json", "--html", file});
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_TRUE(sweep ? ran.Json().is_array() : ran.Json().is_object());
    const std::string html = ReadFile(file);
    EXPECT_NE(html.find(name), std::string::npos);
    EXPECT_EQ(html.find("<b onclick"), std::string::npos);
    EXPECT_EQ(html.find('\xFF'), std::string::npos);
    EXPECT_NE(html.find("class=\"bar c1 all\""), std::string::npos);
    EXPECT_EQ(html.find("<script"), std::string::npos);
    EXPECT_EQ(html.find("http"), html.find("http-equiv")) << "an address";
    EXPECT_TRUE(html.ends_with("</html>\n"));
  }
}

TEST_F(CairnSimTest, ReportsThatCannotBeWrittenAreNamed) {
  // A folder that is not there is found out before the work, a full disk after it.
  for (const std::string& file : {dir_ / "absent/report.html", std::string("/dev/full")}) {
    ExpectRefused(Run({"--capacity", "4GB", "--html", file}), 1, file);
  }
  const Ran ran = Sim({"sweep", "--traces", Trace(50), "--capacities", "4GB", "--strategies",
                       "turn_end", "--json", "--html", "/dev/full"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.Error().at("code"), "io");
  EXPECT_EQ(ran.Json().size(), 1U) << "the figures are not lost with the report";
}

TEST_F(CairnSimTest, SolveReachesEveryGoldenObjective) {
  std::size_t checked = 0;
  for (const char* const name : {"trie_placement.json", "trie_joint.json"}) {
    const std::string path = std::string(CAIRN_SOURCE_DIR "/tests/golden/") + name;
    const json golden = json::parse(std::ifstream(path));
    const json solved = Sim({"solve", "--instance", path, "--json"}).Json();
    ASSERT_EQ(solved.size(), golden.size());
    for (std::size_t i = 0; i < golden.size(); ++i) {
      EXPECT_EQ(solved[i]["name"], golden[i]["name"]);
      for (std::size_t k = 0; k < golden[i]["priced"].size(); ++k) {
        const double objective = golden[i]["priced"][k]["objective"];
        EXPECT_EQ(solved[i]["priced"][k]["price"], golden[i]["priced"][k]["price"]);
        EXPECT_NEAR(solved[i]["priced"][k]["objective"], objective, 1e-9 * std::abs(objective));
        ++checked;
      }
      if (golden[i].contains("min_cost_by_count")) {
        EXPECT_EQ(solved[i]["cost_by_count"], golden[i]["min_cost_by_count"]);
      }
      EXPECT_EQ(solved[i]["priced"][0].contains("kept_kv"), golden[i].contains("kv_bytes"));
    }
  }
  EXPECT_GT(checked, 350U);
}

TEST_F(CairnSimTest, SolveReachesGoldenHistograms) {
  const json golden =
      json::parse(std::ifstream(CAIRN_SOURCE_DIR "/tests/golden/chain_placement.json"));
  json instances = json::array();
  std::vector<double> costs;
  for (const json& entry : golden.at("dp_cases")) {
    if (entry.contains("hist")) {
      instances.push_back({{"hist", entry["hist"]}, {"budget", entry["budget"]}});
      costs.push_back(entry.at("opt_cost"));
    }
  }
  ASSERT_GT(costs.size(), 20U);
  const json solved = Solve(instances.dump()).Json();
  for (std::size_t i = 0; i < costs.size(); ++i) {
    EXPECT_EQ(solved[i]["budgeted"]["cost"], costs[i]) << i;
    EXPECT_LE(solved[i]["budgeted"]["chosen"].size(), instances[i]["budget"]);
  }
}

// Two nodes in a row, each wanted by one request, a state at the deeper one being worth 5.
TEST_F(CairnSimTest, SolveWithinABudget) {
  const std::string trie =
      R"({"name": "two", "parent": [-1, 0, 1], "potential": [0, 3, 5], "weight": [0, 1, 1],
          "state_bytes": 10})";
  const json none = Solve(trie, {"--budget", "0"}).Json();
  EXPECT_EQ(none["budgeted"]["chosen"], json::array());
  EXPECT_EQ(none["budgeted"]["cost"], 8);
  const json one = Solve(trie, {"--budget", "10B"}).Json();
  EXPECT_EQ(one["budgeted"]["bytes"], 10);
  EXPECT_EQ(one["cost_by_count"], json({8.0, 2.0, 0.0}));
  const json priced = Solve(trie, {"--prices", "0.1,1"}).Json();
  EXPECT_EQ(priced["priced"].size(), 2U);
  EXPECT_EQ(priced["priced"][1]["chosen"], json::array());
}

TEST_F(CairnSimTest, SolveOfNothingIsNothing) {
  const json trie =
      Solve(R"({"parent": [], "potential": [], "weight": [], "prices": [1], "budget": 0})").Json();
  EXPECT_EQ(trie["priced"][0]["objective"], 0);
  EXPECT_EQ(trie["priced"][0]["chosen"], json::array());
  EXPECT_EQ(trie["cost_by_count"], json({0.0}));
  const json histogram = Solve(R"({"hist": [3, 0, 0], "prices": [1], "budget": 0})").Json();
  EXPECT_EQ(histogram["priced"][0]["objective"], 0);
  EXPECT_EQ(Solve(R"({"parent": [-1], "potential": [0], "weight": [1], "kv_byte": 1})")
                .Json()["unknown_fields"],
            json({"kv_byte"}));
}

TEST_F(CairnSimTest, BrokenInstancesAreNamed) {
  const auto trie = [](const std::string& potential, const std::string& weight,
                       const std::string& more = "") {
    return R"({"parent": [-1, 0], "potential": )" + potential + R"(, "weight": )" + weight + more +
           R"(, "prices": [1]})";
  };
  EXPECT_EQ(Solve(trie("[0, 1]", "[0, 1]")).code, 0);
  ExpectUnsolved(trie("[0, 1, 2]", "[0, 1]"), "potential: 3 entries for 2 nodes");
  ExpectUnsolved(trie("[0, 1]", "[0]"), "weight: 1 entries for 2 nodes");
  ExpectUnsolved(trie("[0, 1]", "[0, -1]"), "weight[1]");
  ExpectUnsolved(trie("[0, 1]", "[0, NaN]"), "NaN");
  ExpectUnsolved(trie("[0, 1]", "[0, 1e999]"), "instance.json");
  ExpectUnsolved(trie("[0, 1]", R"([0, "1"])"), "weight[1]: must be a number");
  ExpectUnsolved(trie("[0, 0]", "[0, 1]"), "potential[1]");
  ExpectUnsolved(trie("[0, 1]", "[0, 1]", R"(, "kv_bytes": [0, 1])"), "state_bytes");
  ExpectUnsolved(trie("[0, 1]", "[0, 1]", R"(, "kv_bytes": [], "state_bytes": 1)"), "kv_bytes: 0");
  ExpectUnsolved(trie("[0, 1]", "[0, 1]", R"(, "state_bytes": [1])"), "state_bytes: 1 entries");
  ExpectUnsolved(trie("[0, 1]", "[0, 1]", R"(, "budget": -1)"), "budget");
  ExpectUnsolved(R"({"parent": [-1, 1], "potential": [0, 1], "weight": [0, 1]})", "parent[1]");
  ExpectUnsolved(R"({"potential": [0]})", "parent");
  ExpectUnsolved(R"({"hist": [0, -1]})", "hist[1]");
  ExpectUnsolved(R"({"hist": [0, 1], "prices": [-1]})", "price");
  ExpectUnsolved("[]", "not empty");
  ExpectUnsolved("[7]", "must be an object");
  ExpectUnsolved("{", "JSON");
  EXPECT_EQ(Solve(trie("[0, 1]", "[0, 1]"), {"--prices", "nan"}).code, 2);
  EXPECT_EQ(Solve(trie("[0, 1]", "[0, 1]"), {"--budget", "much"}).code, 2);
  ExpectRefused({"solve", "--json", "--instance", dir_ / "none.json"}, 1, "none.json");
}

}  // namespace
}  // namespace cairn::test
