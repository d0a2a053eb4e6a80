// The GPU tier through the C interface: an engine whose own functions map and copy (the fake
// device), and what becomes of a load when they fail, throw, lie or take too long.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "tests/integration/c_engine.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::test {
namespace {

/// Functions of an engine: descriptors are mapped, addresses are this process's.
class FakeCopier {
 public:
  [[nodiscard]] cairn_device_port Port() {
    cairn_device_port port;
    CAIRN_INIT(port);
    port.context = this;
    port.kind = "fake";
    port.accepts = [](void* context, const char* daemon_id, const char* of) -> cairn_code {
      auto* const self = static_cast<FakeCopier*>(context);
      self->id = daemon_id;
      self->name = of;
      return self->accept;
    };
    port.map = &Map;
    port.unmap = &Unmap;
    port.copy = &Copy;
    return port;
  }
  cairn_code Attach(CEngine& engine) {
    const cairn_device_port port = Port();
    cairn_device_options options;
    CAIRN_INIT(options);
    options.port = &port;
    return cairn_client_attach_device(engine.client(), &options, CEngine::kWaitMs);
  }

  std::string id;
  std::string name;
  cairn_code accept = CAIRN_OK;
  cairn_code map = CAIRN_OK;          ///< What each function says, ...
  cairn_code from_device = CAIRN_OK;  ///< ... of copies out of a mapping,
  cairn_code from_host = CAIRN_OK;    ///< ... and from host memory.
  bool throws = false;
  std::chrono::milliseconds takes{0};
  int copies_from_device = 0;
  int copies_from_host = 0;
  std::map<std::uint64_t, std::pair<void*, std::size_t>> mappings;

 private:
  static cairn_code Map(void* context, int fd, std::uint64_t bytes, std::uint64_t* mapping) {
    auto* const self = static_cast<FakeCopier*>(context);
    if (self->map != CAIRN_OK) {
      return self->map;
    }
    void* const memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
      return CAIRN_IO;
    }
    *mapping = ++self->next_;
    self->mappings[*mapping] = {memory, bytes};
    return CAIRN_OK;
  }
  static void Unmap(void* context, std::uint64_t mapping) {
    auto* const self = static_cast<FakeCopier*>(context);
    const auto [memory, bytes] = self->mappings.at(mapping);
    munmap(memory, bytes);
    self->mappings.erase(mapping);
  }
  static cairn_code Copy(void* context, const cairn_device_copy* copy) {
    auto* const self = static_cast<FakeCopier*>(context);
    EXPECT_GE(copy->deadline_ms, 1U);
    EXPECT_NE(copy->digest_low, 0U);
    if (self->throws) {
      throw std::runtime_error("not for C");
    }
    std::this_thread::sleep_for(self->takes);
    const bool host = copy->source != nullptr;
    (host ? self->copies_from_host : self->copies_from_device) += 1;
    const cairn_code code = host ? self->from_host : self->from_device;
    const void* const source =
        host ? copy->source
             : static_cast<const char*>(self->mappings.at(copy->mapping).first) + copy->offset;
    // One that fails has written something all the same.
    std::memcpy(reinterpret_cast<void*>(copy->target), source, copy->bytes);
    if (code != CAIRN_OK) {
      std::memset(reinterpret_cast<void*>(copy->target), 0xEE, copy->bytes / 2);
    }
    return code;
  }

  std::uint64_t next_ = 0;
};

class GpuCApiTest : public DaemonTest {
 protected:
  bool StartWithGpu() {
    return StartDaemon(
        {.flags = {"--gpu=fake:" + (dir_ / "lost"), "--gpu-memory=16MiB"}, .variables = {}});
  }
  template <class What>
  static bool Eventually(const What& what) {
    for (int i = 0; i < 1000; ++i) {
      if (what()) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  /// Loads a boundary until it is in device memory.
  void Bring(CEngine& engine, std::uint32_t prompt_id, std::uint32_t blocks) {
    const std::uint64_t before = daemon().Counter("gpu_promotions");
    engine.Store(prompt_id, blocks);
    for (int i = 0; i < 2; ++i) {
      const auto got = engine.LoadToDevice(prompt_id, blocks);
      EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
      EXPECT_EQ(got.tier, CAIRN_TIER_HOST);
      EXPECT_EQ(got.objects, blocks + 1);
      EXPECT_EQ(got.on_device + got.wrong, 0U);
    }
    ASSERT_TRUE(Eventually([&] { return daemon().Counter("gpu_promotions") > before; }));
  }
  /// All bytes arrived, so many of them from device memory.
  static void ExpectLoads(CEngine& engine, std::uint32_t prompt_id, std::uint32_t blocks,
                          std::uint64_t on_device) {
    const auto got = engine.LoadToDevice(prompt_id, blocks);
    EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
    EXPECT_EQ(got.objects, blocks + 1);
    EXPECT_EQ(got.on_device, on_device);
    EXPECT_EQ(got.wrong, 0U);
  }
};

TEST_F(GpuCApiTest, OneCallEndsWithTheBytesInPlace) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  {
    CEngine engine(daemon().UnixEndpoint());
    EXPECT_EQ(engine.Device().attached, 0U);
    EXPECT_STREQ(engine.Device().why_not, "no device is attached; attach one first");
    ASSERT_EQ(copier.Attach(engine), CAIRN_OK) << cairn_last_error();
    EXPECT_EQ(copier.id, "fake");
    EXPECT_NE(copier.name.find("fake device"), std::string::npos);
    EXPECT_EQ(engine.Device().attached, 1U);
    EXPECT_EQ(engine.Device().reads_gpu_tier, 1U);
    EXPECT_STREQ(engine.Device().why_not, "");
    Bring(engine, 1, 3);
    EXPECT_EQ(copier.copies_from_host, 8);
    EXPECT_EQ(copier.copies_from_device, 0);
    const auto got = engine.LoadToDevice(1, 3);
    EXPECT_EQ(got.tier, CAIRN_TIER_GPU);
    EXPECT_EQ(got.on_device, 4U);
    EXPECT_EQ(got.wrong, 0U);
    EXPECT_EQ(copier.copies_from_host, 8);
    EXPECT_EQ(copier.mappings.size(), 1U);
    // Part of it, by addresses.
    cairn_hit* const hit = engine.Match(1, 3);
    const auto base = reinterpret_cast<std::uint64_t>(engine.memory().data());
    const std::uint64_t addresses[] = {base, base + 8192};
    const size_t sizes[] = {8192, 8192};
    cairn_loaded loaded;
    CAIRN_INIT(loaded);
    ASSERT_EQ(cairn_load_device_into(hit, 32, addresses, sizes, 2, CEngine::kWaitMs, &loaded),
              CAIRN_OK)
        << cairn_last_error();
    EXPECT_EQ(loaded.objects, 2U);
    const auto state = CEngine::BytesOf(CAIRN_KIND_CHECKPOINT, 48);
    EXPECT_EQ(std::memcmp(engine.memory().data() + 8192, state.data(), state.size()), 0);
    // A caller of the version before, whose struct ends sooner.
    std::memset(&loaded, 0xAB, sizeof(loaded));
    loaded.struct_size = 24;
    ASSERT_EQ(cairn_load_device_into(hit, 32, addresses, sizes, 2, CEngine::kWaitMs, &loaded),
              CAIRN_OK);
    EXPECT_EQ(loaded.objects, 2U);
    EXPECT_EQ(loaded.device_objects, 0xABABABABABABABABU) << "not the caller's to be written";
    EXPECT_EQ(cairn_hit_release(hit, CEngine::kWaitMs), CAIRN_OK);
    cairn_hit_free(hit);
    // Detached, matches tell of host memory, and nothing is mapped.
    ASSERT_EQ(cairn_client_detach_device(engine.client(), CEngine::kWaitMs), CAIRN_OK);
    EXPECT_TRUE(copier.mappings.empty());
    EXPECT_EQ(engine.LoadToDevice(1, 3).code, CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(engine.LoadToDevice(1, 3).tier, CAIRN_TIER_HOST);
    ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
    ExpectLoads(engine, 1, 3, 4);
  }
  EXPECT_TRUE(copier.mappings.empty()) << "unmapped with the client";
}

TEST_F(GpuCApiTest, WhatCannotBeReadOnTheDeviceComesThroughHostMemory) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  Bring(engine, 2, 3);
  copier.map = CAIRN_NO_SPACE;
  ExpectLoads(engine, 2, 3, 0);
  copier.map = CAIRN_OK;
  copier.from_device = CAIRN_IO;
  ExpectLoads(engine, 2, 3, 0);
  copier.from_device = CAIRN_OK;
  ExpectLoads(engine, 2, 3, 4);
  EXPECT_EQ(daemon().Counter("checksum_failures"), 0U);
  // Wrong bytes are told: the copy goes.
  copier.from_device = CAIRN_CORRUPT;
  ExpectLoads(engine, 2, 3, 0);
  copier.from_device = CAIRN_OK;
  EXPECT_GE(daemon().Counter("checksum_failures"), 1U);
  EXPECT_EQ(engine.LoadToDevice(2, 3).tier, CAIRN_TIER_HOST);
}

TEST_F(GpuCApiTest, ALostPortIsNotAskedAgain) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  FakeCopier other;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  Bring(engine, 3, 3);
  copier.from_device = CAIRN_UNAVAILABLE;
  cairn_hit* const hit = engine.Match(3, 3);
  const auto got = engine.LoadHit(hit);
  EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
  EXPECT_EQ(got.tier, CAIRN_TIER_GPU);
  EXPECT_EQ(got.on_device + got.wrong, 0U) << "under the same lease";
  EXPECT_EQ(copier.copies_from_device, 1);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 0U);
  EXPECT_NE(std::string(engine.Device().why_not).find("copy failed: unavailable"),
            std::string::npos);
  copier.from_device = CAIRN_OK;
  EXPECT_EQ(engine.LoadToDevice(3, 3).tier, CAIRN_TIER_HOST) << "nothing is held there any more";
  EXPECT_EQ(copier.copies_from_device, 1);
  // Bytes that cannot be brought at all: an error, and host memory has them under the same lease.
  copier.from_host = CAIRN_UNAVAILABLE;
  EXPECT_EQ(engine.LoadHit(hit).code, CAIRN_UNAVAILABLE);
  const auto give = [](void* context, const cairn_object*) -> void* {
    return static_cast<CEngine*>(context)->memory().data();
  };
  EXPECT_EQ(cairn_load(hit, 0, give, &engine, CEngine::kWaitMs, nullptr), CAIRN_OK)
      << cairn_last_error();
  EXPECT_EQ(cairn_hit_release(hit, CEngine::kWaitMs), CAIRN_OK);
  cairn_hit_free(hit);
  // Another port makes it good again.
  ASSERT_EQ(other.Attach(engine), CAIRN_OK);
  ExpectLoads(engine, 3, 3, 4);
}

TEST_F(GpuCApiTest, TheDevicesLossIsNoErrorOfALoad) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  Bring(engine, 4, 3);
  cairn_hit* const hit = engine.Match(4, 3);
  WriteFile(dir_ / "lost", "");
  ASSERT_TRUE(Eventually([&] { return daemon().Counter("gpu_losses") == 1; }));
  const auto got = engine.LoadHit(hit);
  EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
  EXPECT_EQ(got.on_device + got.wrong, 0U);
  EXPECT_EQ(cairn_hit_release(hit, CEngine::kWaitMs), CAIRN_OK);
  cairn_hit_free(hit);
  ExpectLoads(engine, 4, 3, 0);
}

TEST_F(GpuCApiTest, AnotherDeviceIsToldAndDoesNoHarm) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  copier.accept = CAIRN_UNSUPPORTED;
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK) << "no error: all loads work";
  EXPECT_EQ(engine.Device().attached, 1U);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 0U);
  EXPECT_NE(std::string(engine.Device().why_not).find("accepts failed: unsupported"),
            std::string::npos);
  engine.Store(5, 3);
  for (int i = 0; i < 4; ++i) {
    ExpectLoads(engine, 5, 3, 0);
  }
  EXPECT_EQ(daemon().Counter("gpu_promotions"), 0U) << "nothing goes there for nobody";
  cairn_device_port port = copier.Port();
  port.kind = "hip";
  cairn_device_options options;
  CAIRN_INIT(options);
  options.port = &port;
  ASSERT_EQ(cairn_client_attach_device(engine.client(), &options, CEngine::kWaitMs), CAIRN_OK);
  EXPECT_NE(std::string(engine.Device().why_not).find("'fake', the port of kind 'hip'"),
            std::string::npos)
      << engine.Device().why_not;
  // Over TCP nothing of it is offered, and the call works all the same.
  CEngine remote(daemon().TcpEndpoint());
  copier.accept = CAIRN_OK;
  ASSERT_EQ(copier.Attach(remote), CAIRN_OK);
  EXPECT_NE(std::string(remote.Device().why_not).find("Unix socket"), std::string::npos)
      << remote.Device().why_not;
  ExpectLoads(remote, 5, 3, 0);
}

TEST_F(GpuCApiTest, NothingThrownComesThroughAndNothingTakesForEver) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  Bring(engine, 6, 3);
  copier.throws = true;
  EXPECT_EQ(engine.LoadToDevice(6, 3).code, CAIRN_INTERNAL);
  EXPECT_NE(std::string(cairn_last_error()).find("threw"), std::string::npos);
  copier.throws = false;
  copier.from_device = CAIRN_DEADLINE_EXCEEDED;
  copier.takes = std::chrono::milliseconds(60);
  cairn_hit* const hit = engine.Match(6, 3);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(engine.LoadHit(hit, 50).code, CAIRN_DEADLINE_EXCEEDED);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  copier.from_device = CAIRN_OK;
  copier.takes = std::chrono::milliseconds(0);
  const auto again = engine.LoadHit(hit);
  EXPECT_EQ(again.code, CAIRN_OK) << cairn_last_error();
  EXPECT_EQ(again.on_device, 4U) << "slow is not lost";
  EXPECT_EQ(again.wrong, 0U);
  EXPECT_EQ(cairn_hit_release(hit, CEngine::kWaitMs), CAIRN_OK);
  cairn_hit_free(hit);
}

TEST_F(GpuCApiTest, CopiesThatAreSlowOneByOneEndWithTheDeadline) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  Bring(engine, 10, 3);
  cairn_hit* const hit = engine.Match(10, 3);
  copier.takes = std::chrono::milliseconds(300);
  EXPECT_EQ(engine.LoadHit(hit, 250).code, CAIRN_DEADLINE_EXCEEDED);
  EXPECT_LE(copier.copies_from_device, 1) << "none is begun after the deadline";
  EXPECT_EQ(cairn_hit_release(hit, CEngine::kWaitMs), CAIRN_OK);
  cairn_hit_free(hit);
}

TEST_F(GpuCApiTest, ALostConnectionIsTold) {
  ASSERT_TRUE(StartWithGpu());
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 1U);
  daemon().Kill();
  std::vector<std::uint32_t> tokens(17, 1);
  cairn_prompt* prompt = nullptr;
  ASSERT_EQ(cairn_prompt_make(engine.client(), 0, 1, tokens.data(), tokens.size(), &prompt),
            CAIRN_OK);
  cairn_hit* hit = nullptr;
  EXPECT_EQ(cairn_match(prompt, CEngine::kWaitMs, &hit), CAIRN_UNAVAILABLE);
  cairn_prompt_free(prompt);
  EXPECT_EQ(engine.Device().attached, 1U);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 0U);
  EXPECT_STREQ(engine.Device().why_not, "not connected yet; the next match connects");
}

TEST_F(GpuCApiTest, ALeaseThatIsOverIsAMiss) {
  ASSERT_TRUE(StartDaemon(
      {.flags = {"--gpu=fake", "--gpu-memory=16MiB", "--lease-ms=500"}, .variables = {}}));
  FakeCopier copier;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
  Bring(engine, 9, 3);
  cairn_hit* const hit = engine.Match(9, 3);
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  const auto late = engine.LoadHit(hit);
  EXPECT_EQ(late.code, CAIRN_EXPIRED) << cairn_last_error();
  EXPECT_EQ(late.tier, CAIRN_TIER_GPU);
  static_cast<void>(cairn_hit_release(hit, CEngine::kWaitMs));
  EXPECT_EQ(engine.LoadHit(hit).code, CAIRN_INVALID_ARGUMENT) << "nothing is held";
  cairn_hit_free(hit);
  ExpectLoads(engine, 9, 3, 4);
}

TEST_F(GpuCApiTest, ACacheInThisProcessWorksWithADeviceToo) {
  cairn_cache_options options;
  CAIRN_INIT(options);
  options.memory_bytes = 8 << 20;
  options.no_huge_pages = 1;
  cairn_cache* cache = nullptr;
  ASSERT_EQ(cairn_cache_open(&options, &cache), CAIRN_OK) << cairn_last_error();
  {
    FakeCopier copier;
    CEngine engine("", cache);
    ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
    engine.Store(7, 3);
    ExpectLoads(engine, 7, 3, 0);
    EXPECT_EQ(copier.copies_from_host, 4);
    EXPECT_NE(std::string(engine.Device().why_not).find("in this process"), std::string::npos);
  }
  cairn_cache_close(cache);
}

TEST_F(GpuCApiTest, WrongArgumentsAreNamed) {
  cairn_cache_options cache_options;
  CAIRN_INIT(cache_options);
  cache_options.memory_bytes = 8 << 20;
  cache_options.no_huge_pages = 1;
  cairn_cache* cache = nullptr;
  ASSERT_EQ(cairn_cache_open(&cache_options, &cache), CAIRN_OK);
  {
    FakeCopier copier;
    CEngine engine("", cache);
    const auto refused = [&](const char* part, const cairn_device_options& options,
                             std::uint32_t deadline_ms = CEngine::kWaitMs) {
      EXPECT_EQ(cairn_client_attach_device(engine.client(), &options, deadline_ms),
                CAIRN_INVALID_ARGUMENT);
      EXPECT_NE(std::string(cairn_last_error()).find(part), std::string::npos)
          << cairn_last_error();
    };
    const cairn_device_port sound = copier.Port();
    cairn_device_options options;
    CAIRN_INIT(options);
    options.port = &sound;
    refused("deadline_ms", options, 0);
    cairn_device_options changed = options;
    changed.reserved = 1;
    refused("reserved", changed);
    changed = options;
    changed.ordinal = 1;
    refused("ordinal", changed);
    changed = options;
    changed.struct_size = 8;
    refused("options.struct_size", changed);
    cairn_device_port port = sound;
    changed = options;
    changed.port = &port;
    port.kind = nullptr;
    refused("port.kind", changed);
    port = sound;
    port.map = nullptr;
    refused("port.map", changed);
    port = sound;
    port.unmap = nullptr;
    refused("port.unmap", changed);
    port = sound;
    port.copy = nullptr;
    refused("port.copy", changed);
    port = sound;
    port.struct_size = 1;
    refused("port.struct_size", changed);
    EXPECT_EQ(engine.Device().attached, 0U) << "nothing of it was taken";
    EXPECT_EQ(cairn_client_attach_device(nullptr, &options, 1), CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_client_attach_device(engine.client(), nullptr, 1), CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_client_detach_device(nullptr, 1), CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_client_detach_device(engine.client(), 0), CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_client_get_device(engine.client(), nullptr), CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_load_device(nullptr, 0, nullptr, nullptr, 1, nullptr), CAIRN_INVALID_ARGUMENT);
    ASSERT_EQ(copier.Attach(engine), CAIRN_OK);
    engine.Store(8, 1);
    cairn_hit* const hit = engine.Match(8, 1);
    EXPECT_EQ(cairn_load_device(hit, 0, nullptr, nullptr, 1, nullptr), CAIRN_INVALID_ARGUMENT);
    const auto nowhere = [](void*, const cairn_object*) -> std::uint64_t { return 0; };
    EXPECT_EQ(cairn_load_device(hit, 0, nowhere, nullptr, CEngine::kWaitMs, nullptr),
              CAIRN_NO_SPACE);
    std::uint64_t addresses[] = {reinterpret_cast<std::uint64_t>(engine.memory().data()), 0};
    size_t sizes[] = {8192, 8192};
    for (const auto& [part, count] : {std::pair{"count: 1 addresses", 1}, {"addresses[1]", 2}}) {
      EXPECT_EQ(
          cairn_load_device_into(hit, 0, addresses, sizes, static_cast<size_t>(count), 1, nullptr),
          CAIRN_INVALID_ARGUMENT);
      EXPECT_NE(std::string(cairn_last_error()).find(part), std::string::npos)
          << cairn_last_error();
    }
    addresses[1] = addresses[0];
    sizes[0] = 1;
    EXPECT_EQ(cairn_load_device_into(hit, 0, addresses, sizes, 2, 1, nullptr),
              CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_load_device_into(hit, 0, nullptr, sizes, 2, 1, nullptr),
              CAIRN_INVALID_ARGUMENT);
    EXPECT_EQ(cairn_hit_release(hit, CEngine::kWaitMs), CAIRN_OK);
    cairn_hit_free(hit);
  }
  cairn_cache_close(cache);
}

}  // namespace
}  // namespace cairn::test
