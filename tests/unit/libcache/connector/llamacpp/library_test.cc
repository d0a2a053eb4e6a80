// Which folders of shared libraries are taken for llama.cpp 0.5.0, and what is said of the others.
// The libraries are small ones of ours (fake_libllama.cc).
#include "libcache/connector/llamacpp/library.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace cairn::llamacpp {
namespace {

namespace fs = std::filesystem;

/// A folder that goes with the object.
class TempFolder {
 public:
  TempFolder() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = fs::path(testing::TempDir()) /
            ("cairn-library-" + std::to_string(getpid()) + "-" + test->name());
    fs::create_directories(path_);
  }
  ~TempFolder() { fs::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string VariantFolder(const std::string& name) {
  return std::string(CAIRN_BINARY_DIR) + "/tests/fake_libllama/" + name;
}

void ExpectRefused(const std::string& folder, ErrorCode code,
                   const std::vector<std::string>& texts) {
  SCOPED_TRACE(folder);
  const auto library = Library::Open(folder);
  ASSERT_FALSE(library.has_value());
  const std::string& message = library.error().message;
  EXPECT_EQ(library.error().code, code) << message;
  for (const std::string& text : texts) {
    EXPECT_NE(message.find(text), std::string::npos) << "'" << text << "' not in: " << message;
  }
}

TEST(LibraryTest, OpensTheReleaseThatItKnows) {
  static std::string logged;
  logged.clear();
  for (const char* const variant : {"good", "dev"}) {
    const auto library = Library::Open(
        VariantFolder(variant), [](std::int32_t, const char* text, void*) { logged += text; });
    ASSERT_TRUE(library.has_value()) << ToString(library.error());
    const Library& opened = **library;
    EXPECT_EQ(opened.folder(), VariantFolder(variant));
    EXPECT_STREQ(opened.api().print_system_info(), "system");
    EXPECT_TRUE(opened.api().model_is_hybrid(nullptr));
    EXPECT_EQ(opened.api().dev_count(), 1U) << "the folder's backends were loaded";
    EXPECT_EQ(opened.context_params().n_batch, 2048U);
    EXPECT_EQ(opened.context_params().type_v, kF16);
    EXPECT_EQ(opened.model_params().split_mode, 1);
    ASSERT_NE(opened.Find<int()>("fake_initialised"), nullptr);
    EXPECT_EQ(opened.Find<int()>("fake_initialised")(), 1);
    EXPECT_EQ(opened.Symbol("no_such_function"), nullptr);
  }
  EXPECT_EQ(logged, "from the libraryfrom the library");
}

TEST(LibraryTest, NoFolderAndEmptyFolders) {
  const TempFolder folder;
  ExpectRefused("", ErrorCode::kNotFound, {"not known", "./dev setup engine", "CAIRN_LLAMA_LIB"});
  const std::string absent = folder.path() / "absent";
  ExpectRefused(absent, ErrorCode::kNotFound, {absent, "No such file", "./dev setup engine"});
  ExpectRefused(folder.path(), ErrorCode::kNotFound, {"no libllama", folder.path()});
  // Others of the same release are not it.
  std::ofstream(folder.path() / "libllama-common.so") << "common";
  std::ofstream(folder.path() / "libggml.so") << "ggml";
  std::ofstream(folder.path() / "libllama.txt") << "text";
  ExpectRefused(folder.path(), ErrorCode::kNotFound, {"no libllama", folder.path()});
}

TEST(LibraryTest, AFileThatIsNoLibrary) {
  const TempFolder folder;
  std::ofstream(folder.path() / "libllama.so") << "this is text, not a library";
  ExpectRefused(folder.path(), ErrorCode::kNotFound, {"cannot be loaded", "libllama.so"});
}

TEST(LibraryTest, ALibraryOfAnyOfItsNames) {
  for (const char* const name : {"libllama.so.0", "libllama.so.0.5.0", "libllama.v0.5.0.so"}) {
    const TempFolder folder;
    fs::copy_file(VariantFolder("good") + "/libllama.so", folder.path() / name);
    const auto library = Library::Open(folder.path());
    EXPECT_TRUE(library.has_value()) << name << ": " << ToString(library.error());
  }
}

// Two builds of one release may compute in other ways.
TEST(LibraryTest, TellsBuildsApart) {
  const auto build = [](const std::string& folder) {
    const auto library = Library::Open(folder);
    EXPECT_TRUE(library.has_value()) << ToString(library.error());
    return library ? (*library)->build_id() : "";
  };
  const std::string good = build(VariantFolder("good"));
  EXPECT_EQ(good.size(), 32U);
  EXPECT_NE(build(VariantFolder("dev")), good);
  const TempFolder folder;
  fs::copy_file(VariantFolder("good") + "/libllama.so", folder.path() / "libllama.so");
  EXPECT_EQ(build(folder.path()), good) << "the same bytes elsewhere";
  std::ofstream(folder.path() / "readme.txt") << "of no importance";
  EXPECT_EQ(build(folder.path()), good);
  std::ofstream(folder.path() / "libggml-cpu-zen4.so") << "kernels";
  const std::string with_kernels = build(folder.path());
  EXPECT_NE(with_kernels, good);
  std::ofstream(folder.path() / "libggml-cpu-zen4.so") << "Kernels";
  EXPECT_NE(build(folder.path()), with_kernels);
}

TEST(LibraryTest, AnotherRelease) {
  ExpectRefused(VariantFolder("old"), ErrorCode::kUnsupported, {"0.4.0", "0.5.0", "libllama.so"});
  ExpectRefused(VariantFolder("newer"), ErrorCode::kUnsupported, {"0.5.01", "only 0.5.0 "});
  ExpectRefused(VariantFolder("silent"), ErrorCode::kUnsupported,
                {"does not tell its release", "0.5.0"});
}

TEST(LibraryTest, StructsThatAreLaidOutOtherwise) {
  ExpectRefused(VariantFolder("long_context"), ErrorCode::kUnsupported,
                {"llama_context_params", "176 bytes", "160 expected"});
  ExpectRefused(VariantFolder("long_model"), ErrorCode::kUnsupported,
                {"llama_model_params", "96 bytes", "80 expected"});
  ExpectRefused(VariantFolder("other_context"), ErrorCode::kUnsupported, {"llama_context_params"});
  ExpectRefused(VariantFolder("other_model"), ErrorCode::kUnsupported, {"llama_model_params"});
}

TEST(LibraryTest, PartsThatAreMissing) {
  ExpectRefused(
      VariantFolder("no_memory"), ErrorCode::kNotFound,
      {"lacks llama_memory_seq_rm, llama_memory_seq_pos_max", VariantFolder("no_memory")});
  ExpectRefused(VariantFolder("no_backend"), ErrorCode::kNotFound,
                {"no backend", VariantFolder("no_backend")});
}

TEST(LibraryTest, TheEnvironmentNamesTheFolder) {
  const char* const set = std::getenv("CAIRN_LLAMA_LIB");
  const std::string before = set == nullptr ? "" : set;
  setenv("CAIRN_LLAMA_LIB", "/some/where", 1);
  EXPECT_EQ(Library::DefaultFolder(), "/some/where");
  // Without it, what stands beside the program: build/engine for build/release/bin, not for this.
  setenv("CAIRN_LLAMA_LIB", "", 1);
  const std::string other = Library::DefaultFolder();
  EXPECT_TRUE(other.empty() || fs::is_directory(other)) << other;
  unsetenv("CAIRN_LLAMA_LIB");
  EXPECT_EQ(Library::DefaultFolder(), other);
  if (set != nullptr) {
    setenv("CAIRN_LLAMA_LIB", before.c_str(), 1);
  }
}

}  // namespace
}  // namespace cairn::llamacpp
