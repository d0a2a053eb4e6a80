// To load or to compute: the connector knows how fast its context computes, the cache how fast it
// loads. With always_load = false the sooner of both is chosen.
#include <gtest/gtest.h>

#include "libcache/connector/llamacpp/connector.h"
#include "tests/unit/libcache/connector/llamacpp/connector_fixture.h"

namespace cairn::llamacpp {
namespace {

using fake::Config;
using fake::MakeTokens;
using std::chrono::microseconds;

class ConnectorCostTest : public ConnectorFixture {
 protected:
  [[nodiscard]] ConnectorOptions Choosing() const {
    ConnectorOptions options = Options();
    options.always_load = false;
    return options;
  }
  /// A state of 32 MiB, which takes 4 ms to load by the cache's estimate.
  static Config LargeState() {
    Config config = fake::RecurrentOnly();
    config.recurrent.layers = 1;
    config.recurrent.idle_bytes = 32U << 20U;
    return config;
  }
  const Tokens prompt_ = MakeTokens(100);
};

TEST_F(ConnectorCostTest, LoadsAsLongAsTheSpeedIsNotKnown) {
  OpenCache("turn_end", 128 * kMiB);
  Engine first = Start(LargeState(), Choosing());
  ExpectResumes(first, prompt_, 0);
  Engine second = Start(LargeState(), Choosing());
  ExpectResumes(second, prompt_, 64);
  EXPECT_EQ(second.connector->counters().not_worth_it, 0U);
}

TEST_F(ConnectorCostTest, LoadsWhatIsSlowToCompute) {
  OpenCache("turn_end", 128 * kMiB);
  Config config = LargeState();
  config.per_token = microseconds(500);  // 32 ms for the 64 tokens.
  Engine engine = Start(config, Choosing());
  ExpectResumes(engine, prompt_, 0);
  ExpectResumes(engine, prompt_, 64);
  EXPECT_EQ(engine.connector->counters().not_worth_it, 0U);
}

TEST_F(ConnectorCostTest, ComputesWhatIsSlowToLoad) {
  OpenCache("turn_end", 128 * kMiB);
  Engine first = Start(LargeState());
  ExpectResumes(first, prompt_, 0);
  Engine engine = Start(LargeState(), Choosing());
  // Some 3 us a token, unless the machine has other things to do just then: it gets its chances.
  for (std::uint64_t i = 0; i < 50 && engine.connector->counters().not_worth_it == 0; ++i) {
    ExpectResumes(engine, MakeTokens(63, 100 + i), 0);  // Too short to keep a state of.
    const Outcome outcome = Run(engine, prompt_);
    EXPECT_FALSE(outcome.resumption.error.has_value());
    EXPECT_EQ(outcome.logits, Cold(engine.context->config, prompt_));
    EXPECT_EQ(outcome.resumption.position,
              engine.connector->counters().not_worth_it == 0 ? 64U : 0U);
  }
  EXPECT_EQ(engine.connector->counters().not_worth_it, 1U);
  EXPECT_EQ(engine.connector->counters().failed_loads, 0U);
}

}  // namespace
}  // namespace cairn::llamacpp
