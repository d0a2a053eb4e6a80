#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"
#include "libcache/transport/tls_credentials.h"

namespace cairn {

/// Keeps the credentials in three files, and reads them again when a file changed, so that
/// certificates are renewed without a restart. Connections that are there keep what they were made
/// with. New files that are no good change nothing. Thread-safe.
class TlsStore {
 public:
  struct Options {
    TlsFiles files;
    TlsFiles names;  ///< As for TlsCredentials::Load.
    TlsCredentials::Role role = TlsCredentials::Role::kClient;
    bool kernel_tls = false;
  };
  explicit TlsStore(Options options, const Clock& clock = SteadyClock::Instance());

  using Credentials = std::shared_ptr<const TlsCredentials>;
  enum class Change { kNone, kNew };
  /// Looks whether the files changed, and reads them then. Errors: those of TlsCredentials::Load,
  /// once for each state of the files; the credentials there were stay.
  Result<Change> Refresh() CAIRN_EXCLUDES(mu_);
  /// What there is, after a Refresh if the last one is a second or more ago. Errors: those of
  /// TlsCredentials::Load, if there never were good files.
  Result<Credentials> Get() CAIRN_EXCLUDES(mu_);
  /// What there is; null before the first success.
  [[nodiscard]] Credentials Current() const CAIRN_EXCLUDES(mu_);

 private:
  // Of each file: device, inode, size, time of change in nanoseconds. Zeros: not there.
  using State = std::array<std::array<std::int64_t, 4>, 3>;
  [[nodiscard]] State Look() const;

  const Options options_;
  const Clock& clock_;
  mutable Mutex mu_;
  Credentials current_ CAIRN_GUARDED_BY(mu_);
  State seen_ CAIRN_GUARDED_BY(mu_) = {};
  TimePoint looked_ CAIRN_GUARDED_BY(mu_);
};

}  // namespace cairn
