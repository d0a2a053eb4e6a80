// The GPU tier from the cache's side, on a fake device: what comes there, is read there and goes.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "libcache/tier/host_device_memory.h"
#include "tests/unit/libcache/cache/cache_fixture.h"

namespace cairn {
namespace {

constexpr MatchWish kDevice{.grid_tokens = 0, .want_objects = 0, .want_device = true};

/// A mapping of somebody else's memory, as an engine has it.
class Mapped {
 public:
  Mapped(int fd, std::uint64_t bytes) : bytes_(bytes) {
    memory_ = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT_NE(memory_, MAP_FAILED);
  }
  ~Mapped() { munmap(memory_, bytes_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  [[nodiscard]] const std::byte* bytes() const { return static_cast<const std::byte*>(memory_); }
  [[nodiscard]] std::uint64_t Word(std::uint32_t number) const {
    auto* const words = static_cast<std::uint64_t*>(memory_);
    return std::atomic_ref<std::uint64_t>(words[number]).load(std::memory_order_acquire);
  }

 private:
  std::uint64_t bytes_;
  void* memory_;
};

class CacheGpuTest : public CacheFixture {
 protected:
  void OpenWithGpu(std::uint64_t capacity_bytes = 4 * kMiB,
                   const Cache::Config& config = SmallConfig()) {
    auto device = std::make_unique<HostDeviceMemory>(
        HostDeviceMemory::Config{.total_bytes = 64 * kMiB, .streams = 2, .lost_when_exists = {}});
    device_ = device.get();
    device_->PretendKernel(pretend_kernel_);
    Cache::Gpu gpu;
    gpu.copies = {.bytes = 40 * kKiB, .measured = true, .text = "kernel below 40.00 KiB"};
    gpu.on_kernel_dropped = [this](const std::string&) { kernels_dropped_ += 1; };
    gpu.device = std::move(device);
    gpu.capacity_bytes = capacity_bytes;
    gpu.uploader = {.buffer_bytes = 4096, .limit = std::chrono::seconds(20)};
    Open(config, nullptr, std::move(gpu));
  }
  void TearDown() override {
    CacheFixture::TearDown();
    if (cache_ != nullptr) {
      EXPECT_EQ(cache_->Stats().gpu.readers, 0U) << "places in device memory are still held";
    }
  }
  /// Waits for the mover.
  bool Eventually(const std::function<bool(const GpuStats&)>& what) {
    for (int i = 0; i < 3000; ++i) {
      if (what(cache_->Stats().gpu)) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  MatchResult MatchDevice(std::span<const std::uint32_t> tokens) {
    auto match = cache_->Match(session_, 2, space_, Keys(tokens),
                               static_cast<std::uint32_t>(tokens.size()), kDevice);
    EXPECT_TRUE(match.has_value());
    return std::move(*match);
  }
  std::vector<ObjectView> Fetch(const MatchResult& match, std::uint32_t position) {
    const auto pending = cache_->StartFetch(session_, match.lease, position, nullptr, 0);
    EXPECT_TRUE(pending.has_value());
    auto views = cache_->FinishFetch(session_, match.lease);
    EXPECT_TRUE(views.has_value());
    return views ? std::move(*views) : std::vector<ObjectView>{};
  }
  /// One request that loads the boundary at `position`; true if it was given places on the device,
  /// where every byte was right.
  bool Load(std::span<const std::uint32_t> tokens, std::uint32_t position) {
    const MatchResult match = MatchDevice(tokens);
    const auto views = Fetch(match, position);
    bool on_device = !views.empty();
    for (const ObjectView& view : views) {
      on_device = on_device && view.device.extent != 0;
      const auto want = BytesFor(KeyAt(tokens, view.position), view.kind, view.bytes);
      if (view.device.extent != 0) {
        ExpectOnDevice(match.lease, view, want);
      }
      const auto host = cache_->arena().Payload(view.arena_offset).first(view.bytes);
      EXPECT_TRUE(std::equal(host.begin(), host.end(), want.begin(), want.end()));
    }
    EXPECT_TRUE(cache_->Release(session_, match.lease));
    return on_device;
  }
  /// Reads as an engine does: what the generation word says after the copy decides. A device that
  /// is lost meanwhile is no failure, and the only excuse.
  void ExpectOnDevice(LeaseId lease, const ObjectView& view, const std::vector<std::byte>& want) {
    const auto lost = [this] { return cache_->Stats().gpu.losses > 0; };
    const auto grant = cache_->AttachDevice(session_, lease, view.device.extent);
    if (!grant) {
      EXPECT_TRUE(lost()) << ToString(grant.error());
      return;
    }
    EXPECT_EQ(grant->kind, "fake");
    const Mapped region(grant->region.get(), grant->bytes);
    const Mapped ledger(grant->ledger.get(), grant->ledger_words * sizeof(std::uint64_t));
    const bool before = ledger.Word(view.device.slot) == view.device.generation;
    const bool same = std::equal(want.begin(), want.end(), region.bytes() + view.device.offset);
    if (before && ledger.Word(view.device.slot) == view.device.generation) {
      EXPECT_TRUE(same);
    } else {
      EXPECT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.losses > 0; }));
    }
  }
  /// Stores and loads until it is on the device.
  void Bring(std::span<const std::uint32_t> tokens, std::uint32_t position) {
    StoreBoundary(tokens, position);
    const std::uint64_t before = cache_->Stats().gpu.promotions;
    EXPECT_FALSE(Load(tokens, position));
    EXPECT_FALSE(Load(tokens, position));
    ASSERT_TRUE(Eventually([&](const GpuStats& gpu) { return gpu.promotions > before; }));
  }

  HostDeviceMemory* device_ = nullptr;  // Gone once it is lost.
  bool pretend_kernel_ = false;
  std::atomic<int> kernels_dropped_{0};
};

TEST_F(CacheGpuTest, WithoutADeviceNothingChanges) {
  Cache::Gpu gpu;
  gpu.without = "absent: no driver";
  Open(SmallConfig(), nullptr, std::move(gpu));
  const auto tokens = Tokens(40);
  StoreBoundary(tokens, 32);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Load(tokens, 32));
  }
  EXPECT_EQ(cache_->Stats().gpu.state, "absent: no driver");
  const MatchResult match = MatchDevice(tokens);
  const auto grant = cache_->AttachDevice(session_, match.lease, 1);
  ASSERT_FALSE(grant);
  EXPECT_EQ(grant.error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(cache_->Release(session_, match.lease));
}

TEST_F(CacheGpuTest, ABoundaryThatReturnsComesWithStateAndKvAndIsReadThere) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult match = MatchDevice(tokens);
  ASSERT_EQ(match.boundaries.size(), 1U);
  EXPECT_EQ(match.boundaries[0].tier, TierKind::kGpu);
  EXPECT_EQ(match.state, MatchState::kReady);
  EXPECT_TRUE(cache_->Release(session_, match.lease));
  EXPECT_TRUE(Load(tokens, 32));
  const CacheStats stats = cache_->Stats();
  EXPECT_EQ(stats.gpu.state, "ok");
  EXPECT_EQ(stats.gpu.boundaries, 1U);
  EXPECT_EQ(stats.gpu.use.objects[0], 2U);
  EXPECT_EQ(stats.gpu.use.objects[1], 1U);
  EXPECT_EQ(stats.gpu.served_objects, 3U);
  EXPECT_EQ(stats.hit_tokens[static_cast<std::size_t>(TierKind::kGpu)], 32U);
  EXPECT_LE(stats.gpu.extent_bytes, stats.gpu.capacity_bytes);
}

TEST_F(CacheGpuTest, ObjectsThatComeWithTheMatchLieThereToo) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const auto match = cache_->Match(session_, 2, space_, Keys(tokens), 40,
                                   {.grid_tokens = 0, .want_objects = 16, .want_device = true});
  ASSERT_TRUE(match.has_value());
  ASSERT_EQ(match->objects.size(), 3U);
  for (const ObjectView& view : match->objects) {
    EXPECT_NE(view.device.extent, 0U);
  }
  EXPECT_EQ(cache_->Stats().gpu.readers, 3U);
  EXPECT_TRUE(cache_->Release(session_, match->lease, true));
  EXPECT_EQ(cache_->Stats().hit_tokens[static_cast<std::size_t>(TierKind::kGpu)], 32U);
}

TEST_F(CacheGpuTest, WhoCannotReadThereSeesHostMemoryAndBringsNothingThere) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  StoreBoundary(tokens, 32);
  for (int i = 0; i < 10; ++i) {
    const MatchResult match = MatchOf(tokens, false);
    EXPECT_TRUE(FetchAndCheck(tokens, match, 32));
    EXPECT_TRUE(cache_->Release(session_, match.lease));
  }
  EXPECT_EQ(cache_->Stats().gpu.promotions, 0U);
  EXPECT_FALSE(Load(tokens, 32));
  EXPECT_FALSE(Load(tokens, 32));
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.promotions == 1; }));
  const MatchResult match = MatchOf(tokens);
  EXPECT_EQ(match.boundaries[0].tier, TierKind::kHost);
}

TEST_F(CacheGpuTest, ADeeperBoundaryOfThePathAddsOnlyWhatIsMissing) {
  OpenWithGpu();
  const auto tokens = Tokens(80);
  Bring(tokens, 32);
  const std::uint64_t before = cache_->Stats().gpu.promoted_bytes;
  Bring(tokens, 64);
  EXPECT_EQ(cache_->Stats().gpu.promoted_bytes - before, 2 * kBlock * kKvPerToken + kState);
  EXPECT_TRUE(Load(tokens, 64));
  EXPECT_TRUE(Load(tokens, 32));
}

TEST_F(CacheGpuTest, WhatLeavesHostMemoryLeavesTheDevice) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  ASSERT_TRUE(cache_->EvictPrefix(KeyAt(tokens, 32).Hex(), {}));
  EXPECT_EQ(cache_->Stats().gpu.boundaries, 0U);
  EXPECT_EQ(cache_->Stats().gpu.used_bytes, 0U);
  EXPECT_TRUE(MatchDevice(tokens).boundaries.empty());
}

TEST_F(CacheGpuTest, ReadersOfADamagedObjectSeeItGoAndItsMemoryWaitsForThem) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult match = MatchDevice(tokens);
  const auto views = Fetch(match, 32);
  ASSERT_EQ(views.size(), 3U);
  const auto grant = cache_->AttachDevice(session_, match.lease, views[2].device.extent);
  ASSERT_TRUE(grant);
  const Mapped ledger(grant->ledger.get(), grant->ledger_words * sizeof(std::uint64_t));
  ASSERT_TRUE(cache_->ReportCorrupt(session_, match.lease, 2));
  EXPECT_NE(ledger.Word(views[2].device.slot), views[2].device.generation);
  EXPECT_EQ(ledger.Word(views[2].device.slot) % 2, 1U);
  EXPECT_GE(cache_->Stats().gpu.used_bytes, kState);
  EXPECT_TRUE(cache_->Release(session_, match.lease));
  EXPECT_EQ(cache_->Stats().gpu.used_bytes, 0U);
}

TEST_F(CacheGpuTest, DamageOnTheDeviceCostsThatCopyAlone) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult host_only = MatchOf(tokens, false);
  EXPECT_EQ(Fetch(host_only, 32).size(), 3U);
  EXPECT_EQ(cache_->ReportCorruptOnDevice(session_, host_only.lease, 0).error().code,
            ErrorCode::kInvalidArgument)
      << "it was given nothing on the device";
  EXPECT_TRUE(cache_->Release(session_, host_only.lease));
  const MatchResult match = MatchDevice(tokens);
  EXPECT_EQ(Fetch(match, 32).size(), 3U);
  EXPECT_FALSE(cache_->ReportCorruptOnDevice(session_, match.lease, 3));
  ASSERT_TRUE(cache_->ReportCorruptOnDevice(session_, match.lease, 0));
  EXPECT_TRUE(cache_->Release(session_, match.lease));
  EXPECT_EQ(cache_->Stats().gpu.boundaries, 0U);
  EXPECT_EQ(cache_->Stats().checksum_failures, 1U);
  EXPECT_FALSE(Load(tokens, 32)) << "from host memory, where it is right";
  EXPECT_FALSE(Load(tokens, 32));
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.promotions == 2; }));
  EXPECT_TRUE(Load(tokens, 32));
}

TEST_F(CacheGpuTest, AnExpiredLeaseLetsGo) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult match = MatchDevice(tokens);
  EXPECT_EQ(Fetch(match, 32).size(), 3U);
  EXPECT_EQ(cache_->Stats().gpu.readers, 3U);
  clock_.Advance(std::chrono::minutes(1));
  cache_->SweepExpired();
  EXPECT_EQ(cache_->Stats().gpu.readers, 0U);
}

TEST_F(CacheGpuTest, AFetchAgainHoldsOnlyWhatItHandsOut) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult match = MatchDevice(tokens);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Fetch(match, 32).size(), 3U);
    EXPECT_EQ(cache_->Stats().gpu.readers, 3U);
  }
  EXPECT_TRUE(cache_->Release(session_, match.lease));
}

TEST_F(CacheGpuTest, EndOfTheSessionEndsItsHolds) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const SessionId other = cache_->BeginSession();
  const auto match = cache_->Match(other, 1, space_, Keys(tokens), 40,
                                   {.grid_tokens = 0, .want_objects = 16, .want_device = true});
  ASSERT_TRUE(match.has_value());
  EXPECT_TRUE(cache_->AttachDevice(other, match->lease, match->objects[0].device.extent));
  EXPECT_EQ(cache_->Stats().gpu.readers, 3U);
  cache_->EndSession(other);
  EXPECT_EQ(cache_->Stats().gpu.readers, 0U);
}

TEST_F(CacheGpuTest, ALossAtEveryPointCostsNothingButTheTier) {
  for (int after = 0; after < 14; ++after) {
    OpenWithGpu();
    device_->LoseAfter(after);  // Six blocks and two states of 4 KiB, in buffers of 4 KiB.
    const auto tokens = Tokens(100);
    StoreBoundary(tokens, 48);
    StoreBoundary(tokens, 96);
    const MatchResult held = MatchDevice(tokens);
    for (int i = 0; i < 3; ++i) {
      Load(tokens, 48);
      Load(tokens, 96);
    }
    if (!Eventually([](const GpuStats& gpu) { return gpu.losses == 1 || gpu.promotions == 2; })) {
      ADD_FAILURE() << "after " << after;
    }
    if (cache_->Stats().gpu.losses == 0) {
      device_->Lose("now");
    }
    ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.losses == 1; })) << after;
    EXPECT_TRUE(cache_->Stats().gpu.state.starts_with("lost: ")) << cache_->Stats().gpu.state;
    EXPECT_FALSE(Load(tokens, 48) || Load(tokens, 96)) << "host memory serves";
    EXPECT_EQ(cache_->Stats().gpu.readers, 0U);
    EXPECT_TRUE(cache_->Release(session_, held.lease));
    EXPECT_EQ(cache_->Stats().host.objects[1], 2U);
    ASSERT_TRUE(cache_->EvictPrefix(KeyAt(tokens, 16).Hex(), {}));
    EXPECT_EQ(cache_->Stats().host.objects[1], 0U) << "nothing is held for the copies any more";
    CacheFixture::TearDown();
    cache_.reset();
  }
}

TEST_F(CacheGpuTest, ALossIsSeenByReadersAtOnce) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult match = MatchDevice(tokens);
  const auto views = Fetch(match, 32);
  const auto grant = cache_->AttachDevice(session_, match.lease, views[0].device.extent);
  ASSERT_TRUE(grant);
  const Mapped ledger(grant->ledger.get(), grant->ledger_words * sizeof(std::uint64_t));
  device_->Lose("it fell off the bus");
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.losses == 1; }))
      << "by the health check";
  for (const ObjectView& view : views) {
    EXPECT_EQ(ledger.Word(view.device.slot) % 2, 1U);
  }
  EXPECT_EQ(Fetch(match, 32)[0].device.extent, 0U) << "the same lease is served from host memory";
  EXPECT_TRUE(cache_->Release(session_, match.lease));
}

TEST_F(CacheGpuTest, AFullDeviceIsNoLoss) {
  OpenWithGpu();
  device_->SetFull(true);
  const auto tokens = Tokens(40);
  StoreBoundary(tokens, 32);
  EXPECT_FALSE(Load(tokens, 32) || Load(tokens, 32));
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.refused == 1; }));
  EXPECT_EQ(cache_->Stats().gpu.state, "ok");
  device_->SetFull(false);
  clock_.Advance(std::chrono::seconds(11));
  EXPECT_FALSE(Load(tokens, 32) || Load(tokens, 32));
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.promotions == 1; }));
}

TEST_F(CacheGpuTest, DamageInHostMemoryIsFoundOnTheWayAndTheObjectGoes) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  StoreBoundary(tokens, 32);
  const MatchResult match = MatchDevice(tokens);
  const auto views = Fetch(match, 32);
  cache_->arena().Payload(views[2].arena_offset)[100] ^= std::byte{1};
  EXPECT_TRUE(cache_->Release(session_, match.lease));
  const MatchResult again = MatchDevice(tokens);
  EXPECT_EQ(Fetch(again, 32).size(), 3U);
  EXPECT_TRUE(cache_->Release(session_, again.lease));
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.failed_copies == 1; }));
  EXPECT_EQ(cache_->Stats().checksum_failures, 1U);
  EXPECT_TRUE(MatchDevice(tokens).boundaries.empty()) << "never wrong bytes";
  EXPECT_EQ(cache_->Stats().gpu.state, "ok");
}

TEST_F(CacheGpuTest, ADeviceThatSpoilsBytesIsNotReadAndInTheEndGivenUp) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  StoreBoundary(tokens, 32);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    device_->SpoilNext();
    EXPECT_FALSE(Load(tokens, 32) || Load(tokens, 32));
    ASSERT_TRUE(Eventually([&](const GpuStats& gpu) { return gpu.failed_copies == i; }));
    EXPECT_FALSE(Load(tokens, 32));
    clock_.Advance(std::chrono::seconds(2));
  }
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.losses == 1; }));
  EXPECT_FALSE(Load(tokens, 32));
}

TEST_F(CacheGpuTest, TenantsShareNoExtent) {
  OpenWithGpu();
  const auto tokens = Tokens(40);
  Bring(tokens, 32);
  const MatchResult mine = MatchDevice(tokens);
  const std::uint32_t extent = Fetch(mine, 32)[0].device.extent;
  EXPECT_TRUE(cache_->AttachDevice(session_, mine.lease, extent));
  EXPECT_TRUE(cache_->Release(session_, mine.lease));
  EXPECT_EQ(cache_->AttachDevice(session_, mine.lease, extent).error().code, ErrorCode::kExpired);
  NamespaceSpec spec = Spec();
  spec.tenant = "another";
  const auto opened = cache_->OpenNamespace(spec);
  ASSERT_TRUE(opened.has_value());
  space_ = opened->id;
  seed_ = opened->seed;
  Bring(tokens, 32);
  const MatchResult theirs = MatchDevice(tokens);
  EXPECT_NE(Fetch(theirs, 32)[0].device.extent, extent);
  const auto denied = cache_->AttachDevice(session_, theirs.lease, extent);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(cache_->Release(session_, theirs.lease));
}

TEST_F(CacheGpuTest, RequestsGoOnWhileThingsComeAndGoAndTheDeviceIsLost) {
  Cache::Config config = SmallConfig();
  config.host_bytes = 2 * kMiB;  // Too little for all: host memory evicts, too.
  OpenWithGpu(256 * kKiB, config);
  constexpr int kPrompts = 150;
  std::atomic<int> on_device{0};
  std::vector<std::thread> engines;
  for (int engine = 0; engine < 3; ++engine) {
    engines.emplace_back([this, engine, &on_device] {
      const SessionId session = cache_->BeginSession();
      for (int i = 0; i < 600; ++i) {
        const auto prompt = static_cast<std::uint32_t>((i * 7 + engine) % kPrompts);
        const auto tokens = Tokens(40, prompt * 1000);
        const auto match =
            cache_->Match(session, 1, space_, Keys(tokens), 40,
                          {.grid_tokens = 0, .want_objects = 16, .want_device = true});
        ASSERT_TRUE(match.has_value());
        if (match->lease == 0) {
          continue;
        }
        for (const ObjectView& view : match->objects) {
          on_device += view.device.extent != 0 ? 1 : 0;
        }
        ASSERT_TRUE(cache_->Release(session, match->lease, true));
      }
      cache_->EndSession(session);
    });
  }
  std::thread writer([this] {
    for (std::uint32_t round = 0; round < 3; ++round) {
      for (std::uint32_t prompt = 0; prompt < kPrompts; ++prompt) {
        const auto tokens = Tokens(40, prompt * 1000);
        for (const auto& [kind, at] : {std::pair{ObjectKind::kKv, 16U},
                                       {ObjectKind::kKv, 32U},
                                       {ObjectKind::kCheckpoint, 32U}}) {
          static_cast<void>(StoreAt(tokens, kind, at));
        }
        clock_.Advance(std::chrono::milliseconds(100));
      }
    }
  });
  writer.join();
  device_->Lose("while everybody is at it");
  for (std::thread& engine : engines) {
    engine.join();
  }
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.losses == 1; }));
  EXPECT_LE(cache_->Stats().gpu.extent_bytes, 256 * kKiB);
}

TEST_F(CacheGpuTest, AKernelThatIsDroppedIsToldOnce) {
  pretend_kernel_ = true;
  OpenWithGpu();
  EXPECT_EQ(cache_->Stats().gpu.device.copy_switch_bytes, 40 * kKiB);
  device_->PretendKernel(false);
  ASSERT_TRUE(Eventually([](const GpuStats& gpu) { return gpu.device.copy_switch_bytes == 0; }));
  EXPECT_EQ(cache_->Stats().gpu.device.copies, "copy engine only: a fake device has no kernels");
  EXPECT_EQ(cache_->Stats().gpu.state, "ok") << "it is no loss";
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // Past the next look.
  EXPECT_EQ(kernels_dropped_, 1);
}

}  // namespace
}  // namespace cairn
