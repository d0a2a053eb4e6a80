#pragma once

#include <cstdint>
#include <memory>

#include "libcache/trace/generator_random.h"
#include "libcache/trace/trace.h"

namespace cairn {

/// Hands out segment ids. No two stretches of tokens of a generated trace share one.
class SegmentIds {
 public:
  TraceSegment Segment(std::uint32_t tokens) { return {.id = next_++, .tokens = tokens}; }

 private:
  std::uint64_t next_ = 0;
};

/// One growing session, chat, document or one-shot request. Owns its randomness, so that what it
/// says does not depend on who speaks in between.
class Conversation {
 public:
  virtual ~Conversation() = default;
  /// The prompt and the answer of the next turn, all but its arrival.
  virtual TraceRequest NextTurn(SegmentIds& ids) = 0;
  /// From this turn to the next.
  virtual std::uint64_t GapMs() = 0;
  [[nodiscard]] virtual std::uint32_t Turns() const = 0;
};

/// Traffic of one kind: what its conversations share, and how often a new one starts.
class Population {
 public:
  virtual ~Population() = default;
  virtual std::uint64_t StartGapMs(GeneratorRandom& random) = 0;
  /// How long so many requests take at the population's own pace, about: the starts of the
  /// conversations, then the length of one.
  [[nodiscard]] virtual std::uint64_t SpanMs(std::uint64_t requests) const = 0;
  virtual std::unique_ptr<Conversation> Start(std::uint32_t number, GeneratorRandom random,
                                              SegmentIds& ids) = 0;
};

std::unique_ptr<Population> MakeAgents(SegmentIds& ids, GeneratorRandom random);
std::unique_ptr<Population> MakeChats(SegmentIds& ids);
std::unique_ptr<Population> MakeDocuments(SegmentIds& ids);
std::unique_ptr<Population> MakeTemplates(SegmentIds& ids);

}  // namespace cairn
