// Bytes that are just those that were stored, and not what they should be: under a right key stands
// another state. It is rejected, taken out of the cache, and the prefill is cold. And what another
// model or another setting stored is not even found.
#include <gtest/gtest.h>

#include <functional>

#include "libcache/connector/llamacpp/connector.h"
#include "tests/unit/libcache/connector/llamacpp/connector_fixture.h"
#include "tests/unit/libcache/connector/llamacpp/objects.h"

namespace cairn::llamacpp {
namespace {

using fake::Bytes;
using fake::Config;
using fake::MakeTokens;

constexpr std::uint32_t kGood = 192;
constexpr std::uint32_t kBad = 320;

class ConnectorRejectTest : public ConnectorFixture, public ::testing::WithParamInterface<Kind> {
 protected:
  const Config config_ = GetParam().config;
  const Tokens prompt_ = MakeTokens(330);

  [[nodiscard]] static bool HasCheckpoint(const StateLayout& layout) {
    return layout.CheckpointBytes() != 0;
  }
  /// The objects of the boundaries at kGood and kBad, as the connector would store them.
  [[nodiscard]] std::map<std::uint32_t, Objects> RightObjects(const StateLayout& layout) const {
    const History history = HistoryOf(config_, prompt_, {64, kGood, 256, kBad});
    std::map<std::uint32_t, Objects> objects;
    for (const auto& [position, state] : history.at) {
      objects[position] =
          Cut(layout, history.at.at(kBad).whole.blob, kBad, state.partial.blob, position);
    }
    return objects;
  }
  /// By hand and under the right keys: all KV, and the checkpoints at kGood and kBad.
  void Store(const Engine& engine, const Objects& good, const Objects& bad) {
    ClientOptions options;
    options.cache = cache_;
    Client client(options);
    const auto space = client.OpenNamespace(engine.connector->name_space(), Soon());
    ASSERT_TRUE(space.has_value()) << ToString(space.error());
    const std::vector<std::uint32_t> tokens(prompt_.begin(), prompt_.end());
    const auto prompt = client.MakePrompt(*space, 1, tokens);
    ASSERT_TRUE(prompt.has_value());
    const auto hit = client.Match(*prompt, Soon());  // Makes the prefix known.
    ASSERT_TRUE(hit.has_value());
    std::vector<Client::StoreItem> items;
    for (const auto& [range, bytes] : bad.kv) {
      items.push_back({.kind = ObjectKind::kKv, .position = range.second, .bytes = bytes});
    }
    for (const auto& [position, objects] : {std::pair(kGood, &good), {kBad, &bad}}) {
      if (!objects->checkpoint.empty()) {
        items.push_back(
            {.kind = ObjectKind::kCheckpoint, .position = position, .bytes = objects->checkpoint});
      }
    }
    const auto stored = client.Store(*prompt, items, false, Soon());
    ASSERT_TRUE(stored.has_value()) << ToString(stored.error());
    ASSERT_EQ(stored->written, items.size());
  }
  /// `damage` changes the objects of kBad. The next request must go on at `left`.
  void ExpectRejected(
      const std::string& what, std::uint32_t left,
      const std::function<void(Objects&, std::map<std::uint32_t, Objects>&)>& damage) {
    SCOPED_TRACE(what);
    OpenCache("turn_end_demand");
    Engine engine = Start(config_);
    std::map<std::uint32_t, Objects> objects = RightObjects(engine.connector->layout());
    Objects bad = objects.at(kBad);
    damage(bad, objects);
    Store(engine, objects.at(kGood), bad);
    {
      const Request request = engine.connector->Begin(0, prompt_);
      EXPECT_EQ(request.position(), 0U);
      ASSERT_TRUE(request.resumption().error.has_value());
      EXPECT_EQ(request.resumption().error->code, ErrorCode::kCorrupt);
      EXPECT_EQ(engine.context->PosMax(0), -1);
    }
    EXPECT_EQ(engine.context->restores, 0U) << "llama.cpp would have taken it";
    const ConnectorCounters counters = engine.connector->counters();
    EXPECT_EQ(counters.rejected, 1U);
    EXPECT_EQ(counters.failed_loads, 0U);
    EXPECT_EQ(counters.resumed, 0U);
    EXPECT_EQ(cache_->Stats().evictions[static_cast<std::size_t>(EvictReason::kCorrupt)], 1U);
    ExpectResumes(engine, prompt_, left);
    // What was computed anew is right, and found.
    ExpectResumes(engine, prompt_, kBad);
    EXPECT_EQ(engine.connector->counters().rejected, 1U);
  }
};

std::vector<Kind> ExactKinds() {
  std::vector<Kind> kinds = AllKinds();
  std::erase_if(kinds, [](const Kind& kind) { return kind.name == "Unified"; });
  return kinds;
}
INSTANTIATE_TEST_SUITE_P(Kinds, ConnectorRejectTest, ::testing::ValuesIn(ExactKinds()), KindName);

TEST_P(ConnectorRejectTest, TakesWhatIsRight) {
  Engine engine = Start(config_);
  const auto objects = RightObjects(engine.connector->layout());
  Store(engine, objects.at(kGood), objects.at(kBad));
  ExpectResumes(engine, prompt_, kBad);
}

TEST_P(ConnectorRejectTest, StatesOfOtherPositions) {
  if (!HasCheckpoint(Learned(config_))) {
    return;
  }
  for (const std::uint32_t other : {64U, kGood, 256U}) {
    ExpectRejected("of " + std::to_string(other), kGood, [&](Objects& bad, auto& objects) {
      bad.checkpoint = objects.at(other).checkpoint;
    });
    ExpectRejected("relabelled", kGood, [&](Objects& bad, auto& objects) {
      bad.checkpoint = objects.at(other).checkpoint;
      std::memcpy(bad.checkpoint.data(), &kBad, sizeof(kBad));
    });
  }
  ExpectRejected("zeros", kGood, [](Objects& bad, auto&) {
    std::fill(bad.checkpoint.begin(), bad.checkpoint.end(), std::byte{0});
  });
}

TEST_P(ConnectorRejectTest, DamagedHeadersOfRecurrentStates) {
  const StateLayout layout = Learned(config_);
  if (layout.recurrent.empty()) {
    return;
  }
  const std::size_t part = layout.CheckpointBytes() - layout.recurrent.size();
  for (const std::size_t at : {0U, 4U, 8U, 12U, 16U, 20U, 24U}) {
    ExpectRejected("byte " + std::to_string(at), kGood,
                   [&](Objects& bad, auto&) { bad.checkpoint[part + at] ^= std::byte{1}; });
  }
}

TEST_P(ConnectorRejectTest, KvOfOtherPositions) {
  if (!Learned(config_).attention) {
    return;
  }
  // Nothing beyond the block that was wrong is left, and checkpoints without KV are of no use.
  const std::uint32_t before = HasCheckpoint(Learned(config_)) ? 0 : 128;
  ExpectRejected("the next block's", before, [](Objects& bad, auto&) {
    bad.kv[{128, 192}] = bad.kv[{192, 256}];
  });
  ExpectRejected("one position", before, [](Objects& bad, auto&) {
    bad.kv[{128, 192}][4 * 10] ^= std::byte{1};
  });
}

/// Two wrong blocks are found one after the other: a cold prefill each, never a wrong result.
TEST_P(ConnectorRejectTest, ExchangedBlocks) {
  if (!Learned(config_).attention) {
    return;
  }
  Engine engine = Start(config_);
  const std::map<std::uint32_t, Objects> objects = RightObjects(engine.connector->layout());
  Objects bad = objects.at(kBad);
  std::swap(bad.kv[{128, 192}], bad.kv[{192, 256}]);
  Store(engine, objects.at(kGood), bad);
  for (const std::uint64_t rejected : {1U, 2U}) {
    const Outcome outcome = Run(engine, prompt_);
    EXPECT_EQ(outcome.resumption.position, 0U);
    EXPECT_EQ(outcome.logits, Cold(config_, prompt_));
    EXPECT_EQ(engine.connector->counters().rejected, rejected);
  }
  ExpectResumes(engine, prompt_, kBad);
}

class ConnectorForeignTest : public ConnectorFixture {
 protected:
  const Tokens prompt_ = MakeTokens(300);
  const Tokens longer_ = Joined(prompt_, MakeTokens(20, 2));

  void ExpectMiss(const std::string& what, const Config& config, const ConnectorOptions& options) {
    Engine engine = Start(config, options);
    const Resumption resumption = Peek(engine, longer_);
    EXPECT_EQ(resumption.position, 0U) << what;
    EXPECT_EQ(resumption.overlap_tokens, 0U) << what;
    EXPECT_FALSE(resumption.error.has_value()) << what << ": a miss is no error";
  }
};

TEST_F(ConnectorForeignTest, OthersStatesAreNotFound) {
  for (const Config& config : {fake::Hybrid(), fake::HybridWindows(), fake::AttentionOnly()}) {
    OpenCache("turn_end_demand");
    Engine engine = Start(config);
    ExpectResumes(engine, prompt_, 0);
    const auto miss = [&](const char* what, auto change) {
      Config other = config;
      ConnectorOptions options = Options();
      change(other, options);
      ExpectMiss(what, other, options);
    };
    // Of equal shapes all of them: llama.cpp would take the states.
    miss("weights", [](Config&, ConnectorOptions& o) { o.weights_id = "others"; });
    miss("tenant", [](Config&, ConnectorOptions& o) { o.tenant = "other"; });
    miss("adapter", [](Config&, ConnectorOptions& o) { o.adapter = "lora"; });
    miss("salt", [](Config&, ConnectorOptions& o) { o.salt = "other"; });
    miss("fidelity", [](Config&, ConnectorOptions& o) { o.fidelity = Fidelity::kNear; });
    miss("model", [](Config& c, ConnectorOptions&) { c.name = "Fake-1B-tuned"; });
    miss("hyperparameter", [](Config& c, ConnectorOptions&) {
      c.more_meta.emplace_back("fake.rope.freq_base", "1000000");
    });
    miss("keys", [](Config& c, ConnectorOptions&) { c.attention.type_k = kBF16; });
    miss("values", [](Config& c, ConnectorOptions&) { c.attention.type_v = kBF16; });
    miss("physical batch", [](Config& c, ConnectorOptions&) { c.n_ubatch = 128; });
    miss("blocks", [](Config&, ConnectorOptions& o) { o.block_tokens = 32; });
    // And the engine's own are still there, from a context that differs in what does not matter.
    Config larger = config;
    larger.n_ctx *= 4;
    larger.n_seq_max = 2;
    larger.n_batch *= 2;
    Engine same = Start(larger);
    ExpectResumes(same, longer_, 256);
  }
}

TEST_F(ConnectorForeignTest, NearFidelityDoesNotAskForTheSameBatches) {
  const Config config = fake::Ideal(fake::Hybrid());
  Engine engine = Start(config, Fidelity::kNear);
  ExpectResumes(engine, prompt_, 0);
  Config other = config;
  other.n_ubatch = 96;
  ConnectorOptions options = Options(Fidelity::kNear);
  options.block_tokens = 64;
  Engine second = Start(other, options);
  ExpectResumes(second, longer_, 300);
}

// Rows of as many bytes, but in another order or of other layers.
TEST_F(ConnectorForeignTest, LayoutsOfEqualSizeAreNotMixed) {
  const Config config = fake::Ideal(fake::Hybrid());
  Engine engine = Start(config, Fidelity::kNear);
  ExpectResumes(engine, prompt_, 0);
  Config transposed = config;
  transposed.attention.transposed = true;
  ExpectMiss("transposed", transposed, Options(Fidelity::kNear));
  Config moved = config;
  moved.attention.key_bytes += 4;
  moved.attention.value_bytes -= 4;
  ExpectMiss("other rows", moved, Options(Fidelity::kNear));
  Config recurrent = config;
  recurrent.recurrent.r_bytes += 4;
  recurrent.recurrent.s_bytes -= 4;
  ExpectMiss("other recurrent rows", recurrent, Options(Fidelity::kNear));
  ExpectResumes(engine, longer_, 300);
}

}  // namespace
}  // namespace cairn::llamacpp
