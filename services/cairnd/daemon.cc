#include "services/cairnd/daemon.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/cluster/membership.h"
#include "libcache/tier/prefault.h"
#include "services/cairnd/admin.h"
#include "services/cairnd/gpu.h"
#include "services/cairnd/http.h"
#include "services/cairnd/listen.h"
#include "services/cairnd/metrics.h"
#include "services/cairnd/placement_keeper.h"
#include "services/cairnd/session.h"
#include "services/cairnd/tcp_socket.h"
#include "services/cairnd/tls_gate.h"
#include "services/cairnd/ucx.h"
#include "services/cairnd/unix_socket.h"

namespace cairn::server {
namespace {

using asio::ip::tcp;

constexpr std::chrono::milliseconds kSweepEvery{200};
constexpr std::chrono::seconds kFlushLimit{60};
constexpr std::chrono::seconds kLookAtCertificatesEvery{1};
constexpr std::chrono::milliseconds kLastAnswers{50};
// After a failed accept; it would fail again at once.
constexpr std::chrono::milliseconds kAcceptPause{100};
// Scrapers and probes are few. Beyond, the oldest is closed, so that neither the descriptors that
// engines need run out nor the places that probes need.
constexpr std::size_t kMaxHttpConnections = 64;
// Beyond --max-connections, for those who may administer the daemon by the Unix socket: probes of
// its health and people who look why it is full.
constexpr std::uint32_t kReservedConnections = 8;
// How long a connection waits in the queue for others to leave that were told to.
constexpr std::chrono::milliseconds kMakeRoomStep{1};
constexpr int kMakeRoomSteps = 200;

/// One thread and its event loop. A session that starts here stays here.
struct IoThread {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread;
};

class DaemonImpl final : public Daemon {
 public:
  explicit DaemonImpl(const DaemonConfig& config)
      : config_(config), staging_(config.staging_pool_bytes(), config.staging_bytes) {}
  ~DaemonImpl() override { StopThreads(); }

  Status Start();
  int Run() override;

 private:
  Status OpenCache();
  Status OpenUcx();
  std::unique_ptr<ColdTier> ReportedSsd(OpenedSsd opened);
  Status Bind();
  template <class Acceptor>
  asio::awaitable<void> Accept(Acceptor& acceptor, bool is_local);
  asio::awaitable<bool> MakeRoom();
  asio::awaitable<void> AcceptHttp();
  asio::awaitable<void> ServePages(tcp::socket socket);
  asio::awaitable<void> Serve(std::shared_ptr<Session> session);
  asio::awaitable<void> Sweep();
  asio::awaitable<void> KeepCertificates();
  void LoadPlacement();
  asio::awaitable<void> KeepPlacement();
  asio::awaitable<void> WaitForSignal();
  asio::awaitable<void> DrainAndStop();
  void RequestDrain();
  /// `all`: also those that wait for the end.
  void CloseSessions(bool all);
  void StopThreads();
  std::string Metrics();

  const DaemonConfig config_;
  const TimePoint started_ = SteadyClock::Instance().Now();
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<Prefaulter> prefaulter_;  // Works on the cache's memory.
  std::unique_ptr<Membership> membership_;
  bool ssd_quarantined_ = false;  // At this start; read only since.
  PlacementKeeper placement_;
  StagingPool staging_;
  TokenRegistry tokens_;
  std::unique_ptr<TlsGate> tls_;  // Null: TCP is plain text.
  AdminContext admin_;
  SessionContext context_;
  HttpPages pages_;
  std::vector<std::unique_ptr<IoThread>> ios_;
  std::unique_ptr<UcxService> ucx_;  // Works on the cache's memory and in the loops.
  std::unique_ptr<ThreadPool> workers_;
  std::unique_ptr<asio::local::stream_protocol::acceptor> unix_;
  std::unique_ptr<tcp::acceptor> tcp_;
  std::unique_ptr<tcp::acceptor> http_;
  std::unique_ptr<asio::signal_set> signals_;
  std::atomic<std::size_t> next_io_{0};
  std::atomic<std::uint32_t> connections_{0};
  Crowd http_connections_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> cut_off_{false};
  Mutex mu_;
  std::unordered_map<Session*, std::pair<std::weak_ptr<Session>, asio::io_context*>> sessions_
      CAIRN_GUARDED_BY(mu_);
};

std::unique_ptr<ColdTier> DaemonImpl::ReportedSsd(OpenedSsd opened) {
  if (!opened.quarantined_to.empty()) {
    ssd_quarantined_ = true;
    spdlog::error("ssd_quarantined path={} moved_to={} reason=\"{}\" effect=\"started cold\"",
                  config_.ssd_path, opened.quarantined_to, opened.quarantine_reason);
  }
  if (const std::uint64_t lost = opened.tier->Stats().lost_epochs; lost != 0) {
    spdlog::error("ssd_lost_durable_writes epochs={}", lost);
  }
  return std::move(opened.tier);
}

Status DaemonImpl::OpenCache() {
  std::unique_ptr<ColdTier> cold;
  if (!config_.ssd_path.empty()) {
    auto opened = OpenSsdTier(config_.Ssd());
    if (!opened && opened.error().code != ErrorCode::kNoSpace) {
      return Fail(opened.error().code, "--ssd-path: " + opened.error().message);
    }
    if (!opened) {
      // A full disk passes, and memory serves meanwhile.
      spdlog::error("ssd_off path={} reason=\"{}\" effect=\"memory only until a restart\"",
                    config_.ssd_path, opened.error().message);
      admin_.without_ssd = "off: " + opened.error().message + "; make room and restart";
    } else {
      cold = ReportedSsd(std::move(*opened));
    }
  }
  auto cache = Cache::Open(config_.CacheConfig(), std::move(cold), OpenGpu(config_));
  if (!cache) {
    return Fail(cache.error());
  }
  cache_ = std::move(*cache);
  if (const std::uint64_t left = cache_->Stats().cold_unindexed; left != 0) {
    spdlog::error(
        "ssd_unindexed objects={} effect=\"not served; kept for a start with a larger "
        "--index\"",
        left);
  }
  LoadPlacement();
  if (config_.prefault) {
    prefaulter_ = std::make_unique<Prefaulter>(cache_->arena().memory());
  }
  return {};
}

Status DaemonImpl::OpenUcx() {
  std::vector<asio::io_context*> ios;
  ios.reserve(ios_.size());
  for (const auto& io : ios_) {
    ios.push_back(&io->io);
  }
  auto opened = OpenUcxService(config_, cache_->arena().memory(), ios, admin_.without_ucx);
  if (!opened) {
    return Fail(opened.error());
  }
  ucx_ = std::move(*opened);
  return {};
}

Status DaemonImpl::Bind() {
  auto local = ListenUnix(ios_[0]->io, config_.listen_unix);
  if (!local) {
    return Fail(local.error());
  }
  unix_ = std::make_unique<asio::local::stream_protocol::acceptor>(std::move(*local));
  for (const auto& [flag, text, target] :
       {std::tuple{"--listen-tcp", &config_.listen_tcp, &tcp_},
        std::tuple{"--listen-http", &config_.listen_http, &http_}}) {
    if (text->empty()) {
      continue;
    }
    auto acceptor = ListenTcp(ios_[0]->io, flag, *text);
    if (!acceptor) {
      unlink(config_.listen_unix.c_str());
      return Fail(acceptor.error());
    }
    *target = std::make_unique<tcp::acceptor>(std::move(*acceptor));
  }
  return {};
}

Status DaemonImpl::Start() {
  auto membership = config_.MakeMembership();
  if (!membership) {
    return Fail(membership.error());
  }
  for (int i = 0; i < config_.threads; ++i) {
    ios_.push_back(std::make_unique<IoThread>());
  }
  if (config_.tls.on()) {
    auto tls = TlsGate::Open(config_.tls);
    if (!tls) {
      return Fail(tls.error());
    }
    tls_ = std::move(*tls);
  }
  // Ports first: a second daemon must not touch the data directory of the first.
  if (const Status bound = Bind(); !bound) {
    return bound;
  }
  Status opened = OpenCache();
  opened = opened ? OpenUcx() : opened;
  if (!opened) {
    unlink(config_.listen_unix.c_str());
    return opened;
  }
  membership_ = std::move(*membership);
  workers_ = std::make_unique<ThreadPool>("cairn-worker", config_.workers, 65'536);
  admin_.cache = cache_.get();
  admin_.config = &config_;
  admin_.membership = membership_.get();
  admin_.tls = tls_.get();
  if (tcp_ != nullptr) {
    boost::system::error_code error;
    const tcp::endpoint local = tcp_->local_endpoint(error);
    admin_.tcp = {.address = local.address().to_string(), .port = local.port()};
  }
  admin_.started = started_;
  admin_.sessions = &context_;
  admin_.drain = [this] { RequestDrain(); };
  context_.cache = cache_.get();
  context_.workers = workers_.get();
  context_.staging = &staging_;
  context_.ucx = ucx_.get();
  context_.tokens = &tokens_;
  context_.tls = tls_.get();
  context_.lease_ms = config_.lease_ms;
  const GpuStats gpu = cache_->Stats().gpu;
  context_.has_device = gpu.state == "ok";
  context_.device.set_kind(gpu.device.kind);
  context_.device.set_id(gpu.device.id);
  context_.device.set_name(gpu.device.name);
  context_.admin = [this](const v1::AdminRequest& request) {
    return HandleAdminRequest(admin_, request);
  };
  pages_.metrics = [this] { return Metrics(); };
  pages_.ready = [this] { return !draining_; };
  signals_ = std::make_unique<asio::signal_set>(ios_[0]->io, SIGTERM, SIGINT);
  return {};
}

std::string DaemonImpl::Metrics() {
  ProcessStats process;
  process.rss_bytes = ResidentBytes();
  process.uptime_seconds =
      std::chrono::duration<double>(SteadyClock::Instance().Now() - started_).count();
  process.connections = connections_;
  process.refused_frames = context_.refused_frames;
  process.has_ucx = ucx_ != nullptr;
  if (ucx_ != nullptr) {
    process.ucx = ucx_->Stats();
  }
  process.ssd_configured = !config_.ssd_path.empty();
  process.ssd_quarantined = ssd_quarantined_;
  process.failed_placement_saves = placement_.failed_saves();
  process.tls = tls_ == nullptr ? TlsStats() : tls_->Stats();
  return PrometheusText(cache_->Stats(), process);
}

template <class Acceptor>
asio::awaitable<void> DaemonImpl::Accept(Acceptor& acceptor, bool is_local) {
  for (;;) {
    IoThread& target = *ios_[next_io_++ % ios_.size()];
    typename Acceptor::protocol_type::socket socket(target.io);
    const auto accepted = co_await acceptor.async_accept(socket, kAwait);
    const auto& [error] = accepted;
    if (error == asio::error::operation_aborted || draining_) {
      co_return;
    }
    if (error) {
      // Out of descriptors, most likely: wait for some to come back.
      asio::steady_timer pause(acceptor.get_executor(), kAcceptPause);
      const auto waited = co_await pause.async_wait(kAwait);
      static_cast<void>(waited);
      continue;
    }
    Session::Origin origin{.local = is_local};
    if (is_local) {
      origin.peer_uid = PeerUid(socket.native_handle());
    }
    if (connections_ >= config_.max_connections) {
      origin.reserved = is_local && Session::MayAdminister(origin.peer_uid) &&
                        connections_ < config_.max_connections + kReservedConnections;
      const auto room = co_await MakeRoom();
      origin.reserved = origin.reserved && !room;
      if (!room && !origin.reserved) {
        spdlog::warn("connection_refused reason=max_connections limit={}", config_.max_connections);
        continue;
      }
    }
    connections_ += 1;
    if (!is_local) {
      PrepareTcpSocket(socket.native_handle());
    }
    auto session = std::make_shared<Session>(context_, StreamSocket(std::move(socket)), origin);
    session->Arrive();
    {
      const MutexLock lock(mu_);
      sessions_.emplace(session.get(), std::pair{std::weak_ptr(session), &target.io});
    }
    asio::co_spawn(target.io, Serve(std::move(session)), asio::detached);
  }
}

/// Where all places are taken: those who came and said nothing go first. False: all have said
/// Hello.
asio::awaitable<bool> DaemonImpl::MakeRoom() {
  asio::steady_timer timer(ios_[0]->io);
  for (int i = 0; i < kMakeRoomSteps; ++i) {
    if (connections_ < config_.max_connections) {
      co_return true;
    }
    // Those dropped before may still be on their way out.
    if (!context_.newcomers.DropOldest() && context_.newcomers.size() == 0) {
      break;
    }
    timer.expires_after(kMakeRoomStep);
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
  }
  co_return connections_ < config_.max_connections;
}

asio::awaitable<void> DaemonImpl::Serve(std::shared_ptr<Session> session) {
  co_await session->Run();
  {
    const MutexLock lock(mu_);
    sessions_.erase(session.get());
  }
  connections_ -= 1;
}

asio::awaitable<void> DaemonImpl::AcceptHttp() {
  for (;;) {
    tcp::socket socket(ios_[0]->io);
    const auto accepted = co_await http_->async_accept(socket, kAwait);
    const auto& [error] = accepted;
    if (error == asio::error::operation_aborted) {
      co_return;
    }
    if (error) {
      asio::steady_timer pause(ios_[0]->io, kAcceptPause);
      const auto waited = co_await pause.async_wait(kAwait);
      static_cast<void>(waited);
      continue;
    }
    if (http_connections_.size() >= kMaxHttpConnections) {
      http_connections_.DropOldest();
    }
    asio::co_spawn(ios_[0]->io, ServePages(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> DaemonImpl::ServePages(tcp::socket socket) {
  co_await ServeHttp(std::move(socket), pages_, tls_.get(), http_connections_);
}

asio::awaitable<void> DaemonImpl::Sweep() {
  asio::steady_timer timer(ios_[0]->io);
  for (;;) {
    timer.expires_after(kSweepEvery);
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
    cache_->SweepExpired();
  }
}

asio::awaitable<void> DaemonImpl::KeepCertificates() {
  asio::steady_timer timer(ios_[0]->io);
  const std::function<void()> look = [this] { tls_->Refresh(); };
  for (;;) {
    timer.expires_after(kLookAtCertificatesEvery);
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
    co_await RunOn(*workers_, look);
  }
}

void DaemonImpl::LoadPlacement() {
  if (cache_->planner_name() != kLearnedPlanner) {
    return;
  }
  // Where the SSD tier is off because the disk is full, what was learned before can still be read.
  // But a directory that is not the tier's yet must stay empty, or it will not become the tier's.
  if (!config_.placement_file.empty()) {
    placement_.Load(cache_.get(), config_.placement_file);
  } else if (const std::string path = config_.ssd_path + "/placement";
             !config_.ssd_path.empty() &&
             (cache_->Stats().has_cold || ::access(path.c_str(), F_OK) == 0)) {
    placement_.Load(cache_.get(), path);
  }
}

asio::awaitable<void> DaemonImpl::KeepPlacement() {
  asio::steady_timer timer(ios_[0]->io);
  const std::function<void()> save = [this] { placement_.Save(); };
  for (;;) {
    timer.expires_after(std::chrono::milliseconds(config_.placement_save_ms));
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
    co_await RunOn(*workers_, save);
  }
}

asio::awaitable<void> DaemonImpl::WaitForSignal() {
  const auto received = co_await signals_->async_wait(kAwait);
  const auto& [error, signal] = received;
  if (!error) {
    spdlog::info("signal={} draining", signal);
    RequestDrain();
  }
}

void DaemonImpl::RequestDrain() {
  if (!draining_.exchange(true)) {
    cache_->BeginDrain();
    asio::co_spawn(ios_[0]->io, DrainAndStop(), asio::detached);
  }
}

void DaemonImpl::CloseSessions(bool all) {
  const MutexLock lock(mu_);
  for (const auto& [raw, entry] : sessions_) {
    asio::post(*entry.second, [weak = entry.first, all] {
      const auto session = weak.lock();
      if (session && (all || !session->AwaitsEnd())) {
        session->Close();
      }
    });
  }
}

asio::awaitable<void> DaemonImpl::DrainAndStop() {
  boost::system::error_code ignored;
  unix_->close(ignored);
  unlink(config_.listen_unix.c_str());
  if (tcp_ != nullptr) {
    tcp_->close(ignored);
  }
  asio::steady_timer timer(ios_[0]->io);
  const TimePoint until =
      SteadyClock::Instance().Now() + std::chrono::milliseconds(config_.drain_ms);
  for (;;) {
    const CacheStats stats = cache_->Stats();
    if (stats.leases + stats.reservations == 0) {
      break;
    }
    if (SteadyClock::Instance().Now() >= until) {
      spdlog::warn("drain_cut_off leases={} reservations={}", stats.leases, stats.reservations);
      cut_off_ = true;
      break;
    }
    timer.expires_after(std::chrono::milliseconds(10));
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
  }
  // Answers on their way, the one to the drain request itself among them, get out first.
  timer.expires_after(kLastAnswers);
  const auto answered = co_await timer.async_wait(kAwait);
  static_cast<void>(answered);
  CloseSessions(false);
  for (int i = 0; i < 200 && connections_ > context_.awaiting_end; ++i) {
    timer.expires_after(std::chrono::milliseconds(10));
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
  }
  Cache* const cache = cache_.get();
  const auto flushed = std::make_shared<bool>(false);
  const std::function<void()> flush = [cache, flushed] {
    *flushed = cache->FlushCold(SteadyClock::Instance().Now() + kFlushLimit);
  };
  co_await RunOn(*workers_, flush);
  if (!*flushed) {
    spdlog::warn("ssd_flush_failed effect=\"the last writes may be lost\"");
    cut_off_ = true;
  }
  if (placement_.keeps()) {
    const std::function<void()> save = [this] { placement_.Save(); };
    co_await RunOn(*workers_, save);
  }
  // Whoever asked for the drain asks once more how it went, and leaves.
  context_.drain_cut_off = cut_off_.load();
  context_.drained = true;
  for (int i = 0; i < 100 && context_.awaiting_end > 0; ++i) {
    timer.expires_after(std::chrono::milliseconds(10));
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
  }
  CloseSessions(true);
  for (int i = 0; i < 20 && connections_ > 0; ++i) {
    timer.expires_after(std::chrono::milliseconds(10));
    const auto waited = co_await timer.async_wait(kAwait);
    static_cast<void>(waited);
  }
  for (const auto& io : ios_) {
    io->io.stop();
  }
}

void DaemonImpl::StopThreads() {
  for (const auto& io : ios_) {
    io->io.stop();
    if (io->thread.joinable()) {
      io->thread.join();
    }
  }
  // Work under way posts to the loops, and suspended coroutines hold what belongs to the cache:
  // workers and readers end first, then the loops go, then the cache.
  workers_.reset();
  if (cache_ != nullptr) {
    cache_->Shutdown();
  }
  signals_.reset();
  unix_.reset();
  tcp_.reset();
  http_.reset();
  if (ucx_ != nullptr) {
    ucx_->Stop();
  }
  ios_.clear();
}

int DaemonImpl::Run() {
  asio::io_context& first = ios_[0]->io;
  asio::co_spawn(first, Accept(*unix_, true), asio::detached);
  if (tcp_ != nullptr) {
    asio::co_spawn(first, Accept(*tcp_, false), asio::detached);
  }
  if (http_ != nullptr) {
    asio::co_spawn(first, AcceptHttp(), asio::detached);
  }
  asio::co_spawn(first, Sweep(), asio::detached);
  if (tls_ != nullptr) {
    asio::co_spawn(first, KeepCertificates(), asio::detached);
  }
  if (placement_.keeps()) {
    asio::co_spawn(first, KeepPlacement(), asio::detached);
  }
  asio::co_spawn(first, WaitForSignal(), asio::detached);
  for (std::size_t i = 1; i < ios_.size(); ++i) {
    ios_[i]->thread = std::thread([this, i] {
      NameThread("cairn-io");
      ios_[i]->io.run();
    });
  }
  const auto port = [](const std::unique_ptr<tcp::acceptor>& a) {
    return a == nullptr ? 0 : a->local_endpoint().port();
  };
  spdlog::info(
      "serving version={} unix={} tcp_port={} http_port={} tls={} memory={} arena={} ssd={}",
      CAIRN_VERSION, config_.listen_unix, port(tcp_), port(http_), tls_ == nullptr ? "off" : "on",
      FormatBytes(config_.memory_bytes), FormatBytes(config_.arena_bytes()),
      cache_->Stats().has_cold ? FormatBytes(config_.ssd_bytes) : "off");
  first.run();
  StopThreads();
  const CacheStats stats = cache_->Stats();
  spdlog::info("stopped leases={} reservations={} matches={} commits={}", stats.leases,
               stats.reservations, stats.matches, stats.commits);
  return cut_off_ ? 1 : 0;
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::Open(const DaemonConfig& config) {
  auto daemon = std::make_unique<DaemonImpl>(config);
  if (const Status started = daemon->Start(); !started) {
    return Fail(started.error());
  }
  return daemon;
}

}  // namespace cairn::server
