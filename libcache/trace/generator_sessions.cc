#include <algorithm>
#include <string>

#include "libcache/trace/generator_parameters.h"
#include "libcache/trace/generator_populations.h"

namespace cairn {
namespace {

using parameters::Agent;
using parameters::Chat;

/// A conversation whose prompts grow: the prompt, its answer and a message make the next prompt.
class GrowingConversation : public Conversation {
 public:
  GrowingConversation(GeneratorRandom random, std::string tenant, std::string group)
      : random_(random), tenant_(std::move(tenant)), group_(std::move(group)) {}

 protected:
  [[nodiscard]] std::uint32_t PromptTokens() const {
    std::uint32_t tokens = 0;
    for (const TraceSegment& segment : prompt_) {
      tokens += segment.tokens;
    }
    return tokens;
  }
  /// Drops the last message, but for the opening, and says another one in its place.
  void EditLast(std::size_t opening, std::uint32_t tokens, SegmentIds& ids) {
    prompt_.resize(std::max(opening, prompt_.size() - 1));
    prompt_.push_back(ids.Segment(tokens));
  }
  TraceRequest Emit(std::uint32_t answer_tokens, SegmentIds& ids) {
    TraceRequest request;
    request.tenant = tenant_;
    request.group = group_;
    request.exact = true;
    request.path = prompt_;
    request.input_tokens = PromptTokens();
    answer_ = ids.Segment(answer_tokens);
    request.output_tokens = answer_.tokens;
    request.output_path = {answer_};
    return request;
  }

  GeneratorRandom random_;
  std::string tenant_;
  std::string group_;
  std::vector<TraceSegment> prompt_;  ///< Of the last turn.
  TraceSegment answer_;               ///< To it.
};

class AgentSession final : public GrowingConversation {
 public:
  AgentSession(GeneratorRandom random, std::uint32_t number, TraceSegment tools)
      : GrowingConversation(random, "agent", "agent-" + std::to_string(number)),
        tools_(tools),
        instruction_tokens_(Sample(Agent::kInstructionTokens, random_)),
        first_tokens_(Sample(Agent::kFirstTokens, random_)) {
    const std::uint32_t prompt = tools.tokens + instruction_tokens_ + first_tokens_;
    const bool is_long = prompt > Agent::kLongFirstTokens;
    const std::uint32_t permille = is_long ? Agent::kLongFirstTurnsPermille
                                   : prompt > Agent::kMediumFirstTokens
                                       ? Agent::kMediumFirstTurnsPermille
                                       : Agent::kShortFirstTurnsPermille;
    turns_ = std::max(1U, Sample(Agent::kTurns, random_) * permille / 1000);
    context_tokens_ = is_long || random_.Permille(Agent::kLongContextPermille)
                          ? Agent::kLongContextTokens
                          : Agent::kContextTokens;
  }

  [[nodiscard]] std::uint32_t Turns() const override { return turns_; }
  std::uint64_t GapMs() override { return Sample(Agent::kGapMs, random_); }

  TraceRequest NextTurn(SegmentIds& ids) override {
    if (prompt_.empty()) {
      prompt_ = {tools_, ids.Segment(instruction_tokens_), ids.Segment(first_tokens_)};
    } else {
      Continue(ids);
    }
    TraceRequest request = Emit(Sample(Agent::kOutputTokens, random_), ids);
    has_tail_ = random_.Permille(Agent::kVolatileTailPermille);
    if (has_tail_) {
      const TraceSegment tail = ids.Segment(1 + random_.Below(Agent::kVolatileTailTokens));
      request.path.push_back(tail);
      request.input_tokens += tail.tokens;
    }
    return request;
  }

 private:
  static constexpr std::size_t kOpening = 2;  ///< Tools and instructions.

  void Continue(SegmentIds& ids) {
    const std::uint32_t message = Sample(Agent::kTurnTokens, random_);
    const std::uint32_t tokens = PromptTokens();
    if (tokens + answer_.tokens + message > context_tokens_) {
      Rewrite(Sample(Agent::kSummaryTokens, random_), ids);
      return;
    }
    std::uint32_t chance = random_.Below(1000);
    if (chance < Agent::kEditPermille) {
      EditLast(kOpening, message, ids);
      return;
    }
    chance -= Agent::kEditPermille;
    if (chance < Agent::kRewritePermille && tokens > Agent::kRewriteMinTokens) {
      const std::uint32_t opening = prompt_[0].tokens + prompt_[1].tokens;
      const std::uint32_t history =
          (tokens - opening) / 100 * Sample(Agent::kRewritePercent, random_);
      Rewrite(1 + std::min(history, context_tokens_ - opening - 1), ids);
      return;
    }
    if (chance >= Agent::kRewritePermille &&
        chance < Agent::kRewritePermille + Agent::kRewindPermille) {
      const auto rest = static_cast<std::uint32_t>(prompt_.size() - kOpening);
      prompt_.resize(kOpening + random_.Below(rest));
    } else {
      // Behind a tail that is left out the answer begins at another place, so it is another
      // segment.
      prompt_.push_back(has_tail_ ? ids.Segment(answer_.tokens) : answer_);
    }
    prompt_.push_back(ids.Segment(message));
  }

  void Rewrite(std::uint32_t history, SegmentIds& ids) {
    const bool keeps = random_.Permille(Agent::kRewriteKeepsInstructionsPermille);
    prompt_.resize(keeps ? kOpening : kOpening - 1);
    prompt_.push_back(ids.Segment(history));
  }

  TraceSegment tools_;
  std::uint32_t instruction_tokens_;
  std::uint32_t first_tokens_;
  std::uint32_t turns_ = 0;
  std::uint32_t context_tokens_ = 0;
  bool has_tail_ = false;
};

class Agents final : public Population {
 public:
  Agents(SegmentIds& ids, GeneratorRandom random) : popularity_(Agent::kToolSets) {
    for (std::uint32_t i = 0; i < Agent::kToolSets; ++i) {
      tool_sets_.push_back(ids.Segment(Sample(Agent::kToolTokens, random)));
    }
  }
  std::uint64_t StartGapMs(GeneratorRandom& random) override {
    return SampleExponential(Agent::kStartGapMs, random);
  }
  [[nodiscard]] std::uint64_t SpanMs(std::uint64_t requests) const override {
    return requests * Agent::kStartGapMs / Agent::kMeanTurns + Agent::kMeanSessionMs;
  }
  std::unique_ptr<Conversation> Start(std::uint32_t number, GeneratorRandom random,
                                      SegmentIds& ids) override {
    const TraceSegment tools = random.Permille(Agent::kOwnToolSetPermille)
                                   ? ids.Segment(Sample(Agent::kToolTokens, random))
                                   : tool_sets_[popularity_.Draw(random)];
    return std::make_unique<AgentSession>(random, number, tools);
  }

 private:
  ZipfSampler popularity_;
  std::vector<TraceSegment> tool_sets_;
};

class ChatSession final : public GrowingConversation {
 public:
  ChatSession(GeneratorRandom random, std::uint32_t number, TraceSegment system)
      : GrowingConversation(random, "chat", "chat-" + std::to_string(number)),
        system_(system),
        turns_(Sample(Chat::kTurns, random_)) {}

  [[nodiscard]] std::uint32_t Turns() const override { return turns_; }
  std::uint64_t GapMs() override { return Sample(Chat::kGapMs, random_); }

  TraceRequest NextTurn(SegmentIds& ids) override {
    if (prompt_.empty()) {
      const std::uint32_t first = Sample(Chat::kFirstTokens, random_);
      const std::uint32_t opening = std::min(Sample(Chat::kOpeningTokens, random_), first / 2);
      prompt_ = {system_, ids.Segment(opening), ids.Segment(first - opening)};
    } else {
      Continue(ids);
    }
    return Emit(Sample(Chat::kOutputTokens, random_), ids);
  }

 private:
  static constexpr std::size_t kOpening = 2;  ///< System prompt and opening of the first message.

  void Continue(SegmentIds& ids) {
    const std::uint32_t message = Sample(Chat::kTurnTokens, random_);
    const std::uint32_t tokens = PromptTokens();
    const std::uint32_t chance = random_.Below(1000);
    if (chance < Chat::kEditPermille) {
      EditLast(kOpening, message, ids);
    } else if (tokens + answer_.tokens + message > Chat::kContextTokens ||
               (chance < Chat::kEditPermille + Chat::kRewritePermille &&
                tokens >= Chat::kRewriteMinTokens)) {
      const std::uint32_t opening = prompt_[0].tokens + prompt_[1].tokens;
      const std::uint32_t history = (tokens - opening) / 100 * (60 + random_.Below(60));
      prompt_.resize(kOpening);
      prompt_.push_back(ids.Segment(1 + std::min(history, Chat::kContextTokens - opening - 1)));
    } else {
      prompt_.push_back(answer_);
      prompt_.push_back(ids.Segment(message));
    }
  }

  TraceSegment system_;
  std::uint32_t turns_;
};

class Chats final : public Population {
 public:
  explicit Chats(SegmentIds& ids) : system_(ids.Segment(Chat::kSystemTokens)) {}
  std::uint64_t StartGapMs(GeneratorRandom& random) override {
    return SampleExponential(Chat::kStartGapMs, random);
  }
  [[nodiscard]] std::uint64_t SpanMs(std::uint64_t requests) const override {
    return requests * Chat::kStartGapMs * 10 / Chat::kMeanTurnsTenths + Chat::kMeanSessionMs;
  }
  std::unique_ptr<Conversation> Start(std::uint32_t number, GeneratorRandom random,
                                      SegmentIds& /*ids*/) override {
    return std::make_unique<ChatSession>(random, number, system_);
  }

 private:
  TraceSegment system_;
};

}  // namespace

std::unique_ptr<Population> MakeAgents(SegmentIds& ids, GeneratorRandom random) {
  return std::make_unique<Agents>(ids, random);
}
std::unique_ptr<Population> MakeChats(SegmentIds& ids) { return std::make_unique<Chats>(ids); }

}  // namespace cairn
