#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"
#include "libcache/transport/tenant_map.h"
#include "libcache/transport/tls_store.h"
#include "services/cairnd/crowd.h"
#include "services/cairnd/tls_config.h"

namespace cairn::server {

/// Who is at the other end of a TLS connection, and what it may do.
struct TlsPeer {
  std::string identity;
  std::string tenant;  ///< Empty: none, it may only administer.
  bool is_admin = false;
  bool is_named = false;  ///< --tls-tenants has an entry for it, so that the operator vouches.
};

/// What became of a handshake.
enum class TlsOutcome {
  kOk,
  kNoTls,        ///< Plain text.
  kProtocol,     ///< Garbage, an older TLS, closed half-way.
  kCertificate,  ///< None, expired, or of another CA.
  kIdentity,     ///< A good certificate of somebody we do not know.
  kTimeout,
  kCrowded,  ///< Too many at once, and it was the one that had taken longest.
  kClosed,   ///< Gone before it said anything, as probes of a port do.
};
inline constexpr std::size_t kTlsOutcomes = 8;
/// As metrics name it.
std::string_view TlsOutcomeName(TlsOutcome outcome);

struct TlsStats {
  bool on = false;
  std::array<std::uint64_t, kTlsOutcomes> handshakes{};
  std::uint64_t half_open = 0;
  std::uint64_t reloads = 0;
  std::uint64_t failed_reloads = 0;
  TlsValidity validity;
};

/// All that the TLS ports of a daemon have in common: certificates, which are read again when their
/// files change; whom to let in; and a bound on handshakes under way. Thread-safe.
class TlsGate {
 public:
  /// Errors: those of TlsCredentials::Load.
  static Result<std::unique_ptr<TlsGate>> Open(const TlsConfig& config);

  [[nodiscard]] TlsStore::Credentials credentials() const { return store_.Current(); }
  /// Errors: kPermissionDenied, in words for the peer: its certificate is good, but nobody's.
  [[nodiscard]] Result<TlsPeer> Admit(const std::string& identity) const;

  /// Lets a handshake begin, which is over when the slot goes. Where there are as many as may be,
  /// the oldest is dropped for it.
  Crowd::Slot Enter(std::function<void()> drop);
  /// Counts, and tells the log of refusals, once a second at most. `why` may come from a peer;
  /// empty: what the outcome says by itself. `peer` is its address.
  void Count(TlsOutcome outcome, const std::string& why, const std::string& peer)
      CAIRN_EXCLUDES(mu_);

  /// The log is told, once, whether --tls-kernel has an effect.
  void NoteKernel(bool kernel_sends);

  /// Looks for new certificates, and logs what came of it, and when those there are come to their
  /// end. Reads files.
  void Refresh();
  [[nodiscard]] TlsStats Stats() const;

 private:
  explicit TlsGate(const TlsConfig& config);
  /// Tells the log, once for each certificate and each of the two, that it ends soon or has ended.
  void NoteExpiry() CAIRN_EXCLUDES(mu_);

  const std::uint32_t most_handshakes_;
  TlsStore store_;
  TenantMap tenants_;
  std::vector<std::string> admins_;
  std::array<std::atomic<std::uint64_t>, kTlsOutcomes> outcomes_{};
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<std::uint64_t> failed_reloads_{0};
  std::atomic<bool> kernel_noted_{false};
  Crowd under_way_;
  mutable Mutex mu_;
  TimePoint told_ CAIRN_GUARDED_BY(mu_);
  std::uint64_t untold_ CAIRN_GUARDED_BY(mu_) = 0;
  std::int64_t soon_told_ CAIRN_GUARDED_BY(mu_) = 0;  // The end that was told of.
  std::int64_t over_told_ CAIRN_GUARDED_BY(mu_) = 0;
};

}  // namespace cairn::server
