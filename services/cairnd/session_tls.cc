// Who a peer is that came by TLS, and in whose name it speaks.
#include <boost/asio/post.hpp>

#include "services/cairnd/session.h"
#include "services/cairnd/tcp_socket.h"

namespace cairn::server {
namespace {

constexpr std::chrono::seconds kHandshakeLimit{5};
// What connectors say that were not told a tenant.
constexpr const char* kUnsaid = "default";

}  // namespace

asio::awaitable<bool> Session::Secure() {
  TlsGate& gate = *context_.tls;
  const std::string from = PeerAddress(connection_.socket().native_handle());
  const auto executor = connection_.socket().get_executor();
  const auto crowded = std::make_shared<bool>(false);
  Crowd::Slot slot = gate.Enter([weak = weak_from_this(), executor, crowded] {
    asio::post(executor, [weak, crowded] {
      if (const auto session = weak.lock()) {
        *crowded = true;
        session->Close();
      }
    });
  });
  const auto credentials = gate.credentials();  // They may be replaced meanwhile.
  const TlsCredentials& current = *credentials;
  auto outcome = co_await connection_.Secure(current, kHandshakeLimit);
  slot = Crowd::Slot();
  if (*crowded) {
    outcome = TlsOutcome::kCrowded;
  }
  if (outcome == TlsOutcome::kOk) {
    if (current.kernel_tls()) {
      gate.NoteKernel(connection_.tls()->KernelSends());
    }
    auto peer = gate.Admit(connection_.tls()->peer_identity());
    if (peer) {
      admin_allowed_ = peer->is_admin;
      peer_ = std::move(*peer);
    } else {
      outcome = TlsOutcome::kIdentity;  // To be told in answer to Hello.
      stranger_ = peer.error();
    }
  }
  const TlsConnection* const tls = connection_.tls();
  gate.Count(outcome,
             stranger_        ? stranger_->message
             : tls == nullptr ? ""
                              : tls->error().message,
             from);
  if (outcome == TlsOutcome::kNoTls) {
    v1::Request request;
    request.set_id(1);
    const Error why{ErrorCode::kPermissionDenied,
                    "this port speaks TLS: give --tls-ca, --tls-cert and --tls-key (CAIRN_TLS_CA, "
                    "CAIRN_TLS_CERT, CAIRN_TLS_KEY; tls_ca, tls_cert, tls_key in the library)"};
    const auto refused = co_await Refuse(request, why);
    static_cast<void>(refused);
  }
  co_return peer_ || stranger_;
}

Result<std::string> Session::TenantFor(const std::string& asked) const {
  if (!peer_) {
    return asked;
  }
  if (peer_->tenant.empty()) {
    return Fail(ErrorCode::kPermissionDenied, "'" + peer_->identity +
                                                  "' may administer, but belongs to no tenant; "
                                                  "show an engine's certificate, or name it in "
                                                  "--tls-tenants beside those of the engines");
  }
  if (asked.empty() || asked == kUnsaid || asked == peer_->tenant) {
    return peer_->tenant;
  }
  return Fail(ErrorCode::kPermissionDenied, "tenant: '" + peer_->identity +
                                                "' belongs to tenant '" + peer_->tenant +
                                                "', and to no other; leave the tenant empty");
}

}  // namespace cairn::server
