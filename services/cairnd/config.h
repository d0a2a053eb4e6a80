#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/cache/cache.h"
#include "libcache/cluster/membership.h"
#include "libcache/tier/ssd_tier.h"
#include "libcache/transport/endpoint.h"
#include "services/cairnd/tls_config.h"

namespace cairn::server {

/// Everything a daemon can be told. Each field is a flag, a CAIRN_* variable and a key of the TOML
/// file of the same name (docs/operations.md has the table); flag beats variable beats file.
struct DaemonConfig {
  // Memory. `memory_bytes` is the one size needed: arena, staging and SSD write buffers share it.
  std::uint64_t memory_bytes = 0;
  std::uint64_t index_bytes = 64 * kMiB;
  std::uint64_t staging_bytes = 0;  ///< Per connection; 0: memory / 64 within [1, 16] MiB.
  bool huge_pages = true;
  bool prefault = true;  ///< Take the arena's memory at start, in the background.

  // SSD; off without a path.
  std::string ssd_path;
  std::uint64_t ssd_bytes = 0;
  std::uint64_t ssd_write_buffer_bytes = 0;  ///< 0: memory / 64 within [4, 64] MiB.
  std::uint64_t ssd_min_free_bytes = 64 * kMiB;
  bool ssd_direct_io = true;
  std::uint64_t ssd_queue_bytes = 0;  ///< 0: a quarter of the arena.
  std::string ssd_codec = "none";     ///< CodecRules.

  // GPU; off without memory for it: what an engine needs there is for its operator to say.
  std::string gpu = "auto";  ///< "off", "auto", or "fake" for tests.
  std::uint64_t gpu_memory_bytes = 0;
  std::uint32_t gpu_device = 0;

  // Listening. Empty: off.
  std::string listen_unix;
  std::string listen_tcp = "127.0.0.1:7411";
  std::string listen_http = "127.0.0.1:7412";
  bool allow_insecure_tcp = false;
  TlsConfig tls;

  // UCX. Off, because engines of this host have shared memory, which is faster.
  std::string ucx = "off";  ///< "off", "auto" or "on".
  std::string ucx_tls;      ///< Transports; empty: see UcxService::Config.
  bool ucx_allow_insecure_tcp = false;

  std::string planner = "turn_end_demand";
  std::string eviction = "value";
  std::uint64_t placement_bytes = 32 * kMiB;  ///< For what the planner trie learns.
  std::string placement_file;  ///< Empty: `placement` under ssd_path; without one, nowhere.
  std::uint32_t placement_save_ms = 300'000;  ///< What a crash may cost of what was learned.
  std::string members;  ///< Comma-separated [name=]endpoint of all daemons, this one included.

  int threads = 0;  ///< I/O threads; 0: one per core, at most 4.
  int workers = 2;  ///< Threads for copying and hashing.
  int ssd_readers = 2;
  std::uint32_t max_connections = 1024;
  std::uint32_t lease_ms = 30'000;
  std::uint32_t drain_ms = 5'000;
  std::uint32_t ssd_flush_ms = 2'000;
  std::string log_level = "info";

  // Derived by Finish().
  [[nodiscard]] std::uint64_t staging_pool_bytes() const;
  [[nodiscard]] std::uint64_t arena_bytes() const;
  [[nodiscard]] Cache::Config CacheConfig() const;
  [[nodiscard]] SsdConfig Ssd() const;
  /// Of a config that Finish() has checked. Errors: kUnavailable.
  [[nodiscard]] Result<std::unique_ptr<Membership>> MakeMembership() const;
  /// Name -> value, as cairnctl config shows it.
  [[nodiscard]] std::map<std::string, std::string> Shown() const;

  /// Of what was set, the names that do nothing because the tier they belong to is off. To be asked
  /// before Finish().
  [[nodiscard]] std::vector<std::string> WithoutEffect() const;
  /// Fills in defaults that depend on others and checks all. Errors: kInvalidArgument naming the
  /// flag and what to write instead.
  Status Finish();

 private:
  [[nodiscard]] Status CheckSizes() const;
  [[nodiscard]] Status CheckGpu() const;
  [[nodiscard]] Status CheckUcx() const;
  [[nodiscard]] Status CheckMembers() const;
  Status FinishListening();
  Status FinishThreads();
  Status FinishSizes();
};

struct ParsedConfig {
  DaemonConfig config;
  /// Set when the program should print this and end: --help, --version, or a usage error.
  std::optional<int> exit_code;
  std::string message;
  /// CAIRN_* variables that are neither options nor known to our other programs: misspelt, most
  /// likely, and without effect.
  std::vector<std::string> unknown_variables;
  std::vector<std::string> without_effect;  ///< DaemonConfig::WithoutEffect.
  /// The certificate is that of CAIRN_TLS_CERT, which clients read as well: it may be one of
  /// theirs.
  bool tls_by_variable = false;
};

/// Reads flags, environment and the file named by --config.
ParsedConfig ParseConfig(const std::vector<std::string>& args,
                         const std::map<std::string, std::string>& environment);

}  // namespace cairn::server
