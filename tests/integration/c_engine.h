#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "libcache/connector/cairn.h"
#include "tests/integration/child_process.h"

namespace cairn::test {

/// An engine that speaks the C interface: a small hybrid model, whose bytes follow from kind and
/// position, and memory that stands for a GPU's.
class CEngine {
 public:
  static constexpr std::uint32_t kBlock = 16;
  static constexpr std::uint32_t kKvPerToken = 64;
  static constexpr std::uint32_t kState = 4096;
  static constexpr std::uint32_t kWaitMs = kSanitized ? 60'000 : 20'000;

  /// In a daemon, or in a cache of this process.
  explicit CEngine(const std::string& endpoint, cairn_cache* cache = nullptr) {
    cairn_client_options options;
    CAIRN_INIT(options);
    options.endpoint = cache == nullptr ? endpoint.c_str() : nullptr;
    options.cache = cache;
    EXPECT_EQ(cairn_client_open(&options, &client_), CAIRN_OK) << cairn_last_error();
    cairn_namespace_spec spec;
    CAIRN_INIT(spec);
    spec.model = "small";
    spec.block_tokens = kBlock;
    spec.grid_tokens = 1;
    spec.kv_bytes_per_token = kKvPerToken;
    spec.checkpoint_bytes = kState;
    EXPECT_EQ(cairn_namespace_open(client_, &spec, kWaitMs, &space_), CAIRN_OK)
        << cairn_last_error();
  }
  ~CEngine() { cairn_client_close(client_); }
  CEngine(const CEngine&) = delete;
  CEngine& operator=(const CEngine&) = delete;

  [[nodiscard]] cairn_client* client() { return client_; }
  /// Where objects are loaded to; each load begins at its start.
  [[nodiscard]] std::vector<unsigned char>& memory() { return memory_; }

  [[nodiscard]] cairn_device_info Device() {
    cairn_device_info info;
    CAIRN_INIT(info);
    EXPECT_EQ(cairn_client_get_device(client_, &info), CAIRN_OK);
    return info;
  }

  /// Blocks and the state of a prompt of `blocks` whole blocks and one token more.
  void Store(std::uint32_t prompt_id, std::uint32_t blocks) {
    cairn_prompt* const prompt = Prompt(prompt_id, blocks);
    std::vector<std::vector<unsigned char>> bytes;
    std::vector<cairn_store_item> items;
    for (std::uint32_t i = 1; i <= blocks; ++i) {
      bytes.push_back(BytesOf(CAIRN_KIND_KV, i * kBlock));
    }
    bytes.push_back(BytesOf(CAIRN_KIND_CHECKPOINT, blocks * kBlock));
    for (std::uint32_t i = 0; i <= blocks; ++i) {
      cairn_store_item item;
      CAIRN_INIT(item);
      item.data = bytes[i].data();
      item.bytes = bytes[i].size();
      item.kind = i == blocks ? CAIRN_KIND_CHECKPOINT : CAIRN_KIND_KV;
      item.position = i == blocks ? blocks * kBlock : (i + 1) * kBlock;
      items.push_back(item);
    }
    cairn_stored stored;
    CAIRN_INIT(stored);
    EXPECT_EQ(cairn_store(prompt, items.data(), items.size(), 0, kWaitMs, &stored, nullptr),
              CAIRN_OK)
        << cairn_last_error();
    EXPECT_EQ(stored.written, blocks + 1);
    cairn_prompt_free(prompt);
  }

  cairn_hit* Match(std::uint32_t prompt_id, std::uint32_t blocks) {
    cairn_prompt* const prompt = Prompt(prompt_id, blocks);
    cairn_hit* hit = nullptr;
    EXPECT_EQ(cairn_match(prompt, kWaitMs, &hit), CAIRN_OK) << cairn_last_error();
    cairn_prompt_free(prompt);
    return hit;
  }

  struct Got {
    cairn_code code = CAIRN_OK;
    std::int32_t tier = CAIRN_TIER_NONE;
    std::uint64_t objects = 0;
    std::uint64_t on_device = 0;
    std::uint64_t wrong = 0;
  };
  /// Matches, loads to the device, compares every byte, releases.
  Got LoadToDevice(std::uint32_t prompt_id, std::uint32_t blocks,
                   std::uint32_t deadline_ms = kWaitMs) {
    cairn_hit* const hit = Match(prompt_id, blocks);
    const Got got = LoadHit(hit, deadline_ms);
    EXPECT_EQ(cairn_hit_release(hit, kWaitMs), CAIRN_OK) << cairn_last_error();
    cairn_hit_free(hit);
    return got;
  }
  Got LoadHit(cairn_hit* hit, std::uint32_t deadline_ms = kWaitMs) {
    Got got;
    cairn_hit_info info;
    CAIRN_INIT(info);
    EXPECT_EQ(cairn_hit_get_info(hit, &info), CAIRN_OK);
    got.tier = info.tier;
    std::memset(memory_.data(), 0, memory_.size());
    used_ = 0;
    objects_.clear();
    cairn_loaded loaded;
    CAIRN_INIT(loaded);
    got.code = cairn_load_device(hit, 0, &Take, this, deadline_ms, &loaded);
    if (got.code == CAIRN_OK) {
      EXPECT_EQ(loaded.objects, objects_.size());
      got.objects = loaded.objects;
      got.on_device = loaded.device_objects;
      got.wrong = Wrong();
    }
    return got;
  }

  static std::vector<unsigned char> BytesOf(std::int32_t kind, std::uint32_t position) {
    std::vector<unsigned char> bytes(kind == CAIRN_KIND_KV ? kBlock * kKvPerToken : kState);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<unsigned char>(i * 7 + i / 253 + position * 31 +
                                            static_cast<std::uint32_t>(kind) * 101 + 1);
    }
    return bytes;
  }

 private:
  cairn_prompt* Prompt(std::uint32_t prompt_id, std::uint32_t blocks) {
    std::vector<std::uint32_t> tokens(blocks * kBlock + 1);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = prompt_id * 100'003 + static_cast<std::uint32_t>(i);
    }
    cairn_prompt* prompt = nullptr;
    EXPECT_EQ(cairn_prompt_make(client_, space_, prompt_id, tokens.data(), tokens.size(), &prompt),
              CAIRN_OK)
        << cairn_last_error();
    return prompt;
  }
  static std::uint64_t Take(void* context, const cairn_object* object) {
    auto* const self = static_cast<CEngine*>(context);
    const std::uint64_t address =
        reinterpret_cast<std::uint64_t>(self->memory_.data()) + self->used_;
    self->used_ += object->bytes;
    self->objects_.push_back(*object);
    return self->used_ <= self->memory_.size() ? address : 0;
  }
  [[nodiscard]] std::uint64_t Wrong() const {
    std::uint64_t wrong = 0;
    std::size_t at = 0;
    for (const cairn_object& object : objects_) {
      const auto expected = BytesOf(object.kind, object.position);
      const bool right = object.bytes == expected.size() &&
                         std::memcmp(memory_.data() + at, expected.data(), expected.size()) == 0;
      wrong += right ? 0 : 1;
      at += object.bytes;
    }
    return wrong;
  }

  cairn_client* client_ = nullptr;
  std::uint32_t space_ = 0;
  std::vector<unsigned char> memory_ = std::vector<unsigned char>(256 * 1024);
  std::size_t used_ = 0;
  std::vector<cairn_object> objects_;
};

}  // namespace cairn::test
