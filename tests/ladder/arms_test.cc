// The ladder: a prompt's tokens must not depend on where its state came from.
#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>
#include <set>

#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"
#include "tests/ladder/llama_runs.h"
#include "tests/ladder/prompts.h"

namespace cairn::test {
namespace {

using nlohmann::json;

class Ladder : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (EngineFolder().empty()) {
      GTEST_SKIP() << "llama.cpp is not installed (./dev setup engine): nothing was checked";
    }
    model_ = dir_ / "model.gguf";
    ASSERT_TRUE(MakeModel(dir_, GetParam(), model_));
    prompts_.Write(dir_ / "once.jsonl");
    prompts_.Write(dir_ / "twice.jsonl", 2);
    DaemonProcess::Options options;
    options.memory = "512MiB";
    options.tcp = false;
    options.http = false;
    options.flags = {"--ssd=1GiB", "--ssd-path=" + (dir_ / "ssd")};
    daemon_ = std::make_unique<DaemonProcess>(dir_, options);
    ASSERT_TRUE(daemon_->Start());
  }

  std::unique_ptr<LlamaRun> Start(const std::string& prompts, std::vector<std::string> flags) {
    std::vector<std::string> args = {"--model", model_, "--prompts", dir_ / prompts, "--predict",
                                     std::to_string(kPredict), "--threads", "1", "--ubatch", "64",
                                     // The window of a model that has one keeps all its tokens:
                                     // else results depend on how often it went round.
                                     "--swa-full", "--always-load", "--json", "--logit-digests",
                                     "--quiet"};
    args.insert(args.end(), flags.begin(), flags.end());
    return std::make_unique<LlamaRun>(dir_, args);
  }
  std::unique_ptr<LlamaRun> Run(const std::string& prompts, std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--cairn", daemon_->UnixEndpoint()});
    auto run = Start(prompts, std::move(flags));
    run->Wait();
    return run;
  }

  /// Compares prompts [first, first + 64) of a run with the cold ones: same tokens, and the same
  /// logits behind every token that it computed.
  void Compare(const std::string& arm, const LlamaRun& run, std::size_t first = 0) {
    SCOPED_TRACE(arm);
    ASSERT_GE(run.prompts().size(), first + prompts_.all().size());
    for (std::size_t i = 0; i < prompts_.all().size(); ++i) {
      const json& warm = run.prompts()[first + i];
      const json& cold = cold_->prompts()[i];
      const auto resumed = warm.at("resumed_at").get<std::uint32_t>();
      EXPECT_EQ(warm.value("cache_error", ""), "") << prompts_.all()[i].id;
      EXPECT_EQ(warm.at("generated_tokens"), cold.at("generated_tokens")) << prompts_.all()[i].id;
      compared_tokens_ += warm.at("generated_tokens").size();
      EXPECT_LT(resumed, prompts_.all()[i].TokenCount()) << "resumed at the prompt's full length";
      const json& logits = warm.at("logits");
      ASSERT_EQ(logits.size() + resumed, cold.at("logits").size());
      std::size_t differ = 0;
      for (std::size_t at = 0; at < logits.size(); ++at) {
        differ += logits[at] == cold.at("logits")[resumed + at] ? 0 : 1;
      }
      EXPECT_EQ(differ, 0U) << prompts_.all()[i].id << ": of " << logits.size() << " logits";
      compared_logits_ += logits.size();
      computed_.insert(prompts_.all()[i].TokenCount() - resumed);
    }
  }

  /// Each arm for itself must really have been served: comparing cold with cold shows nothing.
  void ExpectServed(const std::string& arm, const LlamaRun& run,
                    const std::vector<std::uint32_t>& eligible, std::size_t first = 0) {
    std::uint64_t served = 0;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < eligible.size(); ++i) {
      const auto resumed = run.prompts()[first + i].at("resumed_at").get<std::uint32_t>();
      served += std::min(resumed, eligible[i]);
      total += eligible[i];
    }
    EXPECT_GT(total, prompts_.all().size() * 4 * kBlockTokens) << arm << ": shows next to nothing";
    EXPECT_GE(served * 10, total * 8)
        << arm << ": only " << served << " of " << total << " tokens came from the cache";
    std::printf("%-32s served %7llu of %7llu eligible tokens\n", arm.c_str(),
                static_cast<unsigned long long>(served), static_cast<unsigned long long>(total));
  }
  static std::uint64_t Sum(const std::vector<std::uint32_t>& tokens) {
    return std::accumulate(tokens.begin(), tokens.end(), std::uint64_t{0});
  }
  [[nodiscard]] std::vector<std::uint32_t> AllEligible() const {
    std::vector<std::uint32_t> eligible;
    for (const LadderPrompt& prompt : prompts_.all()) {
      eligible.push_back(prompt.Eligible());
    }
    return eligible;
  }
  /// What the daemon itself says could be served now.
  std::vector<std::uint32_t> EligibleNow(const NamespaceSpec& spec) {
    std::vector<std::uint32_t> eligible;
    ForPrompts(spec, [&](Client& client, const Client::Prompt& prompt, const LadderPrompt&) {
      const auto hit = client.Match(prompt, In(std::chrono::seconds(5)));
      EXPECT_TRUE(hit.has_value());
      eligible.push_back(hit ? hit->resume_at : 0);
      if (hit) {
        static_cast<void>(ReleaseHeard(client, prompt, *hit, In(std::chrono::seconds(5))));
      }
    });
    return eligible;
  }
  /// Drops objects of one kind where every second prompt's deepest boundary is, and below.
  std::uint64_t EvictSome(const NamespaceSpec& spec, const std::string& kind) {
    std::uint64_t dropped = 0;
    bool drop = false;
    ForPrompts(spec, [&](Client& client, const Client::Prompt& prompt, const LadderPrompt& what) {
      drop = !drop;
      v1::AdminRequest request;
      request.mutable_evict()->set_key(client.KeyAt(prompt, what.Eligible())->Hex());
      request.mutable_evict()->set_only(kind);
      const auto reply = drop ? daemon_->Admin(request) : Result<v1::AdminReply>();
      dropped += reply ? reply->count().objects() : 0;
    });
    return dropped;
  }
  template <class Body>
  void ForPrompts(const NamespaceSpec& spec, const Body& body) {
    ClientOptions options;
    options.endpoint = daemon_->UnixEndpoint();
    Client client(options);
    const auto space = client.OpenNamespace(spec, In(std::chrono::seconds(5)));
    ASSERT_TRUE(space.has_value());
    for (const LadderPrompt& prompt : prompts_.all()) {
      const std::vector<std::uint32_t> tokens = prompt.Tokens();
      const auto made = client.MakePrompt(*space, 1, tokens);
      ASSERT_TRUE(made.has_value());
      body(client, *made, prompt);
    }
  }

  TempDir dir_;
  std::string model_;
  LadderPrompts prompts_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::unique_ptr<LlamaRun> cold_;
  std::set<std::uint32_t> computed_;  // How many tokens of a prompt were left to compute.
  std::uint64_t compared_tokens_ = 0;
  std::uint64_t compared_logits_ = 0;
};

TEST_P(Ladder, EveryArmEqualsCold) {
  cold_ = Start("once.jsonl", {"--cold"});
  ASSERT_TRUE(cold_->Wait());

  const auto filling = Run("twice.jsonl");
  Compare("empty cache", *filling);
  Compare("warm", *filling, prompts_.all().size());
  ExpectServed("warm", *filling, AllEligible(), prompts_.all().size());
  const NamespaceSpec space = filling->Space();

  const auto restarted = Run("once.jsonl");
  Compare("engine restarted", *restarted);
  ExpectServed("engine restarted", *restarted, AllEligible());

  daemon_->Stop();
  ASSERT_TRUE(daemon_->Start());
  const auto from_ssd = Run("once.jsonl");
  Compare("daemon restarted, from SSD", *from_ssd);
  ExpectServed("daemon restarted, from SSD", *from_ssd, AllEligible());
  EXPECT_GT(daemon_->Counter("hit_tokens_ssd"), 0U);

  // Two processes at a time; one of them reads through a stream instead of shared memory.
  auto first = Start("once.jsonl", {"--cairn", daemon_->UnixEndpoint()});
  auto second = Start("once.jsonl", {"--cairn", daemon_->UnixEndpoint(), "--plane", "stream"});
  EXPECT_TRUE(first->Wait() && second->Wait());
  Compare("one of two processes", *first);
  Compare("the other of two processes", *second);
  ExpectServed("one of two processes", *first, AllEligible());
  ExpectServed("the other of two processes", *second, AllEligible());

  const auto parallel = Run("once.jsonl", {"--parallel", "4", "--generate-alone"});
  Compare("four sequences", *parallel);
  ExpectServed("four sequences", *parallel, AllEligible());

  if (space.kv_bytes_per_token != 0) {
    EXPECT_GT(EvictSome(space, "kv"), 20U);
    const auto eligible = EligibleNow(space);
    EXPECT_LT(Sum(eligible), Sum(AllEligible())) << "something must be missing";
    const auto without_kv = Run("once.jsonl");
    Compare("some KV evicted", *without_kv);
    ExpectServed("some KV evicted", *without_kv, eligible);
  }
  if (space.checkpoint_bytes != 0) {
    EXPECT_GT(EvictSome(space, "checkpoint"), 20U);
    const auto eligible = EligibleNow(space);
    EXPECT_LT(Sum(eligible), Sum(AllEligible())) << "something must be missing";
    const auto without_state = Run("once.jsonl");
    Compare("some states evicted", *without_state);
    ExpectServed("some states evicted", *without_state, eligible);
  }

  for (std::uint32_t tokens = 1; tokens <= kBlockTokens; ++tokens) {
    EXPECT_TRUE(computed_.count(tokens) != 0) << "no arm computed a rest of " << tokens;
  }
  EXPECT_GT(std::count_if(computed_.begin(), computed_.end(),
                          [](std::uint32_t tokens) {
                            return tokens > 2 * kBlockTokens && tokens < 8 * kBlockTokens;
                          }),
            0)
      << "no arm computed a gap of several blocks";
  // 64 prompts, 16 tokens, at least 8 arms.
  EXPECT_GE(compared_tokens_, 8'000U);
  std::printf("%s: %llu tokens and %llu logits compared\n", GetParam(),
              static_cast<unsigned long long>(compared_tokens_),
              static_cast<unsigned long long>(compared_logits_));
  daemon_->ExpectNothingHeld();
  daemon_->Stop();
}

// Found by a review: a block may end inside a physical batch that is not whole. What it holds then
// differs in its last bits from what a longer prompt computes there.
TEST_P(Ladder, BlocksMayBeSmallerThanPhysicalBatches) {
  const std::string& text = prompts_.all()[23].text;  // The longest.
  std::string lines;
  for (const std::size_t length : {103U, 163U, 203U, 203U, 427U, 500U}) {
    lines += json({{"prompt", text.substr(0, length)}}).dump() + "\n";
  }
  WriteFile(dir_ / "nested.jsonl", lines);
  const auto cold = Start("nested.jsonl", {"--cold"});
  ASSERT_TRUE(cold->Wait());
  std::uint64_t resumed = 0;
  for (int run = 0; run < 2; ++run) {
    const auto warm = Run("nested.jsonl", {"--block-tokens", "32"});
    for (std::size_t i = 0; i < cold->prompts().size(); ++i) {
      const json& with = warm->prompts()[i];
      const json& without = cold->prompts()[i];
      const auto from = with.at("resumed_at").get<std::ptrdiff_t>();
      resumed += static_cast<std::uint64_t>(from);
      EXPECT_EQ(with.at("generated_tokens"), without.at("generated_tokens"));
      const json tail(without.at("logits").begin() + from, without.at("logits").end());
      EXPECT_TRUE(with.at("logits") == tail) << "prompt " << i << " of run " << run;
    }
  }
  EXPECT_GT(resumed, 1000U);
}

// Near fidelity keeps the state after what was generated: the next prompt of the conversation goes
// on from there, inside a block. Without flash attention, whose tiles depend on the batch, rounding
// differs by less than any two likely tokens do.
TEST_P(Ladder, NearKeepsTheEndOfATurn) {
  const std::vector<std::string> near = {"--fidelity", "near", "--flash-attn", "off"};
  const LadderPrompt& first = prompts_.all()[25];  // A conversation's second turn.
  WriteFile(dir_ / "turn1.jsonl", json({{"prompt", first.text}}).dump() + "\n");
  const auto turn1 = Run("turn1.jsonl", near);
  const std::string answer = turn1->prompts()[0].at("output");
  ASSERT_EQ(answer.size(), kPredict) << "a byte a token, or the next prompt is another one";

  WriteFile(dir_ / "turn2.jsonl",
            json({{"prompt", first.text + answer + " User: and then?"}}).dump() + "\n");
  const auto turn2 = Run("turn2.jsonl", near);
  const json& warm = turn2->prompts()[0];
  // The token sampled last was never decoded. KV alone is kept in whole blocks.
  const std::uint32_t end = first.TokenCount() + kPredict - 1;
  const bool has_state = turn1->Space().checkpoint_bytes != 0;
  EXPECT_EQ(warm.at("resumed_at"), has_state ? end : end / kBlockTokens * kBlockTokens);
  const auto cold = Start("turn2.jsonl", {"--cold", "--flash-attn", "off"});
  ASSERT_TRUE(cold->Wait());
  EXPECT_EQ(warm.at("generated_tokens"), cold->prompts()[0].at("generated_tokens"));

  // Exact fidelity must not see it: it was computed by other kernels.
  const auto exact = Run("turn2.jsonl", {"--flash-attn", "off"});
  EXPECT_EQ(exact->prompts()[0].at("resumed_at"), 0);
}

INSTANTIATE_TEST_SUITE_P(Models, Ladder, LadderModels(), ModelTestName);

}  // namespace
}  // namespace cairn::test
