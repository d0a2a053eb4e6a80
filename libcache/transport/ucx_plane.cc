#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "libcache/base/busy_poll.h"
#include "libcache/base/bytes.h"
#include "libcache/base/completion.h"
#include "libcache/base/detached_thread.h"
#include "libcache/base/timed_copy.h"
#include "libcache/transport/data_plane.h"
#include "libcache/ucx/transports.h"
#include "libcache/ucx/ucx.h"

namespace cairn {
namespace {

// The staging memory is a page of words and two halves. A GET fills one half while the other is
// emptied, and a piece of it is verified as soon as its word is there; a PUT uses it in slots.
constexpr std::uint64_t kHalves = 2;
constexpr std::uint64_t kHalfBytes = 2 * kMiB;
constexpr std::uint64_t kPieceBytes = 64 * kKiB;
constexpr std::uint64_t kWordStride = 64;  // As the daemon puts them.
constexpr std::uint64_t kHalfWordsBytes = kHalfBytes / kPieceBytes * kWordStride;
constexpr std::uint64_t kWordsBytes = kHalves * kHalfWordsBytes;
constexpr std::uint64_t kSlots = 4;
constexpr std::uint64_t kSlotBytes = 512 * kKiB;
// A stretch takes the daemon a fraction of a millisecond, so that each answer is a sign of life.
// One that does not come for so long will not come: the call ends within a second of silence, with
// what it takes to notice.
constexpr std::chrono::milliseconds kSilence{900};
// How long to look for an answer before sleeping; and then between looks, should UCX forget to wake
// us up, which it does now and then.
constexpr std::chrono::microseconds kBusyPoll{100};
constexpr std::chrono::milliseconds kNap{5};
// Looks at a word between two looks at the connection.
constexpr int kWordTurns = 50;

TimePoint Now() { return SteadyClock::Instance().Now(); }

/// UCX being opened. Owned by those who wait for it and by the thread that does it.
struct Opening {
  Completion done{1};
  Result<std::shared_ptr<ucx::Context>> context = Fail(ErrorCode::kUnavailable, "");
};

/// One context for all planes of this process: to open one takes long enough to matter.
class Contexts {
 public:
  /// Errors: those of Context::Open; kDeadlineExceeded, and it is there for the next one.
  Result<std::shared_ptr<ucx::Context>> Get(const std::string& transports, TimePoint deadline)
      CAIRN_EXCLUDES(mu_) {
    std::shared_ptr<Opening> opening;
    {
      const MutexLock lock(mu_);
      std::shared_ptr<Opening>& known = by_transports_[transports];
      if (known == nullptr || (known->done.IsDone() && !known->context)) {
        known = std::make_shared<Opening>();
        if (Status started = Start(known, transports); !started) {
          known = nullptr;
          return Fail(started.error());
        }
      }
      opening = known;
    }
    if (!opening->done.Wait(deadline)) {
      return Fail(ErrorCode::kDeadlineExceeded, "UCX is still looking for its devices");
    }
    return opening->context;
  }

 private:
  /// On a thread of its own: it looks at all cards of the machine, and cannot be hurried.
  static Status Start(const std::shared_ptr<Opening>& opening, const std::string& transports) {
    return RunDetached([opening, transports] {
      opening->context = ucx::Context::Open(transports);
      opening->done.Done(ErrorCode::kOk);
    });
  }

  Mutex mu_;
  std::map<std::string, std::shared_ptr<Opening>> by_transports_ CAIRN_GUARDED_BY(mu_);
};

Contexts& ProcessContexts() {
  static auto* const contexts = new Contexts;  // Never destroyed: clients may outlive main.
  return *contexts;
}

/// Fills memory in several places, one after the other.
class Scatter {
 public:
  explicit Scatter(Pieces target) : target_(target) {}
  void Take(std::span<const std::byte> bytes, Digester& digester) {
    while (!bytes.empty()) {
      const std::span<std::byte> rest = target_[piece_].subspan(done_);
      const std::size_t count = std::min(rest.size(), bytes.size());
      digester.CopyAndUpdate(rest.first(count), bytes.first(count));
      bytes = bytes.subspan(count);
      done_ += count;
      if (done_ == target_[piece_].size()) {
        ++piece_;
        done_ = 0;
      }
    }
  }

 private:
  const Pieces target_;
  std::size_t piece_ = 0;
  std::size_t done_ = 0;
};

/// A part of an object that is asked for at once.
struct Stretch {
  std::size_t object = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// Objects on their way: their stretches in order, each into the half that its number says.
struct Flight {
  explicit Flight(std::span<const PlaneObject> all) : objects(all) {}
  /// What to ask for next; none when all is asked for.
  [[nodiscard]] std::optional<Stretch> Next() const {
    Stretch next = {.object = object, .offset = offset};
    while (next.object < objects.size() && next.offset == objects[next.object].bytes) {
      next = {.object = next.object + 1};
    }
    if (next.object == objects.size()) {
      return std::nullopt;
    }
    next.bytes = std::min(kHalfBytes, objects[next.object].bytes - next.offset);
    return next;
  }

  const std::span<const PlaneObject> objects;
  std::size_t object = 0;    // Asked for up to ...
  std::uint64_t offset = 0;  // ... here.
  std::uint64_t asked = 0;   // Stretches.
  std::uint64_t taken = 0;
  std::uint64_t unanswered = 0;
};

class UcxPlane final : public DataPlane {
 public:
  UcxPlane(Channel& channel, std::unique_ptr<ucx::Worker> worker,
           std::unique_ptr<ucx::Region> staging)
      : channel_(channel), worker_(std::move(worker)), staging_(std::move(staging)) {}

  [[nodiscard]] std::string_view Name() const override { return "ucx"; }
  [[nodiscard]] bool Proven() const override { return proven_; }

  /// Makes the staging memory known to the daemon.
  Status Attach(TimePoint deadline) {
    auto address = worker_->Address();
    auto key = staging_->RemoteKey();
    if (!address || !key) {
      return Fail(address ? key.error() : address.error());
    }
    v1::Request request;
    v1::AttachUcx& attach = *request.mutable_attach_ucx();
    const std::string both = *address + *key;
    attach.set_checksum(DigestOf(std::as_bytes(std::span(both))).low);
    attach.set_worker_address(std::move(*address));
    attach.set_remote_key(std::move(*key));
    attach.set_address(reinterpret_cast<std::uint64_t>(staging_->memory().data()));
    attach.set_bytes(staging_->memory().size());
    if (Status sent = channel_.Send(request, {}, deadline); !sent) {
      return sent;
    }
    // Where both ends have to agree on a way, the daemon waits for this one's progress.
    return TakeReply(deadline, deadline);
  }

  Status Get(const PlaneObject& object, Pieces target, TimePoint deadline) override {
    std::size_t whole = 0;
    return GetAll(
        std::span(&object, 1), [&target](std::size_t) { return Result<Pieces>(target); }, whole,
        deadline);
  }

  Status GetAll(std::span<const PlaneObject> objects, const TargetOf& target, std::size_t& whole,
                TimePoint deadline) override {
    Flight flight(objects);
    Status status;
    for (whole = 0; whole < objects.size(); ++whole) {
      const Result<Pieces> memory = target(whole);
      status = memory ? Take(objects[whole], *memory, flight, deadline) : Fail(memory.error());
      if (!status) {
        break;
      }
    }
    Drain(flight.unanswered, deadline);
    return status;
  }

  Result<Digest> Put(std::uint64_t token, std::span<const std::byte> bytes,
                     TimePoint deadline) override {
    const std::uint64_t piece = SlotBytesFor(bytes.size());
    Digester digester;
    std::uint64_t in_flight = 0;
    Status status;
    for (std::uint64_t done = 0; done < bytes.size() && status; done += piece) {
      if (in_flight == kSlots) {
        status = TakeReply(deadline);
        --in_flight;
        if (!status) {
          break;
        }
      }
      if (IsLate(deadline)) {
        status = Fail(ErrorCode::kDeadlineExceeded, "the daemon did not take all in time");
        break;
      }
      const auto part = bytes.subspan(done, std::min<std::uint64_t>(piece, bytes.size() - done));
      const std::uint64_t offset = SlotOffset(done / piece % kSlots);
      digester.CopyAndUpdate(staging_->memory().subspan(offset, part.size()), part);
      v1::Request request;
      v1::UcxPut& put = *request.mutable_ucx_put();
      put.set_token(token);
      put.set_object_offset(done);
      put.set_staging_offset(offset);
      put.set_bytes(part.size());
      std::atomic_thread_fence(std::memory_order_release);
      status = channel_.Send(request, {}, deadline);
      in_flight += status ? 1 : 0;
    }
    for (; in_flight > 0 && status; --in_flight) {
      status = TakeReply(deadline);
    }
    Drain(in_flight, deadline);
    if (!status) {
      return Fail(status.error());
    }
    return digester.Finish();
  }

 private:
  static std::uint64_t SlotOffset(std::uint64_t slot) { return kWordsBytes + slot * kSlotBytes; }
  static std::uint64_t WordOffset(std::uint64_t half) { return half * kHalfWordsBytes; }
  /// So that the two ends overlap even over one object.
  static std::uint64_t SlotBytesFor(std::uint64_t bytes) {
    return std::clamp(RoundUp(bytes / kSlots, 4096), kPieceBytes, kSlotBytes);
  }

  /// Brings one object, with those after it asked for meanwhile.
  Status Take(const PlaneObject& object, Pieces target, Flight& flight, TimePoint deadline) {
    if (TotalBytes(target) != object.bytes) {
      return Fail(ErrorCode::kInvalidArgument, "the target has another size than the object");
    }
    Scatter scatter(target);
    Digester digester;
    for (std::uint64_t done = 0; done < object.bytes;) {
      if (Status asked = AskAhead(flight, deadline); !asked) {
        return asked;
      }
      bool answered = false;
      const std::uint64_t bytes = std::min(kHalfBytes, object.bytes - done);
      const Status taken =
          TakeStretch(flight.taken % kHalves, bytes, scatter, digester, deadline, answered);
      flight.unanswered -= answered ? 1 : 0;
      if (!taken) {
        return taken;
      }
      flight.taken += 1;
      done += bytes;
    }
    return digester.Finish() == object.digest
               ? Status()
               : Fail(ErrorCode::kCorrupt, "the object does not have its digest");
  }

  /// A stretch for each half that is free.
  Status AskAhead(Flight& flight, TimePoint deadline) {
    while (flight.asked - flight.taken < kHalves) {
      const std::optional<Stretch> next = flight.Next();
      if (!next) {
        break;
      }
      const Status sent =
          Ask(flight.objects[next->object], *next, flight.asked % kHalves, deadline);
      if (!sent) {
        return sent;
      }
      flight.object = next->object;
      flight.offset = next->offset + next->bytes;
      flight.asked += 1;
      flight.unanswered += 1;
    }
    return {};
  }

  /// Asks for a stretch, which goes to `half`.
  Status Ask(const PlaneObject& object, const Stretch& stretch, std::uint64_t half,
             TimePoint deadline) {
    // No value twice in the life of this memory, which ends with the connection.
    words_[half] = next_word_;
    next_word_ += kHalfBytes / kPieceBytes;
    v1::Request request;
    v1::UcxGet& get = *request.mutable_ucx_get();
    get.set_lease_id(object.lease);
    get.set_index(object.index);
    get.set_object_offset(stretch.offset);
    get.set_staging_offset(kWordsBytes + half * kHalfBytes);
    get.set_bytes(stretch.bytes);
    get.set_word_offset(WordOffset(half));
    get.set_word(words_[half]);
    get.set_piece_bytes(kPieceBytes);
    return channel_.Send(request, {}, deadline);
  }

  /// Copies a stretch out of `half`, each piece once it is there, and takes the answer to it, which
  /// `answered` says.
  Status TakeStretch(std::uint64_t half, std::uint64_t bytes, Scatter& scatter, Digester& digester,
                     TimePoint deadline, bool& answered) {
    for (std::uint64_t done = 0; done < bytes; done += kPieceBytes) {
      const std::uint64_t k = done / kPieceBytes;
      const std::atomic_ref word(*reinterpret_cast<std::uint64_t*>(
          staging_->memory().data() + WordOffset(half) + k * kWordStride));
      const std::uint64_t wanted = words_[half] + k;
      const auto there = [&] { return word.load(std::memory_order_acquire) == wanted; };
      if (!there() && !answered && !AwaitWord(there, deadline)) {
        // The answer is there, or time is over.
        answered = true;
        if (Status reply = TakeReply(deadline); !reply) {
          return reply;
        }
      }
      if (IsLate(deadline)) {  // Pieces that keep coming make nobody wait.
        channel_.Abandon();
        return Fail(ErrorCode::kDeadlineExceeded, "the daemon did not deliver all in time");
      }
      const bool before = there();
      if (before) {
        const std::uint64_t at = kWordsBytes + half * kHalfBytes + done;
        scatter.Take(staging_->memory().subspan(at, std::min(kPieceBytes, bytes - done)), digester);
      }
      std::atomic_thread_fence(std::memory_order_acquire);
      if (!before || !there()) {
        channel_.Abandon();
        return Fail(ErrorCode::kUnavailable, "other bytes arrived than were asked for");
      }
    }
    const bool owed = !answered;
    answered = true;
    return owed ? TakeReply(deadline) : Status();
  }

  /// Whether there is something for Channel::Receive: an answer, or the end. What nobody waits for
  /// comes before it and is taken here, since Receive would wait behind it and UCX stand still.
  bool AnswerThere(TimePoint deadline) {
    pollfd answer{.fd = channel_.fd(), .events = POLLIN, .revents = 0};
    while (channel_.AnswerBuffered() || poll(&answer, 1, 0) > 0) {
      if (!channel_.OwesPosted() || !channel_.SkipPosted(deadline)) {
        return true;
      }
    }
    return false;
  }

  /// False when an answer came first, or nothing did for a while.
  template <class There>
  bool AwaitWord(const There& there, TimePoint deadline) {
    BusyPoll busy_poll(kBusyPoll);
    for (;;) {
      for (int turn = 0; turn < kWordTurns; ++turn) {
        if (there()) {
          return true;
        }
        worker_->Progress();
      }
      if (AnswerThere(deadline) || Now() >= deadline || !busy_poll.Again()) {
        return there();
      }
    }
  }

  /// Of a transfer.
  Status TakeReply(TimePoint deadline) {
    Status reply = TakeReply(deadline, Now() + kSilence);
    proven_ = proven_ || reply.has_value();
    return reply;
  }
  /// Waits for an answer and moves UCX forward meanwhile.
  Status TakeReply(TimePoint deadline, TimePoint silent_at) {
    if (channel_.broken()) {
      return Fail(ErrorCode::kUnavailable, "the connection failed before");
    }
    const TimePoint until = std::min(deadline, silent_at);
    if (!AwaitAnswer(until)) {
      channel_.Abandon();
      return deadline <= silent_at
                 ? Fail(ErrorCode::kDeadlineExceeded, "the daemon did not answer in time")
                 : Fail(ErrorCode::kUnavailable, "the daemon has been silent for 0.9 s");
    }
    const auto reply = channel_.Receive(until);
    if (!reply) {
      // A frame that makes no sense says nothing about the object.
      const bool senseless = channel_.broken() && reply.error().code == ErrorCode::kCorrupt;
      return senseless ? Fail(ErrorCode::kUnavailable, reply.error().message) : Fail(reply.error());
    }
    return {};
  }

  bool AwaitAnswer(TimePoint until) {
    BusyPoll busy_poll(kBusyPoll);
    std::array<pollfd, 2> fds{{{.fd = channel_.fd(), .events = POLLIN, .revents = 0},
                               {.fd = worker_->event_fd(), .events = POLLIN, .revents = 0}}};
    for (;;) {
      while (worker_->Progress()) {
      }
      if (AnswerThere(until)) {
        return true;
      }
      const TimePoint now = Now();
      if (now >= until) {
        return false;
      }
      if (!busy_poll.Again() && worker_->Arm()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
        poll(fds.data(), fds.size(), static_cast<int>(std::min(left, kNap).count()));
      }
    }
  }

  /// Answers that nobody needs any more, so that the next call gets its own.
  void Drain(std::uint64_t in_flight, TimePoint deadline) {
    for (; in_flight > 0 && !channel_.broken(); --in_flight) {
      static_cast<void>(TakeReply(deadline));
    }
  }

  Channel& channel_;
  // The memory goes first: nothing of a daemon that is late may reach what comes after it.
  const std::unique_ptr<ucx::Worker> worker_;
  const std::unique_ptr<ucx::Region> staging_;
  std::array<std::uint64_t, kHalves> words_{};  // The first of each half.
  std::uint64_t next_word_ = 1;
  bool proven_ = false;  // The daemon has said of a transfer that it is done.
};

/// UCX with tcp opens a port in this process as well; a daemon cannot decide that for an engine.
bool EngineAllowsTcp() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours changes the environment.
  const char* const value = std::getenv("CAIRN_UCX_ALLOW_INSECURE_TCP");
  return value != nullptr && std::string_view(value) == "true";
}

}  // namespace

Result<std::unique_ptr<DataPlane>> OpenUcxPlane(Channel& channel, TimePoint deadline) {
  const auto& planes = channel.hello().planes();
  if (std::find(planes.begin(), planes.end(), v1::PLANE_UCX) == planes.end()) {
    return Fail(ErrorCode::kUnsupported,
                "the daemon offers no UCX over this connection; start it with --ucx on, and "
                "connect as its own user or, by TLS, as somebody whom its --tls-tenants names");
  }
  const std::string& transports = channel.hello().ucx_transports();
  if (const Status safe = ucx::CheckTransports(transports, EngineAllowsTcp()); !safe) {
    return Fail(ErrorCode::kUnsupported, "the daemon's --ucx-tls: " + safe.error().message);
  }
  const auto context = ProcessContexts().Get(transports, deadline);
  if (!context) {
    return Fail(context.error());
  }
  auto worker = (*context)->OpenWorker();
  auto staging = (*context)->Allocate(kWordsBytes + kHalves * kHalfBytes);
  if (!worker || !staging) {
    return Fail(worker ? staging.error() : worker.error());
  }
  auto plane = std::make_unique<UcxPlane>(channel, std::move(*worker), std::move(*staging));
  if (const Status attached = plane->Attach(deadline); !attached) {
    return Fail(attached.error());
  }
  return plane;
}

}  // namespace cairn
