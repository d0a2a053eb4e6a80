// The C ABI with an SSD tier: what was stored durably is there for the next process.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "libcache/connector/cairn.h"

namespace {

constexpr std::uint32_t kBlock = 16;
constexpr std::uint32_t kWaitMs = 20'000;
constexpr std::size_t kState = 65'536;

class CApiSsdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "cairn_c_api_ssd_" + std::to_string(getpid());
    std::filesystem::remove_all(path_);
    std::iota(tokens_.begin(), tokens_.end(), 5);
    CAIRN_INIT(spec_);
    spec_.model = "test";
    spec_.block_tokens = kBlock;
    spec_.checkpoint_bytes = kState;
  }
  void TearDown() override {
    Close();
    // What is quarantined lies beside the directory.
    const std::filesystem::path own(path_);
    for (const auto& entry : std::filesystem::directory_iterator(own.parent_path())) {
      if (entry.path().filename().string().starts_with(own.filename().string())) {
        std::filesystem::remove_all(entry.path());
      }
    }
  }

  void Open() {
    cairn_cache_options options;
    CAIRN_INIT(options);
    options.memory_bytes = 8 << 20;
    options.no_huge_pages = 1;
    options.ssd_path = path_.c_str();
    options.ssd_bytes = 256 << 20;
    options.ssd_codec = ssd_codec_;
    ASSERT_EQ(cairn_cache_open(&options, &cache_), CAIRN_OK) << cairn_last_error();
    cairn_client_options client_options;
    CAIRN_INIT(client_options);
    client_options.cache = cache_;
    ASSERT_EQ(cairn_client_open(&client_options, &client_), CAIRN_OK) << cairn_last_error();
    std::uint32_t name_space = 0;
    ASSERT_EQ(cairn_namespace_open(client_, &spec_, kWaitMs, &name_space), CAIRN_OK)
        << cairn_last_error();
    ASSERT_EQ(cairn_prompt_make(client_, name_space, 1, tokens_.data(), tokens_.size(), &prompt_),
              CAIRN_OK)
        << cairn_last_error();
  }

  void Close() {
    cairn_prompt_free(prompt_);
    cairn_client_close(client_);
    cairn_cache_close(cache_);
    prompt_ = nullptr;
    client_ = nullptr;
    cache_ = nullptr;
  }

  void StoreDurably(const std::vector<unsigned char>& bytes) {
    cairn_store_item item;
    CAIRN_INIT(item);
    item.kind = CAIRN_KIND_CHECKPOINT;
    item.position = kBlock;
    item.data = bytes.data();
    item.bytes = bytes.size();
    cairn_code code = CAIRN_INTERNAL;
    ASSERT_EQ(cairn_store(prompt_, &item, 1, 1, kWaitMs, nullptr, &code), CAIRN_OK)
        << cairn_last_error();
    ASSERT_EQ(code, CAIRN_OK);
  }

  std::string path_;
  cairn_namespace_spec spec_{};
  const char* ssd_codec_ = nullptr;
  std::vector<std::uint32_t> tokens_ = std::vector<std::uint32_t>(kBlock + 1);
  cairn_cache* cache_ = nullptr;
  cairn_client* client_ = nullptr;
  cairn_prompt* prompt_ = nullptr;
};

TEST_F(CApiSsdTest, WhatWasStoredDurablyIsThereNextTime) {
  std::vector<unsigned char> bytes(kState);
  std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(3));
  Open();
  StoreDurably(bytes);
  Close();
  Open();
  EXPECT_STREQ(cairn_cache_notice(cache_), "");
  cairn_hit* hit = nullptr;
  ASSERT_EQ(cairn_match(prompt_, kWaitMs, &hit), CAIRN_OK) << cairn_last_error();
  cairn_hit_info info;
  CAIRN_INIT(info);
  ASSERT_EQ(cairn_hit_get_info(hit, &info), CAIRN_OK);
  EXPECT_EQ(info.resume_at, kBlock);
  EXPECT_EQ(info.tier, CAIRN_TIER_SSD);
  std::vector<unsigned char> read(kState);
  void* buffer = read.data();
  const std::size_t size = read.size();
  EXPECT_EQ(cairn_load_into(hit, 0, &buffer, &size, 1, kWaitMs, nullptr), CAIRN_OK)
      << cairn_last_error();
  EXPECT_EQ(read, bytes);
  EXPECT_EQ(cairn_hit_release(hit, kWaitMs), CAIRN_OK);
  cairn_hit_free(hit);
  cairn_cache_stats stats;
  CAIRN_INIT(stats);
  ASSERT_EQ(cairn_cache_get_stats(cache_, &stats), CAIRN_OK);
  EXPECT_EQ(stats.ssd_hit_tokens, kBlock);
  EXPECT_EQ(stats.leases, 0U);
  EXPECT_EQ(stats.ssd_capacity_bytes, 256U << 20);
}

TEST_F(CApiSsdTest, AStoreThatWillNotOpenIsMovedAsideAndTold) {
  Open();
  StoreDurably(std::vector<unsigned char>(kState, 1));
  Close();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
    if (entry.path().filename() == "CURRENT") {
      std::ofstream(entry.path(), std::ios::trunc) << "nonsense";
    }
  }
  Open();
  EXPECT_STRNE(cairn_cache_notice(cache_), "");
  cairn_hit* hit = nullptr;
  ASSERT_EQ(cairn_match(prompt_, kWaitMs, &hit), CAIRN_OK) << cairn_last_error();
  cairn_hit_info info;
  CAIRN_INIT(info);
  ASSERT_EQ(cairn_hit_get_info(hit, &info), CAIRN_OK);
  EXPECT_EQ(info.resume_at, 0U) << "cold, not wrong";
  cairn_hit_free(hit);
}

TEST_F(CApiSsdTest, AnExceptionOfACallbackGoesNoFurther) {
  Open();
  StoreDurably(std::vector<unsigned char>(kState, 1));
  cairn_hit* hit = nullptr;
  ASSERT_EQ(cairn_match(prompt_, kWaitMs, &hit), CAIRN_OK) << cairn_last_error();
  const cairn_target throws = [](void*, const cairn_object*) -> void* {
    throw std::runtime_error("the engine is confused");
  };
  EXPECT_EQ(cairn_load(hit, 0, throws, nullptr, kWaitMs, nullptr), CAIRN_INTERNAL);
  EXPECT_STREQ(cairn_last_error(), "the engine is confused");
  const cairn_target out_of_memory = [](void*, const cairn_object*) -> void* {
    throw std::bad_alloc();
  };
  EXPECT_EQ(cairn_load(hit, 0, out_of_memory, nullptr, kWaitMs, nullptr), CAIRN_OVERLOADED);
  EXPECT_EQ(cairn_hit_release(hit, kWaitMs), CAIRN_OK) << "the client still works";
  cairn_hit_free(hit);
}

// From a model's file to values that were rounded on SSD, all in C.
TEST_F(CApiSsdTest, ACompactModelIsStoredByALossyCodec) {
  const std::string file = path_ + "_model.json";
  std::ofstream(file) << R"({"id": "small", "fidelity": "compact", "attention": [],
      "checkpoint_shape": "packed",
      "recurrent": [{"kind": "lightning", "count": 4, "value_heads": 1, "value_dim": 64}]})";
  cairn_model model;
  CAIRN_INIT(model);
  model.struct_size = offsetof(cairn_model, fidelity);
  EXPECT_EQ(cairn_model_load(file.c_str(), 0, &model), CAIRN_UNSUPPORTED)
      << "a program that cannot say compact must not say exact";
  CAIRN_INIT(model);
  ASSERT_EQ(cairn_model_load(file.c_str(), 0, &model), CAIRN_OK) << cairn_last_error();
  ASSERT_STREQ(model.checkpoint_shape, "f32[4x64x64]");
  ASSERT_EQ(model.checkpoint_bytes, kState);
  CAIRN_INIT(spec_);
  ASSERT_EQ(cairn_namespace_from_model(&model, kBlock, &spec_), CAIRN_OK);
  ssd_codec_ = "lossless,small=checkpoint:int8_column";
  Open();
  std::vector<float> values(kState / 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 1000) / 1000.0F;
  }
  std::vector<unsigned char> bytes(kState);
  std::memcpy(bytes.data(), values.data(), kState);
  StoreDurably(bytes);
  cairn_cache_stats stats;
  CAIRN_INIT(stats);
  ASSERT_EQ(cairn_cache_get_stats(cache_, &stats), CAIRN_OK);
  EXPECT_EQ(stats.ssd_lossy_objects, 1U);
  EXPECT_EQ(stats.ssd_codec_refused, 0U);
  Close();
  Open();
  cairn_hit* hit = nullptr;
  ASSERT_EQ(cairn_match(prompt_, kWaitMs, &hit), CAIRN_OK) << cairn_last_error();
  std::vector<float> read(values.size());
  void* buffer = read.data();
  const std::size_t size = kState;
  EXPECT_EQ(cairn_load_into(hit, 0, &buffer, &size, 1, kWaitMs, nullptr), CAIRN_OK)
      << cairn_last_error();
  EXPECT_NE(read, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(read[i], values[i], 1.0 / 127 * 0.51) << i;
  }
  EXPECT_EQ(cairn_hit_release(hit, kWaitMs), CAIRN_OK);
  cairn_hit_free(hit);
}

}  // namespace
