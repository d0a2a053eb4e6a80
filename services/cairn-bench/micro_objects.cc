#include "services/cairn-bench/micro_objects.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "libcache/base/check.h"
#include "services/cairn-bench/payload.h"
#include "services/cairn-bench/replay_target.h"

namespace cairn::bench {
namespace {

constexpr std::uint64_t kLeastMemory = 64 * kMiB;
constexpr std::chrono::seconds kCallLimit{30};

}  // namespace

std::vector<std::uint64_t> SizesOf(const MicroOptions& options,
                                   std::span<const std::uint64_t> usual) {
  return !options.sizes.empty() ? options.sizes
                                : std::vector<std::uint64_t>(usual.begin(), usual.end());
}

std::uint32_t CountOf(const MicroOptions& options, std::uint64_t size) {
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, options.working_set / size));
}

std::uint64_t MemoryFor(const MicroOptions& options, std::span<const std::uint64_t> sizes) {
  const std::uint64_t largest = *std::max_element(sizes.begin(), sizes.end());
  return std::max(kLeastMemory, 5 * std::max(options.working_set, largest) / 2);
}

Result<Area> Area::Allocate(std::uint64_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorCode::kNoSpace, "no " + FormatBytes(bytes) + " of memory to measure with");
  }
  std::memset(memory, 1, bytes);  // Not the shared page of zeros.
  return Area({static_cast<std::byte*>(memory), bytes});
}

Area::Area(Area&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Area::~Area() {
  if (!bytes_.empty()) {
    munmap(bytes_.data(), bytes_.size());
  }
}

Result<std::unique_ptr<ObjectStore>> ObjectStore::Open(const std::string& endpoint,
                                                       const std::string& plane,
                                                       std::uint64_t object_bytes,
                                                       const TlsClientOptions& tls,
                                                       std::uint32_t together) {
  const auto choice = ParsePlane(plane);
  if (!choice) {
    return Fail(choice.error());
  }
  ClientOptions options;
  options.endpoint = endpoint;
  options.plane = *choice;
  options.name = "cairn-bench";
  options.tls = tls;
  auto client = std::make_unique<Client>(std::move(options));
  NamespaceSpec spec;
  spec.model = "objects";
  spec.dtype = "state=i8";
  spec.layout = "cairn-bench";
  spec.block_tokens = kBlockTokens;
  if (together == 1) {
    spec.checkpoint_bytes = object_bytes;
  } else {
    spec.kv_bytes_per_token = object_bytes / kBlockTokens;
  }
  const auto handle = client->OpenNamespace(spec, In(kCallLimit));
  if (!handle) {
    return Fail(handle.error());
  }
  return std::unique_ptr<ObjectStore>(
      new ObjectStore(std::move(client), *handle, object_bytes, together));
}

void ObjectStore::Prepare(std::uint32_t count) {
  while (entries_.size() < count) {
    auto entry = std::make_unique<Entry>();
    entry->tokens.assign(kBlockTokens * together_ + 1,
                         7);  // A token beyond the boundary, to be computed.
    entry->tokens[0] = static_cast<std::uint32_t>(entries_.size());
    auto prompt = client_->MakePrompt(handle_, entries_.size(), entry->tokens);
    CAIRN_CHECK(prompt.has_value());
    entry->prompt = std::move(*prompt);
    entries_.push_back(std::move(entry));
  }
}

void ObjectStore::Fill(std::uint32_t number, std::span<std::byte> bytes) const {
  for (std::uint32_t i = 0; i < together_; ++i) {
    FillPayload(entries_[number]->prompt.keys[i], Kind(),
                bytes.subspan(i * object_bytes_, object_bytes_));
  }
}

bool ObjectStore::IsRight(std::uint32_t number, std::span<const std::byte> bytes) const {
  for (std::uint32_t i = 0; i < together_; ++i) {
    if (!IsPayload(entries_[number]->prompt.keys[i], Kind(),
                   bytes.subspan(i * object_bytes_, object_bytes_))) {
      return false;
    }
  }
  return true;
}

Status ObjectStore::Put(std::uint32_t number, std::span<const std::byte> bytes, bool durable) {
  std::vector<Client::StoreItem> items;
  items.reserve(together_);
  for (std::uint32_t i = 0; i < together_; ++i) {
    items.push_back({.kind = Kind(),
                     .position = (i + 1) * kBlockTokens,
                     .bytes = bytes.subspan(i * object_bytes_, object_bytes_)});
  }
  const auto stored = client_->Store(entries_[number]->prompt, items, durable, In(kCallLimit));
  if (!stored) {
    return Fail(stored.error());
  }
  if (stored->written != together_) {
    return Fail(stored->codes[0], "the daemon refused the object");
  }
  return {};
}

Result<ObjectStore::Got> ObjectStore::Get(std::uint32_t number, std::span<std::byte> target) {
  const TimePoint deadline = In(kCallLimit);
  const auto hit = client_->Match(entries_[number]->prompt, deadline);
  if (!hit) {
    return Fail(hit.error());
  }
  if (hit->resume_at != kBlockTokens * together_) {
    return Fail(ErrorCode::kNotFound, "object " + std::to_string(number) + " is not there");
  }
  const TimePoint begin = SteadyClock::Instance().Now();
  const auto loaded = client_->Load(
      *hit, 0,
      [&](const ObjectView& object) {
        const std::uint32_t i = object.position / kBlockTokens - 1;
        return target.subspan(i * object_bytes_, object_bytes_);
      },
      deadline);
  const TimePoint end = SteadyClock::Instance().Now();
  const Status released = client_->Release(*hit, deadline);
  if (!loaded) {
    return Fail(loaded.error());
  }
  if (!released) {
    return Fail(released.error());
  }
  return Got{.tier = hit->tier,
             .load_us = std::chrono::duration<double, std::micro>(end - begin).count()};
}

}  // namespace cairn::bench
