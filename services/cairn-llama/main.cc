#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "libcache/base/bytes.h"
#include "libcache/connector/llamacpp/connector.h"
#include "libcache/transport/endpoint.h"
#include "services/cairn-llama/bench.h"
#include "services/cairn-llama/engine.h"
#include "services/cairn-llama/prompts.h"
#include "services/cairn-llama/random_model.h"
#include "services/cairn-llama/report.h"
#include "services/cairn-llama/runner.h"
#include "services/terminal/tls_options.h"
#include "services/terminal/usage.h"

namespace cairn::llama {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
constexpr std::uint32_t kContextStep = 256;
constexpr std::chrono::seconds kFlushTime{30};

struct Options {
  EngineOptions engine;
  std::string engine_folder;
  std::string prompts = "-";
  std::string connect;
  std::string flash_attention = "auto";
  std::string type_k = "f16";
  std::string type_v = "f16";
  std::string fidelity = "exact";
  std::string identify_by = "digest";
  std::string plane = "auto";
  llamacpp::ConnectorOptions cache;
  std::uint32_t context_tokens = 0;
  std::uint32_t predict = 32;
  std::uint32_t timeout_ms = 5000;
  RunOptions run;
  bool cold = false;
  bool json = false;
  bool quiet = false;
  bool verbose = false;  ///< Show llama.cpp's own log.
};

std::string DefaultConnect() {
  // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread yet.
  if (const char* const connect = std::getenv("CAIRN_CONNECT");
      connect != nullptr && *connect != 0) {
    return connect;
  }
  return "unix:" + DefaultSocketPath(geteuid() == 0, std::getenv("XDG_RUNTIME_DIR"));
  // NOLINTEND(concurrency-mt-unsafe)
}

int Report(const Error& error, bool json) {
  const std::string text = json ? ErrorJson(error) : "cairn-llama: " + error.message + "\n";
  std::fputs(text.c_str(), stderr);
  return error.code == ErrorCode::kInvalidArgument ? kWrongUsage : kFailed;
}

/// A line on the terminal that goes when the work is done.
void ShowProgress(const Options& options, const std::string& text) {
  if (!options.quiet && isatty(STDERR_FILENO) == 1) {
    std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
  }
}

Result<std::unique_ptr<llamacpp::Connector>> OpenConnector(const Engine& engine,
                                                           const Options& options) {
  llamacpp::ConnectorOptions cache = options.cache;
  cache.client.endpoint = options.connect;
  cache.client.name = "cairn-llama";
  cache.client.plane = options.plane == "shm"      ? PlaneChoice::kShm
                       : options.plane == "ucx"    ? PlaneChoice::kUcx
                       : options.plane == "stream" ? PlaneChoice::kStream
                                                   : PlaneChoice::kAuto;
  cache.weights_path = options.engine.model;
  cache.engine_build = engine.library().build_id();
  cache.identify_by =
      options.identify_by == "file" ? llamacpp::WeightsId::kFile : llamacpp::WeightsId::kDigest;
  cache.load_timeout = std::chrono::milliseconds(options.timeout_ms);
  cache.match_timeout = std::chrono::milliseconds(std::min(options.timeout_ms, 1000U));
  const auto fidelity = llamacpp::ParseFidelity(options.fidelity);
  if (!fidelity) {
    return Fail(fidelity.error());
  }
  cache.fidelity = *fidelity;
  const auto began = std::chrono::steady_clock::now();
  cache.progress = [&](double done) {
    if (std::chrono::steady_clock::now() - began > std::chrono::seconds(1)) {
      ShowProgress(options, "Identifying the weights: " +
                                std::to_string(static_cast<int>(done * 100)) + " %");
    }
  };
  // A wrong address is told now; a daemon that goes away later costs a cold prefill.
  Client probe(cache.client);
  if (const Status connected = probe.Connect(In(cache.load_timeout)); !connected) {
    return Fail(connected.error().code,
                "no cache at " + options.connect + ": " + connected.error().message +
                    "; start cairnd, give its address with --cairn, or run with --cold");
  }
  return llamacpp::Connector::Open(engine.library().api(), engine.context(),
                                   engine.context_params(), engine.model_params(),
                                   std::move(cache));
}

Result<std::vector<Job>> MakeJobs(const Engine& engine, const Options& options) {
  if (options.prompts == "-" && isatty(STDIN_FILENO) == 1 && !options.quiet) {
    std::fputs("Reading prompts, one a line, up to the end of input (Ctrl-D)\n", stderr);
  }
  auto lines = ReadPrompts(options.prompts);
  if (!lines) {
    return Fail(lines.error());
  }
  std::vector<Job> jobs;
  for (PromptLine& line : *lines) {
    Job job;
    job.number = jobs.size();
    job.id = line.id.empty() ? std::to_string(jobs.size() + 1) : line.id;
    job.predict = line.predict.value_or(options.predict);
    job.tokens = std::move(line.tokens);
    if (job.tokens.empty()) {
      auto tokens = engine.Tokenize(line.text);
      if (!tokens) {
        return Fail(tokens.error());
      }
      job.tokens = *std::move(tokens);
    }
    for (const llamacpp::Token token : job.tokens) {
      if (token >= engine.vocabulary()) {
        return Fail(ErrorCode::kInvalidArgument, "prompt " + job.id + ": the model has no token " +
                                                     std::to_string(token) + ", only 0 to " +
                                                     std::to_string(engine.vocabulary() - 1));
      }
    }
    jobs.push_back(std::move(job));
  }
  return jobs;
}

Status CheckLength(const std::vector<Job>& jobs, std::uint32_t context_tokens) {
  for (const Job& job : jobs) {
    if (job.tokens.size() + job.predict > context_tokens) {
      return Fail(ErrorCode::kInvalidArgument,
                  "prompt " + job.id + " has " + std::to_string(job.tokens.size()) +
                      " tokens and wants " + std::to_string(job.predict) +
                      " more, which is beyond --ctx " + std::to_string(context_tokens));
    }
  }
  return {};
}

Status RunPrompts(Engine& engine, std::vector<Job> jobs, const Options& options) {
  std::unique_ptr<llamacpp::Connector> connector;
  if (!options.cold) {
    auto opened = OpenConnector(engine, options);
    ShowProgress(options, "");
    if (!opened) {
      return Fail(opened.error());
    }
    connector = *std::move(opened);
  }
  Runner runner(engine, connector.get(), options.run);
  std::vector<Outcome> outcomes;
  const std::size_t total = jobs.size();
  if (!options.json) {
    std::fputs(TableHead().c_str(), stdout);
  }
  Status ran = runner.Run(std::move(jobs), [&](const Outcome& outcome) {
    outcomes.push_back(outcome);
    if (options.json) {
      ShowProgress(options, std::to_string(outcomes.size()) + " of " + std::to_string(total));
    } else {
      std::fputs(TableRow(outcome).c_str(), stdout);
      std::fflush(stdout);
    }
  });
  ShowProgress(options, "");
  std::sort(outcomes.begin(), outcomes.end(),
            [](const Outcome& a, const Outcome& b) { return a.number < b.number; });
  if (!ran) {
    return ran;
  }
  if (connector != nullptr && !connector->Flush(In(kFlushTime))) {
    std::fputs("cairn-llama: not all that was computed could be stored in time\n", stderr);
  }
  const std::string report = options.json ? ReportJson(outcomes, connector.get())
                                          : "\n" + Summary(outcomes, connector.get());
  if (std::fputs(report.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    return Fail(ErrorCode::kIo, "the report could not be written to standard output");
  }
  return {};
}

Result<std::unique_ptr<Engine>> LoadEngine(const Options& options) {
  EngineOptions engine = options.engine;
  const auto type_k = ParseCacheType(options.type_k);
  const auto type_v = ParseCacheType(options.type_v);
  if (!type_k || !type_v) {
    const bool k = !type_k;
    return Fail(ErrorCode::kInvalidArgument, std::string(k ? "--cache-type-k" : "--cache-type-v") +
                                                 ": " + (k ? type_k : type_v).error().message);
  }
  engine.type_k = *type_k;
  engine.type_v = *type_v;
  engine.flash_attention = options.flash_attention == "on"    ? llamacpp::kFlashOn
                           : options.flash_attention == "off" ? llamacpp::kFlashOff
                                                              : llamacpp::kFlashAuto;
  engine.sequences = options.run.sequences;
  SetVerbose(options.verbose);
  auto library = llamacpp::Library::Open(options.engine_folder, TakeLog);
  if (!library) {
    return Fail(library.error());
  }
  return Engine::Load(*std::move(library), engine);
}

int RunAll(const Options& options) {
  auto engine = LoadEngine(options);
  if (!engine) {
    return Report(engine.error(), options.json);
  }
  auto jobs = MakeJobs(**engine, options);
  if (!jobs) {
    return Report(jobs.error(), options.json);
  }
  std::uint64_t context_tokens = options.context_tokens;
  if (context_tokens == 0) {
    for (const Job& job : *jobs) {
      context_tokens = std::max<std::uint64_t>(context_tokens, job.tokens.size() + job.predict);
    }
    context_tokens =
        RoundUp(std::max<std::uint64_t>(context_tokens, options.engine.physical_batch_tokens),
                kContextStep);
  }
  const auto context = static_cast<std::uint32_t>(context_tokens);
  Status status = CheckLength(*jobs, context);
  status = status ? (*engine)->Start(context) : status;
  status = status ? RunPrompts(**engine, *std::move(jobs), options) : status;
  return status ? 0 : Report(status.error(), options.json);
}

/// `cairn-llama bench`: its options are those of a run, and a few.
int RunBenchmark(Options options, BenchOptions bench) {
  options.run.sequences = 1;
  options.cache.always_load = true;
  auto engine = LoadEngine(options);
  if (!engine) {
    return Report(engine.error(), options.json);
  }
  const std::uint64_t context = RoundUp(std::uint64_t{bench.prompt_tokens} + 1, kContextStep);
  if (const Status started = (*engine)->Start(static_cast<std::uint32_t>(context)); !started) {
    return Report(started.error(), options.json);
  }
  const auto connector = OpenConnector(**engine, options);
  ShowProgress(options, "");
  if (!connector) {
    return Report(connector.error(), options.json);
  }
  bench.slot_file =
      std::filesystem::temp_directory_path() / ("cairn-llama-slot-" + std::to_string(getpid()));
  const auto result = RunBench(**engine, **connector, bench, [&](double done) {
    ShowProgress(options, std::to_string(static_cast<int>(100 * done)) + " %");
  });
  ShowProgress(options, "");
  if (!result) {
    return Report(result.error(), options.json);
  }
  const std::string model = (*connector)->name_space().model;
  std::fputs((options.json ? BenchJson(*result, model) : BenchTable(*result, model)).c_str(),
             stdout);
  return result->mismatches == 0 ? 0 : kFailed;
}

void AddRunOptions(CLI::App& app, Options& o) {
  app.add_option("--model", o.engine.model, "GGUF file")->group("What to run");
  app.add_option("--prompts", o.prompts, "Prompts, one a line: text, or JSON objects; -: stdin")
      ->capture_default_str()
      ->group("What to run");
  app.add_option("--predict", o.predict, "Tokens to generate for each prompt")
      ->capture_default_str()
      ->group("What to run");
  app.add_option("--parallel", o.run.sequences, "Prompts at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group("What to run");
  app.add_flag("--generate-alone", o.run.generate_alone,
               "With --parallel: each prompt's tokens in decodes of their own, so that results do "
               "not depend on what else runs")
      ->group("What to run");
  app.add_flag("--json", o.json, "One JSON object instead of the table")->group("What to run");
  app.add_flag("--logit-digests", o.run.logit_digests,
               "With --json: a digest of the logits behind every computed token")
      ->group("What to run");
  app.add_flag("--quiet", o.quiet, "No progress on stderr")->group("What to run");

  app.add_option("--cairn", o.connect, "The daemon: unix:/path or host:port")
      ->capture_default_str()
      ->group("Cache");
  terminal::AddTlsOptions(app, o.cache.client.tls);
  app.add_flag("--cold", o.cold, "Without the cache, to compare")->group("Cache");
  app.add_option("--fidelity", o.fidelity,
                 "exact: bit for bit as without the cache; near: states anywhere, also of "
                 "generated tokens")
      ->check(CLI::IsMember({"exact", "near"}))
      ->capture_default_str()
      ->group("Cache");
  app.add_option("--block-tokens", o.cache.block_tokens, "KV is stored in blocks of so many tokens")
      ->group("Cache");
  app.add_flag("--always-load", o.cache.always_load,
               "Resume even where computing is expected to be faster")
      ->group("Cache");
  app.add_option("--timeout-ms", o.timeout_ms, "Longest wait for the cache; then a cold prefill")
      ->check(CLI::Range(1, 600'000))
      ->capture_default_str()
      ->group("Cache");
  app.add_option("--weights-id", o.identify_by,
                 "How models are told apart: digest of the file, or which file it is")
      ->check(CLI::IsMember({"digest", "file"}))
      ->capture_default_str()
      ->group("Cache");
  app.add_option("--salt", o.cache.salt, "Requests of different salts share nothing")
      ->group("Cache");
  app.add_option("--plane", o.plane, "How bytes travel")
      ->check(CLI::IsMember({"auto", "shm", "ucx", "stream"}))
      ->capture_default_str()
      ->group("Cache");
}

void AddEngineOptions(CLI::App& app, Options& o) {
  const char* const group = "llama.cpp";
  app.add_option("--engine", o.engine_folder, "Folder of llama.cpp's shared libraries")
      ->capture_default_str()
      ->group(group);
  app.add_option("--ctx", o.context_tokens, "Tokens of context per prompt; 0: as the prompts need")
      ->capture_default_str()
      ->group(group);
  app.add_option("--batch", o.engine.batch_tokens, "Tokens per llama_decode")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--ubatch", o.engine.physical_batch_tokens,
                 "Tokens per physical batch; in exact fidelity states are kept at multiples of it")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--threads", o.engine.threads, "Threads of the CPU backend")
      ->check(CLI::Range(1, 512))
      ->capture_default_str()
      ->group(group);
  app.add_option("--gpu-layers", o.engine.gpu_layers, "Layers on the GPU; -1: all")
      ->capture_default_str()
      ->group(group);
  app.add_option("--flash-attn", o.flash_attention, "Flash attention")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--cache-type-k", o.type_k, "Type of keys: f32, f16, bf16, q8_0, q4_0")
      ->capture_default_str()
      ->group(group);
  app.add_option("--cache-type-v", o.type_v, "Type of values")->capture_default_str()->group(group);
  app.add_flag("--kv-unified", o.engine.unified_kv, "One KV cache for all prompts at a time")
      ->group(group);
  app.add_flag("--swa-full", o.engine.full_windows, "Keep all tokens of sliding-window layers")
      ->group(group);
  app.add_flag("--verbose", o.verbose, "Show llama.cpp's log")->group(group);
}

CLI::App& AddBench(CLI::App& app, BenchOptions& bench) {
  CLI::App& measure = *app.add_subcommand(
      "bench",
      "Measure what the cache costs and saves with this model; the daemon should be empty");
  measure.add_option("--tokens", bench.prompt_tokens, "Tokens of a prompt")
      ->check(CLI::Range(256, 1 << 20))
      ->capture_default_str();
  measure.add_option("--shared", bench.shared, "Part of a prompt that was seen before")
      ->check(CLI::Range(0.1, 0.99))
      ->capture_default_str();
  measure.add_option("--rounds", bench.rounds, "Repetitions; medians are shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  measure.add_option("--seed", bench.seed, "Other seeds give other prompts")->capture_default_str();
  measure.fallthrough();
  return measure;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Runs prompts through llama.cpp with Cairn's cache: the state of what prompts share is "
      "computed once, whatever process they are run by.\nExample: cairn-llama --model model.gguf "
      "--cairn unix:/run/cairn/cairn.sock --prompts prompts.jsonl",
      "cairn-llama");
  app.set_version_flag("--version", std::string("cairn-llama ") + CAIRN_VERSION);
  Options options;
  options.connect = DefaultConnect();
  options.engine_folder = llamacpp::Library::DefaultFolder();
  options.engine.threads =
      static_cast<std::int32_t>(std::max(std::thread::hardware_concurrency(), 1U));
  AddRunOptions(app, options);
  AddEngineOptions(app, options);

  RandomModelOptions random;
  std::string size = "tiny";
  std::string folder = options.engine_folder;
  CLI::App& make = *app.add_subcommand(
      "random-model", "Write a model with random weights, to try things without a download");
  std::vector<std::string> archs(RandomModelArchs().begin(), RandomModelArchs().end());
  make.add_option("--arch", random.arch, "Architecture")->required()->check(CLI::IsMember(archs));
  make.add_option("--out", random.path, "File to write")->required();
  make.add_option("--size", size, "tiny: below 5 MB; medium: above 100 MB")
      ->check(CLI::IsMember({"tiny", "medium"}))
      ->capture_default_str();
  make.add_option("--seed", random.seed, "Other seeds give other weights")->capture_default_str();
  make.add_option("--engine", folder, "Folder of llama.cpp's shared libraries")
      ->capture_default_str();
  BenchOptions bench;
  const CLI::App& measure = AddBench(app, bench);
  app.require_subcommand(0, 1);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      return app.exit(error);
    }
    const auto used = app.get_subcommands();
    const std::string page = used.empty() ? "" : used.front()->get_name() + " ";
    return Report({ErrorCode::kInvalidArgument,
                   terminal::UsageProblem(app, error) + "; see cairn-llama " + page + "--help"},
                  false);
  }
  if (make.parsed()) {
    const auto library = llamacpp::Library::Open(folder, TakeLog);
    if (!library) {
      return Report(library.error(), false);
    }
    random.size = size == "medium" ? ModelSize::kMedium : ModelSize::kTiny;
    const Status written = WriteRandomModel(**library, random);
    return written ? 0 : Report(written.error(), false);
  }
  if (options.engine.model.empty()) {
    return Report({ErrorCode::kInvalidArgument,
                   "--model is needed; 'cairn-llama random-model' makes one to try, --help tells "
                   "more"},
                  false);
  }
  return measure.parsed() ? RunBenchmark(options, bench) : RunAll(options);
}

}  // namespace
}  // namespace cairn::llama

int main(int argc, char** argv) {
  try {
    return cairn::llama::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairn-llama: %s\n", error.what());
  }
  return 1;
}
