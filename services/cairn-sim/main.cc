#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/published/report.h"
#include "libcache/trace/trace.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/published.h"
#include "services/cairn-sim/report.h"
#include "services/cairn-sim/run.h"
#include "services/cairn-sim/solve.h"
#include "services/cairn-sim/strategies.h"
#include "services/cairn-sim/sweep.h"
#include "services/terminal/usage.h"

namespace cairn::sim {
namespace {

using Job = std::function<int()>;

/// What all commands may be told, filled by CLI11.
struct Shared {
  bool json = false;
  bool progress = false;
  bool quiet = false;
  HtmlTarget html;

  [[nodiscard]] terminal::Progress::Show Show() const {
    return quiet      ? terminal::Progress::Show::kNever
           : progress ? terminal::Progress::Show::kAlways
                      : terminal::Progress::Show::kOnTerminal;
  }
};

CLI::App& AddCommand(CLI::App& app, const char* name, const char* text, Shared& shared) {
  CLI::App& c = *app.add_subcommand(name, text);
  c.add_flag("--json", shared.json, "One line of JSON on stdout, errors as JSON on stderr");
  return c;
}

void AddProgress(CLI::App& c, Shared& shared) {
  c.add_flag("--progress", shared.progress,
             "Say on stderr how far it is after 2 s, also where that is no terminal");
  c.add_flag("--quiet", shared.quiet, "Never say how far it is")->excludes("--progress");
}

void AddHtml(CLI::App& c, Shared& shared) {
  c.add_option("--html", shared.html.path, "Write a report with plots, one file for any browser")
      ->type_name("FILE");
}

void AddModel(CLI::App& c, RunOptions& o) {
  c.add_option("--model", o.model, "Preset id, or a .json file")->capture_default_str();
  c.add_option("--cost", o.cost.kind,
               "Of a prefill: linear in the tokens, or flops, with attention to all before")
      ->check(CLI::IsMember({"linear", "flops"}))
      ->capture_default_str()
      ->group("Cost of a prefill");
  c.add_option("--active-parameters", o.cost.active_parameters,
               "That a token passes (default: as the model's id says)")
      ->group("Cost of a prefill");
  c.add_option("--attention-flops-per-pair", o.cost.attention_flops_per_pair,
               "Of all layers, for a token and one before it")
      ->group("Cost of a prefill");
  c.add_option("--query-heads", o.cost.query_heads,
               "Of a layer of attention; instead of the flops per pair")
      ->check(CLI::Range(1, 4096))
      ->group("Cost of a prefill");
  c.add_option("--flops-per-second,--flops", o.cost.flops_per_second, "That a rank reaches")
      ->capture_default_str()
      ->group("Cost of a prefill");
}

void AddLearned(CLI::App& c, RunOptions& o) {
  const char* const group = "Learned placement";
  LearnedPlacement::Config& learned = o.sim.learned;
  const auto off = [&c, group](const char* name, bool& field, const char* text) {
    c.add_flag_callback(
         name, [&field] { field = false; }, text)
        ->group(group);
  };
  off("--no-admission", learned.admission, "Plan whatever has any value");
  off("--no-reuse-statistics", learned.learn_reuse, "Do not learn how soon places come back");
  off("--no-distance-statistics", learned.learn_distance,
      "Do not learn how far before known places overlaps end");
  off("--no-write-bound", learned.bounded_writes, "Write more than engines would");
  c.add_option("--max-plan", learned.max_plan, "Positions per request (default: no limit)")
      ->group(group);
  c.add_option("--write-bandwidth", o.write_bandwidth,
               "What writing costs: bytes per second (default 25GB/s)")
      ->type_name("SPEED")
      ->group(group);
}

void AddMarconi(CLI::App& c, RunOptions& o) {
  c.add_option("--marconi-alpha", o.sim.marconi_alpha,
               "Weight of flops per byte beside recency, with eviction marconi (default: tuned)");
}

void AddCluster(CLI::App& c, RunOptions& o) {
  const char* const group = "Several daemons";
  ClusterOptions& cluster = o.cluster;
  c.add_option("--daemons", cluster.daemons, "That share the capacity, routed to as engines do")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group(group);
  c.add_option_function<std::vector<std::uint32_t>>(
       "--family-tokens",
       [&cluster](const std::vector<std::uint32_t>& tokens) {
         cluster.rule.home_tokens = tokens.front();
         cluster.rule.spread_tokens.assign(tokens.begin() + 1, tokens.end());
       },
       "Leading tokens that name a prompt's home, then those that name its second candidate")
      ->delimiter(',')
      ->check(CLI::Range(1U, kMaxRequestTokens))
      ->group(group);
  c.add_option("--family-worth", cluster.rule.worth,
               "More than this share of a prompt is not given up for a lighter load")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  c.add_option("--load-margin", cluster.rule.load_margin_permille,
               "Permille; loads that differ by less count as equal")
      ->capture_default_str()
      ->group(group);
  c.add_option("--family-cheap-tokens", cluster.rule.cheap_tokens,
               "Except so few of them, for a daemon that is much lighter")
      ->capture_default_str()
      ->group(group);
  c.add_option("--overload-margin", cluster.rule.overload_permille,
               "Permille; that is what much lighter means")
      ->capture_default_str()
      ->group(group);
  c.add_option("--unserved-tokens", cluster.rule.unserved_tokens,
               "The other candidate is asked too if the first knows of more than it can serve")
      ->capture_default_str()
      ->group(group);
  c.add_option("--engines", cluster.engines, "That take the requests in turn")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  c.add_flag_callback(
       "--ask-both", [&cluster] { cluster.affinity = false; },
       "Engines do not remember where they stored a prompt: both candidates are asked each time")
      ->group(group);
  c.add_flag_callback(
       "--no-overhear", [&cluster] { cluster.overhear = false; },
       "Planners do not hear of requests that another daemon serves")
      ->group(group);
}

void AddScope(CLI::App& c, RunOptions& o) {
  c.add_option("--context", o.context_tokens,
               "Longer prompts are refused; 0: none (default: the model's)");
  c.add_option("--limit", o.limit, "Stop after so many requests; 0: all");
}

void AddRun(CLI::App& app, RunOptions& o, Shared& shared, Job& job) {
  CLI::App& c = AddCommand(app, "run", "Simulate one cache on one trace", shared);
  c.add_option("--trace", o.trace.path,
               "Trace to replay: ours, Mooncake's or LMCache's lookups, .gz or plain");
  CLI::Option* const generate = c.add_option("--generate", o.trace.scenario,
                                             "Instead: agent, chat, documents, templates or mixed");
  c.add_option("--requests", o.trace.requests, "To make up")
      ->capture_default_str()
      ->needs(generate);
  c.add_option("--seed", o.trace.seed, "Same seed, same trace")
      ->capture_default_str()
      ->needs(generate);
  c.add_option("--strategy", o.sim.strategy, "Where states are stored; cairn-sim strategies")
      ->capture_default_str();
  o.sim.eviction.clear();
  c.add_option("--eviction", o.sim.eviction,
               "Who has to go (default: value for trie, marconi for marconi, else lru)");
  c.add_option("--block-tokens", o.sim.block_tokens, "Of the cache's blocks")
      ->capture_default_str();
  c.add_option("--capacity", o.capacity, "Of the cache: 500GB, 64GiB or unlimited")
      ->type_name("SIZE");
  c.add_option("--tiers", o.tiers,
               "Instead: places of several speeds, the fastest first: "
               "host=64GB:25GB/s,ssd=1TB:3GB/s")
      ->delimiter(',')
      ->type_name("TIERS");
  c.add_option("--capacity-checkpoints", o.capacity_checkpoints,
               "Instead: so many states in all, and KV for nothing")
      ->check(CLI::Range(1U, 4'000'000'000U));
  AddScope(c, o);
  AddCluster(c, o);
  AddHtml(c, shared);
  AddProgress(c, shared);
  AddModel(c, o);
  AddLearned(c, o);
  AddMarconi(c, o);
  c.callback([&] { job = [&] { return RunOne(o, shared.html, shared.json, shared.Show()); }; });
}

void AddSweep(CLI::App& app, SweepOptions& o, Shared& shared, Job& job) {
  CLI::App& c = AddCommand(app, "sweep", "Simulate all combinations, side by side", shared);
  c.add_option("--traces", o.traces, "Files")->delimiter(',')->required();
  c.add_option("--strategies", o.strategies, "For instance trie,turn_end,trie@lru")
      ->delimiter(',')
      ->required();
  c.add_option(
       "--evictions", o.evictions,
       "For strategies without one (default: value for trie, marconi for marconi, lru for others)")
      ->delimiter(',');
  c.add_option("--capacities", o.capacities, "For instance 16GB,64GB")->delimiter(',');
  c.add_option("--capacity-checkpoints", o.capacity_checkpoints,
               "Instead, or besides: so many states in all, and KV for nothing")
      ->delimiter(',')
      ->check(CLI::Range(1U, 4'000'000'000U));
  c.add_option("--block-tokens", o.block_tokens, "For instance 64,512 (default 64)")
      ->delimiter(',');
  c.add_option("--jobs", o.jobs, "Runs at a time; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  AddScope(c, o.base);
  AddHtml(c, shared);
  AddProgress(c, shared);
  AddModel(c, o.base);
  AddLearned(c, o.base);
  AddMarconi(c, o.base);
  c.callback([&] { job = [&] { return RunSweep(o, shared.html, shared.json, shared.Show()); }; });
}

void AddSolve(CLI::App& app, SolveOptions& o, Shared& shared, Job& job) {
  CLI::App& c = AddCommand(app, "solve", "Place checkpoints in given tries exactly", shared);
  c.add_option("--instance", o.instance, "JSON file of tries or histograms")->required();
  c.add_option("--prices", o.prices, "Per byte (default: those of the file)")->delimiter(',');
  c.add_option("--budget", o.budget, "Most bytes; for a histogram checkpoints")->type_name("SIZE");
  c.add_option("--counts", o.counts,
               "Costs for up to so many checkpoints (default 64, and none for large tries)");
  c.callback([&] { job = [&] { return RunSolve(o, shared.json); }; });
}

void AddPublished(CLI::App& app, PublishedCommand& o, Shared& shared, Job& job) {
  CLI::App& c = AddCommand(app, "published", "Replay published runs and compare with them", shared);
  c.add_option("--folder", o.options.folder, "With <run>.jsonl and <run>.reference.json")
      ->capture_default_str();
  c.add_option("--runs", o.options.runs, "Default: all of them")->delimiter(',');
  c.callback([&] {
    job = [&] {
      o.json = shared.json;
      return RunPublished(o);
    };
  });
}

int Parse(CLI::App& app, int argc, char** argv, const Job& job) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
  const std::string command = words.empty() ? "" : std::string(words.front());
  const auto known =
      app.get_subcommands([&command](const CLI::App* c) { return c->get_name() == command; });
  if (!command.empty() && command[0] != '-' && known.empty()) {
    Complain("usage", "there is no command '" + command + "'; cairn-sim --help lists them", json);
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      return app.exit(error);
    }
    const std::string page = known.empty() ? "" : command + " ";
    Complain("usage", terminal::UsageProblem(app, error) + "; see cairn-sim " + page + "--help",
             json);
    return kExitUsage;
  }
  return job();
}

int Main(int argc, char** argv) {
  CLI::App app("cairn-sim: what a cache of some size would serve of a trace, without any bytes",
               "cairn-sim");
  app.set_version_flag("--version", std::string("cairn-sim ") + CAIRN_VERSION);
  app.require_subcommand(1);
  app.footer("Exit status: 0 done; 1 it went wrong; 2 wrong usage.");
  Shared shared;
  shared.html.command = ShellLine("cairn-sim", argc, argv);
  RunOptions run;
  SweepOptions sweep;
  SolveOptions solve;
  PublishedCommand published;
  published.options.folder = "../shared/published";
  Job job;
  AddRun(app, run, shared, job);
  AddSweep(app, sweep, shared, job);
  AddSolve(app, solve, shared, job);
  AddPublished(app, published, shared, job);
  AddCommand(app, "strategies", "What strategies and evictions there are", shared).callback([&] {
    job = [&] { return RunStrategies(shared.json); };
  });
  return Parse(app, argc, argv, job);
}

}  // namespace
}  // namespace cairn::sim

int main(int argc, char** argv) {
  try {
    return cairn::sim::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairn-sim: %s\n", error.what());
    return cairn::sim::kExitFailed;
  }
}
