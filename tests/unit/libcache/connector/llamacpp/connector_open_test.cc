// What a connector refuses to be opened for, and what it says; what it takes the model for.
#include <gtest/gtest.h>

#include <cstring>

#include "libcache/connector/llamacpp/connector.h"
#include "tests/unit/libcache/connector/llamacpp/connector_fixture.h"
#include "tests/unit/libcache/connector/llamacpp/kinds.h"
#include "tests/unit/libcache/trace/temp_file.h"

namespace cairn::llamacpp {
namespace {

using fake::Config;
using fake::FakeContext;

class ConnectorOpenTest : public ConnectorFixture {
 protected:
  /// Opening fails with `code`, `text` in the message, and sequence 0 is as before.
  static void ExpectRefused(FakeContext& context, const ContextParams& params,
                            const ConnectorOptions& options, ErrorCode code,
                            const std::string& text) {
    const Position before = context.PosMax(0);
    const auto opened =
        Connector::Open(fake::MakeApi(), context.get(), params, ModelParams{}, options);
    ASSERT_FALSE(opened.has_value()) << text;
    EXPECT_EQ(opened.error().code, code) << opened.error().message;
    EXPECT_NE(opened.error().message.find(text), std::string::npos) << opened.error().message;
    if (!context.faults.seq_rm) {
      EXPECT_EQ(context.PosMax(0), before) << text;
    }
  }
  void ExpectRefused(const Config& config, const ConnectorOptions& options, ErrorCode code,
                     const std::string& text) {
    FakeContext context(config);
    ExpectRefused(context, ParamsOf(config), options, code, text);
  }
  void ExpectRefused(const Config& config, ErrorCode code, const std::string& text) {
    ExpectRefused(config, Options(), code, text);
  }
  /// With parameters that the fake does not ask for.
  void ExpectParamsRefused(const std::string& text, void (*change)(ContextParams&),
                           ErrorCode code = ErrorCode::kUnsupported) {
    const Config config = fake::Hybrid();
    ContextParams params = ParamsOf(config);
    change(params);
    FakeContext context(config);
    ExpectRefused(context, params, Options(), code, text);
  }
};

TEST_F(ConnectorOpenTest, OpensForEachKindAndLeavesNoTrace) {
  for (const Kind& kind : AllKinds()) {
    FakeContext context(kind.config);
    const auto opened = TryOpen(context, Options(Fidelity::kNear));
    ASSERT_TRUE(opened.has_value()) << kind.name << ": " << ToString(opened.error());
    EXPECT_EQ(context.PosMax(0), -1);
    EXPECT_EQ(context.decoded_tokens, 2U);
    EXPECT_EQ(cache_->Stats().sessions, 0U) << "no daemon is asked";
  }
}

TEST_F(ConnectorOpenTest, RefusesModelsWhoseStateIsNotThatOfAPrefix) {
  Config encoder = fake::Hybrid();
  encoder.encoder = true;
  ExpectRefused(encoder, ErrorCode::kUnsupported, "encoder");
  Config diffusion = fake::Hybrid();
  diffusion.diffusion = true;
  ExpectRefused(diffusion, ErrorCode::kUnsupported, "diffusion");
  Config embeddings = fake::AttentionOnly();
  embeddings.more_meta = {{"bert.attention.causal", "false"}};
  ExpectRefused(embeddings, ErrorCode::kUnsupported, "not causal");
  embeddings.more_meta = {{"bert.attention.causal", "true"}};
  Start(embeddings);
  Config none = fake::Hybrid();
  none.no_memory = true;
  ExpectRefused(none, ErrorCode::kUnsupported, "keeps no state");
  Config unknown = fake::Hybrid();
  unknown.recurrent.ple_bytes = 64;
  ExpectRefused(unknown, ErrorCode::kUnsupported, "does not know");
}

TEST_F(ConnectorOpenTest, RefusesContextsThatItWouldMisread) {
  Config rollback = fake::Hybrid();
  rollback.n_rs_seq = 2;
  ExpectRefused(rollback, ErrorCode::kUnsupported, "n_rs_seq");
  Config single = fake::Hybrid();
  single.n_batch = 1;
  ExpectRefused(single, ErrorCode::kUnsupported, "n_batch");
  ExpectParamsRefused("ctx_type", [](ContextParams& p) { p.ctx_type = 1; });
  ExpectParamsRefused("ctx_other",
                      [](ContextParams& p) { p.ctx_other = reinterpret_cast<Context*>(&p); });
  ExpectParamsRefused("causal", [](ContextParams& p) { p.attention_type = 1; });
  ExpectParamsRefused(
      "context_params", [](ContextParams& p) { p.n_ubatch = 32; }, ErrorCode::kInvalidArgument);
  ContextParams causal = ParamsOf(fake::Hybrid());
  causal.attention_type = kAttentionCausal;
  FakeContext context(fake::Hybrid());
  EXPECT_TRUE(Connector::Open(fake::MakeApi(), context.get(), causal, ModelParams{}, Options())
                  .has_value());
}

TEST_F(ConnectorOpenTest, ExactFidelityRefusesWhatIsNotExact) {
  Config unified = fake::Hybrid();
  unified.n_seq_max = 2;
  unified.kv_unified = true;
  ExpectRefused(unified, ErrorCode::kInvalidArgument, "kv_unified");
  Start(unified, Fidelity::kNear);
  unified.n_seq_max = 1;
  Start(unified);
  for (Config windows : {fake::Windows(), fake::HybridWindows()}) {
    windows.swa_full = false;
    ExpectRefused(windows, ErrorCode::kInvalidArgument, "swa_full");
    Start(windows, Fidelity::kNear);
  }
  Config without = fake::Hybrid();
  without.swa_full = false;
  Start(without);
}

TEST_F(ConnectorOpenTest, RefusesASequenceThatIsInUse) {
  const Config config = fake::Hybrid();
  FakeContext context(config);
  fake::Prefill(context, 0, fake::MakeTokens(10), 10);
  ExpectRefused(context, ParamsOf(config), Options(), ErrorCode::kInvalidArgument, "sequence 0");
  context.Remove(0);
  EXPECT_TRUE(TryOpen(context, Options()).has_value());
}

TEST_F(ConnectorOpenTest, OtherSequencesMayBeInUse) {
  Config config = fake::Hybrid();
  config.n_seq_max = 2;
  FakeContext context(config);
  fake::Prefill(context, 1, fake::MakeTokens(10), 10);
  EXPECT_TRUE(TryOpen(context, Options()).has_value());
  EXPECT_EQ(context.PosMax(1), 9);
}

TEST_F(ConnectorOpenTest, RefusesAContextThatDoesNotDoItsPart) {
  const Config config = fake::Hybrid();
  const auto refuses = [&](bool fake::Faults::*fault, const char* text) {
    FakeContext context(config);
    context.faults.*fault = true;
    ExpectRefused(context, ParamsOf(config), Options(), ErrorCode::kUnsupported, text);
  };
  refuses(&fake::Faults::decode, "llama_decode of two tokens gives 2");
  refuses(&fake::Faults::get_size, "cannot save its state");
  refuses(&fake::Faults::get_data, "cannot save its state");
  refuses(&fake::Faults::seq_rm, "cannot empty a sequence");
}

TEST_F(ConnectorOpenTest, RefusesOptionsThatAreWrong) {
  const Config config = fake::Hybrid();
  ConnectorOptions options = Options();
  options.weights_id.clear();
  ExpectRefused(config, options, ErrorCode::kInvalidArgument, "weights_path, weights_id");
  options = Options();
  options.weights_path = "/also.gguf";
  ExpectRefused(config, options, ErrorCode::kInvalidArgument, "weights_path, weights_id");
  options.weights_id.clear();
  options.weights_path = "/no/such/model.gguf";
  ExpectRefused(config, options, ErrorCode::kNotFound, "/no/such/model.gguf");
  options = Options();
  options.block_tokens = 67;  // Meets a batch of 64 every 4288 tokens; the context has 4096.
  ExpectRefused(config, options, ErrorCode::kInvalidArgument, "block_tokens");
  options.fidelity = Fidelity::kNear;
  Start(config, options);
}

TEST_F(ConnectorOpenTest, RefusesWhatADaemonWouldRefuse) {
  Config config = fake::AttentionOnly();
  config.n_ctx = 1U << 20U;
  ConnectorOptions options = Options(Fidelity::kNear);
  options.block_tokens = 65'537;
  ExpectRefused(config, options, ErrorCode::kInvalidArgument, "block_tokens");
  for (const auto field :
       {&ConnectorOptions::tenant, &ConnectorOptions::adapter, &ConnectorOptions::salt}) {
    options = Options();
    options.*field = std::string(512, 'x');
    Start(fake::Hybrid(), options);
    options.*field += 'x';
    ExpectRefused(fake::Hybrid(), options, ErrorCode::kInvalidArgument, "longer than 512");
  }
}

TEST_F(ConnectorOpenTest, RefusesATableWithAHole) {
  FakeContext context(fake::Hybrid());
  for (std::size_t hole = 0; hole < sizeof(Api) / sizeof(void*); ++hole) {
    Api api = fake::MakeApi();
    std::memset(reinterpret_cast<char*>(&api) + hole * sizeof(void*), 0, sizeof(void*));
    const auto opened =
        Connector::Open(api, context.get(), ParamsOf(context.config), ModelParams{}, Options());
    ASSERT_FALSE(opened.has_value()) << hole;
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  }
}

// Who computes which layer may change results in their last bits.
TEST_F(ConnectorOpenTest, ExactFidelityRefusesTensorsPlacedByHand) {
  const float split = 1;
  ModelParams overrides{};
  overrides.tensor_buft_overrides = &split;
  ModelParams devices{};
  devices.devices = &overrides;
  ModelParams tensor_split{};
  tensor_split.tensor_split = &split;
  for (const ModelParams& params : {overrides, devices, tensor_split}) {
    FakeContext context(fake::Hybrid());
    const auto open = [&](Fidelity fidelity) {
      return Connector::Open(fake::MakeApi(), context.get(), ParamsOf(context.config), params,
                             Options(fidelity));
    };
    const auto exact = open(Fidelity::kExact);
    ASSERT_FALSE(exact.has_value());
    EXPECT_EQ(exact.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(context.PosMax(0), -1);
    EXPECT_TRUE(open(Fidelity::kNear).has_value());
  }
}

TEST_F(ConnectorOpenTest, DescribesWhatMayShareStates) {
  const Config config = fake::HybridWindows();
  ConnectorOptions options = Options();
  options.tenant = "somebody";
  options.adapter = "lora";
  options.salt = "salt";
  const Engine engine = Start(config, options);
  const NamespaceSpec& spec = engine.connector->name_space();
  const StateLayout& layout = engine.connector->layout();
  EXPECT_EQ(spec.tenant, "somebody");
  EXPECT_EQ(spec.adapter, "lora");
  EXPECT_EQ(spec.salt, "salt");
  EXPECT_EQ(spec.model, "fake/Fake-1B");
  EXPECT_TRUE(spec.revision.starts_with("weights of the test model:")) << spec.revision;
  EXPECT_EQ(spec.dtype, layout.DTypeText());
  EXPECT_TRUE(spec.layout.starts_with("llama.cpp/1 ")) << spec.layout;
  EXPECT_TRUE(spec.kernel.starts_with("exact llama.cpp=0.5.0 grid=64 ")) << spec.kernel;
  EXPECT_EQ(spec.block_tokens, 64U);
  EXPECT_EQ(spec.grid_tokens, 64U);
  EXPECT_EQ(spec.kv_bytes_per_token, layout.KvBytesPerToken());
  EXPECT_EQ(spec.checkpoint_bytes, layout.CheckpointBytes());
  EXPECT_EQ(engine.connector->fidelity(), Fidelity::kExact);
  const Engine near = Start(config, Fidelity::kNear);
  EXPECT_EQ(near.connector->name_space().grid_tokens, 1U);
}

TEST_F(ConnectorOpenTest, IdentifiesWeightsByTheirFile) {
  const TempFile file(".gguf", "weights");
  ConnectorOptions options = Options();
  options.weights_id.clear();
  options.weights_path = file.path();
  double last = 0;
  options.progress = [&](double done) { last = done; };
  const Engine engine = Start(fake::Hybrid(), options);
  EXPECT_TRUE(engine.connector->name_space().revision.starts_with("xxh3-128:"));
  EXPECT_EQ(last, 1.0);
  options.identify_by = WeightsId::kFile;
  const Engine quick = Start(fake::Hybrid(), options);
  EXPECT_TRUE(quick.connector->name_space().revision.starts_with("file:"));
}

}  // namespace
}  // namespace cairn::llamacpp
