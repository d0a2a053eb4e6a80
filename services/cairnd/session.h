#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "libcache/base/mutex.h"
#include "libcache/cache/cache.h"
#include "services/cairnd/connection.h"
#include "services/cairnd/crowd.h"
#include "services/cairnd/staging.h"
#include "services/cairnd/tls_gate.h"
#include "services/cairnd/ucx.h"

namespace cairn::server {

/// Which control connection a data connection belongs to. Thread-safe.
class TokenRegistry {
 public:
  /// A fresh random token for `session`, good for peers of the same identity ("" without TLS).
  std::string Issue(SessionId session, const std::string& identity) CAIRN_EXCLUDES(mu_);
  void Revoke(const std::string& token) CAIRN_EXCLUDES(mu_);
  [[nodiscard]] std::optional<SessionId> Find(const std::string& token,
                                              const std::string& identity) const
      CAIRN_EXCLUDES(mu_);

 private:
  struct Owner {
    SessionId session = 0;
    std::string identity;
  };
  mutable Mutex mu_;
  std::unordered_map<std::string, Owner> sessions_ CAIRN_GUARDED_BY(mu_);
};

/// What all sessions of a daemon share. Outlives them.
struct SessionContext {
  Crowd newcomers;  ///< Those that have not said Hello.
  Cache* cache = nullptr;
  ThreadPool* workers = nullptr;
  StagingPool* staging = nullptr;
  TokenRegistry* tokens = nullptr;
  TlsGate* tls = nullptr;  ///< Null: TCP is plain text.
  std::uint32_t lease_ms = 0;
  bool has_device = false;  ///< There is, or was, a GPU tier: ...
  v1::Device device;        ///< ... this one.
  /// Answers an admin request; called on the workers.
  std::function<Result<v1::AdminReply>(const v1::AdminRequest&)> admin;
  UcxService* ucx = nullptr;  ///< Null: off.
  std::atomic<std::uint64_t> refused_frames{0};
  std::atomic<std::uint32_t> shm_connections{0};     ///< That have the arena mapped.
  std::atomic<std::uint32_t> stream_connections{0};  ///< For payload.
  std::atomic<std::uint32_t> awaiting_end{0};        ///< Connections that asked for the drain.
  std::atomic<bool> drained{false};                  ///< It is over, and ...
  std::atomic<bool> drain_cut_off{false};            ///< ... something did not get done.
};

/// One connection of an engine: control messages, or the payload of the stream plane. A session
/// stays on its I/O thread; one request is served at a time, so replies are in order. A client that
/// wants more in flight opens more connections.
class Session : public std::enable_shared_from_this<Session> {
 public:
  /// `local`: a Unix socket whose peer runs as `peer_uid`. `reserved`: in a place that is kept for
  /// administration.
  struct Origin {
    bool local = false;
    unsigned peer_uid = 0;
    bool reserved = false;
  };
  Session(SessionContext& context, StreamSocket socket, const Origin& origin);
  /// Whether that user may administer the daemon by the Unix socket.
  static bool MayAdminister(unsigned uid);

  /// Takes its place among the newcomers, until it has said Hello. Before Run, as soon as it
  /// counts.
  void Arrive();
  /// Serves until the peer goes. Leases, reservations and pins of the session end with it.
  asio::awaitable<void> Run();
  /// From the session's own thread only.
  void Close() { connection_.Close(); }
  /// Whoever asked for the drain learns of its end by the end of the connection. From the session's
  /// own thread only.
  [[nodiscard]] bool AwaitsEnd() const { return awaits_end_; }

 private:
  /// TLS, where this connection must have it. False: it is over.
  asio::awaitable<bool> Secure();
  /// In whose name a namespace is opened that the peer asks for as `asked`'s. Errors:
  /// kPermissionDenied.
  [[nodiscard]] Result<std::string> TenantFor(const std::string& asked) const;
  asio::awaitable<bool> Greet();
  /// Errors: why a peer that says this is not let in.
  [[nodiscard]] Status Admit(const v1::Request& request);
  asio::awaitable<void> ServeControl();
  asio::awaitable<void> ServeData();
  asio::awaitable<Status> Refuse(const v1::Request& request, const Error& error);

  asio::awaitable<Status> Answer(const v1::Request& request, v1::Response& response);
  Status AnswerAtOnce(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> Attach(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> AttachDevice(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> HandleUcx(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> HandleUcxGet(const v1::UcxGet& get);
  asio::awaitable<Status> HandleUcxPut(const v1::UcxPut& put);
  asio::awaitable<Status> AttachUcx(const v1::AttachUcx& attach, v1::AttachUcxReply& reply);
  /// The peer has shown who it is, and is as trusted as UCX asks for.
  [[nodiscard]] bool MayUseUcx() const {
    return context_.ucx != nullptr && (peer_ ? peer_->is_named : admin_allowed_);
  }
  asio::awaitable<Status> HandleFetch(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> HandleWrite(const v1::Write& write);
  asio::awaitable<Status> HandleCommit(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> HandleAdmin(const v1::Request& request, v1::Response& response);
  asio::awaitable<Status> HandleOpen(const v1::OpenNamespace& open, v1::Response& response);
  asio::awaitable<Status> HandleReportCorrupt(const v1::ReportCorrupt& report);
  Status HandleMatch(const v1::Match& match, v1::MatchReply& reply);
  Status HandleReserve(const v1::Reserve& reserve, v1::ReserveReply& reply);
  Status HandleObserve(const v1::Observe& observe);
  asio::awaitable<Status> StreamOut(const v1::Request& request);
  asio::awaitable<Status> StreamIn(const v1::Request& request);

  SessionContext& context_;
  Connection connection_;
  const bool local_;
  const bool reserved_;
  bool admin_allowed_;
  bool admin_only_ = false;
  bool greeted_ = false;
  bool awaits_end_ = false;
  Crowd::Slot newcomer_;           // Until then.
  std::optional<TlsPeer> peer_;    // By TLS: who it is.
  std::optional<Error> stranger_;  // Why nobody is let in with that certificate.
  SessionId session_ = 0;
  bool data_ = false;
  std::string token_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<UcxPeer> ucx_;
  std::unordered_map<NamespaceId, std::uint32_t> namespaces_;  // With the grid of this engine.
  std::vector<PrefixKey> keys_;                                // Reused between matches.
};

}  // namespace cairn::server
