// What tells models, settings and machines apart: a byte, an option or a kernel that differs makes
// another name, and nothing else does.
#include "libcache/connector/llamacpp/fingerprint.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"
#include "tests/unit/libcache/connector/llamacpp/fake_llama.h"

namespace cairn::llamacpp {
namespace {

namespace fs = std::filesystem;

class WeightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("cairn-weights-" + std::to_string(getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return path;
  }
  static std::string Identify(const std::string& path, WeightsId how = WeightsId::kDigest) {
    const auto id = IdentifyWeights(path, how);
    EXPECT_TRUE(id.has_value()) << ToString(id.error());
    return id.value_or("");
  }
  fs::path folder_;
};

TEST_F(WeightsTest, ADigestIsOfEveryByte) {
  std::string content(4 * kMiB + 100, 'w');  // More than is read at a time.
  const std::string path = Write("a.gguf", content);
  const std::string id = Identify(path);
  const Digest digest = DigestOf(std::as_bytes(std::span(content.data(), content.size())));
  EXPECT_EQ(id, "xxh3-128:" + ToHex(std::as_bytes(std::span(&digest, 1))));
  EXPECT_EQ(Identify(Write("copy.gguf", content)), id);
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{4 * kMiB - 1}, std::size_t{4 * kMiB}, content.size() - 1}) {
    std::string other = content;
    other[at] ^= 1;
    EXPECT_NE(Identify(Write("other.gguf", other)), id) << at;
  }
  EXPECT_NE(Identify(Write("longer.gguf", content + 'w')), id);
  EXPECT_NE(Identify(Write("empty.gguf", "")), id);
}

TEST_F(WeightsTest, AFileIsItselfUntilItIsTouched) {
  const std::string path = Write("a.gguf", "weights");
  const std::string id = Identify(path, WeightsId::kFile);
  EXPECT_TRUE(id.starts_with("file:")) << id;
  EXPECT_EQ(Identify(path, WeightsId::kFile), id);
  EXPECT_NE(Identify(path), id);
  const std::string link = folder_ / "link.gguf";
  fs::create_symlink(path, link);
  EXPECT_EQ(Identify(link, WeightsId::kFile), id);
  EXPECT_NE(Identify(Write("copy.gguf", "weights"), WeightsId::kFile), id);
  // By a nanosecond.
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  const timespec later{.tv_sec = status.st_mtim.tv_sec,
                       .tv_nsec = (status.st_mtim.tv_nsec + 1) % 1'000'000'000};
  const timespec times[2] = {later, later};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  const std::string touched = Identify(path, WeightsId::kFile);
  EXPECT_NE(touched, id);
  std::ofstream(path, std::ios::app) << "more";
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_NE(Identify(path, WeightsId::kFile), touched) << "another length at the same time";
}

TEST_F(WeightsTest, AModelInSeveralFilesIsAllOfThem) {
  const std::string first = Write("m-00001-of-00003.gguf", "one");
  const std::string second = Write("m-00002-of-00003.gguf", "two");
  for (const WeightsId how : {WeightsId::kDigest, WeightsId::kFile}) {
    fs::remove(folder_ / "m-00003-of-00003.gguf");
    const auto missing = IdentifyWeights(first, how);
    ASSERT_FALSE(missing.has_value());
    EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
    EXPECT_NE(missing.error().message.find("m-00003-of-00003.gguf"), std::string::npos);
    Write("m-00003-of-00003.gguf", "three");
    const std::string id = Identify(first, how);
    EXPECT_EQ(Identify(second, how), id);
    Write("m-00003-of-00003.gguf", "threE!");
    EXPECT_NE(Identify(first, how), id);
  }
  EXPECT_EQ(Identify(first), Identify(Write("whole.gguf", "onetwothreE!")));
}

// A name that says nonsense must not make two models one.
TEST_F(WeightsTest, ANameThatOnlyLooksLikeAPartIsAFile) {
  for (const char* const name :
       {"m-1-of-3.gguf", "m-00001-of-00000.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf",
        "m-00001-of-00002.bin", "m-0x001-of-00002.gguf", "m-00001-of-+0002.gguf",
        "m-00001_of_00002.gguf", "m00001-of-00002.gguf", "00001-of-00002.gguf", ".gguf", "a"}) {
    const std::string id = Identify(Write(name, "some weights"));
    EXPECT_EQ(id, Identify(Write("alone.gguf", "some weights"))) << name;
    EXPECT_NE(Identify(Write(name, "other weights")), id) << name;
    const std::string file = Identify(folder_ / name, WeightsId::kFile);
    EXPECT_NE(Identify(Write("alone.gguf", "other weights"), WeightsId::kFile), file) << name;
  }
}

TEST_F(WeightsTest, TellsWhatCannotBeRead) {
  for (const WeightsId how : {WeightsId::kDigest, WeightsId::kFile}) {
    const auto absent = IdentifyWeights(folder_ / "absent.gguf", how);
    ASSERT_FALSE(absent.has_value());
    EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
    EXPECT_NE(absent.error().message.find("absent.gguf"), std::string::npos);
  }
  const auto folder = IdentifyWeights(folder_, WeightsId::kDigest);
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);
}

TEST_F(WeightsTest, TellsHowFarItIs) {
  const std::string path = Write("m-00001-of-00002.gguf", std::string(5 * kMiB, 'a'));
  Write("m-00002-of-00002.gguf", std::string(5 * kMiB, 'b'));
  std::vector<double> seen;
  ASSERT_TRUE(
      IdentifyWeights(path, WeightsId::kDigest, [&](double done) { seen.push_back(done); }));
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_GT(seen.front(), 0.0);
  EXPECT_DOUBLE_EQ(seen.back(), 1.0);
}

TEST(FidelityTest, HasTwoNames) {
  EXPECT_EQ(ParseFidelity("exact").value(), Fidelity::kExact);
  EXPECT_EQ(ParseFidelity("near").value(), Fidelity::kNear);
  EXPECT_EQ(FidelityName(Fidelity::kNear), "near");
  const auto other = ParseFidelity("Exact");
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(other.error().message.find("\"Exact\""), std::string::npos);
}

class ModelTest : public ::testing::Test {
 protected:
  using Meta = std::vector<std::pair<std::string, std::string>>;
  static std::string NameOf(const Meta& meta) {
    fake::FakeContext context(fake::Hybrid());
    context.meta = meta;
    const Api api = fake::MakeApi();
    return ModelName(api, api.get_model(context.get()));
  }
  static std::string DigestOfModel(const fake::Config& config, const ModelParams& params = {}) {
    fake::FakeContext context(config);
    const Api api = fake::MakeApi();
    return ModelDigest(api, api.get_model(context.get()), params);
  }
};

TEST_F(ModelTest, NamesAreForPeople) {
  EXPECT_EQ(NameOf({{"general.name", "Small"}, {"general.architecture", "mamba2"}}),
            "mamba2/Small");
  EXPECT_EQ(NameOf({{"general.architecture", "mamba2"}}), "mamba2");
  EXPECT_EQ(NameOf({{"other", "x"}}), "unknown");
  EXPECT_EQ(NameOf({{"general.name", "a\nb\x1b[1m"}}), "unknown/a?b?[1m");
  EXPECT_EQ(NameOf({{"general.name", std::string(1000, 'n')}}).size(), 200U);
}

TEST_F(ModelTest, DigestsAreOfAllThatAModelSays) {
  std::set<std::string> digests;
  const fake::Config config = fake::Hybrid();
  digests.insert(DigestOfModel(config));
  EXPECT_FALSE(digests.insert(DigestOfModel(config)).second);
  const auto differs = [&](const char* what, const fake::Config& other) {
    EXPECT_TRUE(digests.insert(DigestOfModel(other)).second) << what;
  };
  fake::Config other = config;
  other.architecture = "fake2";
  differs("architecture", other);
  other = config;
  other.more_meta = {{"fake.block_count", "4"}};
  differs("key", other);
  other.more_meta = {{"fake.block_count", "5"}};
  differs("value", other);
  other.more_meta = {{"fake.block_coun", "t=1:5"}};
  differs("where a key ends", other);
  other.more_meta = {{"a", "1\nb=1:2"}};
  differs("a line in a value", other);
  other.more_meta = {{"a", "1"}, {"b", "2"}};
  differs("two lines", other);
}

/// llama_model_kv_override.
struct Override {
  std::int32_t tag = 0;
  char key[128] = {};
  alignas(8) char value[128] = {};
};

TEST_F(ModelTest, OverridesMakeAnotherModel) {
  const fake::Config config = fake::Hybrid();
  const auto with = [&](std::vector<Override> overrides) {
    overrides.emplace_back();  // The last has no key.
    ModelParams params{};
    params.kv_overrides = overrides.data();
    return DigestOfModel(config, params);
  };
  const auto made = [](const char* key, std::int64_t value, std::int32_t tag = 0) {
    Override entry;
    entry.tag = tag;
    std::strncpy(entry.key, key, sizeof(entry.key) - 1);
    std::memcpy(entry.value, &value, sizeof(value));
    return entry;
  };
  const std::string none = DigestOfModel(config);
  EXPECT_EQ(with({}), none);
  std::set<std::string> digests = {none};
  for (const auto& overrides : std::vector<std::vector<Override>>{
           {made("fake.expert_used_count", 2)},
           {made("fake.expert_used_count", 3)},
           {made("fake.expert_used_count", 3, 1)},
           {made("fake.expert_count", 3)},
           {made("fake.expert_used_count", 2), made("fake.expert_count", 3)}}) {
    EXPECT_TRUE(digests.insert(with(overrides)).second);
    EXPECT_EQ(with(overrides), with(overrides));
  }
}

class KernelTest : public ::testing::Test {
 protected:
  void TearDown() override { fake::TheMachine() = {}; }

  struct Case {
    fake::Config config = fake::Hybrid();
    ContextParams context = ParamsOf(fake::Hybrid());
    ModelParams model{};
    std::uint32_t grid = 64;
    std::string build;
  };
  static std::string Text(const Case& given, Fidelity fidelity) {
    fake::FakeContext context(given.config);
    return KernelText(
        fake::MakeApi(), context.get(), given.context, given.model,
        {.fidelity = fidelity, .grid_tokens = given.grid, .engine_build = given.build});
  }
  /// Whether `change` makes another text, in exact and in near fidelity.
  template <class Change>
  static void Expect(const char* what, bool exact, bool near, const Change& change) {
    Case changed;
    const std::string exact_before = Text(changed, Fidelity::kExact);
    const std::string near_before = Text(changed, Fidelity::kNear);
    change(changed);
    EXPECT_EQ(Text(changed, Fidelity::kExact) != exact_before, exact) << what;
    EXPECT_EQ(Text(changed, Fidelity::kNear) != near_before, near) << what;
    fake::TheMachine() = {};
  }
};

TEST_F(KernelTest, SettingsOfTheResultsCountInBoth) {
  Expect("nothing", false, false, [](Case&) {});
  Expect("base", true, true, [](Case& c) { c.context.rope_freq_base = 1e6F; });
  Expect("scale", true, true, [](Case& c) { c.context.rope_freq_scale = 0.5F; });
  Expect("scaling", true, true, [](Case& c) { c.context.rope_scaling_type = 2; });
  Expect("ext", true, true, [](Case& c) { c.context.yarn_ext_factor = 1.0F; });
  Expect("attn", true, true, [](Case& c) { c.context.yarn_attn_factor = 2.0F; });
  Expect("fast", true, true, [](Case& c) { c.context.yarn_beta_fast = 32.0F; });
  Expect("slow", true, true, [](Case& c) { c.context.yarn_beta_slow = 1.0F; });
  Expect("orig", true, true, [](Case& c) { c.context.yarn_orig_ctx = 4096; });
  Expect("attention", true, true, [](Case& c) { c.context.attention_type = kAttentionCausal; });
  Expect("keys", true, true, [](Case& c) { c.context.type_k = kQ8; });
  Expect("values", true, true, [](Case& c) { c.context.type_v = kQ8; });
  Expect("release", true, true, [](Case&) { fake::TheMachine().version = "0.5.1"; });
}

TEST_F(KernelTest, WhatComputesCountsInExactFidelityOnly) {
  Expect("build", true, false, [](Case& c) { c.build = "another"; });
  Expect("host buffers", true, false, [](Case& c) { c.model.no_host = true; });
  Expect("physical batch", true, false, [](Case& c) { c.config.n_ubatch = 128; });
  Expect("grid", true, false, [](Case& c) { c.grid = 128; });
  Expect("flash", true, false, [](Case& c) { c.context.flash_attn_type = kFlashOff; });
  Expect("kqv", true, false, [](Case& c) { c.context.offload_kqv = false; });
  Expect("op", true, false, [](Case& c) { c.context.op_offload = true; });
  Expect("swa", true, false, [](Case& c) { c.context.swa_full = !c.context.swa_full; });
  Expect("layers", true, false, [](Case& c) { c.model.n_gpu_layers = 10; });
  Expect("split", true, false, [](Case& c) { c.model.split_mode = 2; });
  Expect("main", true, false, [](Case& c) { c.model.main_gpu = 1; });
  Expect("bufts", true, false, [](Case& c) { c.model.use_extra_bufts = true; });
  Expect("features", true, false, [](Case&) { fake::TheMachine().system_info += " AVX512 = 1"; });
  Expect("gpu", true, false,
         [](Case&) { fake::TheMachine().devices.emplace_back("A graphics card", 1); });
  Expect("processor", false, false,
         [](Case&) { fake::TheMachine().devices[0].first = "Another of the same features"; });
}

// A single token's attention is cut by threads.
TEST_F(KernelTest, ThreadsCountWherePhysicalBatchesAreOfOneToken) {
  Case given;
  given.config.n_ubatch = 1;
  const std::string before = Text(given, Fidelity::kExact);
  given.context.n_threads_batch += 1;
  EXPECT_NE(Text(given, Fidelity::kExact), before);
}

// Found by a review: with this variable, quantized keys are stored in another form of equal shape.
TEST_F(KernelTest, VariablesThatLlamaCppReadsCount) {
  const auto with = [](const char* name) {
    return [name](Case&) { ASSERT_EQ(setenv(name, "1", 1), 0); };
  };
  for (const char* const name : {"LLAMA_ATTN_ROT_DISABLE", "GGML_CPU_DISABLE_FUSION"}) {
    unsetenv(name);
    Expect(name, true, true, with(name));
    unsetenv(name);
  }
  for (const char* const name : {"LLAMA_LOG_FILE", "LLAMA_ARG_THREADS", "CAIRN_LLAMA_LIB_X"}) {
    Expect(name, false, false, with(name));
    unsetenv(name);
  }
}

TEST_F(KernelTest, WhatDoesNotChangeResultsDoesNotCount) {
  Expect("threads", false, false, [](Case& c) { c.context.n_threads = 7; });
  Expect("context", false, false, [](Case& c) { c.config.n_ctx = 512; });
  Expect("batch", false, false, [](Case& c) { c.config.n_batch = 64; });
  Expect("sequences", false, false, [](Case& c) { c.config.n_seq_max = 4; });
}

// Models with long and short rope factors choose by the context's length.
TEST_F(KernelTest, TheContextsLengthCountsWhereFactorsDependOnIt) {
  Case given;
  given.config.more_meta = {{"phi3.rope.scaling.original_context_length", "4096"}};
  const std::string before = Text(given, Fidelity::kNear);
  given.config.n_ctx = 8192;
  EXPECT_NE(Text(given, Fidelity::kNear), before);
  given.config.n_seq_max = 2;  // 4096 for each, as before.
  EXPECT_EQ(Text(given, Fidelity::kNear), before);
}

TEST_F(KernelTest, TextsTellPeopleTheMainThings) {
  EXPECT_TRUE(Text({}, Fidelity::kExact).starts_with("exact llama.cpp=0.5.0 grid=64 settings="));
  EXPECT_TRUE(Text({}, Fidelity::kNear).starts_with("near llama.cpp=0.5.0 settings="));
}

}  // namespace
}  // namespace cairn::llamacpp
