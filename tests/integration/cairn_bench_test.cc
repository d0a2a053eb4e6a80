// cairn-bench as a person or a script calls it: an embedded cache and a live daemon, what it
// prints, and what it says when it cannot do its work.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/trace/generator.h"
#include "libcache/trace/writer.h"
#include "tests/integration/tls_fixture.h"
#include "tests/integration/ucx_fixture.h"

namespace cairn::test {
namespace {

struct BenchRun {
  int code = -1;
  std::string out;
  std::string err;
  [[nodiscard]] nlohmann::json Json() const {
    auto json = nlohmann::json::parse(out, nullptr, false);
    EXPECT_TRUE(json.is_object()) << "code " << code << "\nout: " << out << "\nerr: " << err;
    return json;
  }
};

class CairnBenchTest : public TlsDaemonTest {
 protected:
  /// Starts cairn-bench as a shell would, without a terminal.
  std::unique_ptr<ChildProcess> Start(const std::vector<std::string>& args,
                                      const ChildProcess::Variables& variables = {}) {
    std::vector<std::string> command = {
        "/bin/sh", "-c",
        R"(exec "$0" "$@" >)" + dir_ / "out" + " 2>" + dir_ / "err" + " </dev/null",
        std::string(CAIRN_BINARY_DIR) + "/bin/cairn-bench"};
    command.insert(command.end(), args.begin(), args.end());
    return std::make_unique<ChildProcess>(command, dir_ / "shell.log", variables);
  }
  BenchRun Finish(ChildProcess& child) {
    const auto code = child.WaitExit(std::chrono::seconds(kSanitized ? 240 : 60));
    EXPECT_TRUE(code.has_value()) << "cairn-bench does not end: " << ReadFile(dir_ / "err");
    return {
        .code = code.value_or(-1), .out = ReadFile(dir_ / "out"), .err = ReadFile(dir_ / "err")};
  }
  BenchRun Bench(const std::vector<std::string>& args) {
    const auto child = Start(args);
    return Finish(*child);
  }

  /// A generated trace of short prompts, so that instrumented builds keep up.
  std::string Trace(std::uint32_t requests, const std::string& scenario = "documents") {
    std::string path = dir_ / (scenario + std::to_string(requests) + ".jsonl.gz");
    const auto generator = TraceGenerator::Create(*GeneratorScenario(scenario, 1, requests));
    EXPECT_TRUE(WriteTrace(path, **generator));
    return path;
  }

  static std::vector<std::string> Replay(const std::string& trace,
                                         std::vector<std::string> more = {}) {
    std::vector<std::string> args = {"replay", "--trace",       trace,    "--model",  "qwen3.5-27b",
                                     "--json", "--bytes-scale", "0.0005", "--clients"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
};

void ExpectClean(const BenchRun& run) {
  EXPECT_EQ(run.code, 0) << run.err;
  const nlohmann::json json = run.Json();
  EXPECT_EQ(json["verification_failures"], 0);
  EXPECT_EQ(json["leases_left"], 0);
  EXPECT_EQ(json["requests_failed"], 0);
  EXPECT_EQ(json["failed_loads"], 0);
  EXPECT_EQ(json["checksum_failures"], 0);
}

TEST_F(CairnBenchTest, EmbeddedReplayReportsEveryField) {
  const BenchRun run = Bench(Replay(Trace(60), {"2"}));
  ExpectClean(run);
  const nlohmann::json json = run.Json();
  for (const char* const field :
       {"requests", "prompt_tokens", "served_tokens", "gap_tokens", "saved_prefill_fraction",
        "bytes_fetched", "bytes_stored", "verification_failures", "peak_rss_bytes", "cap_bytes",
        "index_bytes", "leases_left", "seconds", "overlap_tokens", "refused_stores"}) {
    EXPECT_TRUE(json[field].is_number()) << field;
  }
  for (const char* const latency : {"match_us", "fetch_us", "store_us"}) {
    EXPECT_GT(json[latency]["p50"], 0) << latency;
    EXPECT_GE(json[latency]["p99"], json[latency]["p50"]) << latency;
    EXPECT_GE(json[latency]["p999"], json[latency]["p99"]) << latency;
  }
  EXPECT_EQ(json["requests"], 60);
  EXPECT_EQ(json["target"], "embedded");
  EXPECT_EQ(json["planner"], "turn_end_demand");
  EXPECT_EQ(json["eviction"], "value");
  EXPECT_EQ(json["served_tokens_by_tier"]["host"], json["served_tokens"]);
  EXPECT_EQ(json["served_tokens_by_tier"]["ssd"], 0);
  EXPECT_GT(json["served_tokens"], 0);
  EXPECT_GE(json["overlap_tokens"], json["served_tokens"]);
  EXPECT_EQ(json["gap_tokens"].get<std::uint64_t>() + json["served_tokens"].get<std::uint64_t>(),
            json["overlap_tokens"].get<std::uint64_t>());
  EXPECT_GT(json["peak_rss_bytes"], 0);
  EXPECT_TRUE(run.err.empty()) << run.err;
}

TEST_F(CairnBenchTest, OneClientGivesTheSameTwice) {
  const std::string trace = Trace(60);
  const nlohmann::json first = Bench(Replay(trace, {"1"})).Json();
  const nlohmann::json second = Bench(Replay(trace, {"1"})).Json();
  for (const char* const field : {"served_tokens", "gap_tokens", "overlap_tokens", "bytes_fetched",
                                  "bytes_stored", "objects_stored", "hits"}) {
    EXPECT_EQ(first[field], second[field]) << field;
  }
}

TEST_F(CairnBenchTest, EveryPlannerAndEvictionByName) {
  const std::string trace = Trace(30);
  for (const char* const planner : {"none", "turn_end", "turn_end_demand", "block:1024", "dense"}) {
    const BenchRun run = Bench(Replay(trace, {"1", "--policy", planner, "--eviction", "lru",
                                              "--grid-tokens", "64", "--limit", "20"}));
    ExpectClean(run);
    EXPECT_EQ(run.Json()["planner"], planner);
    EXPECT_EQ(run.Json()["eviction"], "lru");
    EXPECT_EQ(run.Json()["requests"], 20);
    EXPECT_EQ(run.Json()["served_tokens"] == 0, std::string(planner) == "none");
  }
}

TEST_F(CairnBenchTest, EmbeddedCacheKeepsItsSsdTierForTheNextRun) {
  const std::vector<std::string> more = {"2",      "--memory",   "32MiB",     "--ssd",
                                         "256MiB", "--ssd-path", dir_ / "ssd"};
  const std::string trace = Trace(40);
  ExpectClean(Bench(Replay(trace, more)));
  const BenchRun second = Bench(Replay(trace, more));
  ExpectClean(second);
  EXPECT_GT(second.Json()["served_tokens_by_tier"]["ssd"], 0);
}

TEST_F(CairnBenchTest, SecondRunAgainstTheSameDaemonIsServedMore) {
  ASSERT_TRUE(StartDaemon());
  const std::string trace = Trace(40);
  for (const char* const plane : {"shm", "stream"}) {
    const std::vector<std::string> more = {
        "3", "--connect", daemon().UnixEndpoint(), "--plane", plane, "--salt", plane};
    const BenchRun first = Bench(Replay(trace, more));
    ExpectClean(first);
    const BenchRun second = Bench(Replay(trace, more));
    ExpectClean(second);
    EXPECT_EQ(first.Json()["plane"], plane);
    EXPECT_GT(second.Json()["served_tokens"], first.Json()["served_tokens"]);
    EXPECT_EQ(first.Json()["cap_bytes"], 64 * kMiB);
    EXPECT_GT(first.Json()["peak_rss_bytes"], 0);
  }
}

// Several engines in one process share one UCX.
TEST_F(CairnBenchTest, ReplayByUcx) {
  ASSERT_NO_FATAL_FAILURE(SkipWithoutUcx());
  if (IsSkipped()) {
    return;
  }
  const std::string trace = Trace(40);
  for (const bool tls : {false, true}) {
    std::vector<std::string> flags = UcxFlags();
    if (tls) {
      flags.insert(flags.end(), {kTenants, "--tls-admins=spiffe://c/ns/acme/sa/engine"});
    }
    ASSERT_TRUE(tls ? StartTls(flags) : StartDaemon({.flags = flags, .variables = {}}));
    std::vector<std::string> more = {"3", "--plane", "ucx", "--connect",
                                     tls ? daemon().TcpEndpoint() : daemon().UnixEndpoint()};
    if (tls) {
      const TlsClientOptions engine = Acme();
      more.insert(more.end(), {"--tls-ca", engine.ca, "--tls-cert", engine.certificate, "--tls-key",
                               engine.key});
    }
    const BenchRun first = Bench(Replay(trace, more));
    ExpectClean(first);
    EXPECT_EQ(first.Json()["plane"], "ucx");
    const BenchRun second = Bench(Replay(trace, more));
    ExpectClean(second);
    EXPECT_GT(second.Json()["served_tokens"], first.Json()["served_tokens"]);
    EXPECT_GT(daemon().Counter("ucx_gets"), 0U);
    EXPECT_EQ(daemon().Counter("ucx_peers_lost"), 0U);
    daemon().ExpectNothingHeld();
    daemon().Stop();
  }
}

TEST_F(CairnBenchTest, RealRequestsAgainstADaemon) {
  const std::filesystem::path trace = std::filesystem::path(CAIRN_SOURCE_DIR) / ".." / "shared" /
                                      "traces" / "taubench.public.jsonl.gz";
  if (!std::filesystem::exists(trace)) {
    GTEST_SKIP() << "../shared/traces is absent: NO TRACE OF REAL REQUESTS WAS REPLAYED. Put the "
                    "traces there to do so.";
  }
  ASSERT_TRUE(StartDaemon());
  const BenchRun run =
      Bench(Replay(trace.string(), {"4", "--limit", "200", "--connect", daemon().UnixEndpoint()}));
  ExpectClean(run);
  EXPECT_EQ(run.Json()["requests"], 200);
  EXPECT_GT(run.Json()["served_tokens"], 0);
}

// Three prompts in blocks of 512 tokens, as Mooncake publishes them. Both later ones go on from the
// first, whose end is the one place with a checkpoint that they share.
TEST_F(CairnBenchTest, MooncakeTraceAgainstADaemon) {
  WriteFile(
      dir_ / "mooncake.jsonl",
      R"({"timestamp": 0, "input_length": 1024, "output_length": 10, "hash_ids": [1, 2]})"
      "\n"
      R"({"timestamp": 10, "input_length": 1500, "output_length": 10, "hash_ids": [1, 2, 3]})"
      "\n"
      R"({"timestamp": 20, "input_length": 2048, "output_length": 10, "hash_ids": [1, 2, 4, 5]})"
      "\n");
  ASSERT_TRUE(StartDaemon());
  const BenchRun run =
      Bench(Replay(dir_ / "mooncake.jsonl", {"1", "--connect", daemon().UnixEndpoint()}));
  ExpectClean(run);
  EXPECT_EQ(run.Json()["requests"], 3);
  EXPECT_EQ(run.Json()["block_tokens"], 512);
  EXPECT_EQ(run.Json()["prompt_tokens"], 1024 + 1500 + 2048);
  EXPECT_EQ(run.Json()["served_tokens"], 1024 + 1024);
}

TEST_F(CairnBenchTest, OverTcpTheStatusComesFromTheUnixSocket) {
  ASSERT_TRUE(StartDaemon());
  const BenchRun run = Bench(Replay(
      Trace(30), {"2", "--connect", daemon().TcpEndpoint(), "--admin", daemon().UnixEndpoint()}));
  ExpectClean(run);
  EXPECT_EQ(run.Json()["plane"], "stream");
  EXPECT_TRUE(run.Json()["status_known"]);
}

TEST_F(CairnBenchTest, ModelsWithoutRecurrenceAreServedByTheBlock) {
  WriteFile(dir_ / "plain.json", R"({"id": "plain", "recurrent": [], "attention":
      [{"count": 4, "kv_heads": 2, "head_dim": 64}]})");
  std::vector<std::string> args = Replay(Trace(30), {"2"});
  args[4] = dir_ / "plain.json";
  const BenchRun run = Bench(args);
  ExpectClean(run);
  EXPECT_EQ(run.Json()["checkpoint_bytes"], 0);
  EXPECT_GT(run.Json()["served_tokens"], 0);
}

TEST_F(CairnBenchTest, TheTableNamesTiersAndTotals) {
  const BenchRun run = Bench({"replay", "--trace", Trace(30), "--bytes-scale", "0.0005"});
  EXPECT_EQ(run.code, 0);
  for (const char* const text : {"served by the cache", "from host memory", "from SSD",
                                 "wrong bytes", "leases left", "p99.9"}) {
    EXPECT_NE(run.out.find(text), std::string::npos) << text << " in\n" << run.out;
  }
}

TEST_F(CairnBenchTest, AnUnknownStatusIsToldBelowTheTable) {
  ASSERT_TRUE(StartDaemon());
  const BenchRun run = Bench({"replay", "--trace", Trace(30), "--bytes-scale", "0.0005",
                              "--connect", daemon().TcpEndpoint(), "--quiet"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("\nMemory and leases are unknown: administration needs"),
            std::string::npos)
      << run.out;
  const std::size_t begin = run.out.find("requests  ");
  ASSERT_NE(begin, std::string::npos) << run.out;
  EXPECT_LT(run.out.find('\n', begin) - begin, 80U) << run.out;
}

TEST_F(CairnBenchTest, MalformedTraceNamesTheLineAndLosesNothing) {
  const std::string good =
      R"({"t": 0, "input_len": 64, "output_len": 1, "block_tokens": 32, "blocks": [1, 2]})";
  WriteFile(dir_ / "bad.jsonl", good + "\n" + good + "\n{\"t\": 1, \"input_len\": -3}\n");
  const BenchRun run = Bench(Replay(dir_ / "bad.jsonl", {"1"}));
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("bad.jsonl:3: input_len: expected"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("requests         "), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("    2 in "), std::string::npos) << "Both good lines count: " << run.err;
  EXPECT_TRUE(run.out.empty()) << run.out;
}

TEST_F(CairnBenchTest, EmptyPromptsAreCountedAndSkipped) {
  const std::string empty =
      R"({"t": 0, "input_len": 0, "output_len": 1, "block_tokens": 32, "blocks": []})";
  WriteFile(dir_ / "empty.jsonl", empty + "\n" + empty + "\n");
  const BenchRun run = Bench(Replay(dir_ / "empty.jsonl", {"1"}));
  ExpectClean(run);
  EXPECT_EQ(run.Json()["requests"], 2);
  EXPECT_EQ(run.Json()["prompt_tokens"], 0);
}

TEST_F(CairnBenchTest, MistakesGetOneLineThatSaysWhatToDo) {
  const std::string trace = Trace(5);
  struct Case {
    std::vector<std::string> args;
    int code;
    const char* message;
  };
  const Case cases[] = {
      {{"replay", "--trace", trace, "--model", "qwen9"}, 2, "--model: no model preset 'qwen9'"},
      {{"replay", "--trace", dir_ / "none.gz"}, 1, "none.gz: No such file"},
      {{"replay", "--trace", trace, "--connect", "unix:" + dir_ / "none.sock"},
       1,
       "start one with: cairnd"},
      {{"replay", "--trace", trace, "--connect", "nonsense"}, 2, "unix:/run/cairn/cairn.sock"},
      {{"replay", "--trace", trace, "--bytes-scale", "2"}, 2, "not above 0 and at most 1"},
      {{"replay", "--trace", trace, "--policy", "best"}, 2, "--policy: planner 'best'"},
      {{"replay", "--trace", trace, "--eviction", "best"}, 2, "--eviction:"},
      {{"replay", "--trace", trace, "--memory", "1KiB"}, 2, "--memory: 1.00 KiB is too little"},
      {{"replay", "--trace", trace, "--ssd", "1GiB"}, 2, "--ssd-path"},
      {{"replay"}, 2, "--trace is required"},
      {{"replya"}, 2, "there is no command 'replya'"},
      {{"generate", "--scenario", "war", "--out", dir_ / "t"}, 2, "agent, chat, documents"},
      {{"stats", "--trace", dir_ / "none.gz"}, 1, "No such file"},
  };
  for (const Case& c : cases) {
    const BenchRun run = Bench(c.args);
    EXPECT_EQ(run.code, c.code) << run.err;
    EXPECT_NE(run.err.find(c.message), std::string::npos) << c.message << " in\n" << run.err;
    EXPECT_TRUE(run.out.empty()) << run.out;
  }
}

TEST_F(CairnBenchTest, WhoMeantADaemonIsToldThatACacheOfItsOwnIsMeasured) {
  const auto child = Start(Replay(Trace(5), {"1", "--plane", "shm"}),
                           {{"CAIRN_CONNECT", "unix:" + (dir_ / "cairn.sock")}});
  const BenchRun run = Finish(*child);
  ExpectClean(run);
  for (const char* const part : {"CAIRN_CONNECT does not count here", "--plane is for a daemon"}) {
    EXPECT_NE(run.err.find(part), std::string::npos) << run.err;
  }
}

TEST_F(CairnBenchTest, DaemonThatDiesEndsTheReplayAtOnce) {
  ASSERT_TRUE(StartDaemon());
  const auto bench = Start(Replay(Trace(4000), {"2", "--connect", daemon().UnixEndpoint()}));
  while (daemon().running() && daemon().Counter("matches") < 20) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  daemon().Kill();
  const BenchRun run = Finish(*bench);
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("is gone"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("Until then"), std::string::npos) << run.err;
}

TEST_F(CairnBenchTest, RealTimeIsKept) {
  const std::string line =
      R"(, "input_len": 64, "output_len": 1, "block_tokens": 32, "blocks": [1, 2]})";
  WriteFile(dir_ / "slow.jsonl", "{\"t\": 0" + line + "\n{\"t\": 5" + line + "\n");
  const nlohmann::json json =
      Bench(Replay(dir_ / "slow.jsonl", {"1", "--time-scale", "0.1"})).Json();
  EXPECT_GE(json["seconds"], 0.5);
  EXPECT_EQ(json["requests"], 2);
}

TEST_F(CairnBenchTest, GeneratedTracesAreTheSameForASeed) {
  for (const char* const name : {"a.jsonl.gz", "b.jsonl.gz"}) {
    const BenchRun run = Bench({"generate", "--scenario", "mixed", "--requests", "50", "--seed",
                                "7", "--out", dir_ / name});
    EXPECT_EQ(run.code, 0) << run.err;
  }
  EXPECT_EQ(ReadFile(dir_ / "a.jsonl.gz"), ReadFile(dir_ / "b.jsonl.gz"));
  const nlohmann::json json = Bench({"stats", "--trace", dir_ / "a.jsonl.gz", "--json"}).Json();
  EXPECT_EQ(json["requests"], 50);
  EXPECT_GT(json["hit_share"], 0);
}

TEST_F(CairnBenchTest, MicrobenchmarksReportAndLeaveNothing) {
  const std::vector<std::vector<std::string>> runs = {
      {"get", "--sizes", "64KiB,1MiB", "--working-set", "8MiB"},
      {"get", "--sizes", "1MiB", "--working-set", "8MiB", "--plane", "stream"},
      {"put", "--sizes", "64KiB,1MiB", "--working-set", "8MiB"},
      {"match"}};
  for (std::vector<std::string> args : runs) {
    args.insert(args.end(), {"--seconds", "0.02", "--json"});
    const BenchRun run = Bench(args);
    EXPECT_EQ(run.code, 0) << run.err;
    const nlohmann::json json = run.Json();
    ASSERT_FALSE(json["rows"].empty());
    for (const nlohmann::json& row : json["rows"]) {
      EXPECT_GT(row[args[0] == "match" ? "matches_per_second" : "ratio"], 0) << row;
    }
  }
}

// As a terminal does it: the signal is for all programs of the process group.
TEST_F(CairnBenchTest, InterruptedMicrobenchmarkSaysSoAndLeavesNothing) {
  if (const std::string why = WithoutUcx(); !why.empty()) {
    GTEST_SKIP() << "NOT TESTED: " << why;
  }
  const std::string temporary = dir_ / "tmp";
  const std::string other = dir_ / "bin";  // So that it is found waiting for that.
  std::filesystem::create_directory(temporary);
  std::filesystem::create_directory(other);
  WriteFile(other + "/ucx_perftest", "#!/bin/sh\nexec sleep 100\n");
  std::filesystem::permissions(other + "/ucx_perftest", std::filesystem::perms::owner_all);
  ChildProcess bench({"/usr/bin/setsid", std::string(CAIRN_BINARY_DIR) + "/bin/cairn-bench", "get",
                      "--plane", "ucx", "--sizes", "64KiB", "--working-set", "1MiB", "--quiet"},
                     dir_ / "err", {{"TMPDIR", temporary}, {"PATH", other + ":/usr/bin:/bin"}});
  const auto folders = [&temporary] {
    const std::filesystem::directory_iterator all(temporary);
    return std::distance(begin(all), end(all));
  };
  for (int i = 0; i < 3'000 && folders() < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ASSERT_EQ(folders(), 2) << "of the daemon and of ucx_perftest: " << ReadFile(dir_ / "err");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  kill(-bench.pid(), SIGINT);
  EXPECT_EQ(bench.WaitExit(std::chrono::seconds(60)), 128 + SIGINT);
  EXPECT_EQ(ReadFile(dir_ / "err"), "cairn-bench: interrupted\n");
  EXPECT_EQ(folders(), 0);
}

TEST_F(CairnBenchTest, SsdMicrobenchmarkReadsAllFromSsdAndLeavesNothing) {
  const std::string files = dir_ / "files";
  std::filesystem::create_directory(files);
  const BenchRun run = Bench(
      {"ssd", "--sizes", "1MiB", "--working-set", "8MiB", "--dir", files, "--json", "--quiet"});
  EXPECT_EQ(run.code, 0) << run.err;
  const nlohmann::json json = run.Json();
  ASSERT_EQ(json["rows"].size(), 1U);
  EXPECT_EQ(json["rows"][0]["gets"], 8);
  EXPECT_EQ(json["rows"][0]["from_ssd"], 8);
  EXPECT_GT(json["rows"][0]["ratio"], 0);
  EXPECT_TRUE(std::filesystem::is_empty(files));
}

TEST_F(CairnBenchTest, RedisMicrobenchmarkReports) {
  if (std::system("command -v redis-server >/dev/null") != 0) {
    GTEST_SKIP() << "NOT TESTED: redis-server is not installed (./dev setup bench)";
  }
  const BenchRun run = Bench({"redis", "--sizes", "1MiB", "--working-set", "8MiB", "--seconds",
                              "0.02", "--json", "--quiet"});
  if (run.err.find("built without hiredis") != std::string::npos) {
    GTEST_SKIP() << "NOT TESTED: " << run.err;
  }
  EXPECT_EQ(run.code, 0) << run.err;
  const nlohmann::json json = run.Json();
  ASSERT_EQ(json["rows"].size(), 1U);
  EXPECT_GT(json["rows"][0]["ratio"], 0);
}

}  // namespace
}  // namespace cairn::test
