#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/base/key.h"

namespace cairn {

/// Where in a cluster a prompt belongs. All engines use the same rule and the same names, and so
/// agree without talking to each other (docs/decisions/0013-several-daemons.md has the figures).
struct RoutingRule {
  /// The first `home_tokens` of a prompt name its home, where all prompts that share them can meet.
  std::uint32_t home_tokens = 1024;
  /// The first so many tokens name its second candidate: the deepest of these that the prompt has,
  /// so that prompts which share a long system prompt spread. Ascending, each beyond home_tokens;
  /// for shorter prompts, and where there are none, home_tokens again with another hash.
  std::vector<std::uint32_t> spread_tokens = {4608};
  /// What more than this share of the prompt rests on is not given up for a lighter load ...
  double worth = 0.5;
  /// ... unless it is no more than this, and the loads differ by this: or all that begins with one
  /// long system prompt would stay where that is.
  std::uint32_t cheap_tokens = 8192;
  std::uint32_t overload_permille = 500;
  /// Loads that differ by less count as equal.
  std::uint32_t load_margin_permille = 300;
  /// A daemon that was asked alone knows what was asked for, be it stored elsewhere. If it knows
  /// more than so many tokens beyond what it can serve, the other candidate is asked too.
  std::uint32_t unserved_tokens = 256;
};

/// The places of a prompt whose keys the rule asks for, in whole blocks from its start. 0: the
/// prompt is shorter than a block; all such prompts of a namespace are one family.
struct RouteBlocks {
  std::size_t home = 0;
  std::size_t spread = 0;
};
RouteBlocks RouteBlocksOf(const RoutingRule& rule, std::size_t prompt_blocks,
                          std::uint32_t block_tokens);

/// Rendezvous hashing: of all members, the one whose hash with the key is highest. Which member
/// that is depends on the set of names alone, not on their order, and changes for a key only when
/// the winner leaves or a new member wins. The two candidates use independent hashes, the two
/// halves of one XXH3-128.
class Ring {
 public:
  /// Names must differ.
  explicit Ring(std::span<const std::string> names);

  /// Indices into the names. `second` differs from `first` where at least two are usable; with one,
  /// both are it. `usable` has an element per name, at least one of which is not 0.
  struct Candidates {
    std::size_t first = 0;
    std::size_t second = 0;
    bool operator==(const Candidates&) const = default;
  };
  [[nodiscard]] Candidates Pick(const PrefixKey& home, const PrefixKey& spread,
                                std::span<const std::uint8_t> usable) const;
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  std::vector<Digest> names_;
};

/// What a candidate said.
struct CandidateAnswer {
  bool answered = false;
  std::uint32_t resume_tokens = 0;  ///< Its deepest restorable boundary for this prompt.
  std::uint32_t load_permille = 0;
  std::uint32_t overlap_tokens = 0;  ///< What it knows of the prompt, resident or not.
};
/// 0 or 1: who serves the prompt, and stores what comes of it. Residency first, where it is worth
/// enough of the prompt; then load; then residency again. At least one must have answered.
std::size_t Better(const RoutingRule& rule, std::uint32_t prompt_tokens,
                   const std::array<CandidateAnswer, 2>& answers);

/// What an engine remembers of a prompt, before it asks.
struct RememberedHolder {
  std::uint32_t tokens = 0;  ///< Of the prompt, that one candidate could resume.
  std::uint32_t load_permille = 0;
  std::uint32_t other_load_permille = 0;  ///< Of the other candidate; both as told last.
};
/// Whether to ask the holder alone: it would be Better than one that has nothing.
bool AskAlone(const RoutingRule& rule, std::uint32_t prompt_tokens, const RememberedHolder& holder);
/// Whether the holder's answer will do, or the other candidate is to be asked after all: it still
/// has what is remembered, to the block, and knows of no more than that. What one daemon stores the
/// other candidate was told of, so it would know of more.
bool Suffices(const RoutingRule& rule, const RememberedHolder& holder, std::uint32_t block_tokens,
              const CandidateAnswer& answer);

}  // namespace cairn
