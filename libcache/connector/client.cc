#include "libcache/connector/client.h"

#include <algorithm>
#include <utility>

namespace cairn {

Client::Client(ClientOptions options)
    : options_(std::move(options)), tls_(TlsClient::Make(options_.tls)), port_(options_.device) {
  NoteDevice();
}
Client::~Client() = default;

Result<Backend*> Client::Ready(TimePoint deadline) {
  const TimePoint now = SteadyClock::Instance().Now();
  if (options_.breaker_failures > 0 && failures_ >= options_.breaker_failures) {
    if (now < probe_at_) {
      return Fail(ErrorCode::kUnavailable, "the daemon failed " + std::to_string(failures_) +
                                               " times in a row; trying again soon");
    }
    probe_at_ = now + options_.probe_every;  // This call is the probe.
  }
  if (backend_ != nullptr && backend_->Alive()) {
    return backend_.get();
  }
  backend_.reset();
  NoteDevice();
  if (options_.cache != nullptr) {
    backend_ = EmbeddedBackend(options_.cache);
  } else {
    const auto endpoint = ParseEndpoint(options_.endpoint);
    if (!endpoint) {
      return Fail(endpoint.error());
    }
    auto connected = ConnectBackend(
        *endpoint, {.plane = options_.plane, .client = options_.name, .device = port_, .tls = tls_},
        deadline);
    if (!connected) {
      // A daemon that does not let us in is none, and asking again costs a handshake each time.
      const ErrorCode code = connected.error().code;
      Note(code == ErrorCode::kPermissionDenied ? ErrorCode::kUnavailable : code);
      const MutexLock names(names_mu_);
      plane_ = "none";
      return Fail(connected.error());
    }
    backend_ = std::move(*connected);
  }
  ++epoch_;
  NoteDevice();
  const MutexLock names(names_mu_);
  plane_ = backend_->PlaneName();
  return backend_.get();
}

Result<Backend*> Client::ReadyFor(Handle handle, const Space& space, TimePoint deadline) {
  auto backend = Ready(deadline);
  if (!backend) {
    return backend;
  }
  if (remote_ids_.size() <= handle) {
    remote_ids_.resize(handle + std::size_t{1});
  }
  if (remote_ids_[handle].epoch != epoch_) {
    const auto opened = Noted((*backend)->OpenNamespace(space.spec, deadline));
    if (!opened) {
      return Fail(opened.error());
    }
    if (!(opened->seed == space.seed)) {
      // Another daemon with another tenant key: prompts made before have other names there.
      return Fail(ErrorCode::kUnsupported, "the daemon has another tenant key; open it again");
    }
    remote_ids_[handle] = {.id = opened->id, .epoch = epoch_};
  }
  return backend;
}

void Client::Note(ErrorCode code) {
  if (code == ErrorCode::kDeadlineExceeded || code == ErrorCode::kUnavailable) {
    if (++failures_ == options_.breaker_failures) {
      probe_at_ = SteadyClock::Instance().Now() + options_.probe_every;
    }
    NoteDevice();  // The connection may be lost.
  } else {
    failures_ = 0;
  }
}

template <class T>
Result<T> Client::Noted(Result<T> result) {
  Note(result ? ErrorCode::kOk : result.error().code);
  return result;
}

Status Client::Connect(TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  const std::uint64_t before = epoch_;
  const auto backend = Ready(deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  if (epoch_ != before) {
    Note(ErrorCode::kOk);
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
  const auto backend = Ready(deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  const auto opened = Noted((*backend)->OpenNamespace(spec, deadline));
  if (!opened) {
    return Fail(opened.error());
  }
  auto space = std::make_shared<Space>(Space{.spec = spec, .seed = opened->seed});
  space->spec.grid_tokens = opened->grid_tokens;
  const MutexLock lock(names_mu_);
  spaces_.push_back(std::move(space));
  remote_ids_.resize(spaces_.size());
  remote_ids_.back() = {.id = opened->id, .epoch = epoch_};
  return static_cast<Handle>(spaces_.size() - 1);
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
  return Prompt{.name_space = handle,
                .request = request,
                .tokens = tokens,
                .keys = BlockKeys((*space)->seed, tokens, (*space)->spec.block_tokens)};
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
  const auto backend = ReadyFor(prompt.name_space, **space, deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  const auto matched =
      Noted((*backend)->Match(remote_ids_[prompt.name_space].id, prompt.request, prompt.keys,
                              static_cast<std::uint32_t>(prompt.tokens.size()), deadline));
  if (!matched) {
    return Fail(matched.error());
  }
  return ChooseHit(**backend, **space, prompt, *matched, deadline);
}

Result<Client::Hit> Client::ChooseHit(Backend& backend, const Space& space, const Prompt& prompt,
                                      const MatchResult& matched, TimePoint deadline) {
  Hit hit;
  hit.lease = matched.lease;
  hit.epoch = epoch_;
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
    static_cast<void>(backend.Release(hit.lease, deadline));  // Only tails of others.
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
  if (backend_ == nullptr || !backend_->Alive() || hit.epoch != epoch_) {
    return Fail(ErrorCode::kExpired, "the lease went with its connection");
  }
  const Backend::Fetched what{.position = hit.resume_at,
                              .tail_key = hit.tail ? &hit.tail_key : nullptr,
                              .from_position = from_position};
  auto objects = backend_->Fetch(hit.lease, what, deadline);
  Note(objects ? ErrorCode::kOk : objects.error().code);
  return objects;
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
  Loaded loaded;
  for (std::size_t i = 0; i < objects->size(); ++i) {
    const ObjectView& object = (*objects)[i];
    const Pieces memory = target(object);
    if (const std::size_t bytes = TotalBytes(memory); bytes != object.bytes) {
      return Fail(ErrorCode::kInvalidArgument, "the target for an object of " +
                                                   std::to_string(object.bytes) + " bytes has " +
                                                   std::to_string(bytes));
    }
    if (SteadyClock::Instance().Now() >= deadline) {
      Note(ErrorCode::kDeadlineExceeded);
      return Fail(ErrorCode::kDeadlineExceeded, "loading took too long");
    }
    const Status read =
        backend_->Read(hit.lease, static_cast<std::uint32_t>(i), object, memory, deadline);
    if (!read) {
      Note(read.error().code);
      return Fail(read.error());
    }
    loaded.objects += 1;
    loaded.bytes += object.bytes;
  }
  return loaded;
}

Status Client::Reject(const Hit& hit, std::uint32_t index, TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  if (hit.lease == 0 || backend_ == nullptr || !backend_->Alive() || hit.epoch != epoch_) {
    return Fail(ErrorCode::kExpired, "the lease went with its connection");
  }
  return Noted(backend_->ReportCorrupt(hit.lease, index, deadline));
}

Status Client::Release(const Hit& hit, TimePoint deadline) {
  if (hit.lease == 0) {
    return {};
  }
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();  // The lease ends by itself.
  }
  if (backend_ == nullptr || !backend_->Alive() || hit.epoch != epoch_) {
    return {};  // A lost connection's leases ended with it.
  }
  const Status released = backend_->Release(hit.lease, deadline);
  if (!released) {
    Note(released.error().code);
  }
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
  const auto backend = ReadyFor(prompt.name_space, **space, deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  return StoreIn(**backend, **space, prompt, items, durable, deadline);
}

Result<Client::Stored> Client::StoreIn(Backend& backend, const Space& space, const Prompt& prompt,
                                       std::span<const StoreItem> items, bool durable,
                                       TimePoint deadline) {
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
      Noted(backend.Reserve(remote_ids_[prompt.name_space].id, prompt.request, wanted, deadline));
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
      Note(digest.error().code);
      return Fail(digest.error());
    }
    static_cast<void>(backend.Abort(std::span(&outcome.token, 1), deadline));
  }
  if (!commits.empty()) {
    const auto codes = Noted(backend.Commit(commits, durable, deadline));
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
  const auto backend = ReadyFor(prompt.name_space, **space, deadline);
  if (!backend) {
    return Fail(backend.error());
  }
  return Noted((*backend)->Observe(remote_ids_[prompt.name_space].id, prompt.request, observation,
                                   deadline));
}

}  // namespace cairn
