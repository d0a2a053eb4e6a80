#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libcache/connector/client.h"
#include "tests/integration/child_process.h"

namespace cairn::test {

/// Long enough never to matter, short enough not to hang a test.
inline TimePoint Soon() { return In(std::chrono::seconds(kSanitized ? 60 : 20)); }

/// A small hybrid model: blocks of 16 tokens with 64 bytes of KV each, 4 KiB of state.
inline NamespaceSpec SmallModel() {
  NamespaceSpec spec;
  spec.model = "small";
  spec.block_tokens = 16;
  spec.kv_bytes_per_token = 64;
  spec.checkpoint_bytes = 4096;
  spec.grid_tokens = 1;
  return spec;
}

/// A prompt that shares nothing with those of other ids.
inline std::vector<std::uint32_t> Tokens(std::uint64_t id, std::uint32_t count) {
  std::vector<std::uint32_t> tokens(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<std::uint32_t>(id * 0x9E3779B1U + i * 7U);
  }
  if (count > 1) {
    tokens[0] = static_cast<std::uint32_t>(id);
    tokens[1] = static_cast<std::uint32_t>(id >> 32U);
  }
  return tokens;
}

/// The one content of an object: a function of its key, its kind and who wrote it.
inline std::vector<std::byte> PayloadOf(const PrefixKey& key, ObjectKind kind, std::uint64_t size,
                                        std::uint64_t writer = 0) {
  std::vector<std::byte> bytes(size);
  std::uint64_t state =
      key.Word() ^ (writer + 1) * 0x9E3779B97F4A7C15U ^ (kind == ObjectKind::kKv ? 0 : 0x5555U);
  for (std::uint64_t at = 0; at < size; at += sizeof(state)) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const std::uint64_t word = state ^ state >> 29U;
    std::memcpy(bytes.data() + at, &word, std::min<std::uint64_t>(sizeof(word), size - at));
  }
  return bytes;
}

/// Releases, and returns once the daemon has heard of it. Nobody waits for a release itself, so
/// what a test asks on another connection could overtake it: a counter, or an eviction that spares
/// what is leased. Requests of one connection are served in order; the empty observation counts
/// nothing.
inline Status ReleaseHeard(Client& client, const Client::Prompt& prompt, const Client::Hit& hit,
                           TimePoint deadline) {
  Status released = client.Release(hit, deadline);
  static_cast<void>(client.Observe(prompt, {}, deadline));
  return released;
}

/// An inference engine as the cache sees it: matches, loads and checks every byte, stores.
class Engine {
 public:
  Engine(const std::string& endpoint, PlaneChoice plane, NamespaceSpec spec = SmallModel())
      : Engine({.endpoint = endpoint, .cache = nullptr, .plane = plane}, std::move(spec)) {}
  Engine(const ClientOptions& options, NamespaceSpec spec)
      : client_(options), spec_(std::move(spec)) {}

  Status Open(TimePoint deadline = Soon()) {
    const auto opened = client_.OpenNamespace(spec_, deadline);
    if (!opened) {
      return Fail(opened.error());
    }
    handle_ = *opened;
    return {};
  }

  [[nodiscard]] Client& client() { return client_; }
  [[nodiscard]] Client::Prompt Prompt(std::span<const std::uint32_t> tokens) {
    auto prompt = client_.MakePrompt(handle_, ++request_, tokens);
    EXPECT_TRUE(prompt.has_value());
    return prompt ? std::move(*prompt) : Client::Prompt{};
  }

  /// What the engine has to store when it emits checkpoints at `positions`: KV up to the deepest
  /// and the states. Keep `payloads` until they are stored.
  std::vector<Client::StoreItem> Items(const Client::Prompt& prompt,
                                       std::span<const std::uint32_t> positions,
                                       std::vector<std::vector<std::byte>>& payloads,
                                       std::uint64_t writer = 0) {
    std::map<std::pair<std::uint32_t, ObjectKind>, std::uint64_t> wanted;
    const std::uint32_t deepest = *std::max_element(positions.begin(), positions.end());
    const std::uint32_t block = spec_.block_tokens;
    for (std::uint32_t at = block; at <= deepest && spec_.kv_bytes_per_token != 0; at += block) {
      wanted[{at, ObjectKind::kKv}] = block * spec_.kv_bytes_per_token;
    }
    for (const std::uint32_t at : positions) {
      if (at % block != 0 && spec_.kv_bytes_per_token != 0) {
        wanted[{at, ObjectKind::kKv}] = at % block * spec_.kv_bytes_per_token;
      }
      if (spec_.checkpoint_bytes != 0) {
        wanted[{at, ObjectKind::kCheckpoint}] = spec_.checkpoint_bytes;
      }
    }
    std::vector<Client::StoreItem> items;
    payloads.clear();
    payloads.reserve(wanted.size());
    for (const auto& [what, size] : wanted) {
      const auto key = client_.KeyAt(prompt, what.first);
      EXPECT_TRUE(key.has_value());
      payloads.push_back(PayloadOf(*key, what.second, size, writer));
      items.push_back({.kind = what.second, .position = what.first, .bytes = payloads.back()});
    }
    return items;
  }

  /// Stores the checkpoints at `positions` with the KV they need.
  Result<Client::Stored> Store(std::span<const std::uint32_t> tokens,
                               const std::vector<std::uint32_t>& positions, bool durable = false,
                               TimePoint deadline = Soon(), std::uint64_t writer = 0) {
    const Client::Prompt prompt = Prompt(tokens);
    std::vector<std::vector<std::byte>> payloads;
    const auto items = Items(prompt, positions, payloads, writer);
    return client_.Store(prompt, items, durable, deadline);
  }

  struct Read {
    std::uint32_t resume_at = 0;  ///< 0: a miss.
    TierKind tier = TierKind::kNone;
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
    std::uint64_t wrong = 0;  ///< Objects that none of the writers wrote.
    std::uint64_t writer = 0;
  };
  /// Matches, loads the best boundary, compares every byte with what each of `writers` would have
  /// written, releases.
  Result<Read> Load(std::span<const std::uint32_t> tokens, TimePoint deadline = Soon(),
                    std::uint64_t writers = 1) {
    const Client::Prompt prompt = Prompt(tokens);
    const auto hit = client_.Match(prompt, deadline);
    if (!hit) {
      return Fail(hit.error());
    }
    if (hit->lease == 0) {
      return Read{};
    }
    auto read = LoadHit(prompt, *hit, deadline, writers);
    const Status released = ReleaseHeard(client_, prompt, *hit, deadline);
    if (read && !released) {
      return Fail(released.error());
    }
    return read;
  }

  Result<Read> LoadHit(const Client::Prompt& prompt, const Client::Hit& hit, TimePoint deadline,
                       std::uint64_t writers = 1) {
    std::vector<std::pair<ObjectView, std::vector<std::byte>>> got;
    const auto loaded = client_.Load(
        hit, 0,
        [&got](const ObjectView& object) {
          got.emplace_back(object, std::vector<std::byte>(object.bytes));
          return std::span<std::byte>(got.back().second);
        },
        deadline);
    if (!loaded) {
      return Fail(loaded.error());
    }
    Read read;
    read.resume_at = hit.resume_at;
    read.tier = hit.tier;
    read.objects = loaded->objects;
    read.bytes = loaded->bytes;
    for (const auto& [object, bytes] : got) {
      const auto key = client_.KeyAt(prompt, object.position);
      bool right = false;
      for (std::uint64_t writer = 0; writer < writers && key && !right; ++writer) {
        right = bytes == PayloadOf(*key, object.kind, bytes.size(), writer);
        read.writer = writer;
      }
      read.wrong += right ? 0 : 1;
    }
    EXPECT_EQ(got.size(), loaded->objects);
    return read;
  }

 private:
  Client client_;
  NamespaceSpec spec_;
  Client::Handle handle_ = 0;
  std::uint64_t request_ = 0;
};

/// For EXPECT_TRUE(result) << Why(result).
template <class T>
std::string Why(const Result<T>& result) {
  return result ? std::string("ok") : ToString(result.error());
}

}  // namespace cairn::test
