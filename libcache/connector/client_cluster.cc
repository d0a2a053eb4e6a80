// What a client of several daemons does otherwise than one of a single daemon.
#include <algorithm>
#include <utility>

#include "libcache/connector/client.h"

namespace cairn {
namespace {

// For a message that goes into a socket's buffer, be it of 100,000 tokens' keys.
constexpr std::chrono::milliseconds kTellWithin{5};

/// Half of what is left: the rest belongs to whoever else is asked.
TimePoint HalfOf(TimePoint deadline) {
  const TimePoint now = SteadyClock::Instance().Now();
  return now < deadline ? now + (deadline - now) / 2 : deadline;
}

/// Another daemon may do better.
bool IsSilence(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kUnsupported ||
         code == ErrorCode::kDeadlineExceeded || code == ErrorCode::kCorrupt;
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
    LeaveOutIfOther(*peer, opened.error());
  }
  return Fail(AllDown());
}

Peer* Client::PeerOf(const Hit& hit) {
  Peer* const peer = peers_.Find(hit.peer);
  const bool same = peer != nullptr && peer->epoch() == hit.epoch && peer->Connected() != nullptr;
  return same ? peer : nullptr;
}

Peer* Client::NextFor(const Prompt& prompt, const Space& space,
                      std::span<const std::uint32_t> silent) const {
  if (prompt.chosen != nullptr && silent.empty()) {
    if (Peer* const chosen = peers_.Find(*prompt.chosen); chosen != nullptr) {
      return chosen;
    }
  }
  const auto [home, spread] = peers_.Pick(prompt.keys, space.seed, space.spec.block_tokens,
                                          SteadyClock::Instance().Now(), silent);
  return spread != nullptr ? spread : home;
}

Result<Client::Reached> Client::Reach(const Prompt& prompt, const Space& space,
                                      TimePoint deadline) {
  if (Peer* const only = peers_.Only(); only != nullptr) {
    const auto backend = ReadyFor(*only, prompt.name_space, space, deadline);
    if (!backend) {
      return Fail(backend.error());
    }
    return Reached{.peer = only, .backend = *backend};
  }
  if (const Status members = peers_.Refresh(deadline); !members) {
    return Fail(members.error());
  }
  std::vector<std::uint32_t> silent;
  for (Peer* peer = NextFor(prompt, space, silent); peer != nullptr;
       peer = NextFor(prompt, space, silent)) {
    silent.push_back(peer->id());
    const TimePoint now = SteadyClock::Instance().Now();
    const auto backend = ReadyFor(*peer, prompt.name_space, space,
                                  peers_.AnyBut(silent, now) ? HalfOf(deadline) : deadline);
    if (backend) {
      return Reached{.peer = peer, .backend = *backend};
    }
    if (!IsSilence(backend.error().code)) {
      return Fail(backend.error());
    }
    LeaveOutIfOther(*peer, backend.error());
  }
  return Fail(AllDown());
}

void Client::LeaveOutIfOther(Peer& peer, const Error& error) {
  if (error.code == ErrorCode::kUnsupported) {
    peer.LeaveOut(error);
    Publish(peer);
  }
}

void Client::Ask(Candidate& candidate, const Space& space, const Prompt& prompt,
                 TimePoint deadline) {
  Peer& peer = *candidate.peer;
  candidate.asked = true;
  const auto backend = ReadyFor(peer, prompt.name_space, space, deadline);
  if (!backend) {
    candidate.hit = Fail(backend.error());
    LeaveOutIfOther(peer, backend.error());
    return;
  }
  const Status sent =
      (*backend)->SendMatch(peer.IdOf(prompt.name_space), prompt.request, prompt.keys,
                            static_cast<std::uint32_t>(prompt.tokens.size()), deadline);
  candidate.sent = sent.has_value();
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
  peer.NoteLoad(matched->load_permille);
}

bool Client::Candidate::Silent() const {
  return peer == nullptr || (!hit && IsSilence(hit.error().code));
}

CandidateAnswer Client::Candidate::Answer() const {
  return {.answered = hit.has_value(),
          .resume_tokens = hit ? hit->resume_at : 0,
          .load_permille = peer != nullptr ? peer->load_permille() : 0,
          .overlap_tokens = hit ? hit->overlap_tokens : 0};
}

void Client::AskOne(Candidate& candidate, const Space& space, const Prompt& prompt,
                    TimePoint deadline) {
  Ask(candidate, space, prompt, deadline);
  if (candidate.sent) {
    Hear(candidate, space, prompt, deadline);
  }
}

void Client::AskBoth(Candidates& candidates, const Space& space, const Prompt& prompt,
                     TimePoint deadline) {
  Ask(candidates[0], space, prompt, HalfOf(deadline));
  // As below; a first one that cannot be reached has had its half.
  Ask(candidates[1], space, prompt, candidates[0].sent ? HalfOf(deadline) : deadline);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].sent) {
      // Whoever is alone may take all the time there is.
      const bool shared = i == 0 ? candidates[1].sent : candidates[0].hit.has_value();
      Hear(candidates[i], space, prompt, shared ? HalfOf(deadline) : deadline);
    }
  }
}

bool Client::AskHolder(Candidates& candidates, const Space& space, const Prompt& prompt,
                       TimePoint deadline) {
  const auto known = affinity_.Deepest(prompt.keys);
  const std::size_t at = known && candidates[0].peer->id() == known->member ? 0 : 1;
  Candidate& holder = candidates[at];
  Candidate& other = candidates[1 - at];
  if (!known || holder.peer->id() != known->member) {
    return false;
  }
  const auto tokens = static_cast<std::uint32_t>(prompt.tokens.size());
  const std::uint32_t block = space.spec.block_tokens;
  const RememberedHolder remembered{.tokens = std::min(known->blocks * block, tokens - 1),
                                    .load_permille = holder.peer->load_permille(),
                                    .other_load_permille = other.peer->load_permille()};
  if (!AskAlone(peers_.rule(), tokens, remembered)) {
    return false;
  }
  AskOne(holder, space, prompt, HalfOf(deadline));
  if (!Suffices(peers_.rule(), remembered, block, holder.Answer())) {
    AskOne(other, space, prompt, deadline);
  }
  return true;
}

void Client::LeaveToOther(const Candidate& candidate, const Prompt& prompt) {
  if (candidate.asked && !candidate.hit) {
    return;  // It does not answer.
  }
  unsaid_ = {.peer = candidate.peer->id(),
             .epoch = candidate.peer->epoch(),
             .declined = candidate.asked,
             .lease = candidate.asked ? candidate.hit->lease : 0,
             .name_space = prompt.name_space,
             .request = prompt.request,
             .prompt_tokens = static_cast<std::uint32_t>(prompt.tokens.size()),
             .keys = {}};
  if (!candidate.asked) {
    unsaid_->keys = prompt.keys;
  }
}

void Client::SayUnsaid(TimePoint deadline) {
  if (!unsaid_) {
    return;
  }
  const Unsaid unsaid = *std::exchange(unsaid_, std::nullopt);
  Peer* const peer = peers_.Find(unsaid.peer);
  // Nobody waits for a daemon only to tell it something: not for a connection, nor for one that
  // takes nothing in.
  Backend* const backend = peer != nullptr ? peer->AtHand(unsaid.name_space) : nullptr;
  if (backend == nullptr || !peer->MayAsk(SteadyClock::Instance().Now())) {
    return;
  }
  const TimePoint limit = std::min(deadline, In(kTellWithin));
  if (unsaid.declined) {
    if (peer->epoch() == unsaid.epoch) {
      static_cast<void>(backend->Decline(unsaid.lease, limit));
    }
    return;
  }
  const Status told = backend->TellMatch(peer->IdOf(unsaid.name_space), unsaid.request, unsaid.keys,
                                         unsaid.prompt_tokens, limit);
  if (!told && !backend->Alive()) {
    peer->Note(told.error());  // A slow link alone is no failure.
  }
}

Client::Candidates Client::AskPair(std::span<const std::uint32_t> silent, const Space& space,
                                   const Prompt& prompt, TimePoint deadline) {
  const TimePoint now = SteadyClock::Instance().Now();
  const Peers::Pair pair =
      peers_.Pick(prompt.keys, space.seed, space.spec.block_tokens, now, silent);
  Candidates candidates;
  std::vector<std::uint32_t> asked(silent.begin(), silent.end());
  for (std::size_t i = 0; i < pair.size() && pair[i] != nullptr; ++i) {
    candidates[i].peer = pair[i];
    asked.push_back(pair[i]->id());
  }
  const TimePoint limit = peers_.AnyBut(asked, now) ? HalfOf(deadline) : deadline;
  if (pair[1] == nullptr) {
    if (pair[0] != nullptr) {
      AskOne(candidates[0], space, prompt, limit);
    }
  } else if (!AskHolder(candidates, space, prompt, limit)) {
    AskBoth(candidates, space, prompt, limit);
  }
  return candidates;
}

Result<Client::Hit> Client::MatchBest(const Space& space, const Prompt& prompt,
                                      TimePoint deadline) {
  if (const Status members = peers_.Refresh(deadline); !members) {
    return Fail(members.error());
  }
  std::vector<std::uint32_t> silent;
  Candidates candidates = AskPair(silent, space, prompt, deadline);
  // Others take the place of those that do not answer, in this call already.
  while (candidates[0].peer != nullptr && candidates[0].Silent() && candidates[1].Silent() &&
         SteadyClock::Instance().Now() < deadline) {
    for (const Candidate& candidate : candidates) {
      if (candidate.peer != nullptr) {
        silent.push_back(candidate.peer->id());
      }
    }
    Candidates others = AskPair(silent, space, prompt, deadline);
    if (others[0].peer == nullptr) {
      break;
    }
    candidates = std::move(others);
  }
  if (candidates[0].peer == nullptr) {
    return Fail(AllDown());
  }
  const std::array<CandidateAnswer, 2> answers = {candidates[0].Answer(), candidates[1].Answer()};
  if (!answers[0].answered && !answers[1].answered) {
    return std::move(candidates[0].hit);
  }
  const std::size_t better =
      Better(peers_.rule(), static_cast<std::uint32_t>(prompt.tokens.size()), answers);
  SayUnsaid(deadline);
  if (candidates[1].peer != nullptr) {
    LeaveToOther(candidates[1 - better], prompt);
  }
  if (prompt.chosen != nullptr) {
    *prompt.chosen = candidates[better].peer->id();
  }
  return std::move(candidates[better].hit);
}

void Client::RememberStored(const Peer& peer, const Space& space, const Prompt& prompt,
                            std::span<const StoreItem> items, const Stored& stored) {
  const ObjectKind needed =
      space.spec.checkpoint_bytes != 0 ? ObjectKind::kCheckpoint : ObjectKind::kKv;
  std::uint32_t deepest = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const ErrorCode code = stored.codes[i];
    if (items[i].kind == needed && (code == ErrorCode::kOk || code == ErrorCode::kExists)) {
      deepest = std::max(deepest, items[i].position);
    }
  }
  if (const std::uint32_t blocks = deepest / space.spec.block_tokens; blocks > 0) {
    affinity_.Remember(prompt.keys[blocks - 1], blocks, peer.id());
  }
}

}  // namespace cairn
