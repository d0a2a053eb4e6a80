#include "libcache/model/model_spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "libcache/codec/object_shape.h"

namespace cairn {
namespace {

TEST(DTypeTest, NamesReadBackAndHaveSizes) {
  const std::vector<std::pair<DType, std::uint32_t>> sizes = {
      {DType::kF32, 4}, {DType::kF16, 2}, {DType::kBF16, 2}, {DType::kF8, 1}, {DType::kI8, 1}};
  for (const auto& [dtype, bytes] : sizes) {
    EXPECT_EQ(DTypeBytes(dtype), bytes);
    EXPECT_EQ(ParseDType(DTypeName(dtype)).value(), dtype);
  }
}

TEST(DTypeTest, AcceptsTheLongFormsOfEngines) {
  EXPECT_EQ(ParseDType("float32").value(), DType::kF32);
  EXPECT_EQ(ParseDType("bfloat16").value(), DType::kBF16);
  EXPECT_EQ(ParseDType("half").value(), DType::kF16);
  EXPECT_EQ(ParseDType("fp8").value(), DType::kF8);
  EXPECT_EQ(ParseDType("int8").value(), DType::kI8);
}

TEST(DTypeTest, RefusesOtherNamesAndListsItsOwn) {
  for (const char* name : {"fp7", "", "F32", "bf16 "}) {
    const auto dtype = ParseDType(name);
    ASSERT_FALSE(dtype.has_value()) << name;
    EXPECT_EQ(dtype.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(dtype.error().message,
              "'" + std::string(name) + "' is not one of f32, f16, bf16, f8, i8");
  }
}

TEST(RecurrentKindTest, HasTheNamesOfModelFiles) {
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kNone), "none");
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kGatedDeltaNet), "gated_delta_net");
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kKimiDelta), "kimi_delta");
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kMamba1), "mamba1");
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kMamba2), "mamba2");
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kLightning), "lightning");
  EXPECT_EQ(RecurrentKindName(RecurrentKind::kShortConv), "short_conv");
}

// Small primes, so that a formula that mixes two dimensions up gives another number.
RecurrentLayers Primes(RecurrentKind kind) {
  return {.kind = kind,
          .count = 1,
          .conv_width = 4,
          .key_heads = 5,
          .value_heads = 7,
          .key_dim = 11,
          .value_dim = 13,
          .inner_dim = 17};
}

TEST(RecurrentLayersTest, FollowsTheFormulaOfEachKind) {
  struct Case {
    RecurrentKind kind;
    std::uint64_t conv;
    std::uint64_t state;
  };
  const std::vector<Case> cases = {
      {RecurrentKind::kNone, 0, 0},
      {RecurrentKind::kGatedDeltaNet, 3 * (2 * 5 * 11 + 7 * 13), 7 * 11 * 13},
      {RecurrentKind::kKimiDelta, 3 * 3 * 7 * 13, 7 * 13 * 13},
      {RecurrentKind::kMamba1, 3 * 17, 17 * 11},
      {RecurrentKind::kMamba2, 3 * (7 * 13 + 2 * 5 * 11), 7 * 13 * 11},
      {RecurrentKind::kLightning, 0, 7 * 13 * 13},
      {RecurrentKind::kShortConv, 3 * 17, 0},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Primes(c.kind).ConvElements(), c.conv) << RecurrentKindName(c.kind);
    EXPECT_EQ(Primes(c.kind).StateElements(), c.state) << RecurrentKindName(c.kind);
  }
}

TEST(RecurrentLayersTest, NoConvolutionKeepsNoColumns) {
  RecurrentLayers layers = Primes(RecurrentKind::kGatedDeltaNet);
  layers.conv_width = 0;
  EXPECT_EQ(layers.ConvElements(), 0U);
}

TEST(RecurrentLayersTest, RanksShareHeadsAndCopyWhatIsFewer) {
  // Four ranks: 7 heads become 2 on the largest rank, 5 key heads become 2, 17 channels 5.
  EXPECT_EQ(Primes(RecurrentKind::kGatedDeltaNet).ConvElements(4), 3U * (2 * 2 * 11 + 2 * 13));
  EXPECT_EQ(Primes(RecurrentKind::kGatedDeltaNet).StateElements(4), 2U * 11 * 13);
  EXPECT_EQ(Primes(RecurrentKind::kKimiDelta).StateElements(4), 2U * 13 * 13);
  EXPECT_EQ(Primes(RecurrentKind::kMamba1).StateElements(4), 5U * 11);
  EXPECT_EQ(Primes(RecurrentKind::kShortConv).ConvElements(4), 3U * 5);
  // Eight ranks and one group of B and C: every rank keeps the whole group.
  RecurrentLayers mamba = Primes(RecurrentKind::kMamba2);
  mamba.key_heads = 1;
  mamba.value_heads = 128;
  EXPECT_EQ(mamba.ConvElements(8), 3U * (16 * 13 + 2 * 1 * 11));
}

TEST(AttentionLayersTest, LatentIsOneTensorOnEveryRank) {
  const AttentionLayers plain = {.count = 1, .kv_heads = 8, .head_dim = 128};
  EXPECT_EQ(plain.KvElements(), 2048U);
  EXPECT_EQ(plain.KvElements(4), 512U);
  EXPECT_EQ(plain.KvElements(16), 256U) << "one head is the least a rank can hold";
  const AttentionLayers latent = {.count = 1, .kv_heads = 1, .head_dim = 576, .latent = true};
  EXPECT_EQ(latent.KvElements(), 576U);
  EXPECT_EQ(latent.KvElements(8), 576U);
}

TEST(ModelSpecTest, AddsUpLayersOfDifferentShapes) {
  ModelSpec spec;
  spec.recurrent = {Primes(RecurrentKind::kMamba1), Primes(RecurrentKind::kShortConv)};
  spec.recurrent[0].count = 2;
  spec.attention = {{.count = 3, .kv_heads = 2, .head_dim = 8},
                    {.count = 5, .kv_heads = 1, .head_dim = 16, .latent = true}};
  EXPECT_EQ(spec.CheckpointBytes(), 2U * (17 * 11 * 4 + 3 * 17 * 2) + 3 * 17 * 2);
  EXPECT_EQ(spec.KvBytesPerToken(), 2U * (3 * 2 * 2 * 8 + 5 * 16));
  EXPECT_TRUE(spec.HasRecurrence());
}

TEST(ModelSpecTest, PlainAttentionHasNoCheckpoint) {
  ModelSpec spec;
  spec.attention = {{.count = 32, .kv_heads = 8, .head_dim = 128}};
  EXPECT_EQ(spec.CheckpointBytes(), 0U);
  EXPECT_FALSE(spec.HasRecurrence());
}

TEST(ModelSpecTest, DTypesScaleTheirOwnPart) {
  ModelSpec spec = FindModelPreset("qwen3.5-27b").value();
  EXPECT_EQ(spec.DTypeText(), "kv=bf16,state=f32,conv=bf16");
  spec.kv_dtype = DType::kF8;
  spec.state_dtype = DType::kF16;
  spec.conv_dtype = DType::kF32;
  EXPECT_EQ(spec.DTypeText(), "kv=f8,state=f16,conv=f32");
  EXPECT_EQ(spec.KvBytesPerToken(), 65'536U / 2);
  EXPECT_EQ(spec.CheckpointBytes(), 48U * (786'432 * 2 + 30'720 * 4));
}

TEST(ModelSpecTest, RanksOfQwen27bHoldAHalfAndThenReplicate) {
  ModelSpec spec = FindModelPreset("qwen3.5-27b").value();
  spec.tensor_parallel = 2;
  EXPECT_EQ(spec.CheckpointBytes(), 153'944'064U / 2);
  EXPECT_EQ(spec.KvBytesPerToken(), 65'536U / 2);
  spec.tensor_parallel = 8;
  EXPECT_EQ(spec.CheckpointBytes(), 153'944'064U / 8);
  EXPECT_EQ(spec.KvBytesPerToken(), 65'536U / 4) << "four KV heads do not split over eight ranks";
}

TEST(ModelSpecTest, PackedShapesCoverStatesAndKvOfEachModel) {
  for (ModelSpec spec : ModelPresets()) {
    for (const std::uint32_t ranks : {1U, 2U, 8U, 64U}) {
      spec.tensor_parallel = ranks;
      EXPECT_EQ(spec.CheckpointShape() + spec.KvShape(), "") << "not unless it is declared";
      spec.checkpoint_shape = spec.kv_shape = kPackedShape;
      const auto checkpoint = ObjectShape::Parse(spec.CheckpointShape());
      const auto kv = ObjectShape::Parse(spec.KvShape());
      ASSERT_TRUE(checkpoint && kv) << spec.id << ": " << spec.CheckpointShape();
      std::uint64_t states = 0;
      for (const RecurrentLayers& layers : spec.recurrent) {
        states += layers.count * layers.StateElements(ranks) * 4;
      }
      EXPECT_EQ(checkpoint->Bytes(0), states) << spec.id << ": " << spec.CheckpointShape();
      EXPECT_EQ(kv->Bytes(3), 3 * spec.KvBytesPerToken()) << spec.id << ": " << spec.KvShape();
      spec.checkpoint_shape = spec.kv_shape = "";
    }
  }
}

TEST(ModelSpecTest, PackedShapesOfEachKind) {
  const auto shapes = [](std::string_view id) {
    ModelSpec spec = FindModelPreset(id).value();
    spec.checkpoint_shape = spec.kv_shape = kPackedShape;
    return spec.CheckpointShape() + " " + spec.KvShape();
  };
  EXPECT_EQ(shapes("qwen3.5-27b"), "f32[2304x128x128] bf16[32xtx1024]");
  EXPECT_EQ(shapes("kimi-linear-48b-a3b"), "f32[640x128x128] bf16[7xtx576]");
  EXPECT_EQ(shapes("nemotron-nano-9b-v2"), "f32[3456x80x128] bf16[8xtx1024]");
  EXPECT_EQ(shapes("jamba-mini"), "f32[28x8192x16] bf16[8xtx1024]");
  EXPECT_EQ(shapes("minimax-m1"), "f32[4480x128x128] bf16[20xtx1024]");
  EXPECT_EQ(shapes("lfm2-1.2b"), " bf16[12xtx512]") << "windows only";
  ModelSpec spec = FindModelPreset("qwen3.5-27b").value();
  spec.state_dtype = spec.kv_dtype = DType::kF8;
  spec.checkpoint_shape = spec.kv_shape = kPackedShape;
  EXPECT_EQ(spec.CheckpointShape() + spec.KvShape(), "") << "no codec takes eight bits apart";
}

TEST(ModelSpecDeathTest, ZeroRanksIsAProgrammersError) {
  ModelSpec spec = FindModelPreset("qwen3.5-27b").value();
  spec.tensor_parallel = 0;
  EXPECT_DEATH(static_cast<void>(spec.KvBytesPerToken()), "ranks > 0");
}

// The golden table was made from the models' published configurations, not by this code.
TEST(ModelPresetsTest, SizesEqualTheGoldenTable) {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/models.json");
  const auto table = nlohmann::json::parse(file);
  EXPECT_EQ(table.size(), ModelPresets().size()) << "a preset without a row, or the reverse";
  for (const auto& row : table) {
    const auto id = row.at("id").get<std::string>();
    const auto spec = FindModelPreset(id);
    ASSERT_TRUE(spec.has_value()) << id;
    ASSERT_EQ(spec->recurrent.size(), 1U) << id;
    ASSERT_EQ(spec->attention.size(), 1U) << id;
    EXPECT_EQ(spec->recurrent[0].count, row.at("recurrent_layers")) << id;
    EXPECT_EQ(spec->attention[0].count, row.at("attention_layers")) << id;
    EXPECT_EQ(spec->recurrent[0].ConvElements(), row.at("conv_elements")) << id;
    EXPECT_EQ(spec->recurrent[0].StateElements(), row.at("state_elements")) << id;
    EXPECT_EQ(spec->CheckpointBytes(), row.at("checkpoint_bytes")) << id;
    EXPECT_EQ(spec->KvBytesPerToken(), row.at("kv_bytes_per_token")) << id;
  }
}

std::string ModelsPage() {
  std::ifstream file(CAIRN_SOURCE_DIR "/docs/models.md");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(ModelPresetsTest, ThePageListsEachWithItsSizes) {
  const auto with_commas = [](std::uint64_t value) {
    std::string text = std::to_string(value);
    for (std::size_t left = text.size(); left > 3;) {
      left -= 3;
      text.insert(left, ",");
    }
    return text;
  };
  const std::string page = ModelsPage();
  for (const ModelSpec& preset : ModelPresets()) {
    const auto begin = page.find("| `" + preset.id + "` |");
    ASSERT_NE(begin, std::string::npos) << preset.id;
    const std::string row = page.substr(begin, page.find('\n', begin) - begin);
    EXPECT_NE(row.find("| " + with_commas(preset.CheckpointBytes()) + " ("), std::string::npos)
        << row;
    EXPECT_TRUE(row.ends_with("| " + with_commas(preset.KvBytesPerToken()) + " |")) << row;
  }
}

TEST(ModelPresetsTest, TheExampleOfThePageHasTheSizesItStates) {
  const std::string page = ModelsPage();
  const std::string fence = "```json\n";
  const auto begin = page.find(fence) + fence.size();
  const auto spec = ParseModelSpec(page.substr(begin, page.find("```", begin) - begin));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->CheckpointBytes(), 51'511'296U);
  EXPECT_EQ(spec->KvBytesPerToken(), 32'768U);
}

TEST(ModelPresetsTest, AreSortedAndHaveNamesThatMatchTheirIds) {
  const auto presets = ModelPresets();
  ASSERT_FALSE(presets.empty());
  for (std::size_t i = 0; i < presets.size(); ++i) {
    std::string lower = presets[i].name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    EXPECT_EQ(lower, presets[i].id);
    if (i > 0) {
      EXPECT_LT(presets[i - 1].id, presets[i].id);
    }
  }
}

std::string FindError(std::string_view id) {
  const auto found = FindModelPreset(id);
  EXPECT_FALSE(found.has_value()) << id;
  if (found.has_value()) {
    return {};
  }
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  return found.error().message;
}

TEST(ModelPresetsTest, SuggestsWhatWasMeant) {
  EXPECT_EQ(FindError("qwen3.5-27"), "no model preset 'qwen3.5-27': did you mean qwen3.5-27b?");
  EXPECT_EQ(FindError("Qwen/Qwen3.5-27B"),
            "no model preset 'Qwen/Qwen3.5-27B': did you mean qwen3.5-27b?");
  EXPECT_EQ(FindError("qwen3.5-3b"),
            "no model preset 'qwen3.5-3b': did you mean qwen3.5-2b, qwen3.5-4b or qwen3.5-9b?");
  EXPECT_EQ(FindError("kimi"), "no model preset 'kimi': did you mean kimi-linear-48b-a3b?");
  EXPECT_EQ(FindError("bamba9b"), "no model preset 'bamba9b': did you mean bamba-9b?");
  EXPECT_EQ(FindError("jamba"),
            "no model preset 'jamba': did you mean jamba-large, jamba-mini or jamba-v0.1?");
}

TEST(ModelPresetsTest, SaysWhereToLookWhenNothingIsNear) {
  for (const std::string& id :
       {std::string("gpt-oss-120b"), std::string(), std::string(5000, 'q')}) {
    EXPECT_EQ(FindError(id),
              "no model preset '" + id +
                  "'; give a preset id (docs/models.md lists them) or the path of a .json file");
  }
}

}  // namespace
}  // namespace cairn
