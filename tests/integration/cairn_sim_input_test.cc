// Odd and broken input, as cairn-sim meets it: what is defined works, what is not is refused with
// the file, the line and the field.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/cairn_sim_fixture.h"

namespace cairn::test {
namespace {

using nlohmann::json;

class CairnSimInputTest : public CairnSimTest {
 protected:
  std::vector<std::string> Replay(const std::string& text, std::vector<std::string> more = {}) {
    WriteFile(dir_ / "t.jsonl", text);
    std::vector<std::string> args = {"run",        "--json", "--trace",        dir_ / "t.jsonl",
                                     "--capacity", "1GB",    "--block-tokens", "64"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  /// A line of ours with whole blocks of 64.
  static std::string Line(const std::string& time, std::uint64_t tokens, const std::string& blocks,
                          const std::string& more = "") {
    return R"({"t": )" + time + R"(, "input_len": )" + std::to_string(tokens) +
           R"(, "output_len": 1, "block_tokens": 64, "blocks": )" + blocks + more + "}\n";
  }
};

const std::vector<std::string> kStrategies = {
    "trie", "oracle", "none", "dense", "marconi", "two_sided:4", "hist_exp_decay:2"};

TEST_F(CairnSimInputTest, AnEmptyTraceIsARunOfNothing) {
  for (const std::string& strategy : kStrategies) {
    for (const char* const text : {"", "\n  \n"}) {
      const json run = Sim(Replay(text, {"--strategy", strategy})).Json();
      EXPECT_EQ(run.at("requests"), 0) << strategy;
      EXPECT_EQ(run.at("saved_prefill_fraction"), 0);
      EXPECT_EQ(run.at("bytes_written"), 0);
      EXPECT_EQ(run.at("prices"), json::array());
    }
  }
  const Ran table = Sim({"run", "--trace", dir_ / "t.jsonl", "--tiers", "a=1GB:1GB/s"});
  EXPECT_EQ(table.code, 0);
  EXPECT_EQ(table.out.find("nan"), std::string::npos) << "a share of nothing is no number";
}

TEST_F(CairnSimInputTest, UnknownFieldsAreLeftOut) {
  const std::string plain = Line("1", 130, "[1, 2]") + Line("2", 200, "[1, 2, 3]");
  const std::string more = R"(, "session": {"turn": [1, {"a": null}]}, "t2": -1, "huge": 1e308)";
  const std::string odd = Line("1", 130, "[1, 2]", more) + Line("2", 200, "[1, 2, 3]", more);
  json run = Sim(Replay(plain)).Json();
  EXPECT_EQ(run.at("overlap_tokens"), 128);
  json same = Sim(Replay(odd)).Json();
  for (const char* const field : {"planner_cpu_seconds", "simulated_in_seconds"}) {
    run.erase(field);
    same.erase(field);
  }
  EXPECT_EQ(run, same);
}

// An id names tokens where it stands: it may come twice in a prompt, and a prompt may come twice.
TEST_F(CairnSimInputTest, RepeatedIdsAreRepeatedTokens) {
  const std::string text = Line("1", 192, "[5, 5, 5]") + Line("1", 192, "[5, 5, 5]") +
                           Line("1", 128, "[5, 6]") + Line("1", 128, "[6, 5]");
  for (const std::string& strategy : kStrategies) {
    const json run = Sim(Replay(text, {"--strategy", strategy})).Json();
    EXPECT_EQ(run.at("requests"), 4);
    EXPECT_EQ(run.at("overlap_tokens"), 128 + 64) << strategy;
  }
  const std::string lookup =
      R"({"timestamp": 1, "request_id": "same", "chunk_size": 64, "seq_len": 130, )"
      R"("chunk_hashes": ["0x1", "0x1"]})";
  EXPECT_EQ(Sim(Replay(lookup + "\n" + lookup)).Json().at("overlap_tokens"), 128);
}

TEST_F(CairnSimInputTest, TimeThatGoesBackIsRefused) {
  ExpectRefused(Replay(Line("7", 64, "[1]") + "\n" + Line("6.5", 64, "[1]")), 1,
                "t.jsonl:3: t: expected at least 7, the time of line 1, found 6.5");
}

TEST_F(CairnSimInputTest, PromptsLongerThanTheContextAreLeftOut) {
  const std::string text =
      Line("1", 130, "[1, 2]") + Line("2", 64, "[1]") + Line("3", 130, "[1, 2]");
  for (const std::string& strategy : kStrategies) {
    const json some = Sim(Replay(text, {"--strategy", strategy, "--context", "129"})).Json();
    EXPECT_EQ(some.at("refused_requests"), 2) << strategy;
    EXPECT_EQ(some.at("requests"), 1);
    EXPECT_EQ(some.at("prompt_tokens"), 64);
    const json none = Sim(Replay(text, {"--strategy", strategy, "--context", "1"})).Json();
    EXPECT_EQ(none.at("refused_requests"), 3);
    EXPECT_EQ(none.at("saved_prefill_fraction"), 0);
  }
}

TEST_F(CairnSimInputTest, BrokenLinesAreNamed) {
  const std::string fine = Line("1", 64, "[1]");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"t": 2, "input_len": 64, "outp)", "t.jsonl:2: json: expected one object"},
      {Line("1e999", 64, "[1]"), "t.jsonl:2: json: expected one object"},
      {Line("NaN", 64, "[1]"), "t.jsonl:2: json: expected one object"},
      {Line("-2", 64, "[1]"), "t.jsonl:2: t: expected a time not below 0, found -2"},
      {Line("2", 99'999'999'999, "[1]"), "t.jsonl:2: input_len: expected at most 16777216 tokens"},
      {Line("2", 64, "[[0, 18446744073709551615]]"), "t.jsonl:2: blocks: expected counts"},
      {Line("2", 64, "[184467440737095516160]"), "t.jsonl:2: blocks: expected a list of block ids"},
      {Line("2", 64, "[1]", R"(, "t": 3)"), "t.jsonl:2: t: expected once, found twice"},
      {R"({"timestamp": 2})", "t.jsonl:2: t: expected the field, found none"},
      {std::string("\x1f\x8b\x08 not gzip here", 17), "t.jsonl:2: json: expected one object"},
  };
  for (const auto& [line, part] : cases) {
    ExpectRefused(Replay(fine + line), 1, part);
    ExpectRefused(Replay(fine + line, {"--strategy", "oracle"}), 1, part);
  }
  ExpectRefused(Replay("{}"), 1, "t.jsonl:1: fields: expected those of one format");
  ExpectRefused(Replay(std::string("\x1f\x8b\x08\x00\x01", 5)), 1, "gzip");
  ExpectRefused({"run", "--json", "--capacity", "1GB", "--trace", dir_ / "."}, 1, "directory");
}

TEST_F(CairnSimInputTest, ATraceThatIsCutShortIsNamed) {
  const std::string path = Trace(50);
  std::FILE* const file = std::fopen(path.c_str(), "rb+");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fseek(file, 0, SEEK_END), 0);
  ASSERT_EQ(truncate(path.c_str(), std::ftell(file) / 2), 0);
  std::fclose(file);
  ExpectRefused({"run", "--json", "--trace", path, "--capacity", "1GB"}, 1,
                "gzip: expected a whole stream");
}

TEST_F(CairnSimInputTest, HugeNumbersAreCountedOrRefused) {
  const std::string late = Line("1e308", 64, "[1]") + Line("1.7e308", 128, "[1, 2]");
  for (const std::string& strategy : kStrategies) {
    const json run = Sim(Replay(late, {"--strategy", strategy})).Json();
    EXPECT_EQ(run.at("overlap_tokens"), 64) << strategy;
    EXPECT_EQ(run.at("span_seconds"), 1.7e308);
  }
  const std::string ids = Line("1", 64, "[18446744073709551615]") + Line("1", 128, "[[0, 2]]");
  EXPECT_EQ(Sim(Replay(ids)).Json().at("overlap_tokens"), 0);
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{
           {"--block-tokens", "4294967296"},
           {"--block-tokens", "16777217"},
           {"--context", "-1"},
           {"--capacity-checkpoints", "99999999999999999999"},
           {"--flops-per-second", "1e999"},
           {"--active-parameters", "inf"},
           {"--write-bandwidth", "1e400/s"}}) {
    ExpectRefused({"run", "--json", "--generate", "chat", "--capacity", "1GB", option, value}, 2,
                  option);
  }
  ExpectRefused(Run({"--capacity", "99999999999999TB"}), 2, "99999999999999TB");
  ExpectRefused(Run({"--capacity", "1GB", "--strategy", "two_sided:99999999999"}), 2, "two_sided");
  ExpectRefused(Run({"--capacity", "1GB", "--strategy", "block:0"}), 2, "block:<k>");
}

TEST_F(CairnSimInputTest, BudgetsOfNothing) {
  const std::string trie = R"({"parent": [-1, 0], "potential": [0, 3], "weight": [0, 2],)"
                           R"( "state_bytes": 10, "budget": 0})";
  const json none = Solve(trie).Json();
  EXPECT_EQ(none["budgeted"]["chosen"], json::array());
  EXPECT_EQ(none["budgeted"]["cost"], 6);
  const json histogram = Solve(R"({"hist": [0, 1, 3], "budget": 0})").Json();
  EXPECT_EQ(histogram["budgeted"]["cost"], 7);
  // States without bytes are kept by any budget.
  const std::string free = R"({"parent": [-1, 0], "potential": [0, 3], "weight": [0, 2],)"
                           R"( "state_bytes": 0, "budget": 0})";
  EXPECT_EQ(Solve(free).Json()["budgeted"]["cost"], 0);
  EXPECT_EQ(Sim(Run({"--capacity", "20GB", "--max-plan", "0"})).Json()["checkpoints_written"], 0);
  ExpectRefused(Run({"--capacity-checkpoints", "0"}), 2, "--capacity-checkpoints");
  ExpectRefused({"sweep", "--json", "--traces", "x", "--strategies", "trie", "--capacities", "0"},
                2, "--capacity");
}

TEST_F(CairnSimInputTest, InstancesThatCannotBeReadAreNamed) {
  ExpectUnsolved("", "instance.json: is empty");
  ExpectUnsolved(" \n", "instance.json: is empty");
  ExpectUnsolved(R"({"parent": [-1, 0)", "instance.json: is not JSON");
  ExpectUnsolved(R"({"hist": [1], "budget": 1, "hist": [2]})", "hist: is given twice");
  ExpectUnsolved(
      R"([{"hist": [1]}, {"parent": [-1, 0], "potential": [0, 1], "weight": [0, -0.1]}])",
      "2: weight[1]");
  ExpectUnsolved(R"({"parent": [-1, 0], "potential": [0, 1e308], "weight": [0, 1e308]})", "weight");
  ExpectUnsolved(R"({"parent": [-1, 0], "potential": [0, 1], "weight": [0, 1],)"
                 R"( "state_bytes": 18446744073709551615})",
                 "state_bytes[1]: all bytes together");
  ExpectUnsolved(R"({"hist": [0, NaN]})", "is not JSON, which has no NaN");
  ExpectUnsolved(R"({"hist": [0, null]})", "hist[1]: must be a number");
  ExpectUnsolved(R"({"hist": [1], "budget": 18446744073709551616})", "budget");
}

}  // namespace
}  // namespace cairn::test
