// The GPU tier of a daemon with a fake device: what returns comes there, is read there by another
// process, and whatever becomes of the device, the bytes are right.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/connector/fake_device_port.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

/// Reads the fake device, and can come by wrong bytes.
class SpoilingPort final : public DevicePort {
 public:
  void SpoilNext() { spoil_ = true; }
  Status Accepts(const DeviceIdentity& device) override { return port_.Accepts(device); }
  Result<std::uint64_t> Map(int fd, std::uint64_t bytes) override { return port_.Map(fd, bytes); }
  void Unmap(std::uint64_t mapping) override { port_.Unmap(mapping); }
  Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
              std::uint64_t target, TimePoint deadline) override {
    ObjectView expected = object;
    expected.digest.low ^= std::exchange(spoil_, false) ? 1U : 0U;
    return port_.Copy(mapping, offset, expected, target, deadline);
  }
  Status CopyFromHost(std::span<const std::byte> bytes, const ObjectView& object,
                      std::uint64_t target, TimePoint deadline) override {
    return port_.CopyFromHost(bytes, object, target, deadline);
  }
  Result<std::span<std::byte>> Staging(std::uint64_t bytes, TimePoint deadline) override {
    return port_.Staging(bytes, deadline);
  }
  Status Settle(TimePoint deadline) override { return port_.Settle(deadline); }
  [[nodiscard]] Status Health() const override { return port_.Health(); }

 private:
  FakeDevicePort port_;
  bool spoil_ = false;
};

/// An engine that can read the fake device.
class DeviceEngine {
 public:
  explicit DeviceEngine(const std::string& endpoint, NamespaceSpec spec = SmallModel(),
                        ClientOptions options = {})
      : port_(std::make_shared<SpoilingPort>()),
        engine_(With(std::move(options), endpoint), std::move(spec)) {}

  Engine& engine() { return engine_; }
  SpoilingPort& port() { return *port_; }
  struct Got {
    std::uint32_t resume_at = 0;
    TierKind tier = TierKind::kNone;
    std::uint32_t objects = 0;
    std::uint32_t on_device = 0;
    std::uint32_t wrong = 0;
  };
  Got Load(std::span<const std::uint32_t> tokens) {
    const Client::Prompt prompt = engine_.Prompt(tokens);
    const auto hit = engine_.client().Match(prompt, Soon());
    EXPECT_TRUE(hit.has_value()) << Why(hit);
    if (!hit || hit->lease == 0) {
      return {};
    }
    return LoadHit(prompt, *hit);
  }
  Got LoadHit(const Client::Prompt& prompt, const Client::Hit& hit) {
    Got got{.resume_at = hit.resume_at, .tier = hit.tier};
    memory_.clear();
    const auto loaded = engine_.client().LoadToDevice(
        hit, 0, [this](const ObjectView& object) { return Memory(object); }, Soon());
    EXPECT_TRUE(loaded.has_value()) << Why(loaded);
    EXPECT_TRUE(ReleaseHeard(engine_.client(), prompt, hit, Soon()));
    if (!loaded) {
      return got;
    }
    got.objects = loaded->objects;
    got.on_device = loaded->device_objects;
    EXPECT_EQ(memory_.size(), got.objects);
    for (const auto& [what, bytes] : memory_) {
      const auto key = engine_.client().KeyAt(prompt, what.first);
      got.wrong += key && PayloadOf(*key, what.second, bytes.size()) == bytes ? 0 : 1;
    }
    return got;
  }

 private:
  [[nodiscard]] ClientOptions With(ClientOptions options, const std::string& endpoint) const {
    options.endpoint = endpoint;
    options.device = port_;
    return options;
  }
  /// Memory of this process, which is the fake device's too.
  std::uint64_t Memory(const ObjectView& object) {
    auto& bytes = memory_[{object.position, object.kind}];
    bytes.assign(object.bytes, std::byte{0});
    return reinterpret_cast<std::uint64_t>(bytes.data());
  }

  std::map<std::pair<std::uint32_t, ObjectKind>, std::vector<std::byte>> memory_;
  std::shared_ptr<SpoilingPort> port_;
  Engine engine_;
};

class GpuTest : public DaemonTest {
 protected:
  bool StartWithGpu(const std::string& memory = "16MiB") {
    return StartDaemon(
        {.flags = {"--gpu=fake:" + (dir_ / "lost"), "--gpu-memory=" + memory}, .variables = {}});
  }
  [[nodiscard]] v1::TierStatus Gpu() { return daemon().Status().tiers(2); }
  [[nodiscard]] std::string Metrics() { return HttpGet(daemon().http_port(), "/metrics").body; }
  /// Stores a boundary and loads it until it is in device memory.
  void Bring(DeviceEngine& engine, const std::vector<std::uint32_t>& tokens,
             std::uint32_t position) {
    ASSERT_TRUE(engine.engine().Store(tokens, {position}));
    const std::uint64_t before = daemon().Counter("gpu_promotions");
    for (int i = 0; i < 2; ++i) {
      const auto got = engine.Load(tokens);
      EXPECT_EQ(got.wrong, 0U);
      EXPECT_EQ(got.on_device, 0U);
    }
    ASSERT_TRUE(Eventually([&] { return daemon().Counter("gpu_promotions") > before; }));
  }
  template <class What>
  bool Eventually(const What& what) {
    for (int i = 0; i < 1000; ++i) {
      if (what()) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  static v1::Request DeviceMatch(std::uint32_t space, std::span<const PrefixKey> keys,
                                 std::uint32_t tokens) {
    v1::Request request = MatchRequest(space, keys, tokens);
    request.mutable_match()->set_want_objects(16);
    request.mutable_match()->set_want_device(true);
    return request;
  }
};

TEST_F(GpuTest, ADaemonThatDoesNotGiveItsMemoryOpensTheBreaker) {
  ASSERT_TRUE(StartWithGpu());
  const auto tokens = Tokens(21, 100);
  {
    DeviceEngine first(daemon().UnixEndpoint());
    ASSERT_TRUE(first.engine().Open());
    Bring(first, tokens, 96);
  }
  ClientOptions options;
  options.breaker_failures = 1;
  options.probe_every = std::chrono::minutes(10);
  DeviceEngine engine(daemon().UnixEndpoint(), SmallModel(), options);
  ASSERT_TRUE(engine.engine().Open());
  const Client::Prompt prompt = engine.engine().Prompt(tokens);
  const auto hit = engine.engine().client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  ASSERT_EQ(hit->tier, TierKind::kGpu);
  daemon().Freeze();
  std::vector<std::byte> memory(1 << 20);
  const auto place = [&](const ObjectView&) {
    return reinterpret_cast<std::uint64_t>(memory.data());
  };
  const auto loaded =
      engine.engine().client().LoadToDevice(*hit, 0, place, In(std::chrono::milliseconds(200)));
  const auto next = engine.engine().client().Match(prompt, In(std::chrono::milliseconds(200)));
  daemon().Thaw();
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kDeadlineExceeded);
  ASSERT_FALSE(next.has_value());
  EXPECT_EQ(next.error().code, ErrorCode::kUnavailable) << next.error().message;
}

TEST_F(GpuTest, WhatReturnsIsReadInDeviceMemory) {
  ASSERT_TRUE(StartWithGpu());
  DeviceEngine engine(daemon().UnixEndpoint());
  ASSERT_TRUE(engine.engine().Open());
  const auto tokens = Tokens(1, 100);
  Bring(engine, tokens, 96);
  for (int i = 0; i < 3; ++i) {
    const auto got = engine.Load(tokens);
    EXPECT_EQ(got.resume_at, 96U);
    EXPECT_EQ(got.tier, TierKind::kGpu);
    EXPECT_EQ(got.objects, 7U);
    EXPECT_EQ(got.on_device, 7U) << "six blocks and the state";
    EXPECT_EQ(got.wrong, 0U);
  }
  const v1::TierStatus gpu = Gpu();
  EXPECT_EQ(gpu.name(), "gpu");
  EXPECT_EQ(gpu.state(), "ok");
  EXPECT_NE(gpu.location().find("fake"), std::string::npos);
  EXPECT_EQ(gpu.copies(), "copy engine only: a fake device has no kernels");
  EXPECT_EQ(gpu.copy_switch_bytes(), 0U);
  EXPECT_EQ(gpu.kv_objects(), 6U);
  EXPECT_EQ(gpu.checkpoint_bytes(), 4096U);
  EXPECT_EQ(gpu.capacity_bytes(), 16 * kMiB);
  EXPECT_EQ(daemon().Counter("hit_tokens_gpu"), 3 * 96U);
  EXPECT_NE(daemon().Log().find("gpu_fake"), std::string::npos);
  const std::string metrics = Metrics();
  for (const char* const line :
       {"cairn_gpu_healthy 1", "cairn_gpu_copy_switch_bytes 0", "cairn_gpu_readers 0",
        "cairn_gpu_boundaries 1", "cairn_gpu_promotions_total 1",
        "cairn_hit_tokens_total{tier=\"gpu\"} 288",
        "cairn_tier_objects{tier=\"gpu\",kind=\"kv\"} 6"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line << "\n" << metrics;
  }
}

TEST_F(GpuTest, EnginesWithoutDeviceMemoryGetHostBytesAsEver) {
  ASSERT_TRUE(StartWithGpu());
  DeviceEngine with(daemon().UnixEndpoint());
  ASSERT_TRUE(with.engine().Open());
  const auto tokens = Tokens(2, 100);
  Bring(with, tokens, 96);
  for (const Way& way : {kShm, kStreamUnix, kStreamTcp}) {
    Engine without(EndpointOf(daemon(), way), way.plane);
    ASSERT_TRUE(without.Open());
    const auto got = without.Load(tokens);
    ASSERT_TRUE(got.has_value()) << Why(got);
    EXPECT_EQ(got->tier, TierKind::kHost) << way.name;
    EXPECT_EQ(got->objects, 7U);
    EXPECT_EQ(got->wrong, 0U);
  }
  // Over TCP nothing of device memory is offered, asked for or not.
  DeviceEngine remote(daemon().TcpEndpoint());
  ASSERT_TRUE(remote.engine().Open());
  EXPECT_EQ(remote.Load(tokens).tier, TierKind::kHost);
  auto tcp = OpenedChannel::To(daemon().TcpEndpoint(), SmallModel());
  const auto keys = BlockKeys(tcp.seed, tokens, 16);
  const auto matched = tcp.Call(DeviceMatch(tcp.space, keys, 100));
  ASSERT_TRUE(matched.has_value());
  EXPECT_EQ(matched->match().boundaries(0).tier(), v1::TIER_HOST);
  EXPECT_EQ(matched->match().objects(0).device_extent(), 0U);
  v1::Request attach;
  attach.mutable_attach_device()->set_lease_id(matched->match().lease_id());
  attach.mutable_attach_device()->set_extent(1);
  const auto refused = tcp.Call(attach);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

TEST_F(GpuTest, AConnectorOfTodayWorksWithADaemonThatHasNone) {
  ASSERT_TRUE(StartDaemon());
  EXPECT_EQ(Gpu().state(), "off");
  DeviceEngine engine(daemon().UnixEndpoint());
  ASSERT_TRUE(engine.engine().Open());
  const auto tokens = Tokens(3, 100);
  ASSERT_TRUE(engine.engine().Store(tokens, {96}));
  for (int i = 0; i < 4; ++i) {
    const auto got = engine.Load(tokens);
    EXPECT_EQ(got.tier, TierKind::kHost);
    EXPECT_EQ(got.on_device + got.wrong, 0U);
  }
  EXPECT_EQ(Metrics().find("cairn_gpu_"), std::string::npos);
}

TEST_F(GpuTest, WithoutADriverTheTierIsAbsentAndAllElseWorks) {
  ASSERT_TRUE(StartDaemon({.flags = {"--gpu-memory=64MiB"}, .variables = {}}));
  const std::string state = Gpu().state();
  if (state == "ok") {
    GTEST_SKIP() << "this machine has a GPU";
  }
  EXPECT_TRUE(state.starts_with("absent: ")) << state;
  EXPECT_NE(daemon().Log().find("gpu_absent"), std::string::npos);
  EXPECT_NE(Metrics().find("cairn_gpu_healthy 0"), std::string::npos);
  DeviceEngine engine(daemon().UnixEndpoint());
  ASSERT_TRUE(engine.engine().Open());
  const auto tokens = Tokens(4, 100);
  ASSERT_TRUE(engine.engine().Store(tokens, {96}));
  EXPECT_EQ(engine.Load(tokens).objects, 7U);
}

TEST_F(GpuTest, ALostDeviceCostsTheTierAndNothingElse) {
  ASSERT_TRUE(StartWithGpu());
  DeviceEngine engine(daemon().UnixEndpoint());
  ASSERT_TRUE(engine.engine().Open());
  const auto tokens = Tokens(5, 100);
  Bring(engine, tokens, 96);
  ASSERT_EQ(engine.Load(tokens).on_device, 7U);
  // A request that was told of device memory, and reads when that is gone.
  const Client::Prompt prompt = engine.engine().Prompt(tokens);
  const auto hit = engine.engine().client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value());
  ASSERT_EQ(hit->tier, TierKind::kGpu);
  WriteFile(dir_ / "lost", "");
  ASSERT_TRUE(Eventually([&] { return Gpu().state().starts_with("lost: "); }));
  const auto late = engine.LoadHit(prompt, *hit);
  EXPECT_EQ(late.on_device, 0U);
  EXPECT_EQ(late.objects, 7U);
  EXPECT_EQ(late.wrong, 0U);
  for (int i = 0; i < 3; ++i) {
    const auto got = engine.Load(tokens);
    EXPECT_EQ(got.tier, TierKind::kHost);
    EXPECT_EQ(got.objects, 7U);
    EXPECT_EQ(got.wrong + got.on_device, 0U);
  }
  ASSERT_TRUE(engine.engine().Store(Tokens(6, 100), {96}));
  EXPECT_EQ(engine.Load(Tokens(6, 100)).objects, 7U);
  EXPECT_EQ(daemon().Counter("gpu_losses"), 1U);
  EXPECT_EQ(Gpu().used_bytes(), 0U);
  const std::string log = daemon().Log();
  const std::size_t first = log.find("gpu_lost");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("gpu_lost", first + 1), std::string::npos) << "said once";
}

TEST_F(GpuTest, WrongBytesInDeviceMemoryAreReadFromTheHostAndReported) {
  ASSERT_TRUE(StartWithGpu());
  DeviceEngine engine(daemon().UnixEndpoint());
  ASSERT_TRUE(engine.engine().Open());
  const auto tokens = Tokens(9, 100);
  Bring(engine, tokens, 96);
  engine.port().SpoilNext();
  const auto got = engine.Load(tokens);
  EXPECT_EQ(got.objects, 7U);
  // The rest of the boundary is retired with it, sooner or later in the course of this load.
  EXPECT_LE(got.on_device, 6U);
  EXPECT_EQ(got.wrong, 0U);
  EXPECT_EQ(engine.Load(tokens).tier, TierKind::kHost);
  EXPECT_EQ(daemon().Counter("checksum_failures"), 1U);
  EXPECT_EQ(Gpu().checkpoint_objects(), 0U) << "the copy is gone, and what needs it";
  EXPECT_EQ(daemon().Status().tiers(0).kv_objects(), 6U) << "host memory has all";
}

TEST_F(GpuTest, AKilledEngineLetsGoOfWhatItRead) {
  ASSERT_TRUE(StartWithGpu());
  const auto tokens = Tokens(7, 100);
  {
    DeviceEngine engine(daemon().UnixEndpoint());
    ASSERT_TRUE(engine.engine().Open());
    Bring(engine, tokens, 96);
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto opened = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
    const auto keys = BlockKeys(opened.seed, tokens, 16);
    const auto matched = opened.Call(DeviceMatch(opened.space, keys, 100));
    if (matched && getppid() == parent) {
      pause();
    }
    _exit(1);
  }
  ASSERT_GT(child, 0);
  const bool held =
      Eventually([&] { return Metrics().find("cairn_gpu_readers 7") != std::string::npos; });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(held);
  daemon().ExpectNothingHeld();
  EXPECT_NE(Metrics().find("cairn_gpu_readers 0"), std::string::npos);
}

TEST_F(GpuTest, TenantsMapNothingOfEachOther) {
  ASSERT_TRUE(StartWithGpu());
  NamespaceSpec spec_b = SmallModel();
  spec_b.tenant = "b";
  const auto tokens = Tokens(8, 100);
  DeviceEngine a(daemon().UnixEndpoint());
  DeviceEngine b(daemon().UnixEndpoint(), spec_b);
  ASSERT_TRUE(a.engine().Open() && b.engine().Open());
  Bring(a, tokens, 96);
  Bring(b, tokens, 96);
  EXPECT_EQ(a.Load(tokens).on_device, 7U);
  EXPECT_EQ(b.Load(tokens).on_device, 7U);
  struct Seen {
    OpenedChannel channel;
    std::uint64_t lease = 0;
    std::uint32_t extent = 0;
  };
  std::vector<Seen> seen;
  for (const NamespaceSpec& spec : {SmallModel(), spec_b}) {
    seen.push_back({.channel = OpenedChannel::To(daemon().UnixEndpoint(), spec)});
    OpenedChannel& opened = seen.back().channel;
    const auto matched =
        opened.Call(DeviceMatch(opened.space, BlockKeys(opened.seed, tokens, 16), 100));
    ASSERT_TRUE(matched.has_value());
    ASSERT_EQ(matched->match().objects_size(), 7);
    seen.back().lease = matched->match().lease_id();
    seen.back().extent = matched->match().objects(0).device_extent();
  }
  EXPECT_NE(seen[0].extent, seen[1].extent);
  // (whose connection, whose lease, whose extent)
  for (const auto& [who, lease, extent, code] : {std::tuple{0, 0, 1, ErrorCode::kPermissionDenied},
                                                 {1, 1, 0, ErrorCode::kPermissionDenied},
                                                 {1, 0, 0, ErrorCode::kExpired},
                                                 {0, 0, 0, ErrorCode::kOk}}) {
    v1::Request attach;
    attach.mutable_attach_device()->set_lease_id(seen[static_cast<std::size_t>(lease)].lease);
    attach.mutable_attach_device()->set_extent(seen[static_cast<std::size_t>(extent)].extent);
    std::vector<UniqueFd> fds;
    const auto reply =
        seen[static_cast<std::size_t>(who)].channel.channel.CallWithFds(attach, fds, Soon());
    EXPECT_EQ(reply ? ErrorCode::kOk : reply.error().code, code);
    EXPECT_EQ(fds.size(), reply ? 2U : 0U);
    if (reply) {
      EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0].get(), 0),
                MAP_FAILED)
          << "nobody but the daemon writes there";
    }
  }
}

TEST_F(GpuTest, TheCapHoldsWhateverComes) {
  ASSERT_TRUE(StartWithGpu("8MiB"));
  NamespaceSpec spec = SmallModel();
  spec.checkpoint_bytes = kMiB;
  DeviceEngine engine(daemon().UnixEndpoint(), spec);
  ASSERT_TRUE(engine.engine().Open());
  for (std::uint64_t prompt = 0; prompt < 20; ++prompt) {
    const auto tokens = Tokens(100 + prompt, 40);
    ASSERT_TRUE(engine.engine().Store(tokens, {32}));
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(engine.Load(tokens).wrong, 0U);
    }
    const v1::TierStatus gpu = Gpu();
    EXPECT_LE(gpu.used_bytes(), gpu.capacity_bytes());
  }
  EXPECT_TRUE(Eventually([&] { return Gpu().checkpoint_objects() >= 6; }));
  EXPECT_LE(Gpu().used_bytes(), 8 * kMiB);
  for (std::uint64_t prompt = 0; prompt < 20; ++prompt) {
    EXPECT_EQ(engine.Load(Tokens(100 + prompt, 40)).wrong, 0U);
  }
}

TEST_F(GpuTest, WrongOptionsAreRefusedByName) {
  for (const auto& [flags, part] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--gpu=yes"}, "--gpu: 'yes' is neither"},
           {{"--gpu=fake"}, "--gpu-memory: how much"},
           {{"--gpu-memory=1MiB"}, "--gpu-memory: 1.00 MiB is too little"},
           {{"--gpu-device=-1"}, "gpu-device"}}) {
    std::vector<std::string> args = {"--memory=64MiB", "--listen-unix=" + (dir_ / "s"),
                                     "--listen-tcp=", "--listen-http="};
    args.insert(args.end(), flags.begin(), flags.end());
    unlink((dir_ / "raw.log").c_str());
    const auto process = DaemonProcess::Raw(dir_, args);
    EXPECT_EQ(process->WaitExit(std::chrono::seconds(kSanitized ? 60 : 20)), 2) << flags[0];
    EXPECT_NE(process->Output().find(part), std::string::npos) << process->Output();
  }
}

}  // namespace
}  // namespace cairn::test
