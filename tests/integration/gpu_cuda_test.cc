// The GPU tier end to end with a stand-in for NVIDIA's driver on both sides: a daemon whose device
// memory it is, and an engine in another process that attaches its GPU by the C interface. Says
// nothing about a real GPU.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>

#include "tests/integration/c_engine.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/unit/libcache/tier/fake_libcuda.h"

namespace cairn::test {
namespace {

#ifndef CAIRN_WITH_CUDA

TEST(GpuCuda, ABuildWithoutHeadersSaysSo) {
  cairn_client_options client_options;
  CAIRN_INIT(client_options);
  client_options.endpoint = "unix:/nowhere";
  cairn_client* client = nullptr;
  ASSERT_EQ(cairn_client_open(&client_options, &client), CAIRN_OK);
  cairn_device_options options;
  CAIRN_INIT(options);
  EXPECT_EQ(cairn_client_attach_device(client, &options, 1000), CAIRN_UNSUPPORTED);
  cairn_client_close(client);
}

#else

class GpuCudaTest : public DaemonTest {
 protected:
  void SetUp() override {
    void* const library = dlopen("libcuda.so.1", RTLD_NOW);
    ASSERT_NE(library, nullptr) << dlerror();
    cuda_ = static_cast<FakeCuda*>(dlsym(library, "fake_cuda"));
    if (cuda_ == nullptr) {
      GTEST_SKIP() << "a real driver was found";
    }
    *cuda_ = FakeCuda();
    ASSERT_TRUE(StartDaemon({.flags = {"--gpu-memory=16MiB"},
                             .variables = {{"LD_LIBRARY_PATH", std::string(CAIRN_BINARY_DIR) +
                                                                   "/tests/fake_libcuda"}}}));
    ASSERT_EQ(daemon().Status().tiers(2).state(), "ok") << daemon().Log();
  }
  cairn_code Attach(CEngine& engine, int ordinal = 0,
                    std::uint32_t deadline_ms = CEngine::kWaitMs) {
    cuda_->engine_memory = engine.memory().data();
    cuda_->engine_bytes = engine.memory().size();
    cairn_device_options options;
    CAIRN_INIT(options);
    options.ordinal = ordinal;
    return cairn_client_attach_device(engine.client(), &options, deadline_ms);
  }
  void Bring(CEngine& engine, std::uint32_t prompt_id) {
    engine.Store(prompt_id, 3);
    for (int i = 0; i < 2; ++i) {
      const auto got = engine.LoadToDevice(prompt_id, 3);
      EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
      EXPECT_EQ(got.on_device + got.wrong, 0U);
    }
    for (int i = 0; i < 1000 && daemon().Counter("gpu_promotions") == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_EQ(daemon().Counter("gpu_promotions"), 1U);
  }

  FakeCuda* cuda_ = nullptr;
};

TEST_F(GpuCudaTest, AnEngineReadsWhatTheDaemonsGpuHolds) {
  {
    CEngine engine(daemon().UnixEndpoint());
    ASSERT_EQ(Attach(engine), CAIRN_OK) << cairn_last_error();
    EXPECT_EQ(engine.Device().reads_gpu_tier, 1U) << engine.Device().why_not;
    Bring(engine, 1);
    for (int i = 0; i < 3; ++i) {
      const auto got = engine.LoadToDevice(1, 3);
      EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
      EXPECT_EQ(got.tier, CAIRN_TIER_GPU);
      EXPECT_EQ(got.on_device, 4U);
      EXPECT_EQ(got.wrong, 0U);
    }
    EXPECT_EQ(cuda_->imports, 1);
    ASSERT_EQ(cairn_client_detach_device(engine.client(), CEngine::kWaitMs), CAIRN_OK);
    EXPECT_EQ(cuda_->mappings + cuda_->allocations + cuda_->contexts + cuda_->events, 0);
  }
  const v1::TierStatus gpu = daemon().Status().tiers(2);
  EXPECT_NE(gpu.copies().find("copy"), std::string::npos) << gpu.copies();
  EXPECT_NE(daemon().Log().find("id=GPU-11111111-1111-1111-1111-111111111111"), std::string::npos);
  EXPECT_NE(daemon().Log().find("copies=\"" + gpu.copies() + "\""), std::string::npos);
  EXPECT_NE(HttpGet(daemon().http_port(), "/metrics").body.find("cairn_gpu_copy_switch_bytes"),
            std::string::npos);
}

TEST_F(GpuCudaTest, ADriverThatFailsInTheEngineCostsItTheTierOnly) {
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(Attach(engine), CAIRN_OK);
  Bring(engine, 2);
  cuda_->fail_call = "cuMemImportFromShareableHandle";
  cuda_->fail_with = 214;
  const auto got = engine.LoadToDevice(2, 3);
  EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
  EXPECT_EQ(got.tier, CAIRN_TIER_GPU);
  EXPECT_EQ(got.objects, 4U);
  EXPECT_EQ(got.on_device + got.wrong, 0U);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 0U);
  EXPECT_NE(std::string(engine.Device().why_not).find("uncorrectable ECC error"),
            std::string::npos);
  cuda_->fail_call = nullptr;
  EXPECT_EQ(engine.LoadToDevice(2, 3).tier, CAIRN_TIER_HOST);
  // The daemon's own device is well: another engine reads there.
  ASSERT_EQ(Attach(engine), CAIRN_OK) << "a new attachment begins anew";
  EXPECT_EQ(engine.LoadToDevice(2, 3).on_device, 4U);
}

TEST_F(GpuCudaTest, ACopyThatIsLateKeepsTheGpuAttached) {
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(Attach(engine), CAIRN_OK);
  engine.Store(4, 3);
  const int contexts = cuda_->contexts;
  cuda_->hang = true;
  EXPECT_EQ(engine.LoadToDevice(4, 3, 50).code, CAIRN_DEADLINE_EXCEEDED);
  EXPECT_EQ(cairn_client_detach_device(engine.client(), 50), CAIRN_DEADLINE_EXCEEDED);
  EXPECT_EQ(Attach(engine, 0, 50), CAIRN_DEADLINE_EXCEEDED);
  EXPECT_EQ(engine.Device().attached, 1U);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 1U) << "by the same port as before";
  EXPECT_EQ(cuda_->contexts, contexts);
  cuda_->hang = false;
  ASSERT_EQ(cairn_client_detach_device(engine.client(), CEngine::kWaitMs), CAIRN_OK);
  EXPECT_EQ(engine.Device().attached, 0U);
  EXPECT_EQ(cuda_->contexts, 0);
  // Whatever comes there next stays.
  std::fill(engine.memory().begin(), engine.memory().end(), static_cast<unsigned char>(0x5A));
  ASSERT_EQ(Attach(engine), CAIRN_OK);
  EXPECT_TRUE(std::all_of(engine.memory().begin(), engine.memory().end(),
                          [](unsigned char byte) { return byte == 0x5A; }));
  const auto got = engine.LoadToDevice(4, 3);
  EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
  EXPECT_EQ(got.wrong, 0U);
  EXPECT_EQ(cuda_->faults, 0);
}

TEST_F(GpuCudaTest, TheStartOfTheDriverDoesNotCount) {
  CEngine engine(daemon().UnixEndpoint());
  cuda_->slow_call = "cuInit";
  cuda_->slow_ms = 1500;
  EXPECT_EQ(Attach(engine, 0, 1000), CAIRN_OK) << cairn_last_error();
}

TEST_F(GpuCudaTest, AnotherGpuIsToldWithWhatToDo) {
  cuda_->first_uuid = 0x22;
  CEngine engine(daemon().UnixEndpoint());
  ASSERT_EQ(Attach(engine), CAIRN_OK) << "no error: all loads work";
  EXPECT_EQ(engine.Device().reads_gpu_tier, 0U);
  EXPECT_NE(std::string(engine.Device().why_not).find("GPU-11111111-"), std::string::npos)
      << engine.Device().why_not;
  engine.Store(3, 3);
  for (int i = 0; i < 3; ++i) {
    const auto got = engine.LoadToDevice(3, 3);
    EXPECT_EQ(got.code, CAIRN_OK) << cairn_last_error();
    EXPECT_EQ(got.tier, CAIRN_TIER_HOST);
    EXPECT_EQ(got.wrong, 0U);
  }
  EXPECT_EQ(Attach(engine, 7), CAIRN_NOT_FOUND);
  EXPECT_NE(std::string(cairn_last_error()).find("no GPU 7"), std::string::npos);
  // The daemon's GPU as this process's second one, which the first can reach.
  cuda_->first_uuid = 0x10;
  cuda_->devices = 2;
  cuda_->peer_from = 0;
  cuda_->peer_to = 1;
  ASSERT_EQ(Attach(engine), CAIRN_OK);
  EXPECT_EQ(engine.Device().reads_gpu_tier, 1U) << engine.Device().why_not;
}

#endif

}  // namespace
}  // namespace cairn::test
