#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "libcache/model/model_spec.h"

namespace cairn {
namespace {

using Json = nlohmann::json;

Json Example() {
  return Json::parse(R"({
    "id": "my-hybrid-7b",
    "name": "My Hybrid 7B",
    "recurrent": [{"kind": "gated_delta_net", "count": 24, "conv_width": 4, "key_heads": 16,
                   "value_heads": 32, "key_dim": 128, "value_dim": 64}],
    "attention": [{"count": 8, "kv_heads": 4, "head_dim": 256}],
    "kv_dtype": "f8",
    "state_dtype": "bf16",
    "conv_dtype": "float16",
    "tensor_parallel": 2,
    "context_tokens": 131072
  })");
}

std::string ErrorOf(std::string_view text) {
  const auto spec = ParseModelSpec(text);
  EXPECT_FALSE(spec.has_value()) << text;
  if (spec.has_value()) {
    return {};
  }
  EXPECT_EQ(spec.error().code, ErrorCode::kInvalidArgument);
  return spec.error().message;
}

/// The error after the value at `pointer` of the example was replaced or added.
std::string ErrorWith(const char* pointer, const Json& value) {
  Json json = Example();
  json[Json::json_pointer(pointer)] = value;
  return ErrorOf(json.dump());
}

std::string ErrorWithout(const char* object, const char* field) {
  Json json = Example();
  json[Json::json_pointer(object)].erase(field);
  return ErrorOf(json.dump());
}

std::string ErrorOfRecurrent(const char* entry) {
  Json json = Example();
  json["recurrent"][0] = Json::parse(entry);
  return ErrorOf(json.dump());
}

TEST(ModelFileTest, ReadsEveryField) {
  const auto spec = ParseModelSpec(Example().dump());
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  const ModelSpec expected = {.id = "my-hybrid-7b",
                              .name = "My Hybrid 7B",
                              .recurrent = {{.kind = RecurrentKind::kGatedDeltaNet,
                                             .count = 24,
                                             .conv_width = 4,
                                             .key_heads = 16,
                                             .value_heads = 32,
                                             .key_dim = 128,
                                             .value_dim = 64}},
                              .attention = {{.count = 8, .kv_heads = 4, .head_dim = 256}},
                              .kv_dtype = DType::kF8,
                              .state_dtype = DType::kBF16,
                              .conv_dtype = DType::kF16,
                              .tensor_parallel = 2,
                              .context_tokens = 131'072};
  EXPECT_EQ(*spec, expected);
}

TEST(ModelFileTest, OptionalFieldsHaveTheDefaultsOfPresets) {
  Json json = Example();
  for (const char* field :
       {"name", "kv_dtype", "state_dtype", "conv_dtype", "tensor_parallel", "context_tokens"}) {
    json.erase(field);
  }
  const auto spec = ParseModelSpec(json.dump());
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->name, "my-hybrid-7b");
  EXPECT_EQ(spec->DTypeText(), "kv=bf16,state=f32,conv=bf16");
  EXPECT_EQ(spec->tensor_parallel, 1U);
  EXPECT_EQ(spec->context_tokens, 0U);
}

// A model file that spells a preset out gives the preset.
TEST(ModelFileTest, EveryKindReadsAsThePresetsHaveIt) {
  const std::vector<std::pair<const char*, const char*>> models = {
      {"bamba-9b", R"({"kind": "mamba2", "count": 29, "conv_width": 4, "key_heads": 1,
                       "value_heads": 128, "key_dim": 128, "value_dim": 64})"},
      {"jamba-v0.1",
       R"({"kind": "mamba1", "count": 28, "conv_width": 4, "key_dim": 16, "inner_dim": 8192})"},
      {"kimi-linear-48b-a3b", R"({"kind": "kimi_delta", "count": 20, "conv_width": 4,
                                  "value_heads": 32, "value_dim": 128})"},
      {"lfm2-1.2b", R"({"kind": "short_conv", "count": 10, "conv_width": 3, "inner_dim": 2048})"},
      {"minimax-m1", R"({"kind": "lightning", "count": 70, "value_heads": 64, "value_dim": 128})"},
      {"qwen3.5-27b", R"({"kind": "gated_delta_net", "count": 48, "conv_width": 4, "key_heads": 16,
                          "value_heads": 48, "key_dim": 128, "value_dim": 128})"},
  };
  for (const auto& [id, recurrent] : models) {
    const ModelSpec preset = FindModelPreset(id).value();
    const AttentionLayers& attention = preset.attention[0];
    const Json json = {{"id", preset.id},
                       {"name", preset.name},
                       {"recurrent", {Json::parse(recurrent)}},
                       {"attention",
                        {{{"count", attention.count},
                          {"kv_heads", attention.kv_heads},
                          {"head_dim", attention.head_dim},
                          {"latent", attention.latent}}}}};
    const auto spec = ParseModelSpec(json.dump());
    ASSERT_TRUE(spec.has_value()) << spec.error().message;
    EXPECT_EQ(*spec, preset);
  }
}

TEST(ModelFileTest, OneOfTheTwoListsMayBeEmpty) {
  Json json = Example();
  json["recurrent"] = Json::array();
  EXPECT_FALSE(ParseModelSpec(json.dump()).value().HasRecurrence());
  json = Example();
  json["attention"] = Json::array();
  EXPECT_EQ(ParseModelSpec(json.dump()).value().KvBytesPerToken(), 0U);
  json["recurrent"] = Json::array();
  EXPECT_EQ(ErrorOf(json.dump()),
            "recurrent: a model without recurrent and attention layers keeps nothing");
}

TEST(ModelFileTest, NamesAMissingField) {
  EXPECT_EQ(ErrorWithout("", "id"), "id: missing");
  EXPECT_EQ(ErrorWithout("", "recurrent"), "recurrent: missing");
  EXPECT_EQ(ErrorWithout("", "attention"), "attention: missing");
  EXPECT_EQ(ErrorWithout("/recurrent/0", "kind"), "recurrent[0].kind: missing");
  for (const char* field :
       {"count", "conv_width", "key_heads", "value_heads", "key_dim", "value_dim"}) {
    EXPECT_EQ(ErrorWithout("/recurrent/0", field),
              "recurrent[0]." + std::string(field) + ": missing");
  }
  for (const char* field : {"count", "kv_heads", "head_dim"}) {
    EXPECT_EQ(ErrorWithout("/attention/0", field),
              "attention[0]." + std::string(field) + ": missing");
  }
}

TEST(ModelFileTest, RefusesUnknownFieldsAndSaysWhichItTakes) {
  EXPECT_EQ(ErrorWith("/colour", "red"),
            "colour: unknown field; a model takes id, name, recurrent, attention, kv_dtype, "
            "state_dtype, conv_dtype, tensor_parallel, context_tokens, fidelity, checkpoint_shape, "
            "kv_shape");
  EXPECT_EQ(ErrorWith("/recurrent/0/value_head", 3),
            "recurrent[0].value_head: unknown field; 'gated_delta_net' takes kind, count, "
            "conv_width, key_heads, value_heads, key_dim, value_dim");
  EXPECT_EQ(ErrorWith("/attention/0/dim", 3),
            "attention[0].dim: unknown field; an attention entry takes count, kv_heads, head_dim, "
            "latent");
  EXPECT_EQ(ErrorOfRecurrent(R"({"kind": "lightning", "count": 1, "value_heads": 1,
                                 "value_dim": 1, "conv_width": 4})"),
            "recurrent[0].conv_width: unknown field; 'lightning' takes kind, count, value_heads, "
            "value_dim")
      << "a field of another kind is as wrong as one of none";
}

TEST(ModelFileTest, NamesTheEntryOfALaterError) {
  Json json = Example();
  json["attention"].push_back({{"count", 1}, {"kv_heads", 1}});
  EXPECT_EQ(ErrorOf(json.dump()), "attention[1].head_dim: missing");
}

TEST(ModelFileTest, RefusesNumbersThatAreNoSize) {
  const std::string range = "recurrent[0].count: must be a whole number from 1 to 1024, not ";
  EXPECT_EQ(ErrorWith("/recurrent/0/count", 0), range + "0");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", -3), range + "-3");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", 1025), range + "1025");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", 4.0), range + "4.0");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", "4"), range + "\"4\"");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", nullptr), range + "null");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", true), range + "true");
  EXPECT_EQ(ErrorWith("/recurrent/0/count", std::uint64_t{1} << 32), range + "4294967296")
      << "must not wrap to 0 or to a small number";
  EXPECT_EQ(ErrorWith("/recurrent/0/count", (std::uint64_t{1} << 32) + 4), range + "4294967300");
  EXPECT_EQ(ErrorWith("/recurrent/0/conv_width", 1),
            "recurrent[0].conv_width: must be a whole number from 2 to 64, not 1");
  EXPECT_EQ(ErrorWith("/attention/0/head_dim", 4097),
            "attention[0].head_dim: must be a whole number from 1 to 4096, not 4097");
  EXPECT_EQ(ErrorWith("/tensor_parallel", 0),
            "tensor_parallel: must be a whole number from 1 to 1024, not 0");
  EXPECT_EQ(ErrorWith("/context_tokens", (1U << 24) + 1),
            "context_tokens: must be a whole number from 1 to 16777216, not 16777217");
}

TEST(ModelFileTest, RefusesWrongTypes) {
  EXPECT_EQ(ErrorOf("[]"), "must be an object, not []");
  EXPECT_EQ(ErrorOf("null"), "must be an object, not null");
  EXPECT_EQ(ErrorWith("/id", 7), "id: must be a string, not 7");
  EXPECT_EQ(ErrorWith("/recurrent", 7), "recurrent: must be an array, not 7");
  EXPECT_EQ(ErrorWith("/recurrent/0", 7), "recurrent[0]: must be an object, not 7");
  EXPECT_EQ(ErrorWith("/attention/0", Json::array()), "attention[0]: must be an object, not []");
  EXPECT_EQ(ErrorWith("/attention/0/latent", 1),
            "attention[0].latent: must be true or false, not 1");
  EXPECT_EQ(ErrorWith("/kv_dtype", 16), "kv_dtype: must be a string, not 16");
}

TEST(ModelFileTest, RefusesUnknownNames) {
  EXPECT_EQ(ErrorWith("/kv_dtype", "fp7"), "kv_dtype: 'fp7' is not one of f32, f16, bf16, f8, i8");
  EXPECT_EQ(ErrorWith("/recurrent/0/kind", "rwkv"),
            "recurrent[0].kind: \"rwkv\" is not one of gated_delta_net, kimi_delta, mamba1, "
            "mamba2, lightning, short_conv");
  EXPECT_EQ(ErrorWith("/recurrent/0/kind", "none").substr(0, 26), "recurrent[0].kind: \"none\" ");
}

TEST(ModelFileTest, IdsAndNamesArePrintable) {
  EXPECT_EQ(ErrorWith("/id", "My Model"),
            "id: may hold a-z, 0-9, '-' and '.' only; \"My Model\" has others");
  EXPECT_EQ(ErrorWith("/id", ""),
            "id: must be 1 to 128 bytes without control characters, not \"\"");
  EXPECT_EQ(ErrorWith("/name", "a\x1b[31m"),
            "name: must be 1 to 128 bytes without control characters, not \"a\\u001b[31m\"");
  EXPECT_EQ(ErrorWith("/name", std::string(129, 'x')),
            "name: must be 1 to 128 bytes without control characters, not \"" +
                std::string(39, 'x') + "...");
}

TEST(ModelFileTest, HeadCountsMustFitTogether) {
  EXPECT_EQ(ErrorWith("/recurrent/0/key_heads", 48),
            "recurrent[0].value_heads: 32 is not a multiple of key_heads, 48");
  EXPECT_EQ(ErrorWith("/attention/0/latent", true),
            "attention[0].kv_heads: must be 1 where latent is true");
}

TEST(ModelFileTest, RefusesAFieldGivenTwice) {
  EXPECT_EQ(ErrorOf(R"({"id": "a", "id": "b", "recurrent": [], "attention": []})"),
            "\"id\": this field appears twice");
  EXPECT_EQ(ErrorOf(R"({"id": "a", "recurrent": [], "attention": [
                        {"count": 1, "kv_heads": 1, "head_dim": 1, "count": 2}]})"),
            "\"count\": this field appears twice");
}

TEST(ModelFileTest, SaysWhereTheJsonIsBroken) {
  EXPECT_EQ(ErrorOf("{\n  \"id\": tru\n}"), "not JSON at line 2, column 12");
  EXPECT_EQ(ErrorOf(""), "not JSON at line 1, column 1");
  EXPECT_EQ(ErrorOf("{} {}"), "not JSON at line 1, column 4");
  EXPECT_EQ(ErrorOf("{\"id\": 1e999}"), "not JSON: a number is out of range");
  for (const std::string& text :
       {std::string("{\"id\": \"\xff\"}"), std::string("// comment\n{}"), std::string("{\0}", 3)}) {
    EXPECT_EQ(ErrorOf(text).substr(0, 8), "not JSON");
  }
}

TEST(ModelFileTest, BoundsItsWork) {
  EXPECT_EQ(ErrorOf(std::string(64 * 1024 + 1, ' ')), "a model description has at most 64 KiB");
  EXPECT_EQ(ErrorOf(std::string(60'000, '[')).substr(0, 8), "not JSON");
  EXPECT_EQ(ErrorOf(std::string(30'000, '[') + std::string(30'000, ']')),
            "nested too deeply for a model description");
  std::string objects = "0";
  for (int i = 0; i < 9'000; ++i) {
    objects = "{\"a\":" + objects + "}";
  }
  EXPECT_EQ(ErrorOf(objects), "nested too deeply for a model description");
  Json json = Example();
  json["attention"] = Json::array();
  for (int i = 0; i < 17; ++i) {
    json["attention"].push_back({{"count", 1}, {"kv_heads", 1}, {"head_dim", 1}});
  }
  EXPECT_EQ(ErrorOf(json.dump()), "attention: has 17 entries, at most 16 are accepted");
}

// The limits exist so that no caller need fear a wrapped product.
TEST(ModelFileTest, TheLargestModelAcceptedOverflowsNothing) {
  Json json = Example();
  json["kv_dtype"] = json["state_dtype"] = json["conv_dtype"] = "f32";
  json["tensor_parallel"] = 1;
  json["context_tokens"] = 1U << 24;
  json["recurrent"] = json["attention"] = Json::array();
  for (int i = 0; i < 16; ++i) {
    json["recurrent"].push_back({{"kind", "gated_delta_net"},
                                 {"count", 1024},
                                 {"conv_width", 64},
                                 {"key_heads", 1024},
                                 {"value_heads", 1024},
                                 {"key_dim", 4096},
                                 {"value_dim", 4096}});
    json["attention"].push_back({{"count", 1024}, {"kv_heads", 1024}, {"head_dim", 4096}});
  }
  const auto spec = ParseModelSpec(json.dump());
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->KvBytesPerToken(), std::uint64_t{1} << 39);
  EXPECT_EQ(spec->KvBytesPerToken() * spec->context_tokens, std::uint64_t{1} << 63);
  EXPECT_EQ(spec->CheckpointBytes(),
            (std::uint64_t{1} << 50) + 16ULL * 1024 * 4 * 63 * 3 * (1 << 22));
}

TEST(ModelFileTest, FidelityAndShapes) {
  Json json = Example();
  EXPECT_EQ(ParseModelSpec(json.dump())->fidelity, Fidelity::kExact);
  EXPECT_EQ(ParseModelSpec(json.dump())->CheckpointShape(), "");
  json["fidelity"] = "compact";
  json["checkpoint_shape"] = "packed";
  json["kv_shape"] = "bf16[4xtx64]";
  const auto spec = ParseModelSpec(json.dump());
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->fidelity, Fidelity::kCompact);
  EXPECT_EQ(spec->CheckpointShape(), "bf16[384x64x128]") << "24 layers of 16 heads on a rank";
  EXPECT_EQ(spec->KvShape(), "bf16[4xtx64]");
  EXPECT_EQ(ErrorWith("/fidelity", "lossy"),
            "fidelity: 'lossy' is not one of exact, near, compact");
  EXPECT_EQ(ErrorWith("/fidelity", 1), "fidelity: must be a string, not 1");
  // What a cache would refuse is refused where it was written.
  EXPECT_EQ(ErrorWith("/kv_shape", "bf16[4x8x64]"),
            "kv_shape: rows of KV are tokens: write t for them");
  EXPECT_EQ(ErrorWith("/checkpoint_shape", "f32[4xtx64]"),
            "checkpoint_shape: a checkpoint has no rows that are tokens");
  EXPECT_NE(ErrorWith("/checkpoint_shape", "f32[4096x128x128]").find("checkpoint_shape: covers "),
            std::string::npos);
  EXPECT_EQ(ErrorWith("/kv_shape", "rows").find("kv_shape: "), 0U);
  EXPECT_NE(ErrorWith("/kv_shape", std::string(512, 'x')).find("kv_shape: must be 1 to 511"),
            std::string::npos);
}

class ModelPathTest : public ::testing::Test {
 protected:
  ModelPathTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("cairn_model_file_test." + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
  }
  ~ModelPathTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) const {
    const auto path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }

  std::filesystem::path folder_;
};

TEST_F(ModelPathTest, LoadsAPresetOrAFile) {
  EXPECT_EQ(LoadModelSpec("qwen3.5-27b").value().CheckpointBytes(), 153'944'064U);
  EXPECT_EQ(LoadModelSpec(Write("mine.json", Example().dump())).value().id, "my-hybrid-7b");
}

TEST_F(ModelPathTest, AnUnknownIdIsAMiss) {
  const auto spec = LoadModelSpec("qwen3.5-27");
  ASSERT_FALSE(spec.has_value());
  EXPECT_EQ(spec.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(spec.error().message, "no model preset 'qwen3.5-27': did you mean qwen3.5-27b?");
}

TEST_F(ModelPathTest, AnAbsentFileIsAMissAndAFolderAnIoError) {
  const auto absent = LoadModelSpec((folder_ / "absent.json").string());
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(absent.error().message,
            "cannot read " + (folder_ / "absent.json").string() + ": No such file or directory");
  std::filesystem::create_directory(folder_ / "folder.json");
  const auto folder = LoadModelSpec((folder_ / "folder.json").string());
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);
}

TEST_F(ModelPathTest, ErrorsInAFileBeginWithItsPath) {
  const auto path = Write("bad.json", R"({"id": "a", "recurrent": []})");
  const auto spec = LoadModelSpec(path);
  ASSERT_FALSE(spec.has_value());
  EXPECT_EQ(spec.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(spec.error().message, path + ": attention: missing");
  const auto huge = LoadModelSpec(Write("huge.json", std::string(1'000'000, ' ')));
  ASSERT_FALSE(huge.has_value());
  EXPECT_EQ(huge.error().message,
            (folder_ / "huge.json").string() + ": a model description has at most 64 KiB");
}

}  // namespace
}  // namespace cairn
