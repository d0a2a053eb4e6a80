#include "libcache/cluster/routing.h"

#include <algorithm>
#include <cstring>

#include "libcache/base/check.h"
#include "libcache/base/endian.h"

namespace cairn {
namespace {

// The lower of two names wins a tie, which needs 64 equal bits: the order of the members must not
// matter even then.
bool Wins(std::uint64_t weight, const Digest& name, std::uint64_t most, const Digest& holder) {
  if (weight != most) {
    return weight > most;
  }
  return name.low != holder.low ? name.low < holder.low : name.high < holder.high;
}

class Weights {
 public:
  explicit Weights(const PrefixKey& key) {
    std::memcpy(bytes_.data(), &key.bytes, PrefixKey::kBytes);
  }
  Digest Of(const Digest& name) {
    StoreLe(bytes_, PrefixKey::kBytes, name.low);
    StoreLe(bytes_, PrefixKey::kBytes + sizeof(name.low), name.high);
    return DigestOf(bytes_);
  }

 private:
  std::array<std::byte, PrefixKey::kBytes + 2 * sizeof(std::uint64_t)> bytes_{};
};

}  // namespace

RouteBlocks RouteBlocksOf(const RoutingRule& rule, std::size_t prompt_blocks,
                          std::uint32_t block_tokens) {
  const auto blocks = [block_tokens](std::uint32_t tokens) {
    return std::max<std::size_t>(tokens / block_tokens, 1);
  };
  RouteBlocks route;
  // Short prompts have the place of their first block: they may become longer.
  route.home = prompt_blocks >= blocks(rule.home_tokens) ? blocks(rule.home_tokens)
                                                         : std::min<std::size_t>(prompt_blocks, 1);
  route.spread = route.home;
  for (const std::uint32_t tokens : rule.spread_tokens) {
    if (prompt_blocks >= blocks(tokens)) {
      route.spread = blocks(tokens);
    }
  }
  return route;
}

Ring::Ring(std::span<const std::string> names) {
  names_.reserve(names.size());
  for (const std::string& name : names) {
    names_.push_back(DigestOf(std::as_bytes(std::span(name))));
  }
}

Ring::Candidates Ring::Pick(const PrefixKey& home, const PrefixKey& spread,
                            std::span<const std::uint8_t> usable) const {
  CAIRN_DCHECK(usable.size() == names_.size());
  constexpr auto kNone = static_cast<std::size_t>(-1);
  std::size_t first = kNone;
  std::uint64_t most = 0;
  Weights homes(home);
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::uint64_t weight = usable[i] != 0 ? homes.Of(names_[i]).low : 0;
    if (usable[i] != 0 && (first == kNone || Wins(weight, names_[i], most, names_[first]))) {
      first = i;
      most = weight;
    }
  }
  CAIRN_CHECK(first != kNone);
  std::size_t second = kNone;
  most = 0;
  Weights spreads(spread);
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const bool free = usable[i] != 0 && i != first;
    const std::uint64_t weight = free ? spreads.Of(names_[i]).high : 0;
    if (free && (second == kNone || Wins(weight, names_[i], most, names_[second]))) {
      second = i;
      most = weight;
    }
  }
  return {.first = first, .second = second == kNone ? first : second};
}

std::size_t Better(const RoutingRule& rule, std::uint32_t prompt_tokens,
                   const std::array<CandidateAnswer, 2>& answers) {
  const auto& [first, second] = answers;
  CAIRN_CHECK(first.answered || second.answered);
  if (!first.answered || !second.answered) {
    return first.answered ? 0 : 1;
  }
  const std::size_t deeper = second.resume_tokens > first.resume_tokens ? 1 : 0;
  const std::uint32_t gain = deeper == 1 ? second.resume_tokens - first.resume_tokens
                                         : first.resume_tokens - second.resume_tokens;
  const std::size_t lighter = second.load_permille < first.load_permille ? 1 : 0;
  const std::uint32_t apart = lighter == 1 ? first.load_permille - second.load_permille
                                           : second.load_permille - first.load_permille;
  if (gain > rule.worth * prompt_tokens) {
    return gain <= rule.cheap_tokens && apart >= rule.overload_permille ? lighter : deeper;
  }
  return apart >= rule.load_margin_permille || gain == 0 ? lighter : deeper;
}

bool AskAlone(const RoutingRule& rule, std::uint32_t prompt_tokens,
              const RememberedHolder& holder) {
  const CandidateAnswer expected{
      .answered = true, .resume_tokens = holder.tokens, .load_permille = holder.load_permille};
  const CandidateAnswer other{.answered = true, .load_permille = holder.other_load_permille};
  return Better(rule, prompt_tokens, {expected, other}) == 0;
}

bool Suffices(const RoutingRule& rule, const RememberedHolder& holder, std::uint32_t block_tokens,
              const CandidateAnswer& answer) {
  return answer.answered && answer.resume_tokens + block_tokens > holder.tokens &&
         answer.overlap_tokens <= answer.resume_tokens + rule.unserved_tokens;
}

}  // namespace cairn
