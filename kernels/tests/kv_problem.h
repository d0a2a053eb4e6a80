#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cairn_kernels.h"
#include "kernels/tests/backend.h"

namespace cairn::kernels::test {

using Bytes = std::vector<std::byte>;

/// Tokens of one object, and the pages that they are in.
struct KvTokens {
  int object_tokens = 0;
  int object_first = 0;
  int tokens = 0;
  int first_token = 0;
  std::vector<std::int32_t> pages{};
  int rope = -1;
};

/// A pack or unpack and its data; bytes of pages and objects depend on the seed alone.
struct KvProblem {
  bool unpack = false;
  int kind = CAIRN_KERNELS_KV_VLLM_NHD;
  cairn_kernels_kv_shape shape = {
      .layers = 3, .kv = 2, .heads = 2, .unit_bytes = 64, .pages = 7, .page_tokens = 4};
  bool parts = false;  ///< A pointer for each layer's K and V.
  bool digests = false;
  bool skip_missing = false;
  int max_blocks = 0;
  int gap = 0;    ///< Bytes between objects, which must stay as they are.
  int shift = 0;  ///< How far from a multiple of 16 everything begins.
  std::vector<KvTokens> ranges{};
  int rope_style = CAIRN_KERNELS_ROPE_HALVES;
  int rope_dtype = CAIRN_KERNELS_BF16;
  int rope_pairs = 0;  ///< 0: no table.
  int rope_first = 0;
  std::vector<float> rope_table{};
  Bytes objects{};                             ///< Empty: random.
  std::vector<cairn_kernels_digest> leaves{};  ///< What unpacking compares with.
  std::function<void(cairn_kernels_kv&, Backend&)> change{};

  std::int64_t token_bytes() const {
    return std::int64_t{shape.layers} * shape.kv * shape.heads * shape.unit_bytes;
  }
  std::int64_t object_at(std::size_t range) const;
  std::int64_t leaf_at(std::size_t range) const;
};

Bytes PagesOf(const KvProblem& problem);
Bytes ObjectsOf(const KvProblem& problem);

struct KvResult {
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  Bytes pages, objects;
  std::vector<cairn_kernels_digest> leaves;
};
KvResult Run(const KvProblem& problem, Backend& backend);

/// What must come out, byte by byte, keys not turned; digests by the CPU's LeafDigest.
KvResult ExpectedOf(const KvProblem& problem);

bool Same(const std::vector<cairn_kernels_digest>& a, const std::vector<cairn_kernels_digest>& b);

}  // namespace cairn::kernels::test
