#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/cache/cache.h"
#include "libcache/cluster/affinity.h"
#include "libcache/connector/backend.h"
#include "libcache/connector/peers.h"
#include "libcache/connector/turn.h"

namespace cairn {

struct ClientOptions {
  /// "unix:/run/cairn/cairn.sock" or "host:port". Of several daemons: "a=host:port,b=host:port",
  /// the same for all engines since the names say where prompts belong, or "dns:NAME:PORT", all
  /// addresses of a headless service. Ignored when `cache` is set.
  std::string endpoint;
  /// Embedded mode: a cache in this process, shared by as many clients as like.
  std::shared_ptr<Cache> cache;
  PlaneChoice plane = PlaneChoice::kAuto;
  /// The engine's device, for LoadToDevice. Client::AttachDevice gives it later.
  std::shared_ptr<DevicePort> device = {};
  std::string name = "libcairn";
  /// The circuit breaker: after this many timeouts or lost connections in a row every call fails at
  /// once with kUnavailable, and one call each `probe_every` tries again.
  int breaker_failures = 3;
  std::chrono::milliseconds probe_every{1'000};
  /// For endpoints by TCP. Without: plain text.
  TlsClientOptions tls = {};
  /// Of several daemons: who serves which prompt. All engines need the same.
  RoutingRule routing = {};
};

/// The engine's end of the cache: keys are made here, bytes are copied and verified here, and
/// nothing here can hold an engine up longer than the deadline it gave.
///
/// Every error is a miss as far as the engine is concerned: it prefills cold. Bytes handed out were
/// verified; after an error a target buffer's content is undefined.
///
/// Thread-safe, but calls with a deadline wait for one another (within their deadlines): give each
/// engine thread a client of its own. Calls without one never wait. Reconnects by itself; leases of
/// a lost connection are gone. A call whose deadline is over when it begins fails with
/// kDeadlineExceeded, which the circuit breaker does not count.
///
/// Of several daemons a match asks the one where this client stored the prompt's beginning, or else
/// the two where it may be, both at once, and goes on with the better one; all other calls go to
/// the daemon of the hit, or of the prompt's latest match. A daemon that is down costs misses: it
/// has a circuit breaker of its own, at most half of what is left of a deadline waits for it while
/// another could answer, and while it is out others take what it would get.
class Client {
 public:
  using Handle = std::uint32_t;

  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Connects if need be. To tell a wrong endpoint early; every other call connects too. Of several
  /// daemons to all; one that answers is enough.
  Status Connect(TimePoint deadline) CAIRN_EXCLUDES(turn_);
  /// The daemons and how they look from here, as of the latest call that asked one; empty while DNS
  /// has not answered.
  [[nodiscard]] std::vector<MemberView> Members() const CAIRN_EXCLUDES(names_mu_);

  /// "shm", "ucx", "stream", "embedded", or "none" while not connected. Of several daemons: of the
  /// one that was asked last.
  [[nodiscard]] std::string PlaneName() const CAIRN_EXCLUDES(names_mu_);

  /// The engine's device from now on; null: none, and the one before is not used any more. Errors:
  /// kDeadlineExceeded: nothing changed, be it that a copy of the one before is late.
  Status AttachDevice(std::shared_ptr<DevicePort> port, TimePoint deadline) CAIRN_EXCLUDES(turn_);
  struct DeviceInfo {
    bool attached = false;
    Status reads_gpu_tier;  ///< Or why objects in the daemon's GPU memory are not read there.
  };
  /// As of the latest call that asked the daemon.
  [[nodiscard]] DeviceInfo Device() const CAIRN_EXCLUDES(names_mu_);

  /// A handle that stays valid over reconnects. Errors: kInvalidArgument naming the field.
  Result<Handle> OpenNamespace(const NamespaceSpec& spec, TimePoint deadline) CAIRN_EXCLUDES(turn_);
  /// key_0 of an open namespace, to make keys with.
  [[nodiscard]] Result<PrefixKey> Seed(Handle handle) const CAIRN_EXCLUDES(names_mu_);
  /// What was opened under `handle`, with the grid that is in force.
  [[nodiscard]] Result<NamespaceSpec> SpecOf(Handle handle) const CAIRN_EXCLUDES(names_mu_);

  /// A prompt as the cache sees it: made once, used by Match and Store.
  struct Prompt {
    Handle name_space = 0;
    std::uint64_t request = 0;              ///< The engine's number for the request.
    std::span<const std::uint32_t> tokens;  ///< Must outlive the calls.
    std::vector<PrefixKey> keys;            ///< Of all whole blocks.
    /// Which of several daemons its latest match chose; null with one. Copies share it.
    std::shared_ptr<std::atomic<std::uint32_t>> chosen = {};
  };
  /// Computes the keys. Errors: kInvalidArgument for an empty prompt.
  Result<Prompt> MakePrompt(Handle handle, std::uint64_t request,
                            std::span<const std::uint32_t> tokens) const CAIRN_EXCLUDES(names_mu_);

  struct Hit {
    LeaseId lease = 0;            ///< 0: nothing to resume from. Release it otherwise.
    std::uint32_t peer = 0;       ///< Which daemon's; Peer::id.
    std::uint64_t epoch = 0;      ///< Connection the lease belongs to.
    std::uint32_t resume_at = 0;  ///< Best boundary; 0 is a cold start.
    TierKind tier = TierKind::kNone;
    std::uint64_t bytes = 0;
    bool tail = false;
    PrefixKey tail_key;
    std::vector<Boundary> boundaries;  ///< All that hold for this prompt, shallow to deep.
    std::vector<std::uint32_t> plan;   ///< Where to emit checkpoints, beyond resume_at.
    std::uint32_t overlap_tokens = 0;  ///< Longest prefix seen before that the daemon knows.
  };
  /// Never resumes at the prompt's full length. Errors: see class comment.
  Result<Hit> Match(const Prompt& prompt, TimePoint deadline) CAIRN_EXCLUDES(turn_);

  /// Gives memory for an object about to be read: object.bytes of it.
  using Target = std::function<std::span<std::byte>(const ObjectView& object)>;
  /// The same in several places, filled one after the other. The pieces must stay as they are until
  /// the next call of it, or the end of the load.
  using ScatterTarget = std::function<Pieces(const ObjectView& object)>;
  struct Loaded {
    std::uint32_t objects = 0;
    std::uint64_t bytes = 0;
    std::uint32_t device_objects = 0;  ///< Of them out of device memory; only LoadToDevice does.
  };
  /// Brings the boundary of `hit` to the engine's memory: KV blocks shallow to deep, the tail's KV,
  /// then the checkpoint, each verified. KV up to `from_position` is left out. All or nothing: on
  /// an error the engine must not use any of it.
  Result<Loaded> Load(const Hit& hit, std::uint32_t from_position, const Target& target,
                      TimePoint deadline) CAIRN_EXCLUDES(turn_);
  Result<Loaded> LoadScattered(const Hit& hit, std::uint32_t from_position,
                               const ScatterTarget& target, TimePoint deadline)
      CAIRN_EXCLUDES(turn_);
  /// Gives an address of the engine's device for an object; 0 ends the load with kNoSpace.
  using DeviceTarget = std::function<std::uint64_t(const ObjectView& object)>;
  /// Load to the engine's device: from the daemon's GPU memory what is there and can be read there,
  /// through host memory what is not, or whose copy failed. All or nothing, like Load. Errors:
  /// kInvalidArgument without a device; what the port says of copies from host memory, after which
  /// Load works under the same lease; see class comment.
  Result<Loaded> LoadToDevice(const Hit& hit, std::uint32_t from_position,
                              const DeviceTarget& target, TimePoint deadline) CAIRN_EXCLUDES(turn_);
  /// The engine found that object `index` of the load (in its order) is not what it should be,
  /// although its bytes are those that were stored. It is taken out of all tiers. After a load of
  /// the same hit only. Errors: see class comment; kExpired.
  Status Reject(const Hit& hit, std::uint32_t index, TimePoint deadline) CAIRN_EXCLUDES(turn_);
  /// Another boundary of the same hit, if loading the best one is not worth it.
  static Hit At(const Hit& hit, const Boundary& boundary);

  /// Tells the daemon, without waiting for its answer: a lease that was over already is no error.
  Status Release(const Hit& hit, TimePoint deadline) CAIRN_EXCLUDES(turn_);

  /// One object to store. KV: ends at `position`, begins at the block's start (a whole block, or
  /// the first tokens of one for a tail). Checkpoint: the state at `position`.
  struct StoreItem {
    ObjectKind kind = ObjectKind::kKv;
    std::uint32_t position = 0;
    std::span<const std::byte> bytes;
  };
  struct Stored {
    std::uint32_t written = 0;
    std::uint32_t present = 0;  ///< Were there already, or another writer is at it.
    std::uint32_t refused = 0;  ///< No room, or a limit.
    std::uint64_t bytes = 0;
    /// A key per item, so that the caller can name what it stored.
    std::vector<ErrorCode> codes;
  };
  /// Store in order of position. `durable`: return once the objects survive kill -9.
  Result<Stored> Store(const Prompt& prompt, std::span<const StoreItem> items, bool durable,
                       TimePoint deadline) CAIRN_EXCLUDES(turn_);

  Status Observe(const Prompt& prompt, const Observation& observation, TimePoint deadline)
      CAIRN_EXCLUDES(turn_);

  /// Key of any position of the prompt: a block's, or a tail's.
  [[nodiscard]] Result<PrefixKey> KeyAt(const Prompt& prompt, std::uint32_t position) const
      CAIRN_EXCLUDES(names_mu_);

 private:
  // What was opened; never changes. Shared, so that a call may use it while others are opened.
  struct Space {
    NamespaceSpec spec;
    PrefixKey seed;
  };
  [[nodiscard]] Result<std::shared_ptr<const Space>> Find(Handle handle) const
      CAIRN_EXCLUDES(names_mu_);
  /// Find, and a check that the prompt was made for such a namespace.
  [[nodiscard]] Result<std::shared_ptr<const Space>> SpaceOf(const Prompt& prompt) const
      CAIRN_EXCLUDES(names_mu_);
  /// The peer's connection, and what is known of the peer brought up to date.
  Result<Backend*> Ready(Peer& peer, TimePoint deadline) CAIRN_REQUIRES(turn_);
  Result<Backend*> ReadyFor(Peer& peer, Handle handle, const Space& space, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// A daemon and the connection to it, with the namespace open.
  struct Reached {
    Peer* peer = nullptr;
    Backend* backend = nullptr;
  };
  /// Who stores and observes a prompt: the one of its match, else one where a match would go, else
  /// whoever takes the place of one that cannot be reached. Errors: those of Peers::Refresh and of
  /// ReadyFor; kUnavailable.
  Result<Reached> Reach(const Prompt& prompt, const Space& space, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// kUnsupported: it is none of this client's daemons.
  void LeaveOutIfOther(Peer& peer, const Error& error) CAIRN_REQUIRES(turn_)
      CAIRN_EXCLUDES(names_mu_);
  /// The next to try for Reach, but those of `silent`; null: nobody is left.
  [[nodiscard]] Peer* NextFor(const Prompt& prompt, const Space& space,
                              std::span<const std::uint32_t> silent) const CAIRN_REQUIRES(turn_);
  /// Of a hit; null when its connection is gone, and the lease with it.
  Peer* PeerOf(const Hit& hit) CAIRN_REQUIRES(turn_);
  Status ConnectAll(TimePoint deadline) CAIRN_REQUIRES(turn_);
  [[nodiscard]] Error AllDown() const CAIRN_REQUIRES(turn_);
  /// Whoever answers first says the seed; the others open the namespace when they are asked.
  Result<Handle> OpenAtAny(const NamespaceSpec& spec, TimePoint deadline) CAIRN_REQUIRES(turn_)
      CAIRN_EXCLUDES(names_mu_);
  Result<Handle> OpenAt(Peer& peer, const NamespaceSpec& spec, TimePoint deadline)
      CAIRN_REQUIRES(turn_) CAIRN_EXCLUDES(names_mu_);
  Result<Hit> MatchAt(Peer& peer, const Space& space, const Prompt& prompt, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  Result<Hit> MatchBest(const Space& space, const Prompt& prompt, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// One of a pair of candidates: its request is sent by Ask, its answer awaited by Hear.
  struct Candidate {
    Peer* peer = nullptr;
    bool asked = false;  ///< The request was sent, or could not be.
    bool sent = false;
    Result<Hit> hit = Fail(ErrorCode::kUnavailable, "not asked");

    [[nodiscard]] CandidateAnswer Answer() const;
    /// Others may be asked in its place.
    [[nodiscard]] bool Silent() const;
  };
  using Candidates = std::array<Candidate, 2>;
  /// What a daemon is still to be told of the latest match: that it is declined, or of all of it.
  struct Unsaid {
    std::uint32_t peer = 0;
    std::uint64_t epoch = 0;
    bool declined = false;
    LeaseId lease = 0;
    Handle name_space = 0;
    std::uint64_t request = 0;
    std::uint32_t prompt_tokens = 0;
    std::vector<PrefixKey> keys;
  };
  void Ask(Candidate& candidate, const Space& space, const Prompt& prompt, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  void Hear(Candidate& candidate, const Space& space, const Prompt& prompt, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// Asks and hears.
  void AskOne(Candidate& candidate, const Space& space, const Prompt& prompt, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// Both at once.
  void AskBoth(Candidates& candidates, const Space& space, const Prompt& prompt, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// The one that has the prompt by what is remembered, and the other only if that does not settle
  /// it. False, and nobody was asked, where nothing useful is remembered.
  bool AskHolder(Candidates& candidates, const Space& space, const Prompt& prompt,
                 TimePoint deadline) CAIRN_REQUIRES(turn_);
  /// Picks and asks, but for those of `silent`. Nobody is picked where nobody is left.
  Candidates AskPair(std::span<const std::uint32_t> silent, const Space& space,
                     const Prompt& prompt, TimePoint deadline) CAIRN_REQUIRES(turn_);
  /// The other one serves the prompt; this one is to be told.
  void LeaveToOther(const Candidate& candidate, const Prompt& prompt) CAIRN_REQUIRES(turn_);
  /// Tells it, without waiting for an answer: at the end of calls that an engine makes when its
  /// request no longer waits for them, since to wake a daemon costs as much as half a match.
  void SayUnsaid(TimePoint deadline) CAIRN_REQUIRES(turn_);
  /// Where the prompt is resumed from the next time.
  void RememberStored(const Peer& peer, const Space& space, const Prompt& prompt,
                      std::span<const StoreItem> items, const Stored& stored) CAIRN_REQUIRES(turn_);
  /// What a load brings. Errors: see class comment; kExpired.
  Result<std::vector<ObjectView>> FetchFor(const Hit& hit, std::uint32_t from_position,
                                           TimePoint deadline) CAIRN_REQUIRES(turn_);
  /// Brings up to date what others may read: of the members, of the one that was asked last and of
  /// the device.
  void Publish(Peer& peer) CAIRN_REQUIRES(turn_) CAIRN_EXCLUDES(names_mu_);
  void PublishAgain() CAIRN_REQUIRES(turn_) CAIRN_EXCLUDES(names_mu_);
  Result<Loaded> BringToDevice(Peer& peer, LeaseId lease, std::span<const ObjectView> objects,
                               const DeviceTarget& target, TimePoint deadline)
      CAIRN_REQUIRES(turn_);
  /// Reads an object in host memory and has the port copy it to `place`.
  Status BringByHost(Peer& peer, LeaseId lease, std::uint32_t index, const ObjectView& object,
                     std::uint64_t place, TimePoint deadline) CAIRN_REQUIRES(turn_);
  /// For the breaker.
  void Note(Peer& peer, const Status& outcome) CAIRN_REQUIRES(turn_);
  template <class T>
  Result<T> Noted(Peer& peer, Result<T> result) CAIRN_REQUIRES(turn_) {
    Note(peer, result ? Status() : Fail(result.error()));
    return result;
  }
  static PrefixKey KeyIn(const Space& space, const Prompt& prompt, std::uint32_t position);
  Result<Hit> ChooseHit(Peer& peer, const Space& space, const Prompt& prompt,
                        const MatchResult& matched, TimePoint deadline) CAIRN_REQUIRES(turn_);
  Result<Stored> StoreIn(Peer& peer, Backend& backend, const Space& space, const Prompt& prompt,
                         std::span<const StoreItem> items, bool durable, TimePoint deadline)
      CAIRN_REQUIRES(turn_);

  const ClientOptions options_;
  const bool several_;      // Daemons.
  mutable Mutex names_mu_;  // A leaf; may be taken during a turn.
  std::vector<std::shared_ptr<const Space>> spaces_ CAIRN_GUARDED_BY(names_mu_);
  std::string plane_ CAIRN_GUARDED_BY(names_mu_) = "none";
  DeviceInfo device_info_ CAIRN_GUARDED_BY(names_mu_);
  std::vector<MemberView> members_ CAIRN_GUARDED_BY(names_mu_);

  Turn turn_;
  std::shared_ptr<DevicePort> port_ CAIRN_GUARDED_BY(turn_);
  Peers peers_ CAIRN_GUARDED_BY(turn_);
  Affinity affinity_ CAIRN_GUARDED_BY(turn_);
  std::optional<Unsaid> unsaid_ CAIRN_GUARDED_BY(turn_);
  std::uint32_t shown_peer_ CAIRN_GUARDED_BY(turn_) = 0;
};

/// The usual deadline: `ms` from now.
inline TimePoint In(std::chrono::milliseconds ms) { return std::chrono::steady_clock::now() + ms; }

}  // namespace cairn
