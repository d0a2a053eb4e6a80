#include "libcache/connector/peers.h"

#include <algorithm>
#include <utility>

#include "libcache/transport/resolve.h"

namespace cairn {
namespace {

Status CheckEndpoint(const std::string& text) {
  const auto endpoint = ParseEndpoint(text);
  return endpoint ? Status() : Fail(endpoint.error());
}

bool MayAsk(const Peer& peer, std::span<const std::uint32_t> but, TimePoint now) {
  return std::find(but.begin(), but.end(), peer.id()) == but.end() && peer.MayAsk(now);
}

}  // namespace

Status CheckEndpoints(const std::string& text) {
  if (IsOneEndpoint(text)) {
    return CheckEndpoint(text);
  }
  const auto members = NamedMembers(text);
  if (!members) {
    return Fail(members.error());
  }
  for (const Member& member : *members) {
    if (Status good = CheckEndpoint(member.endpoint); !good) {
      return good;
    }
  }
  return {};
}

Peers::Peers(Options options) : options_(std::move(options)) {
  fixed_ = options_.peer.cache != nullptr || IsOneEndpoint(options_.endpoint);
  if (fixed_) {
    Adopt({{.name = options_.endpoint, .endpoint = options_.endpoint}});
    return;
  }
  if (bad_ = CheckEndpoints(options_.endpoint); !bad_) {
    return;
  }
  auto membership = MakeMembership(options_.endpoint, {}, {.resolve = ResolveHost});
  if (!membership) {
    bad_ = Fail(membership.error());
    return;
  }
  membership_ = *std::move(membership);
  version_ = membership_->Version();
  Adopt(membership_->Members());  // Those of a list are known already.
}

Status Peers::Refresh(TimePoint deadline) {
  if (fixed_ || !bad_) {
    return bad_;
  }
  if (peers_.empty()) {
    membership_->AwaitAnswer(deadline);
  }
  if (const std::uint64_t version = membership_->Version(); version != version_ || peers_.empty()) {
    version_ = version;
    Adopt(membership_->Members());
  }
  if (peers_.empty()) {
    const Status problem = membership_->Problem();
    return Fail(ErrorCode::kUnavailable, problem ? "there is no member" : problem.error().message);
  }
  return {};
}

void Peers::Adopt(std::vector<Member> members) {
  std::vector<std::unique_ptr<Peer>> now;
  std::vector<std::string> names;
  for (Member& member : members) {
    names.push_back(member.name);
    const auto kept = std::find_if(peers_.begin(), peers_.end(), [&member](const auto& peer) {
      return peer != nullptr && peer->member() == member;
    });
    if (kept != peers_.end()) {
      now.push_back(std::move(*kept));
      continue;
    }
    Peer::Options options = options_.peer;
    options.member = std::move(member);
    now.push_back(std::make_unique<Peer>(next_id_++, std::move(options)));
  }
  peers_ = std::move(now);
  ring_ = Ring(names);
  changed_ = true;
}

Peer* Peers::Find(std::uint32_t id) const {
  const auto found = std::find_if(peers_.begin(), peers_.end(),
                                  [id](const auto& peer) { return peer->id() == id; });
  return found == peers_.end() ? nullptr : found->get();
}

Peers::Pair Peers::Pick(std::span<const PrefixKey> keys, const PrefixKey& seed,
                        std::uint32_t block_tokens, TimePoint now,
                        std::span<const std::uint32_t> silent) const {
  std::vector<std::uint8_t> usable(peers_.size());
  bool any = false;
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    usable[i] = MayAsk(*peers_[i], silent, now) ? 1 : 0;
    any = any || usable[i] != 0;
  }
  if (!any) {
    return {nullptr, nullptr};
  }
  const RouteBlocks route = RouteBlocksOf(options_.rule, keys.size(), block_tokens);
  const auto key = [&](std::size_t blocks) -> const PrefixKey& {
    return blocks == 0 ? seed : keys[blocks - 1];
  };
  const Ring::Candidates found = ring_.Pick(key(route.home), key(route.spread), usable);
  Peer* const first = peers_[found.first].get();
  return {first, found.second == found.first ? nullptr : peers_[found.second].get()};
}

bool Peers::AnyBut(std::span<const std::uint32_t> ids, TimePoint now) const {
  return std::any_of(peers_.begin(), peers_.end(),
                     [&](const auto& peer) { return MayAsk(*peer, ids, now); });
}

std::string Peers::Problems() const {
  std::string text;
  for (const auto& peer : peers_) {
    const MemberView view = peer->View();
    if (!view.problem.empty()) {
      text += (text.empty() ? "" : "; ") + view.member.name + ": " + view.problem;
    }
  }
  return text;
}

}  // namespace cairn
