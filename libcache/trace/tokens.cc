#include <algorithm>
#include <span>

#include "libcache/base/check.h"
#include "libcache/trace/blocks.h"
#include "libcache/trace/mix.h"
#include "libcache/trace/trace.h"

namespace cairn {
namespace {

/// Fills segments with tokens by the rule of docs/traces.md, "Token ids": token 0 is id mod range,
/// token 1 is id / range mod range, token i is a hash of id * golden ratio + i.
class TokenFiller {
 public:
  TokenFiller(std::uint32_t vocab, std::uint32_t first)
      : first_(first), range_(vocab - first), reciprocal_(~std::uint64_t{0} / range_) {}

  void Fill(std::uint64_t id, std::span<std::uint32_t> out) const {
    if (!out.empty()) {
      out[0] = first_ + static_cast<std::uint32_t>(id % range_);
    }
    if (out.size() > 1) {
      out[1] = first_ + static_cast<std::uint32_t>(id / range_ % range_);
    }
    // The counter is 128 bits wide in the rule. Its high word changes at most once in a segment, so
    // the loop is cut there and runs on the low word alone.
    const Uint128 counter = static_cast<Uint128>(id) * kGoldenRatio;
    const auto low = static_cast<std::uint64_t>(counter);
    const auto high = static_cast<std::uint64_t>(counter >> 64U);
    const std::size_t wrap = low == 0 ? out.size() : std::min<std::size_t>(out.size(), 0 - low);
    FillHashed(low, high, 2, wrap, out);
    FillHashed(low, high + 1, std::max<std::size_t>(2, wrap), out.size(), out);
  }

 private:
  void FillHashed(std::uint64_t low, std::uint64_t high, std::size_t begin, std::size_t end,
                  std::span<std::uint32_t> out) const {
    const std::uint64_t carry = high << 34U;
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint64_t x = low + i;
      out[i] = first_ + Reduce(MixTail((x ^ (x >> 30U) ^ carry) * kMixFirst));
    }
  }

  /// value % range_ by the reciprocal: the quotient is at most one too small.
  [[nodiscard]] std::uint32_t Reduce(std::uint64_t value) const {
    const auto quotient =
        static_cast<std::uint64_t>((static_cast<Uint128>(value) * reciprocal_) >> 64U);
    const std::uint64_t rest = value - quotient * range_;
    return static_cast<std::uint32_t>(rest >= range_ ? rest - range_ : rest);
  }

  std::uint32_t first_;
  std::uint32_t range_;
  std::uint64_t reciprocal_;
};

std::vector<std::uint32_t> PathTokens(std::span<const TraceSegment> path, std::uint32_t tokens,
                                      std::uint64_t unique, const TokenFiller& filler) {
  std::vector<std::uint32_t> out(tokens);
  std::span<std::uint32_t> rest(out);
  for (const TraceSegment& segment : path) {
    const std::size_t size = std::min<std::size_t>(segment.tokens, rest.size());
    filler.Fill(segment.id, rest.first(size));
    rest = rest.subspan(size);
  }
  // Counted down from the top so that it meets no segment id of any trace.
  filler.Fill(~unique, rest);
  return out;
}

}  // namespace

std::vector<std::uint32_t> TraceTokens(const TraceRequest& request, std::uint64_t unique,
                                       std::uint32_t vocab, std::uint32_t first) {
  CAIRN_CHECK(first < vocab);
  return PathTokens(request.path, request.input_tokens, unique, TokenFiller(vocab, first));
}

std::vector<std::uint32_t> TraceOutputTokens(const TraceRequest& request, std::uint64_t unique,
                                             std::uint32_t vocab, std::uint32_t first) {
  CAIRN_CHECK(first < vocab);
  // Another salt than the prompt's, else a hidden tail and a hidden answer would be equal.
  return PathTokens(request.output_path, request.output_tokens, unique ^ (std::uint64_t{1} << 62U),
                    TokenFiller(vocab, first));
}

TraceRequest AsBlocks(const TraceRequest& request, std::uint32_t block_tokens) {
  CAIRN_CHECK(block_tokens > 0);
  TraceRequest out;
  out.arrival_s = request.arrival_s;
  out.tenant = request.tenant;
  out.group = request.group;
  out.input_tokens = request.input_tokens;
  out.output_tokens = request.output_tokens;
  out.block_tokens = block_tokens;
  out.path.reserve(request.input_tokens / block_tokens);
  VisitBlocks(request, block_tokens, [&out, block_tokens](std::uint64_t id) {
    out.path.push_back({.id = id, .tokens = block_tokens});
  });
  return out;
}

}  // namespace cairn
