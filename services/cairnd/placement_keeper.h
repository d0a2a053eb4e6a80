#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "libcache/base/mutex.h"
#include "libcache/cache/cache.h"

namespace cairn::server {

/// Keeps what the planner has learned in a file over restarts, and says in the log how that goes.
/// A file that cannot be written costs what was learned since the last save, never the daemon.
class PlacementKeeper {
 public:
  /// Reads the file, if there is one; from now on Save writes it. A damaged one is put aside, one
  /// that may be sound but cannot be read is left alone: then nothing is kept. `cache` outlives
  /// this. To be called once, before any other call.
  void Load(Cache* cache, const std::string& path);
  [[nodiscard]] bool keeps() const { return !path_.empty(); }
  /// Replaces the file; when that fails the one before is still there. Thread-safe.
  void Save() CAIRN_EXCLUDES(mu_);
  [[nodiscard]] std::uint64_t failed_saves() const { return failed_saves_; }

 private:
  Cache* cache_ = nullptr;
  std::string path_;  // Empty: what is learned ends with the process.
  Mutex mu_;          // Of the file.
  bool last_failed_ CAIRN_GUARDED_BY(mu_) = false;
  std::atomic<std::uint64_t> failed_saves_{0};
};

}  // namespace cairn::server
