#include "libcache/placement/engine_shadow.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "libcache/sim/simulator.h"
#include "tests/property/libcache/sim/any_trace.h"

namespace cairn::sim {
namespace {

Report Replay(Options options, const std::string& strategy, const std::string& eviction,
              const std::vector<TraceRequest>& trace) {
  options.strategy = strategy;
  options.eviction = eviction;
  auto simulator = std::move(Simulator::Create(options)).value();
  for (const TraceRequest& request : trace) {
    simulator->Add(request);
  }
  return simulator->Finish();
}

Options AnyOptions(std::mt19937_64& random) {
  Options options;
  options.block_tokens = static_cast<std::uint32_t>(1 + random() % 6);
  options.checkpoint_bytes = random() % 8 == 0 ? 0 : 100 * (random() % 5);
  options.kv_bytes_per_token = random() % 8 == 0 ? 0 : random() % 20;
  options.capacity_bytes = random() % 6000;
  return options;
}

// What it is told of places is all that the simulated engine looks at. Prompts that end with a
// block are left out, see below.
RC_GTEST_PROP(EngineShadowProperty, IsTheEngineThatItStandsFor, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  const Options options = AnyOptions(random);
  auto trace = AnyTrace(random, *rc::gen::inRange<std::size_t>(1, 150));
  std::erase_if(trace, [&](const TraceRequest& request) {
    return request.input_tokens % options.block_tokens == 0;
  });
  RC_PRE(options.block_tokens > 1);
  const Report engine = Replay(options, "turn_end_demand", "lru", trace);
  const Report learned = Replay(options, "trie", "value", trace);
  RC_ASSERT(learned.engine_written_bytes == engine.bytes_written);
  RC_ASSERT(learned.engine_served_tokens == engine.served_tokens);
}

// A prompt that was seen whole and ends with a block resumes a block before its end. There the
// engine stores a state at its very end once more, of which the shadow is not told.
TEST(EngineShadowTest, IsCloseWherePromptsEndWithABlock) {
  double engine_bytes = 0;
  double shadow_bytes = 0;
  double engine_served = 0;
  double shadow_served = 0;
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    const Options options = AnyOptions(random);
    const auto trace = AnyTrace(random, 150);
    const Report engine = Replay(options, "turn_end_demand", "lru", trace);
    const Report learned = Replay(options, "trie", "value", trace);
    engine_bytes += static_cast<double>(engine.bytes_written);
    shadow_bytes += static_cast<double>(learned.engine_written_bytes);
    engine_served += static_cast<double>(engine.served_tokens);
    shadow_served += static_cast<double>(learned.engine_served_tokens);
  }
  EXPECT_NEAR(shadow_bytes / engine_bytes, 1, 0.15);
  EXPECT_NEAR(shadow_served / engine_served, 1, 0.15);
}

}  // namespace
}  // namespace cairn::sim
