// What goes wrong in llama.cpp, between it and the cache, and in the cache: each time a cold
// prefill, told and counted, and the next request is served again.
#include <gtest/gtest.h>

#include "libcache/connector/llamacpp/connector.h"
#include "tests/unit/libcache/connector/llamacpp/connector_fixture.h"
#include "tests/unit/libcache/connector/llamacpp/kinds.h"

namespace cairn::llamacpp {
namespace {

using fake::Config;
using fake::Faults;
using fake::MakeTokens;
using std::chrono::milliseconds;

class ConnectorFailureTest : public ConnectorFixture {
 protected:
  const Tokens prompt_ = MakeTokens(600);
  const Tokens longer_ = Joined(prompt_, MakeTokens(100, 2));

  /// An engine with a state of prompt_ at 576 in its cache.
  Engine Primed(const Config& config) {
    Engine engine = Start(config);
    ExpectResumes(engine, prompt_, 0);
    return engine;
  }
  /// The sum of all that counts failures.
  static std::uint64_t FailuresOf(const ConnectorCounters& c) {
    return c.failed_matches + c.failed_loads + c.rejected + c.failed_restores + c.failed_captures +
           c.failed_stores + c.dropped_stores;
  }
  /// Of object `index` of the boundary at 576: nine blocks of KV, then the checkpoint.
  void FlipBit(const Engine& engine, std::size_t index) {
    const SessionId session = cache_->BeginSession();
    const auto space = cache_->OpenNamespace(engine.connector->name_space());
    ASSERT_TRUE(space.has_value());
    const std::vector<std::uint32_t> tokens(longer_.begin(), longer_.end());
    const auto match =
        cache_->Match(session, 1, space->id, BlockKeys(space->seed, tokens, 64), 700);
    ASSERT_TRUE(match.has_value());
    ASSERT_TRUE(cache_->StartFetch(session, match->lease, 576, nullptr, 0).has_value());
    const auto objects = cache_->FinishFetch(session, match->lease);
    ASSERT_TRUE(objects.has_value());
    ASSERT_EQ(objects->size(), 10U);
    const ObjectView& object = (*objects)[index];
    cache_->arena().Payload(object.arena_offset)[object.bytes / 2] ^= std::byte{1};
    cache_->EndSession(session);
  }
  void ExpectRestoreFails(const Config& config, bool Faults::*fault) {
    OpenCache("turn_end_demand");
    Engine engine = Primed(config);
    engine.context->faults.*fault = true;
    {
      const Request request = engine.connector->Begin(0, longer_);
      EXPECT_EQ(request.position(), 0U);
      EXPECT_EQ(request.resumption().position, 0U);
      EXPECT_EQ(request.resumption().overlap_tokens, 576U);
      ASSERT_TRUE(request.resumption().error.has_value());
      EXPECT_EQ(request.resumption().error->code, ErrorCode::kInternal);
      EXPECT_EQ(engine.context->PosMax(0), -1);
    }
    engine.context->faults = {};
    const ConnectorCounters counters = engine.connector->counters();
    EXPECT_EQ(counters.failed_restores, 1U);
    EXPECT_EQ(counters.resumed, 0U);
    EXPECT_EQ(FailuresOf(counters), 1U);
    ExpectResumes(engine, longer_, 576);  // It is not the object's fault.
  }
};

TEST_F(ConnectorFailureTest, LlamaRefusesAState) {
  for (const Config& config : {fake::Hybrid(), fake::AttentionOnly(), fake::HybridWindows()}) {
    ExpectRestoreFails(config, &Faults::set_data);
    ExpectRestoreFails(config, &Faults::set_data_short);
    ExpectRestoreFails(config, &Faults::pos_max);
  }
}

TEST_F(ConnectorFailureTest, AfterARefusalAColdPrefillStoresAgain) {
  Engine engine = Primed(fake::Hybrid());
  engine.context->faults.set_data = true;
  const Outcome outcome = Run(engine, longer_);
  EXPECT_EQ(outcome.resumption.position, 0U);
  EXPECT_EQ(outcome.logits, Cold(engine.context->config, longer_));
  EXPECT_EQ(cache_->Stats().failed_restores, 1U) << "the daemon hears of it";
  engine.context->faults = {};
  ExpectResumes(engine, longer_, 640);
}

TEST_F(ConnectorFailureTest, ASequenceThatCannotBeEmptied) {
  Engine engine = Primed(fake::Hybrid());
  engine.context->faults.seq_rm = true;
  {
    const Request request = engine.connector->Begin(0, longer_);
    EXPECT_EQ(request.position(), 0U);
    ASSERT_TRUE(request.resumption().error.has_value());
    EXPECT_EQ(request.resumption().error->code, ErrorCode::kInternal);
  }
  EXPECT_EQ(engine.connector->counters().failed_restores, 1U);
  EXPECT_EQ(engine.context->restores, 0U) << "nothing may be put on top of what is there";
  engine.context->faults = {};
  ExpectResumes(engine, longer_, 576);
}

TEST_F(ConnectorFailureTest, StatesThatCannotBeRead) {
  for (const auto fault : {&Faults::get_data, &Faults::get_size, &Faults::pos_max}) {
    for (const Config& config : {fake::Hybrid(), fake::AttentionOnly()}) {
      OpenCache("turn_end_demand");
      Engine engine = Start(config);
      engine.context->faults.*fault = true;
      ExpectResumes(engine, prompt_, 0);
      engine.context->faults = {};
      EXPECT_EQ(engine.connector->counters().failed_captures, 1U);
      EXPECT_EQ(engine.connector->counters().captured, 0U);
      EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
      ExpectResumes(engine, longer_, 0);
      ExpectResumes(engine, longer_, 640);
      EXPECT_EQ(FailuresOf(engine.connector->counters()), 1U);
    }
  }
}

TEST_F(ConnectorFailureTest, TheCallersWordIsNotEnough) {
  Engine engine = Start(fake::Hybrid());
  {
    Request request = engine.connector->Begin(0, prompt_);
    Advance(engine, request, 0, prompt_, 512);
    request.Decoded(576);  // It was not.
    request.EndPrompt();
  }
  EXPECT_TRUE(engine.connector->Flush(Soon()));
  EXPECT_EQ(engine.connector->counters().failed_captures, 1U);
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
  {
    Request request = engine.connector->Begin(0, prompt_);
    Advance(engine, request, 0, prompt_, 600);
    request.Decoded(5000);
    EXPECT_EQ(request.position(), 600U);
    EXPECT_EQ(fake::DecodeRange(fake::MakeApi(), *engine.context, 0, longer_, 600, 601), 0);
    request.EndPrompt();  // Too late: the sequence went on.
  }
  EXPECT_TRUE(engine.connector->Flush(Soon()));
  EXPECT_EQ(engine.connector->counters().failed_captures, 2U);
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
}

TEST_F(ConnectorFailureTest, ACallerThatDoesNotStopWherePlanned) {
  Engine engine = Start(fake::Hybrid());
  {
    Request request = engine.connector->Begin(0, prompt_);
    fake::Prefill(*engine.context, 0, prompt_, 600);
    request.Decoded(600);  // A state was wanted at 576.
    request.EndPrompt();
  }
  EXPECT_TRUE(engine.connector->Flush(Soon()));
  EXPECT_EQ(engine.connector->counters().captured, 0U);
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
}

TEST_F(ConnectorFailureTest, ASequenceWithHoles) {
  for (const Config& config : {fake::Hybrid(), fake::AttentionOnly()}) {
    Engine engine = Start(config);
    {
      Request request = engine.connector->Begin(0, prompt_);
      Advance(engine, request, 0, prompt_, 600);
      engine.context->RemoveBegin(0, 10);
      ASSERT_EQ(engine.context->PosMax(0), 599) << "it looks as if all were there";
      request.EndPrompt();
    }
    EXPECT_TRUE(engine.connector->Flush(Soon()));
    EXPECT_EQ(engine.connector->counters().failed_captures, 1U);
    EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
    ExpectResumes(engine, longer_, 0);
  }
}

TEST_F(ConnectorFailureTest, ADecodeThatFailsHalfWay) {
  Engine engine = Primed(fake::Hybrid());
  {
    Request request = engine.connector->Begin(0, longer_);
    EXPECT_EQ(request.position(), 576U);
    engine.context->faults.decode = true;
    EXPECT_NE(fake::DecodeRange(fake::MakeApi(), *engine.context, 0, longer_, 576, 640), 0);
    engine.context->faults = {};
  }
  ExpectResumes(engine, longer_, 576);
  EXPECT_EQ(FailuresOf(engine.connector->counters()), 0U);
}

TEST_F(ConnectorFailureTest, RequestsThatMakeNoSense) {
  Config config = fake::AttentionOnly();
  config.n_seq_max = 2;
  Engine engine = Start(config);
  for (const SequenceId sequence : {-1, 2, 99}) {
    Request request = engine.connector->Begin(sequence, prompt_);
    ASSERT_TRUE(request.resumption().error.has_value());
    EXPECT_EQ(request.resumption().error->code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(request.position(), 0U);
    // A caller that goes on all the same must not have llama.cpp abort.
    request.Decoded(600);
    request.EndPrompt();
  }
  for (const std::uint32_t length : {0U, 2049U}) {
    Request request = engine.connector->Begin(1, MakeTokens(length));
    ASSERT_TRUE(request.resumption().error.has_value());
    EXPECT_EQ(request.resumption().error->code, ErrorCode::kInvalidArgument);
    request.EndPrompt();
  }
  EXPECT_TRUE(engine.connector->Flush(Soon()));
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
  ExpectResumes(engine, prompt_, 0, 1);
  ExpectResumes(engine, prompt_, 576, 0);
}

TEST_F(ConnectorFailureTest, DeadlinesThatAreOver) {
  Engine engine = Primed(fake::Hybrid());
  ConnectorOptions options = Options();
  options.load_timeout = milliseconds(0);
  Engine late = Start(fake::Hybrid(), options);
  Outcome outcome = Run(late, longer_);
  EXPECT_EQ(outcome.resumption.position, 0U);
  ASSERT_TRUE(outcome.resumption.error.has_value());
  EXPECT_EQ(outcome.resumption.error->code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(outcome.logits, Cold(late.context->config, longer_));
  EXPECT_EQ(late.connector->counters().failed_loads, 1U);

  options.match_timeout = milliseconds(0);
  Engine later = Start(fake::Hybrid(), options);
  outcome = Run(later, longer_);
  ASSERT_TRUE(outcome.resumption.error.has_value());
  EXPECT_EQ(outcome.logits, Cold(later.context->config, longer_));
  EXPECT_EQ(later.connector->counters().failed_matches, 1U);
  ExpectResumes(engine, longer_, 640);
}

TEST_F(ConnectorFailureTest, ADaemonThatDrains) {
  Engine engine = Primed(fake::Hybrid());
  cache_->BeginDrain();
  const Outcome outcome = Run(engine, longer_);
  EXPECT_EQ(outcome.resumption.position, 0U);
  ASSERT_TRUE(outcome.resumption.error.has_value());
  EXPECT_EQ(outcome.resumption.error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(outcome.logits, Cold(engine.context->config, longer_));
  EXPECT_EQ(engine.connector->counters().failed_matches, 1U);
}

/// A bit flips in the cache's memory: one object of a boundary after the other.
TEST_F(ConnectorFailureTest, BytesThatAreNotThoseThatWereStored) {
  for (const std::size_t damaged : {std::size_t{0}, std::size_t{4}, std::size_t{9}}) {
    OpenCache("turn_end_demand");
    Engine engine = Primed(fake::Hybrid());
    FlipBit(engine, damaged);
    {
      const Request request = engine.connector->Begin(0, longer_);
      EXPECT_EQ(request.position(), 0U);
      ASSERT_TRUE(request.resumption().error.has_value());
      EXPECT_EQ(request.resumption().error->code, ErrorCode::kCorrupt);
      EXPECT_EQ(engine.context->PosMax(0), -1);
    }
    EXPECT_EQ(engine.connector->counters().failed_loads, 1U);
    EXPECT_EQ(engine.connector->counters().rejected, 0U);
    EXPECT_EQ(engine.context->restores, 0U);
    ExpectResumes(engine, longer_, 0);  // It is gone.
    ExpectResumes(engine, longer_, 640);
    EXPECT_EQ(FailuresOf(engine.connector->counters()), 1U);
  }
}

TEST_F(ConnectorFailureTest, ACacheWithoutRoom) {
  OpenCache("turn_end_demand", 2 * kMiB);
  Config config = fake::Ideal(fake::RecurrentOnly());
  config.recurrent.layers = 1;
  config.recurrent.s_bytes = 3U << 20U;
  Engine engine = Start(config, Fidelity::kNear);
  const Outcome outcome = Run(engine, MakeTokens(2));
  EXPECT_FALSE(outcome.resumption.error.has_value());
  EXPECT_GT(engine.connector->counters().captured, 0U);
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
  EXPECT_GT(engine.connector->counters().failed_stores, 0U) << "nothing is stored: it must show";
}

TEST_F(ConnectorFailureTest, AQueueThatIsFull) {
  OpenCache("dense");
  for (const Config& config : {fake::Hybrid(), fake::AttentionOnly(), fake::RecurrentOnly()}) {
    ConnectorOptions options = Options();
    options.store_queue_bytes = 1;
    Engine engine = Start(config, options);
    ExpectResumes(engine, prompt_, 0);
    EXPECT_EQ(engine.connector->counters().dropped_stores, 1U) << "a request is counted once";
    EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
    ExpectResumes(engine, longer_, 0);
    EXPECT_EQ(engine.connector->counters().dropped_stores, 2U);
  }
}

// States find room, the KV they stand on does not: neither may be stored.
TEST_F(ConnectorFailureTest, AQueueWithRoomForStatesOnly) {
  ConnectorOptions options = Options();
  options.store_queue_bytes = 4096;
  Engine engine = Start(fake::Hybrid(), options);
  ExpectResumes(engine, prompt_, 0);
  EXPECT_EQ(engine.connector->counters().captured, 1U);
  EXPECT_EQ(engine.connector->counters().dropped_stores, 1U);
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
  ExpectResumes(engine, longer_, 0);
}

}  // namespace
}  // namespace cairn::llamacpp
