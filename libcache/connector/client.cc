#include "libcache/connector/client.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

// 128 KiB: the latest turns of as many conversations as an engine has.
constexpr std::size_t kAffinitySlots = 8192;

}  // namespace

Client::Client(ClientOptions options)
    : options_(std::move(options)),
      several_(options_.cache == nullptr && !IsOneEndpoint(options_.endpoint)),
      port_(options_.device),
      peers_({.endpoint = options_.endpoint,
              .peer = {.member = {},
                       .cache = options_.cache,
                       .plane = options_.plane,
                       .client = options_.name,
                       .tls = TlsClient::Make(options_.tls),
                       .breaker_failures = options_.breaker_failures,
                       .probe_every = options_.probe_every},
              .rule = options_.routing}),
      affinity_(several_ ? kAffinitySlots : 1) {
  PublishAgain();
}
Client::~Client() = default;

Result<Backend*> Client::Ready(Peer& peer, TimePoint deadline) {
  auto backend = peer.Ready(port_, deadline);
  Publish(peer);
  return backend;
}

Result<Backend*> Client::ReadyFor(Peer& peer, Handle handle, const Space& space,
                                  TimePoint deadline) {
  auto backend =
      peer.ReadyFor({.handle = handle, .spec = &space.spec, .seed = &space.seed}, port_, deadline);
  Publish(peer);
  return backend;
}

void Client::Note(Peer& peer, const Status& outcome) {
  if (outcome) {
    peer.NoteSuccess();
  } else {
    peer.Note(outcome.error());
  }
  Publish(peer);
}

Status Client::Connect(TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  Peer* const only = peers_.Only();
  if (only == nullptr) {
    return ConnectAll(deadline);
  }
  const std::uint64_t before = only->epoch();
  const auto backend = Ready(*only, deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  if (only->epoch() != before) {
    Note(*only, {});
  }
  return {};
}

std::string Client::PlaneName() const {
  const MutexLock lock(names_mu_);
  return plane_;
}

Result<Client::Handle> Client::OpenNamespace(const NamespaceSpec& spec, TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  Peer* const only = peers_.Only();
  return only != nullptr ? OpenAt(*only, spec, deadline) : OpenAtAny(spec, deadline);
}

Result<Client::Handle> Client::OpenAt(Peer& peer, const NamespaceSpec& spec, TimePoint deadline) {
  const auto backend = Ready(peer, deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  const auto opened = Noted(peer, (*backend)->OpenNamespace(spec, deadline));
  if (!opened) {
    return Fail(opened.error());
  }
  auto space = std::make_shared<Space>(Space{.spec = spec, .seed = opened->seed});
  space->spec.grid_tokens = opened->grid_tokens;
  const MutexLock lock(names_mu_);
  spaces_.push_back(std::move(space));
  const auto handle = static_cast<Handle>(spaces_.size() - 1);
  peer.SetId(handle, opened->id);
  return handle;
}

Result<std::shared_ptr<const Client::Space>> Client::Find(Handle handle) const {
  const MutexLock lock(names_mu_);
  if (handle >= spaces_.size()) {
    return Fail(ErrorCode::kInvalidArgument, "no such namespace handle");
  }
  return spaces_[handle];
}

Result<std::shared_ptr<const Client::Space>> Client::SpaceOf(const Prompt& prompt) const {
  auto space = Find(prompt.name_space);
  if (space && prompt.keys.size() != prompt.tokens.size() / (*space)->spec.block_tokens) {
    return Fail(ErrorCode::kInvalidArgument, "the prompt was made for another namespace");
  }
  return space;
}

Result<PrefixKey> Client::Seed(Handle handle) const {
  const auto space = Find(handle);
  if (!space) {
    return Fail(space.error());
  }
  return (*space)->seed;
}

Result<NamespaceSpec> Client::SpecOf(Handle handle) const {
  const auto space = Find(handle);
  if (!space) {
    return Fail(space.error());
  }
  return (*space)->spec;
}

Result<Client::Prompt> Client::MakePrompt(Handle handle, std::uint64_t request,
                                          std::span<const std::uint32_t> tokens) const {
  const auto space = Find(handle);
  if (!space) {
    return Fail(space.error());
  }
  if (tokens.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "the prompt is empty: there is nothing to cache");
  }
  if (tokens.size() > UINT32_MAX) {
    return Fail(ErrorCode::kInvalidArgument, "the prompt has more than 2^32 - 1 tokens");
  }
  Prompt prompt{.name_space = handle,
                .request = request,
                .tokens = tokens,
                .keys = BlockKeys((*space)->seed, tokens, (*space)->spec.block_tokens)};
  if (several_) {
    prompt.chosen = std::make_shared<std::atomic<std::uint32_t>>(0);
  }
  return prompt;
}

PrefixKey Client::KeyIn(const Space& space, const Prompt& prompt, std::uint32_t position) {
  const std::uint32_t blocks = position / space.spec.block_tokens;
  const PrefixKey& floor = blocks == 0 ? space.seed : prompt.keys[blocks - 1];
  const std::uint32_t start = blocks * space.spec.block_tokens;
  return position == start ? floor : TailKey(floor, prompt.tokens.subspan(start, position - start));
}

Result<PrefixKey> Client::KeyAt(const Prompt& prompt, std::uint32_t position) const {
  const auto space = SpaceOf(prompt);
  if (!space) {
    return Fail(space.error());
  }
  if (position > prompt.tokens.size()) {
    return Fail(ErrorCode::kInvalidArgument, "position beyond the prompt");
  }
  return KeyIn(**space, prompt, position);
}

Result<Client::Hit> Client::Match(const Prompt& prompt, TimePoint deadline) {
  const auto space = SpaceOf(prompt);
  if (!space) {
    return Fail(space.error());
  }
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  Peer* const only = peers_.Only();
  return only != nullptr ? MatchAt(*only, **space, prompt, deadline)
                         : MatchBest(**space, prompt, deadline);
}

Result<Client::Hit> Client::MatchAt(Peer& peer, const Space& space, const Prompt& prompt,
                                    TimePoint deadline) {
  const auto backend = ReadyFor(peer, prompt.name_space, space, deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  const auto matched =
      Noted(peer, (*backend)->Match(peer.IdOf(prompt.name_space), prompt.request, prompt.keys,
                                    static_cast<std::uint32_t>(prompt.tokens.size()), deadline));
  if (!matched) {
    return Fail(matched.error());
  }
  return ChooseHit(peer, space, prompt, *matched, deadline);
}

Result<Client::Hit> Client::ChooseHit(Peer& peer, const Space& space, const Prompt& prompt,
                                      const MatchResult& matched, TimePoint deadline) {
  Hit hit;
  hit.lease = matched.lease;
  hit.peer = peer.id();
  hit.epoch = peer.epoch();
  hit.overlap_tokens = matched.overlap_tokens;
  const Boundary* best = nullptr;
  for (std::size_t i = 0; i < matched.boundaries.size(); ++i) {
    const Boundary& b = matched.boundaries[i];
    // The daemon has whole-block keys only: a place inside a block is ours if its key is.
    if (b.position >= prompt.tokens.size() ||
        (b.tail && !(KeyIn(space, prompt, b.position) == b.tail_key))) {
      continue;
    }
    hit.boundaries.push_back(b);
    if (i == matched.best || (b.tail && (best == nullptr || b.position > best->position))) {
      best = &b;
    }
  }
  if (best != nullptr) {
    hit.resume_at = best->position;
    hit.tier = best->tier;
    hit.bytes = best->bytes;
    hit.tail = best->tail;
    hit.tail_key = best->tail_key;
    hit.overlap_tokens = std::max(hit.overlap_tokens, best->position);
  } else if (hit.lease != 0) {
    static_cast<void>(peer.backend()->Release(hit.lease, deadline));  // Only tails of others.
    hit.lease = 0;
  }
  for (const std::uint32_t position : matched.plan) {
    if (position > hit.resume_at && position <= prompt.tokens.size()) {
      hit.plan.push_back(position);
    }
  }
  return hit;
}

Client::Hit Client::At(const Hit& hit, const Boundary& boundary) {
  Hit other = hit;
  other.resume_at = boundary.position;
  other.tier = boundary.tier;
  other.bytes = boundary.bytes;
  other.tail = boundary.tail;
  other.tail_key = boundary.tail_key;
  return other;
}

Result<Client::Loaded> Client::Load(const Hit& hit, std::uint32_t from_position,
                                    const Target& target, TimePoint deadline) {
  std::span<std::byte> memory;
  return LoadScattered(
      hit, from_position,
      [&](const ObjectView& object) {
        memory = target(object);
        return Pieces(&memory, 1);
      },
      deadline);
}

Result<std::vector<ObjectView>> Client::FetchFor(const Hit& hit, std::uint32_t from_position,
                                                 TimePoint deadline) {
  if (hit.lease == 0 || hit.resume_at == 0) {
    return Fail(ErrorCode::kInvalidArgument, "the match found nothing to load");
  }
  Peer* const peer = PeerOf(hit);
  if (peer == nullptr) {
    return Fail(ErrorCode::kExpired, "the lease went with its connection");
  }
  const Backend::Fetched what{.position = hit.resume_at,
                              .tail_key = hit.tail ? &hit.tail_key : nullptr,
                              .from_position = from_position};
  return Noted(*peer, peer->backend()->Fetch(hit.lease, what, deadline));
}

Result<Client::Loaded> Client::LoadScattered(const Hit& hit, std::uint32_t from_position,
                                             const ScatterTarget& target, TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  const auto objects = FetchFor(hit, from_position, deadline);
  if (!objects) {
    return Fail(objects.error());
  }
  Peer& peer = *PeerOf(hit);
  Loaded loaded;
  bool engines_fault = false;
  const Backend::TargetOf target_of = [&](std::size_t i) -> Result<Pieces> {
    const ObjectView& object = (*objects)[i];
    const Pieces memory = target(object);
    if (const std::size_t bytes = TotalBytes(memory); bytes != object.bytes) {
      engines_fault = true;
      return Fail(ErrorCode::kInvalidArgument, "the target for an object of " +
                                                   std::to_string(object.bytes) + " bytes has " +
                                                   std::to_string(bytes));
    }
    if (SteadyClock::Instance().Now() >= deadline) {
      return Fail(ErrorCode::kDeadlineExceeded, "loading took too long");
    }
    loaded.objects += 1;
    loaded.bytes += object.bytes;
    return memory;
  };
  const Status read = peer.backend()->ReadAll(hit.lease, *objects, target_of, deadline);
  if (!read) {
    if (!engines_fault) {
      Note(peer, read);
    }
    return Fail(read.error());
  }
  return loaded;
}

Status Client::Reject(const Hit& hit, std::uint32_t index, TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  Peer* const peer = hit.lease == 0 ? nullptr : PeerOf(hit);
  if (peer == nullptr) {
    return Fail(ErrorCode::kExpired, "the lease went with its connection");
  }
  Status told = peer->backend()->ReportCorrupt(hit.lease, index, deadline);
  Note(*peer, told);
  return told;
}

Status Client::Release(const Hit& hit, TimePoint deadline) {
  if (hit.lease == 0) {
    return {};
  }
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();  // The lease ends by itself.
  }
  Peer* const peer = PeerOf(hit);
  if (peer == nullptr) {
    return {};  // A lost connection's leases ended with it.
  }
  Status released = peer->backend()->Release(hit.lease, deadline);
  if (!released) {
    Note(*peer, released);
  }
  SayUnsaid(deadline);
  return released;
}

Result<Client::Stored> Client::Store(const Prompt& prompt, std::span<const StoreItem> items,
                                     bool durable, TimePoint deadline) {
  const auto space = SpaceOf(prompt);
  if (!space) {
    return Fail(space.error());
  }
  for (const StoreItem& item : items) {
    if (item.position == 0 || item.position > prompt.tokens.size()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "position: " + std::to_string(item.position) + " is not within the prompt of " +
                      std::to_string(prompt.tokens.size()) + " tokens");
    }
  }
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  const auto reached = Reach(prompt, **space, deadline);
  if (!reached) {
    return Fail(reached.error());
  }
  const auto [peer, backend] = *reached;
  auto stored = StoreIn(*peer, *backend, **space, prompt, items, durable, deadline);
  if (stored && several_) {
    RememberStored(*peer, **space, prompt, items, *stored);
  }
  SayUnsaid(deadline);
  return stored;
}

Result<Client::Stored> Client::StoreIn(Peer& peer, Backend& backend, const Space& space,
                                       const Prompt& prompt, std::span<const StoreItem> items,
                                       bool durable, TimePoint deadline) {
  const std::uint32_t block = space.spec.block_tokens;
  std::vector<ReserveItem> wanted;
  wanted.reserve(items.size());
  for (const StoreItem& item : items) {
    const std::uint32_t parent = (item.position - 1) / block * block;
    wanted.push_back({.kind = item.kind,
                      .key = KeyIn(space, prompt, item.position),
                      .parent = KeyIn(space, prompt, parent),
                      .position = item.position,
                      .bytes = item.bytes.size()});
  }
  const auto outcomes =
      Noted(peer, backend.Reserve(peer.IdOf(prompt.name_space), prompt.request, wanted, deadline));
  if (!outcomes) {
    return Fail(outcomes.error());
  }
  Stored stored;
  stored.codes.resize(items.size(), ErrorCode::kOk);
  std::vector<CommitItem> commits;
  std::vector<std::size_t> committed_items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const ReserveOutcome& outcome = (*outcomes)[i];
    stored.codes[i] = outcome.code;
    if (outcome.code != ErrorCode::kOk) {
      continue;
    }
    const auto digest = backend.Write(outcome.token, items[i].bytes, deadline);
    if (digest) {
      commits.push_back({.token = outcome.token, .digest = *digest});
      committed_items.push_back(i);
      continue;
    }
    stored.codes[i] = digest.error().code;
    if (!backend.Alive()) {  // The daemon frees what this connection had reserved.
      Note(peer, Fail(digest.error()));
      return Fail(digest.error());
    }
    static_cast<void>(backend.Abort(std::span(&outcome.token, 1), deadline));
  }
  if (!commits.empty()) {
    const auto codes = Noted(peer, backend.Commit(commits, durable, deadline));
    if (!codes) {
      return Fail(codes.error());
    }
    for (std::size_t i = 0; i < codes->size(); ++i) {
      stored.codes[committed_items[i]] = (*codes)[i];
    }
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const ErrorCode code = stored.codes[i];
    const bool present = code == ErrorCode::kExists || code == ErrorCode::kInProgress;
    stored.written += code == ErrorCode::kOk ? 1 : 0;
    stored.bytes += code == ErrorCode::kOk ? items[i].bytes.size() : 0;
    stored.present += present ? 1 : 0;
    stored.refused += code != ErrorCode::kOk && !present ? 1 : 0;
  }
  return stored;
}

Status Client::Observe(const Prompt& prompt, const Observation& observation, TimePoint deadline) {
  const auto space = SpaceOf(prompt);
  if (!space) {
    return Fail(space.error());
  }
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  const auto reached = Reach(prompt, **space, deadline);
  if (!reached) {
    return Fail(reached.error());
  }
  const auto [peer, backend] = *reached;
  Status observed =
      backend->Observe(peer->IdOf(prompt.name_space), prompt.request, observation, deadline);
  Note(*peer, observed);
  SayUnsaid(deadline);
  return observed;
}

}  // namespace cairn
