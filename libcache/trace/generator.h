#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "libcache/base/result.h"
#include "libcache/trace/trace.h"

namespace cairn {

/// A made-up workload: which kinds of traffic, in which shares of the requests. What each kind is
/// like, and how close it comes to the traces it was fitted to: docs/traces.md, "Generator".
struct GeneratorConfig {
  std::uint64_t seed = 1;
  std::uint32_t requests = 1000;
  /// Shares relative to their sum. A kind of weight 0 is absent.
  std::uint32_t agent_weight = 0;      ///< Growing coding sessions with a shared tool prompt.
  std::uint32_t chat_weight = 0;       ///< Chats behind one short system prompt; many one-shots.
  std::uint32_t documents_weight = 0;  ///< Several short questions on each long document.
  std::uint32_t templates_weight = 0;  ///< One-shot requests on Zipf-popular system prompts.
  /// Of the block ids that a writer gives the requests, which are exact themselves.
  std::uint32_t block_tokens = 64;
};

/// "agent", "chat", "documents", "templates", "mixed".
std::span<const std::string_view> GeneratorScenarios();

/// The weights of a scenario. Errors: kInvalidArgument, the message lists the names.
Result<GeneratorConfig> GeneratorScenario(std::string_view name, std::uint64_t seed,
                                          std::uint32_t requests);

/// Makes up exact requests in order of arrival. The same config gives the same requests with every
/// compiler and on every machine: integers only, and no generator of the standard library. Every
/// kind of traffic runs at its own pace; in a mix the faster ones are slowed down so that all of
/// them take equally long. Memory is what the open sessions hold.
class TraceGenerator final : public TraceReader {
 public:
  /// Errors: kInvalidArgument when all weights or block_tokens are 0.
  static Result<std::unique_ptr<TraceGenerator>> Create(const GeneratorConfig& config);
  ~TraceGenerator() override;

  Result<std::optional<TraceRequest>> Next() override;
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> Progress() const override;

 private:
  class Schedule;
  TraceGenerator(std::uint32_t requests, std::uint32_t block_tokens,
                 std::unique_ptr<Schedule> schedule);

  std::uint32_t requests_;
  std::uint32_t block_tokens_;
  std::uint32_t emitted_ = 0;
  std::unique_ptr<Schedule> schedule_;
};

}  // namespace cairn
