#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/fidelity.h"
#include "libcache/base/key.h"

namespace cairn {

/// Secret of a tenant, under which its namespace seeds are made. All zero for a single user.
struct TenantKey {
  std::array<std::byte, 32> bytes{};
};

/// Everything that must agree before two requests may share state (docs/formats/keys.md).
struct NamespaceSpec {
  std::string tenant = "default";
  std::string model;
  std::string revision;
  std::string dtype;
  std::string layout;
  std::string kernel;
  std::string adapter;
  std::uint32_t tp_rank = 0;
  std::uint32_t tp_size = 1;
  std::string salt;
  std::uint32_t block_tokens = 0;
  std::uint64_t kv_bytes_per_token = 0;  ///< 0: purely recurrent.
  std::uint64_t checkpoint_bytes = 0;    ///< 0: no recurrent layers.
  std::uint32_t grid_tokens = 0;         ///< Checkpoints at multiples only; 0 means block_tokens.
  Fidelity fidelity = Fidelity::kExact;
  /// How objects divide into matrices (libcache/codec/object_shape.h); empty: not declared. Without
  /// meaning in an exact namespace, and then no part of its keys.
  std::string checkpoint_shape = {};
  std::string kv_shape = {};

  bool operator==(const NamespaceSpec&) const = default;
};

/// Length-prefixed fields in declaration order, so that no two specs share a text. The text is
/// binary: lengths and integers are little-endian. grid_tokens is left out: it restricts placement,
/// not what bytes mean. So are fidelity and shapes where the fidelity is exact: what says nothing
/// of them has the keys it always had. namespace_text.h reads it back.
std::string CanonicalNamespace(const NamespaceSpec& spec);

/// seed = HMAC-SHA256(tenant key, "cairn/v1" || canonical namespace). It is key_0.
PrefixKey NamespaceSeed(const TenantKey& tenant_key, const NamespaceSpec& spec);

/// key_i = SHA-256(key_{i-1} || tokens of the block as little-endian u32 || extra).
/// `extra` carries content hashes of images and the like inside the block; usually empty. `tokens`
/// must be a whole block (all blocks of a namespace are equally long): only that tells where the
/// tokens end and `extra` begins.
PrefixKey NextBlockKey(const PrefixKey& parent, std::span<const std::uint32_t> tokens,
                       std::string_view extra = {});

/// Key of a position inside a block: SHA-256(key of the block before || "tail" || tail tokens).
/// A position on a block boundary has no tail and one name only: with no tokens this is `parent`.
PrefixKey TailKey(const PrefixKey& parent, std::span<const std::uint32_t> tail_tokens);

/// For engines that already have a collision-resistant chained hash per block (vLLM sha256_cbor):
/// SHA-256(seed || engine hash).
PrefixKey ForeignBlockKey(const PrefixKey& seed, std::span<const std::byte> engine_hash);

/// Keys of all whole blocks of `tokens`, shallow to deep: floor(tokens.size() / block_tokens) of
/// them. block_tokens must be positive. Measured with SHA extensions: 0.7 ns per byte and 0.1 us
/// per block, so 131,072 tokens take 0.4 ms in blocks of 512 and 1.3 ms in blocks of 16.
std::vector<PrefixKey> BlockKeys(const PrefixKey& seed, std::span<const std::uint32_t> tokens,
                                 std::uint32_t block_tokens);

}  // namespace cairn
