// What a client of several daemons does otherwise than one of a single daemon.
#include <algorithm>
#include <utility>

#include "libcache/connector/client.h"

namespace cairn {
namespace {

/// Half of what is left: the rest belongs to whoever else is asked.
TimePoint HalfOf(TimePoint deadline) {
  const TimePoint now = SteadyClock::Instance().Now();
  return now < deadline ? now + (deadline - now) / 2 : deadline;
}

}  // namespace

std::vector<MemberView> Client::Members() const {
  const MutexLock lock(names_mu_);
  return members_;
}

Status Client::ConnectAll(TimePoint deadline) {
  if (const Status members = peers_.Refresh(deadline); !members) {
    return members;
  }
  bool any = false;
  for (const auto& peer : peers_.all()) {
    if (peer->MayAsk(SteadyClock::Instance().Now())) {
      const auto backend = Ready(*peer, HalfOf(deadline));
      any = any || backend.has_value();
      if (!backend && backend.error().code == ErrorCode::kUnsupported) {
        peer->LeaveOut(backend.error());
      }
    }
  }
  PublishAgain();
  return any ? Status() : Fail(AllDown());
}

Error Client::AllDown() const {
  return {ErrorCode::kUnavailable,
          "no daemon of " + options_.endpoint + " can be used: " + peers_.Problems()};
}

Result<Client::Handle> Client::OpenAtAny(const NamespaceSpec& spec, TimePoint deadline) {
  if (const Status members = peers_.Refresh(deadline); !members) {
    return Fail(members.error());
  }
  for (const auto& peer : peers_.all()) {
    if (!peer->MayAsk(SteadyClock::Instance().Now())) {
      continue;
    }
    auto opened = OpenAt(*peer, spec, HalfOf(deadline));
    if (opened || opened.error().code == ErrorCode::kInvalidArgument) {
      return opened;
    }
    if (opened.error().code == ErrorCode::kUnsupported) {
      peer->LeaveOut(opened.error());
      Publish(*peer);
    }
  }
  return Fail(AllDown());
}

Peer* Client::PeerOf(const Hit& hit) {
  Peer* const peer = peers_.Find(hit.peer);
  const bool same = peer != nullptr && peer->epoch() == hit.epoch && peer->Connected() != nullptr;
  return same ? peer : nullptr;
}

Result<Peer*> Client::PeerOf(const Prompt& prompt, const Space& space, TimePoint deadline) {
  if (Peer* const only = peers_.Only(); only != nullptr) {
    return only;
  }
  if (const Status members = peers_.Refresh(deadline); !members) {
    return Fail(members.error());
  }
  if (prompt.chosen != nullptr) {
    if (Peer* const chosen = peers_.Find(*prompt.chosen); chosen != nullptr) {
      return chosen;
    }
  }
  const auto [home, spread] =
      peers_.Pick(prompt.keys, space.seed, space.spec.block_tokens, SteadyClock::Instance().Now());
  if (home == nullptr) {
    return Fail(AllDown());
  }
  return spread != nullptr ? spread : home;
}

void Client::Ask(Candidate& candidate, const Space& space, const Prompt& prompt,
                 TimePoint deadline) {
  Peer& peer = *candidate.peer;
  const auto backend = ReadyFor(peer, prompt.name_space, space, deadline);
  if (!backend) {
    candidate.hit = Fail(backend.error());
    if (backend.error().code == ErrorCode::kUnsupported) {
      peer.LeaveOut(backend.error());
      Publish(peer);
    }
    return;
  }
  const Status sent =
      (*backend)->SendMatch(peer.IdOf(prompt.name_space), prompt.request, prompt.keys,
                            static_cast<std::uint32_t>(prompt.tokens.size()), deadline);
  candidate.asked = sent.has_value();
  if (!sent) {
    Note(peer, sent);
    candidate.hit = Fail(sent.error());
  }
}

void Client::Hear(Candidate& candidate, const Space& space, const Prompt& prompt,
                  TimePoint deadline) {
  Peer& peer = *candidate.peer;
  const auto matched = Noted(peer, peer.backend()->AwaitMatch(deadline));
  if (!matched) {
    candidate.hit = Fail(matched.error());
    return;
  }
  candidate.hit = ChooseHit(peer, space, prompt, *matched, deadline);
  candidate.load_permille = matched->load_permille;
}

Result<Client::Hit> Client::MatchBest(const Space& space, const Prompt& prompt,
                                      TimePoint deadline) {
  if (const Status members = peers_.Refresh(deadline); !members) {
    return Fail(members.error());
  }
  const Peers::Pair pair =
      peers_.Pick(prompt.keys, space.seed, space.spec.block_tokens, SteadyClock::Instance().Now());
  if (pair[0] == nullptr) {
    return Fail(AllDown());
  }
  std::array<Candidate, 2> candidates;
  const std::size_t count = pair[1] == nullptr ? 1 : 2;
  for (std::size_t i = 0; i < count; ++i) {
    candidates[i].peer = pair[i];
    Ask(candidates[i], space, prompt, count == 1 ? deadline : HalfOf(deadline));
  }
  std::array<CandidateAnswer, 2> answers;
  for (std::size_t i = 0; i < count; ++i) {
    Candidate& candidate = candidates[i];
    const Candidate& other = candidates[1 - i];
    if (candidate.asked) {
      // Whoever is alone may take all the time there is.
      const bool shared = i == 0 ? other.asked : answers[0].answered;
      Hear(candidate, space, prompt, shared ? HalfOf(deadline) : deadline);
    }
    answers[i] = {.answered = candidate.hit.has_value(),
                  .resume_tokens = candidate.hit ? candidate.hit->resume_at : 0,
                  .load_permille = candidate.load_permille};
  }
  if (!answers[0].answered && !answers[1].answered) {
    return std::move(candidates[0].hit);
  }
  const std::size_t better =
      Better(peers_.rule(), static_cast<std::uint32_t>(prompt.tokens.size()), answers);
  if (const Candidate& other = candidates[1 - better];
      answers[1 - better].answered && (other.hit->lease != 0 || !other.hit->plan.empty())) {
    static_cast<void>(other.peer->backend()->Decline(other.hit->lease, deadline));
  }
  if (prompt.chosen != nullptr) {
    *prompt.chosen = candidates[better].peer->id();
  }
  return std::move(candidates[better].hit);
}

}  // namespace cairn
