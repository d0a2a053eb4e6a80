#include "services/cairnd/ucx.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "libcache/base/busy_poll.h"
#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"
#include "libcache/base/errno_text.h"
#include "libcache/ucx/transports.h"
#include "services/cairnd/listening_sockets.h"

namespace cairn::server {
namespace {

// One transfer takes milliseconds at the worst, so that one that is not over after kSilence says
// that its peer is dead: within a second, with what it takes to notice.
constexpr std::uint64_t kMostStretchBytes = 4 * kMiB;
constexpr std::uint64_t kMostPieces = 64;
constexpr std::uint64_t kWordStride = 64;
constexpr std::chrono::milliseconds kSilence{900};
// Looks at UCX while a transfer is under way, and when none is: should a wake-up be lost.
constexpr std::chrono::milliseconds kBusyTick{1};
constexpr std::chrono::milliseconds kIdleTick{1000};
// Before going to sleep for it: a transfer by a card takes some ten microseconds.
constexpr int kBusyTurns = 200;
// Then other sessions have their turn.
constexpr int kMostTurns = 64;
// After a request, as long as engines look for its answer (socket.cc): to wake this thread costs up
// to 35 us in a virtual machine whose core has gone idle, as much as it takes to put 1 MiB.
constexpr std::chrono::microseconds kAwake{100};

constexpr std::size_t kMostProbes = 64;  // That wait for their turn.
constexpr std::size_t kMostBlobBytes = 4096;
constexpr std::uint64_t kLeastStagingBytes = 64 * kKiB;
constexpr std::uint64_t kMostStagingBytes = kGiB;

tl::unexpected<Error> Bad(std::string text) {
  return Fail(ErrorCode::kInvalidArgument, std::move(text));
}

/// What can be seen of an attach request without UCX, which takes the rest on trust.
Status CheckAttach(const v1::AttachUcx& attach) {
  for (const auto& [name, blob] : {std::pair{"worker_address", &attach.worker_address()},
                                   std::pair{"remote_key", &attach.remote_key()}}) {
    if (blob->empty() || blob->size() > kMostBlobBytes) {
      return Bad(std::string(name) + ": " + std::to_string(blob->size()) + " bytes; 1 to " +
                 std::to_string(kMostBlobBytes) + " are possible");
    }
  }
  if (attach.bytes() < kLeastStagingBytes || attach.bytes() > kMostStagingBytes) {
    return Bad("bytes: staging memory of " + FormatBytes(attach.bytes()) + "; give " +
               FormatBytes(kLeastStagingBytes) + " to " + FormatBytes(kMostStagingBytes));
  }
  if (attach.address() == 0 || attach.address() % 8 != 0 ||
      attach.address() > UINT64_MAX - attach.bytes()) {
    return Bad("address: the staging memory cannot be there");
  }
  const std::string both = attach.worker_address() + attach.remote_key();
  if (DigestOf(std::as_bytes(std::span(both))).low != attach.checksum()) {
    return Bad("checksum: not that of worker_address and remote_key");
  }
  return {};
}

std::uint64_t PieceBytesOf(const v1::UcxGet& get) {
  return get.piece_bytes() == 0 ? get.bytes() : std::min(get.piece_bytes(), get.bytes());
}

std::uint64_t PiecesOf(const v1::UcxGet& get) {
  return (get.bytes() + PieceBytesOf(get) - 1) / PieceBytesOf(get);
}

std::string ShownLanes(const std::vector<std::string>& lanes) {
  std::string text(ucx::WireOf(lanes));
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    text += (i == 0 ? ": " : ", ") + lanes[i];
  }
  return text;
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    all += (all.empty() ? "" : " ") + text;
  }
  return all;
}

std::string TransportsOf(const UcxService::Config& config) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  const char* const variable = std::getenv("UCX_TLS");
  return !config.transports.empty() ? config.transports
         : variable != nullptr      ? variable
                                    : std::string(ucx::kSafeTransports);
}

/// Clears what a transfer would call, if whoever waits for it goes first.
class Forgotten {
 public:
  explicit Forgotten(ucx::Transfer& transfer) : transfer_(transfer) {}
  ~Forgotten() { transfer_.OnDone({}); }
  Forgotten(const Forgotten&) = delete;
  Forgotten& operator=(const Forgotten&) = delete;

 private:
  ucx::Transfer& transfer_;
};

}  // namespace

UcxLoop::UcxLoop(std::unique_ptr<ucx::Worker> worker, asio::io_context& io, int watched)
    : worker_(std::move(worker)), io_(io), tick_(io) {
  descriptor_.emplace(io, watched);
}

Result<std::unique_ptr<UcxLoop>> UcxLoop::Open(ucx::Context& context, asio::io_context& io) {
  auto worker = context.OpenWorker();
  if (!worker) {
    return Fail(worker.error());
  }
  const int watched = dup((*worker)->event_fd());  // Asio closes what it watches.
  if (watched < 0) {
    return Fail(ErrorCode::kIo, "UCX's descriptor: " + ErrnoText());
  }
  return std::unique_ptr<UcxLoop>(new UcxLoop(std::move(*worker), io, watched));
}

void UcxLoop::Start() {
  asio::post(io_, [this] {
    Watch();
    Tick();
  });
}

void UcxLoop::Stop() {
  descriptor_.reset();
  tick_.reset();
}

void UcxLoop::Watch() {
  for (int turn = 0; turn < kMostTurns; ++turn) {
    while (worker_->Progress() && ++turn < kMostTurns) {
    }
    if (worker_->Arm()) {
      descriptor_->async_wait(asio::posix::stream_descriptor::wait_read,
                              [this](const boost::system::error_code& error) {
                                if (!error) {
                                  Watch();
                                }
                              });
      return;
    }
  }
  asio::post(io_, [this] { Watch(); });
}

void UcxLoop::Tick() {
  while (worker_->Progress()) {
  }
  tick_->expires_after(kIdleTick);
  tick_->async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      Tick();
    }
  });
}

void UcxLoop::StayAwake() {
  awake_until_ = SteadyClock::Instance().Now() + kAwake;
  if (!awake_) {
    awake_ = true;
    asio::post(io_, [this] { Look(); });
  }
}

void UcxLoop::Look() {
  const TimePoint now = SteadyClock::Instance().Now();
  if (now >= awake_until_ || !YieldCore(now)) {
    awake_ = false;
    return;
  }
  // With a handler in its queue the event loop looks at its sockets, and does not wait for them.
  asio::post(io_, [this] { Look(); });
}

UcxPeer::UcxPeer(UcxService& service, UcxLoop& loop, std::unique_ptr<ucx::Endpoint> endpoint,
                 const v1::AttachUcx& attach)
    : service_(service),
      loop_(loop),
      endpoint_(std::move(endpoint)),
      shown_(ShownLanes(endpoint_->lanes())),
      address_(attach.address()),
      bytes_(attach.bytes()) {
  service_.Count(shown_, 1);
}

UcxPeer::~UcxPeer() { service_.Count(shown_, -1); }

Status UcxPeer::CheckStretch(std::uint64_t offset, std::uint64_t bytes) const {
  if (bytes == 0 || bytes > kMostStretchBytes) {
    return Bad("bytes: a stretch of " + FormatBytes(bytes) + "; at most " +
               FormatBytes(kMostStretchBytes) + " go at a time");
  }
  if (bytes > bytes_ || offset > bytes_ - bytes) {
    return Bad("staging_offset: outside of the staging memory of " + FormatBytes(bytes_));
  }
  return {};
}

Status UcxPeer::CheckGet(const v1::UcxGet& where) const {
  Status fits = CheckStretch(where.staging_offset(), where.bytes());
  if (!fits) {
    return fits;
  }
  const std::uint64_t pieces = PiecesOf(where);
  if (pieces > kMostPieces) {
    return Bad("piece_bytes: that makes " + std::to_string(pieces) + " pieces; " +
               std::to_string(kMostPieces) + " are possible");
  }
  const std::uint64_t words_bytes = (pieces - 1) * kWordStride + sizeof(where.word());
  if (where.word_offset() % 8 != 0 || words_bytes > bytes_ ||
      where.word_offset() > bytes_ - words_bytes) {
    return Bad("word_offset: not a multiple of 8 with its words inside the staging memory");
  }
  return {};
}

std::vector<std::shared_ptr<ucx::Transfer>> UcxPeer::Put(std::span<const std::byte> source,
                                                         const v1::UcxGet& where,
                                                         const std::shared_ptr<void>& held) {
  const std::uint64_t pieces = PiecesOf(where);
  std::vector<std::shared_ptr<ucx::Transfer>> transfers;
  transfers.reserve(pieces);
  std::uint64_t done = 0;
  for (std::uint64_t k = 0; k < pieces; ++k) {
    const std::uint64_t bytes = std::min(PieceBytesOf(where), source.size() - done);
    transfers.push_back(endpoint_->Put(source.subspan(done, bytes), *service_.arena_,
                                       address_ + where.staging_offset() + done, where.word() + k,
                                       address_ + where.word_offset() + k * kWordStride));
    transfers.back()->Hold(held);
    done += bytes;
  }
  service_.gets_ += 1;
  service_.get_bytes_ += source.size();
  return transfers;
}

std::shared_ptr<ucx::Transfer> UcxPeer::Get(std::span<std::byte> target, const v1::UcxPut& where,
                                            std::shared_ptr<void> held) {
  auto transfer = endpoint_->Get(target, *service_.arena_, address_ + where.staging_offset());
  transfer->Hold(std::move(held));
  service_.puts_ += 1;
  service_.put_bytes_ += target.size();
  return transfer;
}

tl::unexpected<Error> UcxPeer::Lost(const char* why) {
  // What is under way ends with it, and lets go of the memory it holds when UCX says so.
  endpoint_->Close();
  service_.peers_lost_ += 1;
  spdlog::debug("ucx_peer_lost reason=\"{}\"", why);
  return Fail(ErrorCode::kUnavailable, std::string("the transfer was given up: ") + why);
}

asio::awaitable<Status> UcxPeer::Finish(std::shared_ptr<ucx::Transfer> transfer,
                                        Connection& connection) {
  for (int turn = 0; turn < kBusyTurns && !transfer->done(); ++turn) {
    loop_.worker().Progress();
  }
  const TimePoint silent_at = SteadyClock::Instance().Now() + kSilence;
  const auto timer = std::make_shared<asio::steady_timer>(loop_.io());
  const Forgotten forgotten(*transfer);
  while (!transfer->done()) {
    if (connection.PeerGone()) {
      co_return Lost("the engine is gone");
    }
    if (SteadyClock::Instance().Now() >= silent_at) {
      co_return Lost("the engine has not moved for 0.9 s");
    }
    timer->expires_after(kBusyTick);
    transfer->OnDone([timer] { timer->cancel(); });
    const auto waited = co_await timer->async_wait(kAwait);
    static_cast<void>(waited);
    loop_.worker().Progress();
  }
  if (!transfer->status()) {
    co_return Lost(transfer->status().error().message.c_str());
  }
  co_return Status{};
}

Result<std::unique_ptr<UcxService>> UcxService::Open(const Config& config,
                                                     std::span<std::byte> arena,
                                                     std::span<asio::io_context* const> ios) {
  const std::string transports = TransportsOf(config);
  if (const Status safe = ucx::CheckTransports(transports, config.allow_tcp); !safe) {
    const char* const from =
        config.transports.empty() ? "UCX_TLS, which counts without --ucx-tls: " : "--ucx-tls: ";
    return Fail(safe.error().code, from + safe.error().message +
                                       " (or set --ucx-allow-insecure-tcp true on a wire where "
                                       "nobody can reach this host whom you do not trust)");
  }
  const std::vector<std::string> before = ListeningSockets();
  auto context = ucx::Context::Open(transports);
  if (!context) {
    return Fail(context.error());
  }
  std::unique_ptr<UcxService> service(
      new UcxService(transports, config.allow_tcp, std::move(*context)));
  auto registered = service->context_->Register(arena);
  if (!registered) {
    return Fail(registered.error());
  }
  service->arena_ = std::move(*registered);
  for (asio::io_context* const io : ios) {
    auto loop = UcxLoop::Open(*service->context_, *io);
    if (!loop) {
      return Fail(loop.error());
    }
    service->loops_.push_back(std::move(*loop));
  }
  const std::vector<std::string> after = ListeningSockets();
  std::vector<std::string> opened;
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(opened));
  if (!opened.empty() && !config.allow_tcp) {
    return Fail(ErrorCode::kPermissionDenied,
                "UCX listens on " + Joined(opened) + " with --ucx-tls " + transports +
                    "; whoever reaches that can write to this daemon's memory: name other "
                    "transports, or set --ucx off");
  }
  if (config.allow_tcp) {
    spdlog::critical(
        "ucx_insecure_tcp listens_on=\"{}\" effect=\"WHOEVER REACHES THESE PORTS CAN READ AND "
        "WRITE THE MEMORY OF THIS DAEMON; tests and closed wires only\"",
        Joined(opened));
  }
  service->probes_ = std::make_unique<UcxProbes>(transports);
  if (const Status waits = service->probes_->Prepare(); !waits) {
    return Fail(waits.error());
  }
  service->prober_ = std::make_unique<ThreadPool>("cairn-ucx", 1, kMostProbes);
  for (const auto& loop : service->loops_) {
    loop->Start();
  }
  return service;
}

void UcxService::Stop() {
  probes_->Stop();
  prober_.reset();  // What is under way posts to the loops.
  for (const auto& loop : loops_) {
    loop->Stop();
  }
}

asio::awaitable<Status> UcxService::Probe(const v1::AttachUcx& attach) {
  Status good = CheckAttach(attach);
  if (!good) {
    refused_attach_ += 1;
    co_return good;
  }
  struct Job {
    v1::AttachUcx attach;
    Status tried;
    std::shared_ptr<Completion> done = std::make_shared<Completion>(1);
  };
  const auto job = std::make_shared<Job>();  // Outlives this coroutine, should the daemon stop.
  job->attach = attach;
  const bool taken = prober_->Submit([job, this] {
    job->tried = probes_->Try(job->attach);
    job->done->Done(ErrorCode::kOk);
    static_cast<void>(probes_->Prepare());  // Else the next one tries again, and says so.
  });
  if (!taken) {
    co_return Fail(ErrorCode::kOverloaded, "too many engines attach at once; try again");
  }
  const auto done = job->done;
  const auto finished = co_await WaitDone(done, TimePoint::max());
  static_cast<void>(finished);
  if (!job->tried) {
    refused_attach_ += 1;
    spdlog::debug("ucx_refused_peer reason=\"{}\"", job->tried.error().message);
  }
  co_return job->tried;
}

Result<std::unique_ptr<UcxPeer>> UcxService::Attach(const v1::AttachUcx& attach,
                                                    const asio::any_io_executor& executor) {
  const asio::execution_context& here = asio::query(executor, asio::execution::context);
  const auto loop = std::find_if(loops_.begin(), loops_.end(), [&here](auto& candidate) {
    return static_cast<const asio::execution_context*>(&candidate->io()) == &here;
  });
  if (loop == loops_.end()) {
    return Fail(ErrorCode::kInternal, "no UCX worker on this thread");
  }
  auto endpoint = (*loop)->worker().Connect(PaddedForUcx(attach.worker_address()),
                                            PaddedForUcx(attach.remote_key()));
  if (!endpoint) {
    refused_attach_ += 1;
    return Fail(ErrorCode::kUnsupported,
                "UCX does not reach the engine: " + endpoint.error().message + "; the daemon has " +
                    transports_);
  }
  const std::string_view wire = ucx::WireOf((*endpoint)->lanes());
  if (wire == "none" || (wire == "tcp" && !allow_tcp_)) {
    refused_attach_ += 1;
    return Fail(ErrorCode::kUnsupported,
                "UCX reaches the engine by no transport that is allowed: " +
                    ShownLanes((*endpoint)->lanes()));
  }
  return std::unique_ptr<UcxPeer>(new UcxPeer(*this, **loop, std::move(*endpoint), attach));
}

UcxStats UcxService::Stats() const {
  return {.gets = gets_,
          .get_bytes = get_bytes_,
          .puts = puts_,
          .put_bytes = put_bytes_,
          .peers_lost = peers_lost_,
          .refused_attach = refused_attach_};
}

std::map<std::string, std::uint32_t> UcxService::Connections() const {
  const MutexLock lock(mu_);
  return connections_;
}

void UcxService::Count(const std::string& shown, int change) {
  const MutexLock lock(mu_);
  std::uint32_t& count = connections_[shown];
  count += static_cast<std::uint32_t>(change);
  if (count == 0) {
    connections_.erase(shown);
  }
}

Result<std::unique_ptr<UcxService>> OpenUcxService(const DaemonConfig& config,
                                                   std::span<std::byte> arena,
                                                   std::span<asio::io_context* const> ios,
                                                   std::string& without) {
  if (config.ucx == "off") {
    return nullptr;
  }
  auto opened = UcxService::Open(
      {.transports = config.ucx_tls, .allow_tcp = config.ucx_allow_insecure_tcp}, arena, ios);
  if (opened) {
    spdlog::info("ucx version={} transports={} cuda={}", (*opened)->version(),
                 (*opened)->transports(), (*opened)->has_cuda());
    if (config.tls.on() && config.tls.tenants.empty()) {
      spdlog::warn(
          "ucx_not_by_tls reason=\"it is for identities that --tls-tenants names, and there "
          "are none\"");
    }
    return opened;
  }
  // Whatever --ucx says: what is unsafe is not passed over.
  const bool absent = opened.error().code == ErrorCode::kUnsupported ||
                      opened.error().code == ErrorCode::kUnavailable;
  if (config.ucx == "on" || !absent) {
    return Fail(opened.error().code, "--ucx: " + opened.error().message);
  }
  spdlog::info("ucx_off reason=\"{}\"", opened.error().message);
  without = "off: " + opened.error().message;
  return nullptr;
}

}  // namespace cairn::server
