#include "services/cairn-bench/replay_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "services/cairn-bench/payload.h"

namespace cairn::bench {
namespace {

/// Objects of one store call, and bytes held between two rounds of checking, per client.
constexpr std::uint64_t kBufferBytes = 64 * kMiB;
constexpr std::size_t kBatchItems = 8192;

double MicrosecondsSince(TimePoint begin) {
  return std::chrono::duration<double, std::micro>(SteadyClock::Instance().Now() - begin).count();
}

/// So many missed deadlines in a row mean a daemon that is stuck, not slow.
constexpr int kMaxTimeouts = 10;

}  // namespace

void ReplayTally::Add(const ReplayTally& other) {
  requests += other.requests;
  requests_failed += other.requests_failed;
  prompt_tokens += other.prompt_tokens;
  overlap_tokens += other.overlap_tokens;
  served_tokens += other.served_tokens;
  for (std::size_t i = 0; i < served_tokens_by_tier.size(); ++i) {
    served_tokens_by_tier[i] += other.served_tokens_by_tier[i];
  }
  gap_tokens += other.gap_tokens;
  boundaries += other.boundaries;
  hits += other.hits;
  loads += other.loads;
  failed_loads += other.failed_loads;
  corrupt_loads += other.corrupt_loads;
  objects_fetched += other.objects_fetched;
  bytes_fetched += other.bytes_fetched;
  objects_stored += other.objects_stored;
  bytes_stored += other.bytes_stored;
  present_stores += other.present_stores;
  refused_stores += other.refused_stores;
  for (const auto& [code, count] : other.refusals) {
    refusals[code] += count;
  }
  failed_stores += other.failed_stores;
  verification_failures += other.verification_failures;
  first_wrong = first_wrong.empty() ? other.first_wrong : first_wrong;
  match.Merge(other.match);
  fetch.Merge(other.fetch);
  store.Merge(other.store);
}

ReplayClient::ReplayClient(const Config& config, std::unique_ptr<Client> client)
    : config_(config), client_(std::move(client)) {}

Status ReplayClient::Open() {
  const auto handle = client_->OpenNamespace(config_.name_space, Deadline());
  if (!handle) {
    return Fail(handle.error());
  }
  handle_ = *handle;
  return {};
}

PrefixKey ReplayClient::KeyOf(const Client::Prompt& prompt, std::uint32_t position) const {
  const std::uint32_t block = config_.name_space.block_tokens;
  if (position % block == 0 && position != 0 && position / block <= prompt.keys.size()) {
    return prompt.keys[position / block - 1];
  }
  return client_->KeyAt(prompt, position).value_or(PrefixKey{});
}

Status ReplayClient::Ending(const Error& error) {
  // Of several daemons one may be gone: what it had are misses, and others serve the next request.
  const bool gone = error.code == ErrorCode::kUnavailable;
  if (gone && client_->Members().size() <= 1) {
    return Fail(error);
  }
  if ((gone || error.code == ErrorCode::kDeadlineExceeded) && ++timeouts_ >= kMaxTimeouts) {
    return Fail(ErrorCode::kUnavailable,
                std::to_string(timeouts_) + " calls in a row " +
                    (gone ? "found no daemon: " + error.message
                          : "missed their deadline of " + std::to_string(config_.deadline.count()) +
                                " ms"));
  }
  return {};
}

Status ReplayClient::Serve(const Work& work) {
  tally_.requests += 1;
  if (work.request.input_tokens == 0) {
    return {};  // Nothing to look up, nothing to store.
  }
  tally_.prompt_tokens += work.request.input_tokens;
  const std::vector<std::uint32_t> tokens = TraceTokens(work.request, work.number);
  const auto prompt = client_->MakePrompt(handle_, work.number, tokens);
  if (!prompt) {
    return Fail(prompt.error());
  }
  const TimePoint begin = SteadyClock::Instance().Now();
  const auto hit = client_->Match(*prompt, Deadline());
  if (!hit) {
    tally_.requests_failed += 1;
    return Ending(hit.error());
  }
  timeouts_ = 0;
  tally_.match.Add(MicrosecondsSince(begin));
  tally_.overlap_tokens += hit->overlap_tokens;
  tally_.boundaries += hit->boundaries.size();
  Observation observation{.prompt_tokens = work.request.input_tokens,
                          .overlap_tokens = hit->overlap_tokens};
  Status status;
  if (hit->resume_at > 0) {
    tally_.hits += 1;
    status = Load(*prompt, *hit, observation);
    const Status released = client_->Release(*hit, Deadline());
    if (status && !released) {
      status = Ending(released.error());
    }
  }
  if (!status) {
    return status;
  }
  observation.gap_tokens = hit->overlap_tokens - observation.resumed_at;
  tally_.gap_tokens += observation.gap_tokens;
  if (Status stored = Store(*prompt, *hit); !stored) {
    return stored;
  }
  const Status observed = client_->Observe(*prompt, observation, Deadline());
  return observed ? Status() : Ending(observed.error());
}

std::span<std::byte> ReplayClient::Room(std::uint64_t bytes) {
  const std::span<std::byte> room = std::span(buffer_).subspan(used_, bytes);
  used_ += bytes;
  return room;
}

void ReplayClient::GrowTo(std::uint64_t bytes) {
  if (bytes > buffer_.size()) {
    buffer_.clear();  // Nothing in it is needed, so nothing need be copied.
    buffer_.resize(bytes);
  }
}

/// Compares all that was read since the last time with what it must be, and makes room.
void ReplayClient::CheckPending(const Client::Prompt& prompt) {
  for (const Pending& pending : pending_) {
    const PrefixKey key = KeyOf(prompt, pending.object.position);
    if (!IsPayload(key, pending.object.kind, pending.bytes)) {
      NoteWrong(std::string(pending.object.kind == ObjectKind::kKv ? "KV" : "the checkpoint") +
                " at position " + std::to_string(pending.object.position) + " of request " +
                std::to_string(prompt.request) + ", key " + key.Hex() + ", " +
                std::to_string(pending.bytes.size()) + " bytes, is not what was stored");
    }
  }
  pending_.clear();
  used_ = 0;
}

void ReplayClient::NoteWrong(std::string what) {
  tally_.verification_failures += 1;
  if (tally_.first_wrong.empty()) {
    tally_.first_wrong = std::move(what);
  }
}

/// Whether the objects loaded are the whole prefix, once, and its checkpoint.
bool ReplayClient::CoversPrefix(const Client::Hit& hit) const {
  const NamespaceSpec& spec = config_.name_space;
  std::uint64_t kv_tokens = 0;
  std::uint32_t checkpoints = 0;
  for (const ObjectView& object : loaded_) {
    if (object.kind == ObjectKind::kKv) {
      kv_tokens += object.tokens;
      if (object.position != kv_tokens || object.bytes != object.tokens * spec.kv_bytes_per_token) {
        return false;
      }
    } else {
      checkpoints += 1;
      if (object.position != hit.resume_at || object.bytes != spec.checkpoint_bytes) {
        return false;
      }
    }
  }
  return kv_tokens == (spec.kv_bytes_per_token == 0 ? 0 : hit.resume_at) &&
         checkpoints == (spec.checkpoint_bytes == 0 ? 0 : 1);
}

Status ReplayClient::Load(const Client::Prompt& prompt, const Client::Hit& hit,
                          Observation& observation) {
  used_ = 0;
  pending_.clear();
  loaded_.clear();
  double checking_us = 0;
  const Client::Target target = [&](const ObjectView& object) {
    if (used_ + object.bytes > buffer_.size()) {
      // All objects before this one have been read and found to have their digests.
      const TimePoint begin = SteadyClock::Instance().Now();
      CheckPending(prompt);
      GrowTo(std::max<std::uint64_t>(object.bytes, std::min(hit.bytes, kBufferBytes)));
      checking_us += MicrosecondsSince(begin);
    }
    const std::span<std::byte> room = Room(object.bytes);
    pending_.push_back({.object = object, .bytes = room});
    loaded_.push_back(object);
    return room;
  };
  const TimePoint begin = SteadyClock::Instance().Now();
  const auto loaded = client_->Load(hit, 0, target, Deadline());
  if (!loaded) {
    tally_.failed_loads += 1;
    tally_.corrupt_loads += loaded.error().code == ErrorCode::kCorrupt ? 1 : 0;
    observation.failed = true;
    return Ending(loaded.error());
  }
  const double load_us = MicrosecondsSince(begin) - checking_us;
  CheckPending(prompt);
  if (!CoversPrefix(hit)) {
    NoteWrong("the objects of request " + std::to_string(prompt.request) + " do not cover the " +
              std::to_string(hit.resume_at) + " tokens that the match promised");
  }
  tally_.fetch.Add(load_us);
  tally_.loads += 1;
  tally_.objects_fetched += loaded->objects;
  tally_.bytes_fetched += loaded->bytes;
  tally_.served_tokens += hit.resume_at;
  tally_.served_tokens_by_tier[static_cast<std::size_t>(hit.tier)] += hit.resume_at;
  observation.resumed_at = hit.resume_at;
  observation.tier = hit.tier;
  observation.load_us = static_cast<std::uint32_t>(std::min(load_us, 4e9));
  return {};
}

std::uint64_t ReplayClient::SizeOf(const Client::StoreItem& item) const {
  const NamespaceSpec& spec = config_.name_space;
  if (item.kind == ObjectKind::kCheckpoint) {
    return spec.checkpoint_bytes;
  }
  const std::uint32_t start = (item.position - 1) / spec.block_tokens * spec.block_tokens;
  return (item.position - start) * spec.kv_bytes_per_token;
}

/// What an engine stores after this request, in order of position: a checkpoint at each planned
/// place and the KV up to the last of them, all of it if the model has no recurrence. KV behind the
/// last checkpoint would never be restored.
std::vector<Client::StoreItem> ReplayClient::Wanted(const Client::Prompt& prompt,
                                                    const Client::Hit& hit) const {
  const NamespaceSpec& spec = config_.name_space;
  std::uint32_t end = 0;
  if (spec.checkpoint_bytes == 0) {
    end = static_cast<std::uint32_t>(prompt.tokens.size()) / spec.block_tokens * spec.block_tokens;
  } else if (!hit.plan.empty()) {
    end = hit.plan.back();
  }
  std::vector<Client::StoreItem> items;
  std::size_t planned = 0;
  const auto emit_until = [&](std::uint32_t limit) {  // Planned places up to and including it.
    for (; planned < hit.plan.size() && hit.plan[planned] <= limit; ++planned) {
      const std::uint32_t position = hit.plan[planned];
      if (position % spec.block_tokens != 0 && spec.kv_bytes_per_token != 0) {
        items.push_back({.kind = ObjectKind::kKv, .position = position, .bytes = {}});
      }
      items.push_back({.kind = ObjectKind::kCheckpoint, .position = position, .bytes = {}});
    }
  };
  for (std::uint32_t block = hit.resume_at / spec.block_tokens + 1;
       std::uint64_t{block} * spec.block_tokens <= end; ++block) {
    const std::uint32_t position = block * spec.block_tokens;
    emit_until(position - 1);
    if (spec.kv_bytes_per_token != 0) {
      items.push_back({.kind = ObjectKind::kKv, .position = position, .bytes = {}});
    }
  }
  emit_until(end);
  return items;
}

Status ReplayClient::Store(const Client::Prompt& prompt, const Client::Hit& hit) {
  const std::vector<Client::StoreItem> items = Wanted(prompt, hit);
  bool refused = false;
  for (std::size_t begin = 0; begin < items.size();) {
    if (refused) {  // What follows hangs off what has no room.
      tally_.refused_stores += items.size() - begin;
      break;
    }
    std::uint64_t bytes = 0;
    std::size_t end = begin;
    while (end < items.size() && end - begin < kBatchItems &&
           (end == begin || bytes + SizeOf(items[end]) <= kBufferBytes)) {
      bytes += SizeOf(items[end]);
      ++end;
    }
    const auto batch = std::span(items).subspan(begin, end - begin);
    if (Status stored = StoreBatch(prompt, batch, refused); !stored) {
      return stored;
    }
    begin = end;
  }
  return {};
}

Status ReplayClient::StoreBatch(const Client::Prompt& prompt,
                                std::span<const Client::StoreItem> items, bool& refused) {
  std::uint64_t bytes = 0;
  for (const Client::StoreItem& item : items) {
    bytes += SizeOf(item);
  }
  used_ = 0;
  GrowTo(bytes);
  std::vector<Client::StoreItem> filled(items.begin(), items.end());
  for (Client::StoreItem& item : filled) {
    const std::span<std::byte> room = Room(SizeOf(item));
    FillPayload(KeyOf(prompt, item.position), item.kind, room);
    item.bytes = room;
  }
  const TimePoint begin = SteadyClock::Instance().Now();
  const auto stored = client_->Store(prompt, filled, config_.durable, Deadline());
  if (!stored) {
    tally_.failed_stores += 1;
    refused = true;  // No use in sending the rest.
    return Ending(stored.error());
  }
  tally_.store.Add(MicrosecondsSince(begin));
  tally_.objects_stored += stored->written;
  tally_.bytes_stored += stored->bytes;
  tally_.present_stores += stored->present;
  tally_.refused_stores += stored->refused;
  refused = stored->refused != 0;
  for (const ErrorCode code : stored->codes) {
    if (code != ErrorCode::kOk && code != ErrorCode::kExists && code != ErrorCode::kInProgress) {
      tally_.refusals[code] += 1;
    }
  }
  return {};
}

}  // namespace cairn::bench
