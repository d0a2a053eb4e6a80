#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
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
  /// Looks whether the files changed, and reads them then; files that were no good it reads each
  /// time, since they may become so by themselves: their time may come, or who may read them
  /// changes. Errors: those of TlsCredentials::Load, once for each state of the files unless there
  /// never were good ones; the credentials there were stay.
  Result<Change> Refresh() CAIRN_EXCLUDES(mu_);
  /// What there is, after a Refresh if the last one is a second or more ago. Errors: those of
  /// TlsCredentials::Load, if there never were good files.
  Result<Credentials> Get() CAIRN_EXCLUDES(mu_);
  /// What there is; null before the first success.
  [[nodiscard]] Credentials Current() const CAIRN_EXCLUDES(mu_);

 private:
  // Of each file: device, inode, size, times of change of its content and of anything about it, in
  // nanoseconds. Zeros: not there.
  using State = std::array<std::array<std::int64_t, 5>, 3>;
  [[nodiscard]] State Look() const;

  const Options options_;
  const Clock& clock_;
  mutable Mutex mu_;
  Credentials current_ CAIRN_GUARDED_BY(mu_);
  State loaded_ CAIRN_GUARDED_BY(mu_) = {};          // Of current_'s files.
  State seen_ CAIRN_GUARDED_BY(mu_) = {};            // By the latest look.
  std::optional<State> told_ CAIRN_GUARDED_BY(mu_);  // Of the failure that was told last.
  TimePoint looked_ CAIRN_GUARDED_BY(mu_);
};

}  // namespace cairn
