#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libcache/cluster/membership.h"
#include "libcache/cluster/routing.h"
#include "libcache/connector/peer.h"

namespace cairn {

/// Looks nothing up. Errors: kInvalidArgument for what is no endpoint, no list of "name=endpoint"
/// and no "dns:NAME:PORT".
Status CheckEndpoints(const std::string& text);

/// The daemons of a client, by one endpoint, by a list, or by DNS. With one endpoint there is one
/// Peer, and nothing here costs a call anything. Not thread-safe; Client serialises.
class Peers {
 public:
  struct Options {
    std::string endpoint;  ///< See CheckEndpoints; a name that is none is told by Current.
    Peer::Options peer;    ///< Of each, but for its member; with a cache, of the only one.
    RoutingRule rule;
  };
  explicit Peers(Options options);

  /// Takes over what the membership says now. With DNS it waits for the first answer ever. Errors:
  /// kInvalidArgument (the endpoint), kUnavailable (nobody is there, and why).
  Status Refresh(TimePoint deadline);

  /// The daemon, where there is one endpoint (or a cache); else null.
  [[nodiscard]] Peer* Only() const { return fixed_ ? peers_.front().get() : nullptr; }
  /// Null when it is gone.
  [[nodiscard]] Peer* Find(std::uint32_t id) const;
  [[nodiscard]] std::span<const std::unique_ptr<Peer>> all() const { return peers_; }

  /// Who may have a prompt, the home first; the second is null where only one can be asked, both
  /// where none can. Members that are down or left out count as absent, so that what they had finds
  /// a new place; they are asked again when a probe is due. So do those of `silent`, which were
  /// asked and did not answer.
  using Pair = std::array<Peer*, 2>;
  [[nodiscard]] Pair Pick(std::span<const PrefixKey> keys, const PrefixKey& seed,
                          std::uint32_t block_tokens, TimePoint now,
                          std::span<const std::uint32_t> silent = {}) const;
  /// Whether somebody can be asked but these.
  [[nodiscard]] bool AnyBut(std::span<const std::uint32_t> ids, TimePoint now) const;
  [[nodiscard]] const RoutingRule& rule() const { return options_.rule; }
  /// "a: why; b: why", of those that cannot be asked.
  [[nodiscard]] std::string Problems() const;
  /// True once after the members changed.
  bool TakeChanged() { return std::exchange(changed_, false); }

 private:
  void Adopt(std::vector<Member> members);

  const Options options_;
  bool fixed_ = false;
  Status bad_;  // What is wrong with the endpoint.
  std::unique_ptr<Membership> membership_;
  std::uint64_t version_ = 0;
  std::uint32_t next_id_ = 1;
  std::vector<std::unique_ptr<Peer>> peers_;
  Ring ring_{std::span<const std::string>()};
  bool changed_ = true;
};

}  // namespace cairn
