#include "services/cairnd/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <tuple>

#include <arpa/inet.h>
#include <unistd.h>

#include "libcache/base/bytes.h"
#include "libcache/transport/resolve.h"
#include "libcache/ucx/transports.h"
#include "services/terminal/usage.h"

namespace cairn::server {
namespace {

constexpr std::uint64_t kLeastMemory = 32 * kMiB;
constexpr std::uint64_t kLeastSsd = 16 * kMiB;
constexpr std::uint64_t kMostPlacement = kGiB;
constexpr std::uint64_t kLeastGpu = 8 * kMiB;
constexpr std::uint32_t kSoonestPlacementSaveMs = 100;

/// CLI11 calls this for options of sizes; it turns "4GiB" into a count of bytes.
std::string SizeToNumber(const std::string& text) {
  const auto bytes = ParseBytes(text);
  if (!bytes) {
    throw CLI::ValidationError(bytes.error().message);
  }
  return std::to_string(*bytes);
}

/// `by_default` is for fields whose 0 stands for a size that depends on others.
void AddSize(CLI::App& app, const std::string& name, std::uint64_t& field, const std::string& text,
             const std::string& by_default = "") {
  app.add_option("--" + name, field, text)
      ->transform(CLI::Validator(
          [](std::string& value) {
            value = SizeToNumber(value);
            return std::string();
          },
          ""))
      ->type_name("SIZE")
      ->default_str(field != 0 ? FormatBytes(field) : by_default);
}

void AddSwitch(CLI::App& app, const std::string& name, bool& field, const std::string& text) {
  app.add_option("--" + name, field, text)->default_str(field ? "true" : "false");
}

/// A text or a number, with its default in the help.
template <class T>
CLI::Option* AddValue(CLI::App& app, const std::string& name, T& field, const std::string& text) {
  return app.add_option("--" + name, field, text)->capture_default_str();
}

void AddSsdOptions(CLI::App& app, DaemonConfig& c) {
  AddValue(app, "ssd-path", c.ssd_path, "Directory for the SSD tier; without it there is none");
  AddSize(app, "ssd", c.ssd_bytes, "Disk space to use; needed with --ssd-path");
  AddSize(app, "ssd-write-buffer", c.ssd_write_buffer_bytes, "Memory for writes to SSD",
          "memory/64");
  AddSize(app, "ssd-min-free", c.ssd_min_free_bytes, "Leave this much of the disk free");
  AddSize(app, "ssd-queue", c.ssd_queue_bytes, "Bytes that may wait for the SSD", "arena/4");
  AddValue(
      app, "ssd-codec", c.ssd_codec,
      "How objects are stored on SSD: none, lossless (a fifth to a third smaller), or lossy by "
      "kind, for namespaces that permit it: checkpoint:CODEC+kv:CODEC with int8_column, "
      "bf16_round, fp8_kv, int8_kv, kivi2, kivi4, cachegen; then exceptions: "
      "lossless,MODEL=kv:fp8_kv");
  AddSwitch(app, "ssd-direct-io", c.ssd_direct_io, "Bypass the page cache");
  AddValue(app, "ssd-readers", c.ssd_readers, "Threads that read from SSD");
  AddValue(app, "ssd-flush-ms", c.ssd_flush_ms, "Make SSD writes durable at least this often");
}

void AddTlsOptions(CLI::App& app, TlsConfig& c) {
  AddValue(app, "tls-cert", c.certificate,
           "PEM file of the daemon's certificate: TLS 1.3 on every TCP port; with --tls-key and "
           "--tls-ca. To try it: cairnctl cert dev");
  AddValue(app, "tls-key", c.key, "PEM file of its key");
  AddValue(app, "tls-ca", c.ca, "PEM file of the CA whose certificates are let in");
  AddValue(app, "tls-tenants", c.tenants,
           "Whose tenants they are: spiffe://cluster/ns/acme/*=acme,engine.acme.example=acme "
           "(default: all are tenant default)");
  AddValue(app, "tls-admins", c.admins, "Identities that may administer by TCP");
  AddValue(app, "tls-handshakes", c.handshakes, "Most handshakes at once");
  AddSwitch(app, "tls-kernel", c.kernel, "Have the kernel encrypt what is sent, where it can");
}

void AddUcxOptions(CLI::App& app, DaemonConfig& c) {
  AddValue(app, "ucx", c.ucx,
           "The data plane by UCX, for engines that are trusted with this daemon's memory: off, "
           "on, or auto (on where UCX is there)");
  AddValue(app, "ucx-tls", c.ucx_tls,
           "Transports for UCX, as UCX_TLS names them (default: UCX_TLS, else shared memory, RDMA "
           "and CUDA, of what is there)");
  AddSwitch(app, "ucx-allow-insecure-tcp", c.ucx_allow_insecure_tcp,
            "Allow tcp there: whoever reaches its ports reads and writes this daemon's memory");
}

void AddOptions(CLI::App& app, DaemonConfig& c) {
  app.set_config("--config", "", "TOML file with these options as keys", false);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_version_flag("--version", std::string("cairnd ") + CAIRN_VERSION);
  AddSize(app, "memory", c.memory_bytes, "Memory to use, for instance 4GiB; the one needed option");
  AddSize(app, "index", c.index_bytes, "Memory for the prefix index");
  AddSize(app, "staging", c.staging_bytes, "Shared memory per writing connection", "memory/64");
  AddSwitch(app, "huge-pages", c.huge_pages, "Ask for huge pages");
  AddSwitch(app, "prefault", c.prefault, "Take the memory at start, in the background");
  AddSsdOptions(app, c);
  AddValue(app, "gpu", c.gpu,
           "auto (if --gpu-memory is given), off, or fake: host memory that passes for a GPU, for "
           "tests");
  AddSize(app, "gpu-memory", c.gpu_memory_bytes,
          "GPU memory to use; without it there is no GPU tier", "0");
  AddValue(app, "gpu-device", c.gpu_device, "Which GPU, as the driver counts them");
  AddValue(app, "listen-unix", c.listen_unix,
           "Unix socket (default /run/cairn/cairn.sock as root, else "
           "$XDG_RUNTIME_DIR/cairn.sock)");
  AddValue(app, "listen-tcp", c.listen_tcp, "host:port for engines of other hosts; empty: off");
  AddValue(app, "listen-http", c.listen_http, "host:port for health and metrics; empty: off");
  AddSwitch(app, "allow-insecure-tcp", c.allow_insecure_tcp,
            "Allow addresses that other hosts reach, in plain text");
  AddTlsOptions(app, c.tls);
  AddUcxOptions(app, c);
  AddValue(app, "planner", c.planner,
           "Where checkpoints go: trie (learned), none, turn_end, turn_end_demand, branch_end, "
           "branch_backoff:POSITIONS, block:TOKENS or dense");
  AddValue(app, "eviction", c.eviction, "What goes first: value, lru, lfu or w_tinylfu");
  AddSize(app, "placement-memory", c.placement_bytes, "Memory for what the planner trie learns");
  AddValue(app, "placement-file", c.placement_file,
           "Where that is kept over a restart (default: the file placement under --ssd-path)");
  AddValue(app, "placement-save-ms", c.placement_save_ms, "How often it is saved there");
  AddValue(app, "members", c.members,
           "All daemons, this one included: name=endpoint,name=endpoint, or endpoints alone; an "
           "endpoint is host:port or unix:/path. Or dns:NAME:PORT, all addresses of that name");
  AddValue(app, "threads", c.threads, "I/O threads; 0: one per core, at most 4");
  AddValue(app, "workers", c.workers, "Threads that copy and hash");
  AddValue(app, "max-connections", c.max_connections,
           "For more, those that said nothing yet are closed, then new ones refused");
  AddValue(app, "lease-ms", c.lease_ms, "Leases end by themselves after this");
  AddValue(app, "drain-ms", c.drain_ms, "Time for running requests after SIGTERM");
  AddValue(app, "log-level", c.log_level, "What to log, this level and above")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
}

std::string VariableName(const std::string& option) {
  std::string name = "CAIRN_";
  for (const char c : option) {
    name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

/// Names in `environment` that belong to no option of `app`.
std::vector<std::string> UnknownVariables(const CLI::App& app,
                                          const std::map<std::string, std::string>& environment) {
  // Those of cairnctl and of the scripts in this repository.
  std::set<std::string> known = {"CAIRN_CONNECT", "CAIRN_DEV_START",  "CAIRN_SKIP_SETUP",
                                 "CAIRN_TRACES",  "CAIRN_BINARY_DIR", "CAIRN_TLS_SERVER"};
  for (const CLI::Option* option : app.get_options()) {
    known.insert(VariableName(option->get_single_name()));
  }
  std::vector<std::string> unknown;
  for (const auto& [name, value] : environment) {
    if (name.starts_with("CAIRN_") && !known.contains(name)) {
      unknown.push_back(name);
    }
  }
  return unknown;
}

/// Whether `args` give the option.
bool IsGiven(const std::vector<std::string>& args, const std::string& name) {
  return std::any_of(args.begin(), args.end(), [&name](const std::string& arg) {
    return arg == "--" + name || arg.rfind("--" + name + "=", 0) == 0;
  });
}

/// CLI11 lets the file beat the environment; we promise the reverse. So variables become flags,
/// where no flag was given.
std::vector<std::string> WithEnvironment(const CLI::App& app, std::vector<std::string> args,
                                         const std::map<std::string, std::string>& environment) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_single_name();
    const auto variable = environment.find(VariableName(name));
    if (variable != environment.end() && !IsGiven(args, name) && name != "help" &&
        name != "version") {
      args.push_back("--" + name + "=" + variable->second);
    }
  }
  return args;
}

/// "--name=value" in two: CLI11 takes "--name=" for a flag without its value and eats the next one,
/// but an empty value is how a listener is switched off.
std::vector<std::string> SplitAtEquals(const std::vector<std::string>& args) {
  std::vector<std::string> split;
  for (const std::string& arg : args) {
    const std::size_t equals = arg.find('=');
    if (arg.rfind("--", 0) == 0 && equals != std::string::npos) {
      split.push_back(arg.substr(0, equals));
      split.push_back(arg.substr(equals + 1));
    } else {
      split.push_back(arg);
    }
  }
  return split;
}

bool IsLoopback(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) >> 24U == 127;
  }
  // Of names only this one: "127.example.com" is whatever its owner says.
  return host == "localhost" ||
         (inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6));
}

std::string DefaultSocket() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  return DefaultSocketPath(geteuid() == 0, std::getenv("XDG_RUNTIME_DIR"));
}

/// What is wrong with the options, and in which file if it is not in `args`.
std::string ParseProblem(const CLI::App& app, const CLI::ParseError& error,
                         const std::vector<std::string>& args) {
  const std::vector<std::string> files = app.get_option("--config")->results();
  const std::string file = files.empty() ? "" : "configuration file " + files.back() + ": ";
  std::string text = terminal::UsageProblem(app, error);
  if (dynamic_cast<const CLI::ConfigError*>(&error) != nullptr) {
    constexpr std::string_view kUnknown = "INI was not able to parse ";
    // CLI11 calls the opening of a table "name.++".
    const bool table = text.find(".++") != std::string::npos;
    if (text.starts_with(kUnknown)) {
      text = "there is no option '" + text.substr(kUnknown.size()) + "'";
    }
    return file + text + (table ? "; it has no [tables]" : "") + "; its keys are the options";
  }
  const std::string flag = text.substr(0, text.find(':'));
  const bool given = std::find(args.begin(), args.end(), flag) != args.end();
  return (text.starts_with("--") && !given ? file : "") + text;
}

tl::unexpected<Error> Bad(std::string text) {
  return Fail(ErrorCode::kInvalidArgument, std::move(text));
}

}  // namespace

Status DaemonConfig::CheckSizes() const {
  if (memory_bytes == 0) {
    return Bad("--memory: how much memory may be used? For instance: cairnd --memory 4GiB");
  }
  if (memory_bytes < kLeastMemory) {
    return Bad("--memory: " + FormatBytes(memory_bytes) + " is too little; give at least " +
               FormatBytes(kLeastMemory));
  }
  if (index_bytes < kMiB) {
    return Bad("--index: give at least 1MiB");
  }
  if (placement_bytes > kMostPlacement) {
    return Bad("--placement-memory: give at most " + FormatBytes(kMostPlacement));
  }
  if (placement_save_ms < kSoonestPlacementSaveMs) {
    return Bad("--placement-save-ms: give at least " + std::to_string(kSoonestPlacementSaveMs));
  }
  if (ssd_path.empty() && ssd_bytes != 0) {
    return Bad("--ssd-path: --ssd is given, but not the directory to use");
  }
  if (!ssd_path.empty() && ssd_bytes == 0) {
    return Bad("--ssd: how much of the disk under " + ssd_path + " may be used?");
  }
  if (!ssd_path.empty() && ssd_bytes < kLeastSsd) {
    return Bad("--ssd: " + FormatBytes(ssd_bytes) + " is too little; give at least " +
               FormatBytes(kLeastSsd));
  }
  if (const auto rules = CodecRules::Parse(ssd_codec); !rules) {
    return Bad("--ssd-codec: " + rules.error().message);
  }
  if (ssd_write_buffer_bytes != 0 &&
      (ssd_write_buffer_bytes < kMiB || ssd_write_buffer_bytes > kGiB)) {
    return Bad("--ssd-write-buffer: give 1MiB to 1GiB, not " + FormatBytes(ssd_write_buffer_bytes));
  }
  return {};
}

Status DaemonConfig::CheckGpu() const {
  const bool fake = gpu == "fake" || gpu.starts_with("fake:");
  if (gpu != "auto" && gpu != "off" && !fake) {
    return Bad("--gpu: '" + gpu + "' is neither auto, off nor fake");
  }
  if (fake && gpu_memory_bytes == 0) {
    return Bad("--gpu-memory: how much memory has the fake GPU?");
  }
  if (gpu_memory_bytes != 0 && gpu_memory_bytes < kLeastGpu) {
    return Bad("--gpu-memory: " + FormatBytes(gpu_memory_bytes) + " is too little; give at least " +
               FormatBytes(kLeastGpu));
  }
  return {};
}

Status DaemonConfig::CheckUcx() const {
  if (ucx != "off" && ucx != "auto" && ucx != "on") {
    return Bad("--ucx: '" + ucx + "' is neither off, auto nor on");
  }
  if (ucx_tls.empty() || ucx == "off") {
    return {};
  }
  if (const Status safe = ucx::CheckTransports(ucx_tls, ucx_allow_insecure_tcp); !safe) {
    return Bad("--ucx-tls: " + safe.error().message);
  }
  return {};
}

Status DaemonConfig::FinishListening() {
  if (listen_unix.empty()) {
    listen_unix = DefaultSocket();
  }
  if (listen_unix.rfind("unix:", 0) == 0) {
    listen_unix = listen_unix.substr(5);
  }
  if (const auto parsed = ParseEndpoint("unix:" + listen_unix); !parsed) {
    return Bad("--listen-unix: " + parsed.error().message);
  }
  for (const auto& [flag, text] :
       {std::pair{"--listen-tcp", &listen_tcp}, std::pair{"--listen-http", &listen_http}}) {
    if (text->empty()) {
      continue;
    }
    const auto parsed = ParseEndpoint(*text);
    if (!parsed || parsed->kind != Endpoint::Kind::kTcp) {
      return Bad(std::string(flag) + ": '" + *text + "' is not host:port");
    }
    if (!IsLoopback(parsed->host) && !tls.on() && !allow_insecure_tcp) {
      return Bad(std::string(flag) + ": " + *text +
                 " can be reached by other hosts, and would be in plain text; give --tls-cert, "
                 "--tls-key and --tls-ca (to try it, cairnctl cert dev makes all three), use "
                 "127.0.0.1, or set --allow-insecure-tcp true on a closed network");
    }
  }
  return tls.Check();
}

Status DaemonConfig::FinishThreads() {
  const auto cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  threads = threads == 0 ? std::min(4, cores) : threads;
  for (const auto& [flag, value, most] :
       {std::tuple{"--threads", threads, 256}, std::tuple{"--workers", workers, 256},
        std::tuple{"--ssd-readers", ssd_readers, 64}}) {
    if (value < 1 || value > most) {
      return Bad(std::string(flag) + ": give 1 to " + std::to_string(most));
    }
  }
  if (max_connections == 0 || lease_ms == 0) {
    return Bad("--max-connections and --lease-ms must be positive");
  }
  return {};
}

Status DaemonConfig::FinishSizes() {
  staging_bytes = staging_bytes != 0 ? RoundUp(staging_bytes, 64 * kKiB)
                                     : std::clamp(memory_bytes / 64, kMiB, 16 * kMiB);
  if (!ssd_path.empty() && ssd_write_buffer_bytes == 0) {
    ssd_write_buffer_bytes = std::clamp(memory_bytes / 64, 4 * kMiB, 64 * kMiB);
  }
  if (staging_pool_bytes() + 2 * ssd_write_buffer_bytes + 2 * kMiB > memory_bytes) {
    return Bad("--memory: " + FormatBytes(memory_bytes) +
               " is used up by --staging and --ssd-write-buffer; make those smaller");
  }
  if (ssd_queue_bytes == 0) {
    ssd_queue_bytes = arena_bytes() / 4;
  }
  return {};
}

std::vector<std::string> DaemonConfig::WithoutEffect() const {
  std::vector<std::string> names;
  const bool ssd = !ssd_path.empty() || ssd_bytes != 0;  // One of them alone is an error.
  const bool gpu_tier = gpu != "off" && gpu_memory_bytes != 0;
  const std::map<std::string, std::string> defaults = DaemonConfig().Shown();
  for (const auto& [name, value] : Shown()) {
    const bool idle = (!ssd && name.starts_with("ssd-")) ||
                      (!gpu_tier && name.starts_with("gpu-")) ||
                      (ucx == "off" && name.starts_with("ucx-"));
    if (idle && value != defaults.at(name)) {
      names.push_back(name);
    }
  }
  return names;
}

Status DaemonConfig::Finish() {
  Status good = CheckSizes();
  good = good ? CheckGpu() : good;
  good = good ? CheckUcx() : good;
  good = good ? FinishListening() : good;
  good = good ? FinishThreads() : good;
  good = good ? FinishSizes() : good;
  good = good ? CacheConfig().Validate() : good;
  if (!good) {
    return good;
  }
  if (const Status known = CheckPlannerName(planner); !known) {
    return Bad("--planner: " + known.error().message);
  }
  if (const auto e = MakeEvictionPolicy(eviction); !e) {
    return Bad("--eviction: " + e.error().message);
  }
  return CheckMembers();
}

std::uint64_t DaemonConfig::staging_pool_bytes() const {
  return std::max(memory_bytes / 8, staging_bytes);
}

std::uint64_t DaemonConfig::arena_bytes() const {
  const std::uint64_t rest =
      memory_bytes - staging_pool_bytes() - (ssd_path.empty() ? 0 : 2 * ssd_write_buffer_bytes);
  return rest / (2 * kMiB) * (2 * kMiB);
}

Cache::Config DaemonConfig::CacheConfig() const {
  Cache::Config c;
  c.host_bytes = arena_bytes();
  c.huge_pages = huge_pages;
  c.index_bytes = index_bytes;
  c.planner = planner;
  c.eviction = eviction;
  c.placement_bytes = placement_bytes;
  c.lease_time = std::chrono::milliseconds(lease_ms);
  c.cold_queue_bytes = ssd_queue_bytes;
  c.cold_flush_every = std::chrono::milliseconds(ssd_flush_ms);
  c.cold_read_threads = ssd_readers;
  c.cold_codecs = ssd_codec;
  return c;
}

SsdConfig DaemonConfig::Ssd() const {
  SsdConfig c;
  c.path = ssd_path;
  c.capacity_bytes = ssd_bytes;
  c.write_buffer_bytes = ssd_write_buffer_bytes;
  c.min_free_bytes = ssd_min_free_bytes;
  c.direct_io = ssd_direct_io;
  c.read_threads = ssd_readers;
  return c;
}

Status DaemonConfig::CheckMembers() const {
  if (members.empty()) {
    return {};
  }
  const auto named = NamedMembers(members);
  if (!named) {
    return Bad("--members: " + named.error().message);
  }
  for (const Member& member : *named) {
    if (const auto endpoint = ParseEndpoint(member.endpoint); !endpoint) {
      return Bad("--members: " + endpoint.error().message);
    }
  }
  return {};
}

Result<std::unique_ptr<Membership>> DaemonConfig::MakeMembership() const {
  const std::string self = "unix:" + listen_unix;
  return cairn::MakeMembership(members, {.name = self, .endpoint = self}, {.resolve = ResolveHost});
}

std::map<std::string, std::string> DaemonConfig::Shown() const {
  const auto yes = [](bool b) { return std::string(b ? "true" : "false"); };
  std::map<std::string, std::string> shown = {
      {"memory", std::to_string(memory_bytes)},
      {"arena", std::to_string(arena_bytes())},
      {"staging-pool", std::to_string(staging_pool_bytes())},
      {"index", std::to_string(index_bytes)},
      {"staging", std::to_string(staging_bytes)},
      {"huge-pages", yes(huge_pages)},
      {"prefault", yes(prefault)},
      {"ssd-path", ssd_path},
      {"ssd", std::to_string(ssd_bytes)},
      {"ssd-write-buffer", std::to_string(ssd_write_buffer_bytes)},
      {"ssd-min-free", std::to_string(ssd_min_free_bytes)},
      {"ssd-queue", std::to_string(ssd_queue_bytes)},
      {"ssd-codec", ssd_codec},
      {"ssd-direct-io", yes(ssd_direct_io)},
      {"ssd-readers", std::to_string(ssd_readers)},
      {"ssd-flush-ms", std::to_string(ssd_flush_ms)},
      {"gpu", gpu},
      {"gpu-memory", std::to_string(gpu_memory_bytes)},
      {"gpu-device", std::to_string(gpu_device)},
      {"listen-unix", listen_unix},
      {"listen-tcp", listen_tcp},
      {"listen-http", listen_http},
      {"allow-insecure-tcp", yes(allow_insecure_tcp)},
      {"ucx", ucx},
      {"ucx-tls", ucx_tls},
      {"ucx-allow-insecure-tcp", yes(ucx_allow_insecure_tcp)},
      {"planner", planner},
      {"eviction", eviction},
      {"placement-memory", std::to_string(placement_bytes)},
      {"placement-file", placement_file},
      {"placement-save-ms", std::to_string(placement_save_ms)},
      {"members", members},
      {"threads", std::to_string(threads)},
      {"workers", std::to_string(workers)},
      {"max-connections", std::to_string(max_connections)},
      {"lease-ms", std::to_string(lease_ms)},
      {"drain-ms", std::to_string(drain_ms)},
      {"log-level", log_level}};
  tls.AddShown(shown);
  return shown;
}

ParsedConfig ParseConfig(const std::vector<std::string>& args,
                         const std::map<std::string, std::string>& environment) {
  ParsedConfig parsed;
  CLI::App app("cairnd: keeps checkpoints and KV blocks for language model engines", "cairnd");
  AddOptions(app, parsed.config);
  parsed.unknown_variables = UnknownVariables(app, environment);
  // CLI11 takes its arguments last to first.
  const std::vector<std::string> given = SplitAtEquals(WithEnvironment(app, args, environment));
  std::vector<std::string> all(given.rbegin(), given.rend());
  try {
    app.parse(all);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream out;
      app.exit(error, out, out);
      parsed.exit_code = 0;
      parsed.message = out.str();
      return parsed;
    }
    parsed.exit_code = 2;
    parsed.message = "cairnd: " + ParseProblem(app, error, given) + "; see cairnd --help\n";
    return parsed;
  }
  parsed.without_effect = parsed.config.WithoutEffect();
  parsed.tls_by_variable = parsed.config.tls.on() && environment.contains("CAIRN_TLS_CERT") &&
                           !IsGiven(args, "tls-cert");
  if (const Status finished = parsed.config.Finish(); !finished) {
    parsed.exit_code = 2;
    parsed.message = "cairnd: " + finished.error().message + "\n";
  }
  return parsed;
}

}  // namespace cairn::server
