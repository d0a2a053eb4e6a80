#include "libcache/solver/trie_instance.h"

#include <algorithm>
#include <limits>
#include <string>

namespace cairn {
namespace {

tl::unexpected<Error> Bad(const char* field, std::size_t index, const char* what) {
  return Fail(ErrorCode::kInvalidArgument,
              std::string(field) + "[" + std::to_string(index) + "]: " + what);
}

/// No comparison is true of NaN, so this refuses it too.
bool FiniteAndNotNegative(double value) {
  return value >= 0 && value <= std::numeric_limits<double>::max();
}

Status ValidateLengths(const TrieInstance& trie) {
  const std::size_t n = trie.Size();
  if (n > kMaxTrieNodes) {
    return Fail(ErrorCode::kInvalidArgument, "parent: " + std::to_string(n) + " nodes, at most " +
                                                 std::to_string(kMaxTrieNodes) + " can be solved");
  }
  const struct {
    const char* field;
    std::size_t size;
    bool may_be_empty;
  } lengths[] = {{"potential", trie.potential.size(), false},
                 {"weight", trie.weight.size(), false},
                 {"checkpoint_bytes", trie.checkpoint_bytes.size(), true},
                 {"kv_bytes", trie.kv_bytes.size(), true},
                 {"allowed", trie.allowed.size(), true},
                 {"fetch", trie.fetch.size(), true}};
  for (const auto& [field, size, may_be_empty] : lengths) {
    if (size != n && !(may_be_empty && size == 0)) {
      return Fail(ErrorCode::kInvalidArgument, std::string(field) + ": " + std::to_string(size) +
                                                   " entries for " + std::to_string(n) + " nodes");
    }
  }
  return {};
}

Status ValidateTree(const TrieInstance& trie) {
  for (std::size_t v = 0; v < trie.Size(); ++v) {
    if (v > 0 && trie.parent[v] >= v) {
      return Bad("parent", v, "must be below its own index");
    }
    if (!FiniteAndNotNegative(trie.potential[v])) {
      return Bad("potential", v, "must be finite and not negative");
    }
    if (v > 0 && trie.potential[v] <= trie.potential[trie.parent[v]]) {
      return Bad("potential", v, "must be above the parent's");
    }
    if (!FiniteAndNotNegative(trie.weight[v])) {
      return Bad("weight", v, "must be finite and not negative");
    }
    if (v > 0 && !trie.fetch.empty() && !FiniteAndNotNegative(trie.fetch[v])) {
      return Bad("fetch", v, "must be finite and not negative");
    }
  }
  return {};
}

Status ValidateTotals(const TrieInstance& trie) {
  std::uint64_t bytes = 0;
  double weight = 0;
  double highest = 0;
  for (std::size_t v = 1; v < trie.Size(); ++v) {
    if (trie.CheckpointBytes(v) > kMaxTrieBytes - bytes) {
      return Bad("checkpoint_bytes", v, "all bytes together must not exceed 2^53");
    }
    bytes += trie.CheckpointBytes(v);
    if (trie.KvBytes(v) > kMaxTrieBytes - bytes) {
      return Bad("kv_bytes", v, "all bytes together must not exceed 2^53");
    }
    bytes += trie.KvBytes(v);
    weight += trie.weight[v];
    highest = std::max(highest, trie.potential[v]);
  }
  if (!(weight * highest <= kMaxTrieCost)) {
    return Fail(ErrorCode::kInvalidArgument, "weight: sum times highest potential exceeds 1e300");
  }
  return {};
}

}  // namespace

Status Validate(const TrieInstance& trie) {
  if (auto status = ValidateLengths(trie); !status) {
    return status;
  }
  if (auto status = ValidateTree(trie); !status) {
    return status;
  }
  return ValidateTotals(trie);
}

Status ValidatePrice(double price_per_byte) {
  if (!FiniteAndNotNegative(price_per_byte)) {
    return Fail(ErrorCode::kInvalidArgument, "price_per_byte: must be finite and not negative");
  }
  return {};
}

}  // namespace cairn
