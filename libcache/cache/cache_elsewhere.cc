// Matches of engines that use several daemons: those that another one serves, and how to tell.
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {

void Cache::Decline(SessionId session, LeaseId lease) {
  const MutexLock lock(mu_);
  const auto owner = sessions_.find(session);
  if (owner != sessions_.end()) {
    if (trie_ != nullptr) {
      trie_->Forgo(std::exchange(owner->second.planned, {}));
    }
    if (std::exchange(owner->second.undecided, std::nullopt)) {
      stats_.matches_elsewhere += 1;
    }
  }
  const auto it = leases_.find(lease);
  if (it != leases_.end() && it->second.session == session && !it->second.is_pin) {
    EndLease(lease);
  }
}

MatchResult Cache::Overheard(const MatchResult& result, SessionState& owner) {
  if (trie_ != nullptr) {
    trie_->Forgo(std::exchange(owner.planned, {}));
  }
  stats_.matches_elsewhere += 1;
  MatchResult told;
  told.load_permille = result.load_permille;
  return told;
}

void Cache::CountMatch(SessionState& owner, MatchPurpose purpose, const MatchCounts& counts) {
  owner.undecided = counts;
  owner.undecided_since = config_.clock->Now();
  if (purpose == MatchPurpose::kServe) {
    CountUndecided(owner);
  }
}

void Cache::CountUndecided(SessionState& owner) {
  const auto counts = std::exchange(owner.undecided, std::nullopt);
  if (!counts) {
    return;
  }
  stats_.matches += 1;
  stats_.match_hits += counts->hits;
  stats_.boundaries_returned += counts->boundaries;
  stats_.prompt_tokens += counts->prompt_tokens;
  stats_.overlap_tokens += counts->overlap_tokens;
  stats_.lost_tokens += counts->lost_tokens;
}

}  // namespace cairn
