// What must end in a correct cold result and a counted miss, never in wrong tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"
#include "tests/ladder/llama_runs.h"
#include "tests/ladder/prompts.h"

namespace cairn::test {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

class LadderNegative : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (EngineFolder().empty()) {
      GTEST_SKIP() << "llama.cpp is not installed (./dev setup engine): nothing was checked";
    }
    model_ = dir_ / "model.gguf";
    ASSERT_TRUE(MakeModel(dir_, GetParam(), model_));
    // Some of each kind are enough here.
    std::ofstream file(dir_ / "some.jsonl");
    for (std::size_t i = 0; i < prompts_.all().size(); i += 5) {
      some_.push_back(prompts_.all()[i]);
      file << json({{"id", some_.back().id}, {"prompt", some_.back().text}}).dump() << "\n";
    }
    file.close();
    DaemonProcess::Options options;
    options.memory = "256MiB";
    options.tcp = false;
    options.http = false;
    options.flags = {"--ssd=256MiB", "--ssd-path=" + (dir_ / "ssd")};
    daemon_ = std::make_unique<DaemonProcess>(dir_, options);
    ASSERT_TRUE(daemon_->Start());
  }

  std::unique_ptr<LlamaRun> Run(const std::string& model, std::vector<std::string> flags) {
    std::vector<std::string> args = {
        "--model",        model, "--prompts",  dir_ / "some.jsonl", "--predict", "16",
        "--threads",      "1",   "--swa-full", "--always-load",     "--json",    "--quiet",
        "--logit-digests"};
    if (std::find(flags.begin(), flags.end(), "--ubatch") == flags.end()) {
      flags.insert(flags.end(), {"--ubatch", "64"});
    }
    args.insert(args.end(), flags.begin(), flags.end());
    auto run = std::make_unique<LlamaRun>(dir_, args);
    run->Wait();
    return run;
  }
  std::unique_ptr<LlamaRun> Cached(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--cairn", daemon_->UnixEndpoint()});
    return Run(model_, std::move(flags));
  }

  static std::uint64_t Resumed(const LlamaRun& run) { return run.Counter("resumed_tokens"); }
  /// Same tokens and logits as `cold`, whatever was resumed.
  void ExpectEqual(const LlamaRun& run, const LlamaRun& cold) {
    ASSERT_EQ(run.prompts().size(), cold.prompts().size());
    for (std::size_t i = 0; i < cold.prompts().size(); ++i) {
      const json& a = run.prompts()[i];
      const json& b = cold.prompts()[i];
      EXPECT_EQ(a.at("generated_tokens"), b.at("generated_tokens")) << some_[i].id;
      const auto resumed = a.at("resumed_at").get<std::size_t>();
      const json tail(b.at("logits").begin() + static_cast<std::ptrdiff_t>(resumed),
                      b.at("logits").end());
      EXPECT_TRUE(a.at("logits") == tail) << some_[i].id << ": logits differ";
    }
  }

  /// What is stored for one boundary of a prompt.
  struct Boundary {
    std::vector<std::uint32_t> tokens;
    std::uint32_t position = 0;
    std::vector<std::byte> checkpoint;
    std::vector<std::vector<std::byte>> blocks;
  };
  Boundary Read(Client& client, Client::Handle space, const LadderPrompt& prompt) {
    Boundary boundary;
    boundary.tokens = prompt.Tokens();
    const auto made = client.MakePrompt(space, 1, boundary.tokens);
    const auto hit = client.Match(*made, In(5s));
    EXPECT_TRUE(hit && hit->resume_at != 0) << prompt.id;
    if (!hit || hit->resume_at == 0) {
      return boundary;
    }
    boundary.position = hit->resume_at;
    const auto loaded = client.Load(
        *hit, 0,
        [&](const ObjectView& object) {
          std::vector<std::byte>& place =
              object.kind == ObjectKind::kKv ? boundary.blocks.emplace_back() : boundary.checkpoint;
          place.resize(object.bytes);
          return std::span(place);
        },
        In(5s));
    EXPECT_TRUE(loaded.has_value());
    static_cast<void>(ReleaseHeard(client, *made, *hit, In(5s)));
    return boundary;
  }
  /// Stores it under the keys of its prompt, in an empty cache.
  static void Write(Client& client, Client::Handle space, const Boundary& boundary) {
    const auto made = client.MakePrompt(space, 1, boundary.tokens);
    std::vector<Client::StoreItem> items;
    for (std::size_t i = 0; i < boundary.blocks.size(); ++i) {
      items.push_back({.kind = ObjectKind::kKv,
                       .position = static_cast<std::uint32_t>(i + 1) * kBlockTokens,
                       .bytes = boundary.blocks[i]});
    }
    if (!boundary.checkpoint.empty()) {
      items.push_back({.kind = ObjectKind::kCheckpoint,
                       .position = boundary.position,
                       .bytes = boundary.checkpoint});
    }
    const auto stored = client.Store(*made, items, false, In(5s));
    ASSERT_TRUE(stored.has_value());
    EXPECT_EQ(stored->written, items.size());
  }
  void Clear() {
    v1::AdminRequest request;
    request.mutable_clear();
    ASSERT_TRUE(daemon_->Admin(request).has_value());
  }
  /// Fills the cache, replaces what is stored for each prompt by what `spoil` makes of it, and runs
  /// again.
  void ExpectRejected(const std::function<void(Boundary&)>& spoil) {
    const auto filled = Cached();
    const NamespaceSpec spec = filled->Space();
    ClientOptions options;
    options.endpoint = daemon_->UnixEndpoint();
    Client client(options);
    const auto space = client.OpenNamespace(spec, In(5s));
    ASSERT_TRUE(space.has_value());
    std::vector<Boundary> boundaries;
    // Not the first: it ends with a whole block, where it may not be resumed.
    for (const LadderPrompt& prompt : {some_[1], some_.back()}) {
      boundaries.push_back(Read(client, *space, prompt));
    }
    Clear();
    for (Boundary& boundary : boundaries) {
      spoil(boundary);
      Write(client, *space, boundary);
    }
    const std::uint64_t before = daemon_->Counter("failed_restores");
    const auto run = Cached();
    ExpectEqual(*run, *cold_);
    EXPECT_GE(run->Counter("rejected"), boundaries.size());
    EXPECT_GE(daemon_->Counter("failed_restores"), before + boundaries.size());
    // Taken out: it does not spoil the next run, which finds what this one computed.
    const auto again = Cached();
    ExpectEqual(*again, *cold_);
    EXPECT_EQ(again->Counter("rejected"), 0U);
    EXPECT_GT(Resumed(*again), 0U);
  }
  void RunCold() {
    cold_ = Run(model_, {"--cold"});
    ASSERT_EQ(cold_->prompts().size(), some_.size());
  }

  TempDir dir_;
  std::string model_;
  LadderPrompts prompts_;
  std::vector<LadderPrompt> some_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::unique_ptr<LlamaRun> cold_;
};

TEST_P(LadderNegative, Everything) {
  RunCold();
  const auto filled = Cached();
  const NamespaceSpec spec = filled->Space();
  const bool has_state = spec.checkpoint_bytes != 0;
  const bool has_kv = spec.kv_bytes_per_token != 0;
  ASSERT_GT(Resumed(*Cached()), 0U) << "there is something to spoil";

  {
    SCOPED_TRACE("foreign model of equal shapes");
    const std::string foreign = dir_ / "foreign.gguf";
    ASSERT_TRUE(MakeModel(dir_, GetParam(), foreign, 2));
    const auto cold = Run(foreign, {"--cold"});
    EXPECT_NE(cold->prompts()[0].at("generated_tokens"), cold_->prompts()[0].at("generated_tokens"))
        << "the other model must say something else, or this shows nothing";
    const std::uint64_t hits = daemon_->Counter("match_hits");
    const auto run = Run(foreign, {"--cairn", daemon_->UnixEndpoint()});
    ExpectEqual(*run, *cold);
    EXPECT_EQ(run->prompts()[0].at("resumed_at"), 0);
    EXPECT_EQ(run->Space().layout, spec.layout);
    EXPECT_NE(run->Space().revision, spec.revision);
    EXPECT_LE(daemon_->Counter("match_hits") - hits, run->Counter("resumed"));
  }
  if (has_kv) {
    SCOPED_TRACE("other KV type");
    const std::vector<std::string> other = {"--cache-type-k", "f32", "--cache-type-v", "f32"};
    std::vector<std::string> cold_flags = other;
    cold_flags.emplace_back("--cold");
    const auto cold = Run(model_, cold_flags);
    const auto run = Cached(other);
    ExpectEqual(*run, *cold);
    EXPECT_EQ(run->prompts()[0].at("resumed_at"), 0);
    EXPECT_NE(run->Space().layout, spec.layout);
  }
  {
    SCOPED_TRACE("other physical batch");
    const auto cold = Run(model_, {"--cold", "--ubatch", "128"});
    const auto run = Cached({"--ubatch", "128"});
    ExpectEqual(*run, *cold);
    EXPECT_EQ(run->prompts()[0].at("resumed_at"), 0);
  }
  if (has_kv && has_state) {
    SCOPED_TRACE("state without KV");
    Clear();
    Cached();
    v1::AdminRequest tree;
    tree.mutable_tree()->set_max_nodes(10'000);
    const auto listed = daemon_->Admin(tree);
    ASSERT_TRUE(listed.has_value());
    for (const v1::TreeNode& node : listed->tree().nodes()) {
      if (node.position() == kBlockTokens) {  // Everything hangs below a first block.
        v1::AdminRequest request;
        request.mutable_evict()->set_key(node.key());
        request.mutable_evict()->set_only("kv");
        ASSERT_TRUE(daemon_->Admin(request).has_value());
      }
    }
    const auto run = Cached();
    ExpectEqual(*run, *cold_);
    EXPECT_EQ(run->prompts()[0].at("resumed_at"), 0);
  }
  if (has_state) {
    {
      SCOPED_TRACE("wrong boundary: the state of another position");
      ExpectRejected([&](Boundary& boundary) {
        // One block less: a shorter prefix, KV and all, but the state at its old end.
        boundary.position -= kBlockTokens;
        if (has_kv) {
          boundary.blocks.pop_back();
        }
      });
    }
    {
      SCOPED_TRACE("truncated blob, padded to its length");
      ExpectRejected([](Boundary& boundary) {
        std::vector<std::byte>& state = boundary.checkpoint;
        state.erase(state.begin(), state.begin() + 24);
        state.resize(state.size() + 24);
      });
    }
  }
  if (has_kv) {
    SCOPED_TRACE("KV of another block");
    ExpectRejected([](Boundary& boundary) { boundary.blocks[1] = boundary.blocks[0]; });
  }
}

/// Flips one bit in every piece of `bytes` bytes of the SSD's value files.
std::size_t FlipBits(const std::string& folder, std::size_t bytes) {
  std::size_t flipped = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".blob") {
      continue;
    }
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::uintmax_t size = entry.file_size();
    for (std::uintmax_t at = bytes / 2; at < size; at += bytes) {
      file.seekg(static_cast<std::streamoff>(at));
      const int byte = file.get();
      file.seekp(static_cast<std::streamoff>(at));
      file.put(static_cast<char>(byte ^ 0x10));
      ++flipped;
    }
  }
  return flipped;
}

TEST_P(LadderNegative, FlippedBits) {
  RunCold();
  const auto filled = Cached();
  daemon_->Stop();
  EXPECT_GT(FlipBits(dir_ / "ssd", 4096), 0U);
  ASSERT_TRUE(daemon_->Start());
  const auto run = Cached();
  ExpectEqual(*run, *cold_);
  EXPECT_GT(daemon_->Counter("promotion_failures") + daemon_->Counter("checksum_failures"), 0U);
  // A load ends at the first objects that are damaged, so others may be found later.
  std::uint64_t resumed = 0;
  for (int i = 0; i < 4 && resumed == 0; ++i) {
    const auto again = Cached();
    ExpectEqual(*again, *cold_);
    resumed = Resumed(*again);
  }
  EXPECT_GT(resumed, 0U) << "what was damaged is stored anew";
}

INSTANTIATE_TEST_SUITE_P(Models, LadderNegative, LadderModels(), ModelTestName);

}  // namespace
}  // namespace cairn::test
