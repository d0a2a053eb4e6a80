#include <malloc.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>

#include "libcache/base/bytes.h"
#include "services/cairn-bench/micro.h"
#include "services/cairn-bench/replay.h"
#include "services/cairn-bench/report.h"
#include "services/cairn-bench/trace_jobs.h"
#include "services/terminal/tls_options.h"
#include "services/terminal/usage.h"

namespace cairn::bench {
namespace {

/// CLI11 calls this for options of sizes; it turns "4GiB" into a count of bytes.
CLI::Option* AddSize(CLI::App& app, const std::string& name, std::uint64_t& field,
                     const std::string& text) {
  return app.add_option(name, field, text)
      ->transform(CLI::Validator(
          [](std::string& value) {
            const auto bytes = ParseBytes(value);
            if (!bytes) {
              throw CLI::ValidationError(bytes.error().message);
            }
            value = std::to_string(*bytes);
            return std::string();
          },
          "SIZE"))
      ->type_name("SIZE");
}

using Job = std::function<int()>;

/// Replaying stores what nobody asked for, so the daemon that cairnctl would ask is not taken
/// unless it is named; but whoever meant it must not take the figures for its own.
void NoteEmbedded(bool has_plane) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  const char* const connect = std::getenv("CAIRN_CONNECT");
  if (connect != nullptr && *connect != 0) {
    Complain(
        "CAIRN_CONNECT does not count here: without --connect an embedded cache is measured, not "
        "the daemon");
  }
  if (has_plane) {
    Complain("--plane is for a daemon and has no effect on the embedded cache; give --connect");
  }
}

/// The cache that a replay makes for itself.
void AddEmbedded(CLI::App& c, ReplayOptions& o) {
  CLI::Option* const own[] = {
      c.add_option("--policy", o.planner, "Where checkpoints go: trie (learned), or by rule")
          ->capture_default_str(),
      c.add_option("--eviction", o.eviction, "value, lru, lfu or w_tinylfu")->capture_default_str(),
      AddSize(c, "--memory", o.memory_bytes, "Host memory (default 256MiB)"),
      AddSize(c, "--ssd", o.ssd_bytes, "Disk space; needs --ssd-path"),
      c.add_option("--ssd-path", o.ssd_path, "Directory of the SSD tier"),
      c.add_flag("--trace-clock", o.trace_clock,
                 "Its clock shows the trace's time, however fast the replay is: the planner trie "
                 "learns pauses as they were")};
  for (CLI::Option* const option : own) {
    option->group("Embedded cache (without --connect)");
  }
}

void AddReplay(CLI::App& app, ReplayOptions& o, Job& job) {
  CLI::App& c =
      *app.add_subcommand("replay", "Replay a trace against a daemon or a cache of its own");
  c.add_option("--trace", o.trace,
               "Trace to replay: ours, Mooncake's or LMCache's lookups, .gz or plain")
      ->required();
  c.add_option(
      "--connect", o.connect,
      "unix:/path or host:port, or several as a=ENDPOINT,b=ENDPOINT or dns:NAME:PORT; without "
      "it: an embedded cache");
  c.add_option("--admin", o.admin,
               "unix:/path for the daemon's status, when --connect is TCP; of several a list");
  terminal::AddTlsOptions(c, o.tls);
  c.add_option("--plane", o.plane, "How bytes travel")
      ->check(CLI::IsMember({"auto", "shm", "ucx", "stream"}))
      ->capture_default_str();
  c.add_option("--model", o.model, "Preset id, or a .json file")->capture_default_str();
  c.add_option("--bytes-scale", o.bytes_scale, "Factor on all sizes, in (0, 1]")
      ->check(CLI::Validator(
          [](std::string& text) {
            double value = 0;
            const bool good = CLI::detail::lexical_cast(text, value) && value > 0 && value <= 1;
            return good ? std::string() : "'" + text + "' is not above 0 and at most 1";
          },
          "FACTOR"))
      ->capture_default_str();
  c.add_option("--clients", o.clients, "Engines at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  c.add_option("--limit", o.limit, "Stop after so many requests; 0: all");
  c.add_option("--time-scale", o.time_scale,
               "Seconds per second of the trace: 1 real time, 0.1 ten times as fast, 0 at once")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  c.add_option("--deadline-ms", o.deadline_ms, "Of every call")
      ->check(CLI::Range(1, 3'600'000))
      ->capture_default_str();
  c.add_option("--salt", o.salt, "Runs with the same salt share their state")
      ->capture_default_str();
  c.add_flag("--durable", o.durable, "Wait until what is stored survives kill -9");
  c.add_option("--block-tokens", o.block_tokens, "Default: the trace's")
      ->check(CLI::Range(1, 65'536));
  c.add_option("--grid-tokens", o.grid_tokens,
               "Checkpoints at multiples only; default: 1 for exact traces, else the block")
      ->check(CLI::Range(1, 65'536));
  AddEmbedded(c, o);
  c.add_flag("--json", o.json, "One JSON object on stdout");
  c.add_option("--save", o.save, "Write the JSON object to this file, too");
  c.add_flag("--quiet", o.quiet, "No progress on stderr");
  c.callback([&o, &job, &c] {
    for (const char* const name :
         {"--policy", "--eviction", "--memory", "--ssd", "--ssd-path", "--trace-clock"}) {
      if (!o.connect.empty() && c.count(name) != 0) {
        Complain(std::string(name) + " is for the embedded cache and has no effect on a daemon");
      }
    }
    if (o.connect.empty()) {
      NoteEmbedded(c.count("--plane") != 0);
    }
    job = [&o] { return RunReplay(o); };
  });
}

void AddTraceJobs(CLI::App& app, GenerateOptions& g, StatsOptions& s, Job& job) {
  CLI::App& generate = *app.add_subcommand("generate", "Write a made-up trace");
  generate.add_option("--scenario", g.scenario, "agent, chat, documents, templates or mixed")
      ->capture_default_str();
  generate.add_option("--requests", g.requests, "How many")->capture_default_str();
  generate.add_option("--seed", g.seed, "Same seed, same trace")->capture_default_str();
  generate.add_option("--out", g.out, "File to write; gzip if it ends in .gz")->required();
  generate.add_flag("--quiet", g.quiet, "Say nothing");
  generate.callback([&g, &job] { job = [&g] { return RunGenerate(g); }; });

  CLI::App& stats = *app.add_subcommand("stats", "What an infinite cache would serve of a trace");
  stats.add_option("--trace", s.trace, "Trace to read")->required();
  stats.add_flag("--json", s.json, "One JSON object on stdout");
  stats.callback([&s, &job] { job = [&s] { return RunStats(s); }; });
}

void AddMicro(CLI::App& app, const std::string& name, const std::string& text, MicroOptions& o,
              Job& job, int (*run)(const MicroOptions&)) {
  CLI::App& c = *app.add_subcommand(name, text);
  c.add_option("--seconds", o.seconds, "Time for each size, about")
      ->check(CLI::Range(0.01, 600.0))
      ->capture_default_str();
  if (name != "match") {
    c.add_option_function<std::vector<std::string>>(
         "--sizes",
         [&o](const std::vector<std::string>& texts) {
           o.sizes.clear();
           for (const std::string& size : texts) {
             const auto bytes = ParseBytes(size);
             if (!bytes || *bytes == 0 || *bytes > kGiB) {
               throw CLI::ValidationError("--sizes", "'" + size + "' is not a size up to 1GiB");
             }
             o.sizes.push_back(*bytes);
           }
         },
         "Of objects, for instance 1MiB,64MiB")
        ->delimiter(',');
  }
  if (name != "match") {
    AddSize(
        c, "--working-set", o.working_set,
        "Bytes of objects of one size (default " + std::to_string(o.working_set / kMiB) + "MiB)");
  }
  if (name == "get" || name == "put") {
    c.add_option("--plane", o.plane, "shm, ucx, or stream over loopback TCP")
        ->check(CLI::IsMember({"shm", "ucx", "stream"}))
        ->capture_default_str();
    c.add_flag("--tls", o.tls, "With TLS (with --plane stream), against OpenSSL alone");
  }
  if (name == "ssd") {
    c.add_option("--dir", o.dir, "Where its files go (default $TMPDIR); they are removed")
        ->check(CLI::ExistingDirectory);
  }
  c.add_flag("--json", o.json, "One JSON object on stdout");
  c.add_option("--save", o.save, "Write the JSON object to this file, too");
  c.add_flag("--quiet", o.quiet, "No progress on stderr");
  c.callback([&o, &job, run] {
    if (o.tls && o.plane != "stream") {
      throw CLI::ValidationError("--tls", "is for --plane stream");
    }
    job = [&o, run] { return run(o); };
  });
}

int Main(int argc, char** argv) {
  CLI::App app("cairn-bench: drives a Cairn daemon, measures it, and verifies every byte",
               "cairn-bench");
  app.set_version_flag("--version", std::string("cairn-bench ") + CAIRN_VERSION);
  app.require_subcommand(1);
  ReplayOptions replay;
  GenerateOptions generate;
  StatsOptions stats;
  Job job;
  AddReplay(app, replay, job);
  AddTraceJobs(app, generate, stats, job);
  MicroOptions micro;
  MicroOptions ssd;  // Each object is read once, so there must be more of them.
  ssd.working_set = 512 * kMiB;
  AddMicro(app, "get", "Reading objects, against memcpy or a plain socket", micro, job, RunGet);
  AddMicro(app, "put", "Writing objects, against memcpy or a plain socket", micro, job, RunPut);
  AddMicro(app, "match", "Daemon CPU per match", micro, job, RunMatch);
  AddMicro(app, "ssd", "Reading objects from SSD, against a plain file", ssd, job, RunSsd);
  AddMicro(app, "redis", "Reading objects, against redis-server", micro, job, RunRedis);
  const std::string command = argc > 1 ? argv[1] : "";
  const auto known =
      app.get_subcommands([&command](const CLI::App* c) { return c->get_name() == command; });
  if (!command.empty() && command[0] != '-' && known.empty()) {
    Complain("there is no command '" + command + "'; cairn-bench --help lists them");
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      return app.exit(error);
    }
    const std::string page = known.empty() ? "" : command + " ";
    Complain(terminal::UsageProblem(app, error) + "; see cairn-bench " + page + "--help");
    return kExitUsage;
  }
  return job();
}

}  // namespace
}  // namespace cairn::bench

int main(int argc, char** argv) {
  // As cairnd does: glibc would keep large blocks in its heaps, and the memory of an embedded cache
  // could not be told from that.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return cairn::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairn-bench: %s\n", error.what());
    return cairn::bench::kExitFailed;
  }
}
