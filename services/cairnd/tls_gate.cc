#include "services/cairnd/tls_gate.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "libcache/base/check.h"
#include "libcache/transport/certificates.h"

namespace cairn::server {
namespace {

constexpr std::chrono::seconds kTellEvery{1};
constexpr std::int64_t kSoonSeconds = 30 * 86'400;

void LogCredentials(const char* event, const TlsCredentials& credentials) {
  spdlog::info("{} identity={} expires=\"{}\" kernel={}", event, credentials.identity(),
               FormatUnixTime(credentials.validity().not_after),
               credentials.kernel_tls() ? "wanted" : "off");
  if (!credentials.warning().empty()) {
    spdlog::warn("tls_warning reason=\"{}\"", credentials.warning());
  }
}

/// What a refusal means where nothing more is known.
const char* ReasonOf(TlsOutcome outcome) {
  switch (outcome) {
    case TlsOutcome::kNoTls: return "it speaks plain text: it was given no certificates";
    case TlsOutcome::kTimeout: return "its handshake took too long";
    case TlsOutcome::kCrowded:
      return "as many handshakes as --tls-handshakes allows were under way, and this was the "
             "oldest";
    case TlsOutcome::kProtocol: return "it closed the connection in the middle of the handshake";
    default: return "";
  }
}

/// The last 30 days of a certificate, or the last sixth if it lives shorter: some live for an hour,
/// and are renewed at two thirds.
bool EndsSoon(const TlsValidity& validity, std::int64_t now) {
  const std::int64_t sixth = (validity.not_after - validity.not_before) / 6;
  return validity.not_after - now < std::min(kSoonSeconds, sixth);
}

}  // namespace

std::string_view TlsOutcomeName(TlsOutcome outcome) {
  switch (outcome) {
    case TlsOutcome::kOk: return "ok";
    case TlsOutcome::kNoTls: return "plain_text";
    case TlsOutcome::kProtocol: return "protocol";
    case TlsOutcome::kCertificate: return "certificate";
    case TlsOutcome::kIdentity: return "identity";
    case TlsOutcome::kTimeout: return "timeout";
    case TlsOutcome::kCrowded: return "crowded";
    case TlsOutcome::kClosed: return "closed";
  }
  return "";
}

TlsGate::TlsGate(const TlsConfig& config)
    : most_handshakes_(config.handshakes),
      store_({.files = config.Files(),
              .names = TlsConfig::Names(),
              .role = TlsCredentials::Role::kServer,
              .kernel_tls = config.kernel}) {}

Result<std::unique_ptr<TlsGate>> TlsGate::Open(const TlsConfig& config) {
  auto tenants = TenantMap::Parse(config.tenants);
  auto admins = ParseIdentities(config.admins);
  CAIRN_CHECK(tenants.has_value() && admins.has_value());  // TlsConfig::Check has seen them.
  std::unique_ptr<TlsGate> gate(new TlsGate(config));
  gate->tenants_ = std::move(*tenants);
  gate->admins_ = std::move(*admins);
  if (const auto loaded = gate->store_.Refresh(); !loaded) {
    return Fail(loaded.error());
  }
  LogCredentials("tls_on", *gate->credentials());
  gate->NoteExpiry();
  return gate;
}

Result<TlsPeer> TlsGate::Admit(const std::string& identity) const {
  if (identity.empty()) {
    return Fail(ErrorCode::kPermissionDenied,
                "the certificate names nobody: it needs one SPIFFE ID (a URI spiffe://...) or a "
                "DNS name");
  }
  const auto tenant = tenants_.TenantOf(identity);
  TlsPeer peer{.identity = identity,
               .tenant = tenant.value_or(""),
               .is_admin = std::find(admins_.begin(), admins_.end(), identity) != admins_.end(),
               .is_named = tenant.has_value()};
  if (tenants_.empty() && !peer.is_admin) {
    peer.tenant = "default";
  }
  if (peer.tenant.empty() && !peer.is_admin) {
    return Fail(ErrorCode::kPermissionDenied,
                "'" + identity + "' belongs to no tenant; add it to the daemon's --tls-tenants");
  }
  return peer;
}

Crowd::Slot TlsGate::Enter(std::function<void()> drop) {
  if (under_way_.size() >= most_handshakes_) {
    under_way_.DropOldest();
  }
  return under_way_.Enter(std::move(drop));
}

void TlsGate::Count(TlsOutcome outcome, const std::string& why, const std::string& peer) {
  outcomes_[static_cast<std::size_t>(outcome)] += 1;
  if (outcome == TlsOutcome::kOk || outcome == TlsOutcome::kClosed) {
    return;
  }
  std::uint64_t before = 0;
  {
    const MutexLock lock(mu_);
    const TimePoint now = SteadyClock::Instance().Now();
    if (told_ != TimePoint{} && now - told_ < kTellEvery) {
      ++untold_;
      return;
    }
    told_ = now;
    before = std::exchange(untold_, 0);
  }
  spdlog::info("tls_refused result={} peer={} reason=\"{}\" untold={}", TlsOutcomeName(outcome),
               peer, why.empty() ? ReasonOf(outcome) : why, before);
}

void TlsGate::NoteKernel(bool kernel_sends) {
  if (!kernel_noted_.exchange(true)) {
    spdlog::info("tls_kernel state={}",
                 kernel_sends ? "on" : "off: the kernel has no TLS (tls.ko)");
  }
}

void TlsGate::NoteExpiry() {
  const TlsValidity validity = credentials()->validity();
  const std::int64_t now = UnixNow();
  bool over = false;
  {
    const MutexLock lock(mu_);
    over = validity.not_after < now;
    std::int64_t& told = over ? over_told_ : soon_told_;
    if (told == validity.not_after || (!over && !EndsSoon(validity, now))) {
      return;
    }
    told = validity.not_after;
  }
  const std::string end = FormatUnixTime(validity.not_after);
  if (over) {
    spdlog::error(
        "tls_expired at=\"{}\" effect=\"nobody can connect any more: renew it, or its CA\"", end);
  } else {
    spdlog::warn("tls_expires_soon at=\"{}\" seconds={}", end, validity.not_after - now);
  }
}

void TlsGate::Refresh() {
  const auto change = store_.Refresh();
  if (!change) {
    failed_reloads_ += 1;
    spdlog::error("tls_not_reloaded reason=\"{}\" effect=\"the certificate there was stays\"",
                  change.error().message);
  } else if (*change == TlsStore::Change::kNew) {
    reloads_ += 1;
    LogCredentials("tls_reloaded", *credentials());
  }
  NoteExpiry();
}

TlsStats TlsGate::Stats() const {
  TlsStats stats;
  stats.on = true;
  std::transform(outcomes_.begin(), outcomes_.end(), stats.handshakes.begin(),
                 [](const auto& count) { return count.load(); });
  stats.reloads = reloads_;
  stats.failed_reloads = failed_reloads_;
  stats.validity = credentials()->validity();
  stats.half_open = under_way_.size();
  return stats;
}

}  // namespace cairn::server
