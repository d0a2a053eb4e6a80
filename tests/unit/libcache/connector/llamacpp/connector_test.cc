// A connector over a fake llama.cpp and a cache in this process: what it finds, where it goes on,
// and that the results are those of a cold prefill.
#include "libcache/connector/llamacpp/connector.h"

#include <gtest/gtest.h>

#include "tests/unit/libcache/connector/llamacpp/connector_fixture.h"
#include "tests/unit/libcache/connector/llamacpp/kinds.h"

namespace cairn::llamacpp {
namespace {

using fake::Config;
using fake::MakeTokens;
using Stops = std::vector<std::uint32_t>;

class ConnectorTest : public ConnectorFixture {};

/// Everything below for each way in which llama.cpp keeps a state.
class EachKindTest : public ConnectorFixture, public ::testing::WithParamInterface<Kind> {
 protected:
  static bool HasCheckpoint(const Config& config) {
    return config.recurrent.layers != 0 || config.window.layers != 0;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, EachKindTest, ::testing::ValuesIn(AllKinds()), KindName);

TEST_P(EachKindTest, ExactlyTheSameAfterAHit) {
  Config config = GetParam().config;  // Batches and cells matter.
  if (config.kv_unified) {
    config.n_seq_max = 1;
  }
  Engine engine = Start(config);
  const Tokens prompt = MakeTokens(600);
  ExpectResumes(engine, prompt, 0);
  const Tokens longer = Joined(prompt, MakeTokens(300, 2));
  ExpectResumes(engine, longer, 576);
  ExpectResumes(engine, Joined(longer, MakeTokens(77, 3)), 896);
  const ConnectorCounters counters = engine.connector->counters();
  EXPECT_EQ(counters.requests, 3U);
  EXPECT_EQ(counters.prompt_tokens, 600U + 900U + 977U);
  EXPECT_EQ(counters.resumed, 2U);
  EXPECT_EQ(counters.resumed_tokens, 576U + 896U);
  EXPECT_EQ(counters.captured, HasCheckpoint(config) ? 3U : 0U) << "one at each end";
  EXPECT_GT(counters.stored_objects, 0U);
  EXPECT_EQ(counters.failed_captures + counters.failed_loads + counters.failed_matches +
                counters.failed_restores + counters.failed_stores + counters.dropped_stores +
                counters.rejected + counters.not_worth_it,
            0U);
}

TEST_P(EachKindTest, NearlyTheSameAnywhere) {
  Engine engine = Start(fake::Ideal(GetParam().config), Fidelity::kNear);
  const Tokens prompt = MakeTokens(333);
  ExpectResumes(engine, prompt, 0);
  ExpectResumes(engine, Joined(prompt, MakeTokens(90, 2)),
                HasCheckpoint(GetParam().config) ? 333 : 320);
}

TEST_P(EachKindTest, AnEngineOfItsOwnFindsItToo) {
  const Config config = fake::Ideal(GetParam().config);
  Engine first = Start(config, Fidelity::kNear);
  const Tokens prompt = MakeTokens(256);
  ExpectResumes(first, prompt, 0);
  Config other = config;
  other.n_ctx *= 2;
  other.shuffled = true;
  Engine second = Start(other, Fidelity::kNear);
  EXPECT_EQ(second.connector->name_space(), first.connector->name_space());
  ExpectResumes(second, Joined(prompt, MakeTokens(20, 2)), 256);
}

TEST_P(EachKindTest, NearFidelityFindsWhatWasGenerated) {
  Engine engine = Start(fake::Ideal(GetParam().config), Fidelity::kNear);
  const Tokens prompt = MakeTokens(150);
  const Tokens answer = MakeTokens(70, 2);
  ExpectResumes(engine, prompt, 0, 0, answer);
  const Tokens next = Joined(Joined(prompt, answer), MakeTokens(31, 3));
  ExpectResumes(engine, next, HasCheckpoint(GetParam().config) ? 220 : 192);
}

TEST_P(EachKindTest, ExactFidelityDoesNot) {
  Config config = GetParam().config;
  config.n_seq_max = 1;
  Engine engine = Start(config);
  const Tokens prompt = MakeTokens(150);
  const Tokens answer = MakeTokens(70, 2);
  ExpectResumes(engine, prompt, 0, 0, answer);
  const Tokens next = Joined(Joined(prompt, answer), MakeTokens(31, 3));
  ExpectResumes(engine, next, 128);
}

TEST_P(EachKindTest, SequencesDoNotMix) {
  Config config = fake::Ideal(GetParam().config);
  config.n_seq_max = 4;
  config.shuffled = config.kv_unified;
  Engine engine = Start(config, Fidelity::kNear);
  std::vector<Tokens> prompts;
  std::vector<Request> requests;
  const Tokens system = MakeTokens(100);
  for (SequenceId i = 0; i < 4; ++i) {
    prompts.push_back(Joined(system, MakeTokens(200, 10 + static_cast<std::uint64_t>(i))));
    requests.push_back(engine.connector->Begin(i, prompts.back()));
  }
  // A piece of each in turn, and a restore into one while others are half-way.
  for (std::uint32_t end = 50; end <= 300; end += 50) {
    for (const SequenceId i : {2, 0, 3, 1}) {
      const auto at = static_cast<std::size_t>(i);
      Advance(engine, requests[at], i, prompts[at], end);
    }
    if (end == 100) {
      requests[3].EndPrompt();
    }
  }
  for (SequenceId i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(engine.context->Logits(i), Cold(config, prompts[at])) << i;
    requests[at].EndPrompt();
  }
  ASSERT_TRUE(engine.connector->Flush(Soon()));
  const std::uint32_t resumed = HasCheckpoint(config) ? 300 : 256;
  const Tokens more = MakeTokens(10, 99);
  // Any sequence may go on with any prefix.
  ExpectResumes(engine, Joined(prompts[2], more), resumed, 1);
  ExpectResumes(engine, Joined(prompts[1], more), resumed, 2);
}

TEST_F(ConnectorTest, NeverResumesAtThePromptsEnd) {
  OpenCache("dense");
  Engine engine = Start(fake::Hybrid());
  const Tokens tokens = MakeTokens(400);
  ExpectResumes(engine, tokens, 0);
  for (const std::uint32_t length : {1U, 63U, 64U, 65U, 128U, 192U, 193U, 320U, 384U, 385U}) {
    ExpectResumes(engine, First(tokens, length), (length - 1) / 64 * 64);
  }
  ExpectResumes(engine, tokens, 384);
}

TEST_F(ConnectorTest, NeverResumesAtThePromptsEndWithKvAlone) {
  Engine engine = Start(fake::AttentionOnly());
  const Tokens tokens = MakeTokens(256);
  ExpectResumes(engine, tokens, 0);
  ExpectResumes(engine, tokens, 192);
  ExpectResumes(engine, First(tokens, 129), 128);
  ExpectResumes(engine, First(tokens, 128), 64);
  ExpectResumes(engine, First(tokens, 64), 0);
}

// Results are the same only where physical batches begin, and for KV of whole ones.
TEST_F(ConnectorTest, ResumesWherePhysicalBatchesBegin) {
  Config config = fake::AttentionOnly();
  config.n_ubatch = 128;
  Engine engine = Start(config);
  ASSERT_EQ(engine.connector->name_space().block_tokens, 64U);
  ExpectResumes(engine, MakeTokens(330), 0);
  EXPECT_EQ(engine.connector->counters().stored_objects, 4U);
  ExpectResumes(engine, MakeTokens(330), 256);
  // The block at 256 once was in a batch of 74 tokens. Of a longer prompt it is in one of 128.
  ExpectResumes(engine, MakeTokens(430), 256);
  ExpectResumes(engine, MakeTokens(430), 384);
  Engine near = Start(fake::Ideal(config), Fidelity::kNear);
  ExpectResumes(near, MakeTokens(330), 0);
  ExpectResumes(near, MakeTokens(330), 320);
}

// The sequence holds as many tokens as the first request says, but not its tokens.
TEST_F(ConnectorTest, ASecondBeginEndsTheFirstRequest) {
  for (const Config& config : {fake::Hybrid(), fake::AttentionOnly()}) {
    OpenCache("turn_end_demand");
    Engine engine = Start(config);
    const Tokens first = MakeTokens(300);
    const Tokens second = MakeTokens(300, 2);
    {
      Request ended = engine.connector->Begin(0, first);
      Advance(engine, ended, 0, first, 200);
      Request request = engine.connector->Begin(0, second);
      Advance(engine, request, 0, second, 256);
      ended.Decoded(256);
      Advance(engine, request, 0, second, 300);
      ended.Decoded(300);
      ended.EndPrompt();
      EXPECT_TRUE(engine.connector->Flush(Soon()));
      EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
      EXPECT_GT(engine.connector->counters().failed_captures, 0U);
      request.EndPrompt();
    }
    ExpectResumes(engine, first, 0);
    ExpectResumes(engine, second, 256);
    ExpectResumes(engine, first, 256);
  }
}

TEST_F(ConnectorTest, CapturesWhatIsPlanned) {
  OpenCache("block:128");
  Engine engine = Start(fake::Hybrid());
  const Outcome outcome = Run(engine, MakeTokens(600));
  EXPECT_EQ(outcome.stops, (Stops{128, 256, 384, 512, 600})) << "to each state, not beyond it";
  EXPECT_EQ(engine.connector->counters().captured, 4U);
  // Eight blocks of KV up to the last state, and four states.
  EXPECT_EQ(engine.connector->counters().stored_objects, 12U);
  EXPECT_EQ(engine.connector->counters().stored_bytes,
            512 * engine.connector->layout().KvBytesPerToken() +
                4 * engine.connector->layout().CheckpointBytes());
  const Tokens prompt = MakeTokens(600);
  for (const std::uint32_t shared : {130U, 256U, 400U, 599U}) {
    const Tokens other = Joined(First(prompt, shared), MakeTokens(100, shared));
    ExpectResumes(engine, other, shared / 128 * 128);
  }
}

TEST_F(ConnectorTest, LearnsWherePromptsPart) {
  Engine engine = Start(fake::Hybrid());
  const Tokens system = MakeTokens(300);
  ExpectResumes(engine, Joined(system, MakeTokens(100, 2)), 0);
  // The second request with the prefix stores a state where it left it, the third finds it.
  const Outcome second = Run(engine, Joined(system, MakeTokens(100, 3)));
  EXPECT_EQ(second.resumption.position, 0U);
  EXPECT_EQ(second.resumption.overlap_tokens, 256U);
  EXPECT_EQ(second.stops, (Stops{256, 384, 400}));
  const Outcome third = Run(engine, Joined(system, MakeTokens(100, 4)));
  EXPECT_EQ(third.resumption.position, 256U);
  EXPECT_EQ(third.stops, (Stops{384, 400}));
  EXPECT_GT(third.resumption.bytes, 0U);
  EXPECT_EQ(third.resumption.tier, TierKind::kHost);
}

TEST_F(ConnectorTest, BatchesBeginWhereTheyWouldWithoutTheCache) {
  Config config = fake::Hybrid();
  config.n_batch = 200;  // Not a multiple of the physical batch: 192 is.
  Engine engine = Start(config);
  const Outcome cold = Run(engine, MakeTokens(600));
  EXPECT_EQ(cold.stops, (Stops{192, 384, 576, 600}));
  const Outcome warm = Run(engine, Joined(MakeTokens(600), MakeTokens(500, 2)));
  EXPECT_EQ(warm.resumption.position, 576U);
  EXPECT_EQ(warm.stops, (Stops{768, 960, 1088, 1100}));
}

TEST_F(ConnectorTest, OddPhysicalBatchesMakeBlocksOfTheirOwn) {
  Config config = fake::HybridWindows();
  config.n_ubatch = 48;
  config.n_batch = 96;
  Engine engine = Start(config);
  EXPECT_EQ(engine.connector->name_space().block_tokens, 48U);
  EXPECT_EQ(engine.connector->name_space().grid_tokens, 48U);
  ExpectResumes(engine, MakeTokens(200), 0);
  ExpectResumes(engine, Joined(MakeTokens(200), MakeTokens(20, 2)), 192);
  ConnectorOptions options = Options();
  options.block_tokens = 32;
  Engine other = Start(config, options);
  EXPECT_EQ(other.connector->name_space().grid_tokens, 96U) << "where batches and blocks meet";
  ExpectResumes(other, MakeTokens(200), 0);
  ExpectResumes(other, Joined(MakeTokens(200), MakeTokens(20, 2)), 192);
}

TEST_F(ConnectorTest, TailsInsideBlocksAreFound) {
  Engine engine = Start(fake::Ideal(fake::HybridWindows()), Fidelity::kNear);
  const Tokens prompt = MakeTokens(20);  // Less than a block.
  ExpectResumes(engine, prompt, 0);
  ExpectResumes(engine, Joined(prompt, MakeTokens(5, 2)), 20);
  ExpectResumes(engine, Joined(prompt, MakeTokens(5, 3)), 20);
  ExpectResumes(engine, Joined(prompt, MakeTokens(300, 3)), 25);  // What the last one stored.
  ExpectResumes(engine, prompt, 0);  // Nothing lies before its own end.
}

TEST_F(ConnectorTest, LaterTurnsStoreOnlyWhatIsNew) {
  Engine engine = Start(fake::Hybrid());
  Run(engine, MakeTokens(640));
  const std::uint64_t before = engine.connector->counters().stored_objects;
  EXPECT_EQ(before, 10U + 1U);
  const std::uint64_t refused = cache_->Stats().reserve_refused;
  Run(engine, Joined(MakeTokens(640), MakeTokens(128, 2)));
  EXPECT_EQ(engine.connector->counters().stored_objects - before, 2U + 1U);
  EXPECT_EQ(cache_->Stats().reserve_refused, refused) << "what is there is not offered again";
}

TEST_F(ConnectorTest, StoresMoreBlocksThanOneCallTakes) {
  Config config = fake::Hybrid();
  config.n_ubatch = 8;
  ConnectorOptions options = Options();
  options.block_tokens = 8;
  Engine engine = Start(config, options);
  ExpectResumes(engine, MakeTokens(2405), 0);
  EXPECT_EQ(engine.connector->counters().stored_objects, 300U + 1U);
  ExpectResumes(engine, MakeTokens(2405), 2400);
}

TEST_F(ConnectorTest, RequestsMayBeDroppedAtAnyTime) {
  OpenCache("dense");
  ConnectorOptions options = Options();
  const Config config = fake::Hybrid();
  {
    const Engine probe = Start(config, options);
    const StateLayout& layout = probe.connector->layout();
    // Room for one prompt of 600 tokens and its states, and a little more.
    options.store_queue_bytes =
        layout.KvBytesPerToken() * 600 + 11 * layout.CheckpointBytes() + 16 * kKiB;
  }
  Engine engine = Start(config, options);
  const Tokens prompt = MakeTokens(600);
  for (std::uint32_t end = 0; end < 600; end += 25) {
    Request request = engine.connector->Begin(0, prompt);
    Advance(engine, request, 0, prompt, end);
    Request moved = std::move(request);
  }
  EXPECT_TRUE(engine.connector->Flush(Soon()));
  EXPECT_EQ(engine.connector->counters().stored_objects, 0U);
  EXPECT_EQ(engine.connector->counters().dropped_stores, 0U) << "memory of states is given back";
  ExpectResumes(engine, prompt, 0);
  EXPECT_EQ(engine.connector->counters().dropped_stores, 0U);
  ExpectResumes(engine, prompt, 576);
}

}  // namespace
}  // namespace cairn::llamacpp
