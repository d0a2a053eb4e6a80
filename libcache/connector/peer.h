#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/cluster/membership.h"
#include "libcache/connector/backend.h"

namespace cairn {

/// How a member of the cluster looks from this client.
struct MemberView {
  enum class State {
    kIdle,       ///< Not asked yet, or not since its connection was lost.
    kConnected,  ///< Answers.
    kDown,       ///< Failed of late; the circuit breaker may be open.
    kLeftOut,    ///< Cannot serve this client: another protocol version, or another tenant key.
  };
  Member member;
  State state = State::kIdle;
  std::string problem;  ///< Of kDown and kLeftOut: what it said, or what was seen.
};
std::string_view MemberStateName(MemberView::State state);

/// One daemon as a client sees it: its connection, its circuit breaker, and what it calls the
/// client's namespaces. Or the cache of this process. Not thread-safe; Client serialises.
class Peer {
 public:
  struct Options {
    Member member;                 ///< Whose endpoint was checked, unless:
    std::shared_ptr<Cache> cache;  ///< The one of this process.
    PlaneChoice plane = PlaneChoice::kAuto;
    std::string client;
    std::shared_ptr<TlsClient> tls = {};  ///< For TCP; null: plain text.
    int breaker_failures = 3;
    std::chrono::milliseconds probe_every{1'000};
  };
  Peer(std::uint32_t id, Options options) : id_(id), options_(std::move(options)) {}

  /// Never that of another peer of the same client, be it gone.
  [[nodiscard]] std::uint32_t id() const { return id_; }
  [[nodiscard]] const Member& member() const { return options_.member; }

  /// The connection, made if need be; with PlaneChoice::kAuto for some minutes without UCX after
  /// one by which UCX came to nothing. Errors: kUnavailable while the breaker is open; those of
  /// ConnectBackend.
  Result<Backend*> Ready(const std::shared_ptr<DevicePort>& port, TimePoint deadline);
  /// The same, with the namespace open there. Errors: also those of Backend::OpenNamespace;
  /// kUnsupported when the daemon has another tenant key.
  struct SpaceRef {
    std::uint32_t handle = 0;
    const NamespaceSpec* spec = nullptr;
    const PrefixKey* seed = nullptr;
  };
  Result<Backend*> ReadyFor(const SpaceRef& space, const std::shared_ptr<DevicePort>& port,
                            TimePoint deadline);
  /// The connection where it works and the namespace is open there already; null otherwise. Waits
  /// for nothing.
  [[nodiscard]] Backend* AtHand(std::uint32_t handle) const {
    return OpenHere(handle) ? Connected() : nullptr;
  }
  /// What the daemon calls the namespace; after ReadyFor.
  [[nodiscard]] std::uint32_t IdOf(std::uint32_t handle) const { return remote_ids_[handle].id; }
  void SetId(std::uint32_t handle, std::uint32_t id);

  /// Null while there is none that works.
  [[nodiscard]] Backend* Connected() const {
    return backend_ != nullptr && backend_->Alive() ? backend_.get() : nullptr;
  }
  /// Dead or alive; null before the first.
  [[nodiscard]] Backend* backend() const { return backend_.get(); }
  /// Of which connection a lease is.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }

  /// The outcome of a call, for the breaker.
  void Note(const Error& error);
  void NoteSuccess();
  template <class T>
  Result<T> Noted(Result<T> result) {
    if (result) {
      NoteSuccess();
    } else {
      Note(result.error());
    }
    return result;
  }
  /// It cannot serve this client at all; asked again when the next probe is due.
  void LeaveOut(const Error& why);

  /// The load it told of last; 0 before.
  [[nodiscard]] std::uint32_t load_permille() const { return load_permille_; }
  void NoteLoad(std::uint32_t permille) { load_permille_ = permille; }

  /// Whether routing should count on it: it is not known to be down, or it is time to see.
  [[nodiscard]] bool MayAsk(TimePoint now) const;
  [[nodiscard]] MemberView View() const;
  /// True if View, the connection or its device may be others than at the last call of this.
  bool TakeChanged() { return std::exchange(changed_, false); }

 private:
  [[nodiscard]] bool OpenHere(std::uint32_t handle) const {
    return remote_ids_.size() > handle && remote_ids_[handle].epoch == epoch_;
  }
  [[nodiscard]] bool BreakerOpen() const {
    return options_.breaker_failures > 0 && failures_ >= options_.breaker_failures;
  }

  // What the daemon calls a namespace, and on which connection it said so.
  struct RemoteId {
    std::uint32_t id = 0;
    std::uint64_t epoch = 0;
  };

  const std::uint32_t id_;
  const Options options_;
  std::unique_ptr<Backend> backend_;
  std::vector<RemoteId> remote_ids_;  // By handle.
  std::uint64_t epoch_ = 0;
  std::uint32_t load_permille_ = 0;
  int failures_ = 0;
  TimePoint probe_at_;
  TimePoint ucx_again_at_;  // UCX has failed; until then connections are made without.
  bool left_out_ = false;
  std::string problem_;  // Of the latest failure; empty after a success.
  bool changed_ = true;
};

}  // namespace cairn
