#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcache/cache/cache.h"
#include "libcache/connector/llamacpp/connector.h"
#include "libcache/connector/llamacpp/request.h"
#include "tests/unit/libcache/connector/llamacpp/fake_llama.h"

namespace cairn::llamacpp {

/// An engine as its user sees it: a fake llama.cpp, a connector, and the loop of docs/engines/
/// llama.cpp.md around both.
struct Engine {
  std::unique_ptr<fake::FakeContext> context;
  std::unique_ptr<Connector> connector;
};

/// One request, run to its end.
struct Outcome {
  Resumption resumption;
  std::vector<std::uint32_t> stops;  ///< Where each llama_decode ended.
  std::uint64_t logits = 0;          ///< Of the prompt's last token.
};

/// Engines that share a cache in this process.
class ConnectorFixture : public ::testing::Test {
 protected:
  using Tokens = std::vector<Token>;

  void SetUp() override { OpenCache("turn_end_demand"); }

  void TearDown() override {
    const CacheStats stats = cache_->Stats();
    EXPECT_EQ(stats.leases, 0U) << "each must be given back";
    EXPECT_EQ(stats.reservations, 0U);
  }

  void OpenCache(const std::string& planner, std::uint64_t host_bytes = 16 * kMiB) {
    Cache::Config config;
    config.host_bytes = host_bytes;
    config.huge_pages = false;
    config.planner = planner;
    auto cache = Cache::Open(config, nullptr);
    ASSERT_TRUE(cache.has_value()) << ToString(cache.error());
    cache_ = std::move(*cache);
  }

  static TimePoint Soon() { return In(std::chrono::seconds(20)); }

  [[nodiscard]] ConnectorOptions Options(Fidelity fidelity = Fidelity::kExact) const {
    ConnectorOptions options;
    options.client.cache = cache_;
    options.weights_id = "weights of the test";
    options.fidelity = fidelity;
    options.match_timeout = options.load_timeout = options.store_timeout = std::chrono::seconds(20);
    options.always_load = true;  // The fake computes faster than any cache loads.
    return options;
  }

  static Result<std::unique_ptr<Connector>> TryOpen(fake::FakeContext& context,
                                                    const ConnectorOptions& options) {
    return Connector::Open(fake::MakeApi(), context.get(), ParamsOf(context.config), ModelParams{},
                           options);
  }
  static Engine Start(const fake::Config& config, const ConnectorOptions& options) {
    Engine engine;
    engine.context = std::make_unique<fake::FakeContext>(config);
    auto connector = TryOpen(*engine.context, options);
    EXPECT_TRUE(connector.has_value()) << ToString(connector.error());
    engine.connector = connector ? std::move(*connector) : nullptr;
    EXPECT_EQ(engine.context->PosMax(0), -1) << "it must leave the sequence empty";
    return engine;
  }
  Engine Start(const fake::Config& config, Fidelity fidelity = Fidelity::kExact) {
    return Start(config, Options(fidelity));
  }

  /// Decodes until the sequence holds the first `end` tokens of the prompt.
  static std::vector<std::uint32_t> Advance(Engine& engine, Request& request, SequenceId sequence,
                                            const Tokens& prompt, std::uint32_t end) {
    std::vector<std::uint32_t> stops;
    for (std::uint32_t at = request.position(); at < end; at = request.position()) {
      const std::uint32_t stop = std::min(request.NextStop(), end);
      EXPECT_GT(stop, at);
      if (stop <= at ||
          fake::DecodeRange(fake::MakeApi(), *engine.context, sequence, prompt, at, stop) != 0) {
        ADD_FAILURE() << "decode of [" << at << ", " << stop << ")";
        break;
      }
      request.Decoded(stop);
      stops.push_back(stop);
    }
    return stops;
  }
  /// The whole of a request; what it stored can be found when this returns.
  Outcome Run(Engine& engine, const Tokens& prompt, SequenceId sequence = 0,
              const Tokens& generated = {}) {
    Request request = engine.connector->Begin(sequence, prompt);
    Outcome outcome{.resumption = request.resumption(), .stops = {}, .logits = 0};
    EXPECT_EQ(request.position(), outcome.resumption.position);
    EXPECT_EQ(cache_->Stats().leases, 0U) << "what was loaded is not held any longer";
    EXPECT_LT(outcome.resumption.position, prompt.size());
    EXPECT_EQ(engine.context->PosMax(sequence),
              static_cast<Position>(outcome.resumption.position) - 1);
    const auto length = static_cast<std::uint32_t>(prompt.size());
    outcome.stops = Advance(engine, request, sequence, prompt, length);
    outcome.logits = engine.context->Logits(sequence);
    request.EndPrompt();
    Tokens all = prompt;
    for (const Token token : generated) {
      all.push_back(token);
      const auto end = static_cast<std::uint32_t>(all.size());
      EXPECT_EQ(fake::DecodeRange(fake::MakeApi(), *engine.context, sequence, all, end - 1, end),
                0);
    }
    request.EndTurn(generated);
    EXPECT_TRUE(engine.connector->Flush(Soon()));
    return outcome;
  }
  /// What a prefill without the cache gives.
  static std::uint64_t Cold(const fake::Config& config, const Tokens& prompt) {
    fake::FakeContext context(config);
    fake::Prefill(context, 0, prompt, static_cast<std::uint32_t>(prompt.size()));
    return context.Logits(0);
  }
  /// Runs it; it must resume at `position` without an error and give what a cold prefill gives.
  void ExpectResumes(Engine& engine, const Tokens& prompt, std::uint32_t position,
                     SequenceId sequence = 0, const Tokens& generated = {}) {
    const Outcome outcome = Run(engine, prompt, sequence, generated);
    EXPECT_EQ(outcome.resumption.position, position);
    EXPECT_FALSE(outcome.resumption.error.has_value()) << ToString(*outcome.resumption.error);
    EXPECT_EQ(outcome.logits, Cold(engine.context->config, prompt));
  }
  /// The next Begin of `prompt`, which is dropped at once.
  static Resumption Peek(Engine& engine, const Tokens& prompt, SequenceId sequence = 0) {
    const Request request = engine.connector->Begin(sequence, prompt);
    return request.resumption();
  }

  static Tokens Joined(Tokens first, const Tokens& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  }
  static Tokens First(const Tokens& tokens, std::size_t count) {
    return {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count)};
  }

  std::shared_ptr<Cache> cache_;
};

}  // namespace cairn::llamacpp
