#include "libcache/base/bytes.h"
#include "services/cairn-bench/micro.h"
#include "services/cairn-bench/report.h"

#ifdef CAIRN_HAS_HIREDIS

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "services/cairn-bench/daemon_process.h"
#include "services/cairn-bench/latency.h"
#include "services/cairn-bench/micro_objects.h"
#include "services/cairn-bench/micro_report.h"
#include "services/terminal/progress.h"

namespace cairn::bench {
namespace {

constexpr std::uint64_t kSizes[] = {kMiB, 4 * kMiB, 16 * kMiB};
constexpr std::chrono::seconds kStartLimit{10};
constexpr std::chrono::milliseconds kPoll{20};
constexpr int kLeastRounds = 3;

struct FreeContext {
  void operator()(redisContext* context) const { redisFree(context); }
};
struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

/// A redis-server of our own on a Unix socket, without persistence, and one client.
class Redis {
 public:
  static Result<std::unique_ptr<Redis>> Start() {
    const std::string program = FindProgram("redis-server");
    if (program.empty()) {
      return Fail(ErrorCode::kNotFound, "redis-server is not installed (./dev setup bench)");
    }
    auto dir = TempDir::Create("");
    if (!dir) {
      return Fail(dir.error());
    }
    const std::string socket = (*dir)->path() + "/redis.sock";
    auto child = ChildProcess::Start(
        {program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
         "--dir", (*dir)->path(), "--proto-max-bulk-len", "1gb"},
        (*dir)->path() + "/redis.log");
    if (!child) {
      return Fail(child.error());
    }
    const TimePoint deadline = SteadyClock::Instance().Now() + kStartLimit;
    while ((*child)->Running() && SteadyClock::Instance().Now() < deadline) {
      std::unique_ptr<redisContext, FreeContext> context(redisConnectUnix(socket.c_str()));
      if (context != nullptr && context->err == 0) {
        return std::unique_ptr<Redis>(
            new Redis(std::move(*dir), std::move(*child), std::move(context)));
      }
      std::this_thread::sleep_for(kPoll);
    }
    return Fail(ErrorCode::kUnavailable, "redis-server did not start");
  }

  Status Set(const std::string& key, std::span<const std::byte> bytes) {
    const Reply reply(static_cast<redisReply*>(
        redisCommand(context_.get(), "SET %s %b", key.c_str(), bytes.data(), bytes.size())));
    return reply != nullptr && reply->type == REDIS_REPLY_STATUS ? Status() : Failed();
  }
  /// As hiredis hands it out: in memory of its own.
  Result<Reply> Get(const std::string& key) {
    Reply reply(static_cast<redisReply*>(redisCommand(context_.get(), "GET %s", key.c_str())));
    if (reply == nullptr || reply->type != REDIS_REPLY_STRING) {
      return Fail(Failed().error());
    }
    return reply;
  }
  Status Clear() {
    const Reply reply(static_cast<redisReply*>(redisCommand(context_.get(), "FLUSHALL")));
    return reply != nullptr ? Status() : Failed();
  }

 private:
  Redis(std::unique_ptr<TempDir> dir, std::unique_ptr<ChildProcess> child,
        std::unique_ptr<redisContext, FreeContext> context)
      : dir_(std::move(dir)), child_(std::move(child)), context_(std::move(context)) {}
  [[nodiscard]] Status Failed() const {
    return Fail(ErrorCode::kIo, std::string("redis: ") + context_->errstr);
  }

  std::unique_ptr<TempDir> dir_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<redisContext, FreeContext> context_;
};

struct Figures {
  std::vector<double> get_us;
  std::vector<double> redis_us;
};

Status MeasureOne(ObjectStore& store, Redis& redis, std::uint32_t i, std::span<std::byte> target,
                  bool check, Figures& figures) {
  Result<Reply> reply = Reply();
  figures.redis_us.push_back(TimeUs([&] { reply = redis.Get(std::to_string(i)); }));
  if (!reply) {
    return Fail(reply.error());
  }
  Result<ObjectStore::Got> got = ObjectStore::Got{};
  figures.get_us.push_back(TimeUs([&] { got = store.Get(i, target); }));
  if (!got) {
    return Fail(got.error());
  }
  const bool right = !check || (store.IsRight(i, target) && (*reply)->len == target.size() &&
                                std::memcmp((*reply)->str, target.data(), target.size()) == 0);
  return right ? Status() : Status(Fail(ErrorCode::kCorrupt, "wrong bytes; please report this"));
}

Result<Figures> RunSize(const MicroOptions& options, const DaemonProcess& daemon, Redis& redis,
                        std::uint64_t size) {
  auto target = Area::Allocate(size);
  auto store = ObjectStore::Open(daemon.endpoint(), "shm", size);
  if (!target || !store) {
    return Fail(target ? store.error() : target.error());
  }
  const auto count = CountOf(options, size);
  (*store)->Prepare(count);
  Status status = daemon.Clear();
  status = status ? redis.Clear() : status;
  for (std::uint32_t i = 0; i < count && status; ++i) {
    (*store)->Fill(i, target->bytes());
    status = (*store)->Put(i, target->bytes(), false);
    status = status ? redis.Set(std::to_string(i), target->bytes()) : status;
  }
  Figures figures;
  for (std::uint32_t i = 0; i < count && status; ++i) {
    status = MeasureOne(**store, redis, i, target->bytes(), true, figures);
  }
  figures = {};  // The first round warmed both up.
  const TimePoint begin = SteadyClock::Instance().Now();
  for (int round = 0; status; ++round) {
    const std::chrono::duration<double> spent = SteadyClock::Instance().Now() - begin;
    if (round >= kLeastRounds && spent.count() >= options.seconds) {
      break;
    }
    for (std::uint32_t i = 0; i < count && status; ++i) {
      status = MeasureOne(**store, redis, i, target->bytes(), false, figures);
    }
  }
  return status ? Result<Figures>(std::move(figures)) : Result<Figures>(Fail(status.error()));
}

}  // namespace

int RunRedis(const MicroOptions& options) {
  using enum MicroReport::Unit;
  const std::vector<std::uint64_t> sizes = SizesOf(options, kSizes);
  const auto daemon =
      DaemonProcess::Start({.memory_bytes = MemoryFor(options, sizes), .below = ""});
  if (!daemon) {
    return MicroFailed("redis", daemon.error());
  }
  const auto redis = Redis::Start();
  if (!redis) {
    return MicroFailed("redis", redis.error());
  }
  MicroReport report("redis", "GET through shared memory against GET of redis-server, one client",
                     {{"object_bytes", "object", kBytes},
                      {"get_bytes_per_second", "Cairn GET", kBytesPerSecond},
                      {"redis_bytes_per_second", "Redis GET", kBytesPerSecond},
                      {"ratio", "Cairn/Redis", kRatio},
                      {"best_ratio", "best/best", kRatio},
                      {"get_us", "Cairn, median", kMicroseconds},
                      {"redis_us", "Redis, median", kMicroseconds},
                      {"gets", "GETs", kCount}});
  terminal::Progress progress(terminal::Progress::Unless(options.quiet));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    progress.Update(static_cast<double>(i) / static_cast<double>(sizes.size()),
                    FormatBytes(sizes[i]));
    const auto figures = RunSize(options, **daemon, **redis, sizes[i]);
    if (!figures) {
      return MicroFailed("redis", figures.error());
    }
    const double get = Median(figures->get_us);
    const double other = Median(figures->redis_us);
    const auto bytes = static_cast<double>(sizes[i]);
    report.Add({bytes, bytes / get * 1e6, bytes / other * 1e6, other / get,
                Best(figures->redis_us) / Best(figures->get_us), get, other,
                static_cast<double>(figures->get_us.size())});
  }
  progress.Clear();
  report.Note(
      "Redis on a Unix socket, without persistence, through hiredis, which hands out its own "
      "copy; Cairn checks digests and copies to where the caller wants the bytes.");
  return report.Finish(options);
}

}  // namespace cairn::bench

#else

namespace cairn::bench {

int RunRedis(const MicroOptions&) {
  Complain(
      "redis: built without hiredis; install libhiredis-dev (./dev setup bench) and build "
      "again");
  return kExitFailed;
}

}  // namespace cairn::bench

#endif
