#include "libcache/model/prefix_key.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <memory>

#include "libcache/base/check.h"
#include "libcache/base/endian.h"

namespace cairn {
namespace {

constexpr std::string_view kSeedLabel = "cairn/v1";
constexpr std::string_view kTailLabel = "tail";

/// Fetched once: the look-up by name takes longer than hashing a short block. Never freed, since
/// threads may still hash while the process exits.
const EVP_MD* Sha256Method() {
  static const EVP_MD* const method = [] {
    const EVP_MD* fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    CAIRN_CHECK(fetched != nullptr);
    return fetched;
  }();
  return method;
}

/// One hash at a time over pieces that are joined. Each thread reuses one context: making one costs
/// two allocations.
class Sha256 {
 public:
  Sha256() : context_(ThreadContext()) {
    CAIRN_CHECK(EVP_DigestInit_ex(context_, Sha256Method(), nullptr) == 1);
  }

  Sha256& Add(std::span<const std::byte> bytes) {
    CAIRN_CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
    return *this;
  }
  Sha256& Add(std::string_view text) { return Add(std::as_bytes(std::span(text))); }
  /// Tokens are hashed as they lie in memory, which endian.h asserts is little-endian.
  Sha256& Add(std::span<const std::uint32_t> tokens) { return Add(std::as_bytes(tokens)); }

  PrefixKey Finish() {
    PrefixKey key;
    unsigned int size = 0;
    CAIRN_CHECK(EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(key.bytes.data()),
                                   &size) == 1);
    CAIRN_CHECK(size == PrefixKey::kBytes);
    return key;
  }

 private:
  static EVP_MD_CTX* ThreadContext() {
    thread_local const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                                  EVP_MD_CTX_free);
    CAIRN_CHECK(context != nullptr);
    return context.get();
  }

  EVP_MD_CTX* context_;
};

template <class T>
void AppendLe(std::string& text, T value) {
  std::array<std::byte, sizeof(T)> bytes{};
  StoreLe<T>(bytes, 0, value);
  text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void AppendField(std::string& text, std::string_view value) {
  AppendLe<std::uint64_t>(text, value.size());
  text += value;
}

/// Integers carry their length like texts, so that one rule reads the whole.
template <class T>
requires std::is_integral_v<T>
void AppendField(std::string& text, T value) {
  AppendLe<std::uint64_t>(text, sizeof(T));
  AppendLe<T>(text, value);
}

}  // namespace

std::string CanonicalNamespace(const NamespaceSpec& spec) {
  std::string text;
  AppendField(text, spec.tenant);
  AppendField(text, spec.model);
  AppendField(text, spec.revision);
  AppendField(text, spec.dtype);
  AppendField(text, spec.layout);
  AppendField(text, spec.kernel);
  AppendField(text, spec.adapter);
  AppendField(text, spec.tp_rank);
  AppendField(text, spec.tp_size);
  AppendField(text, spec.salt);
  AppendField(text, spec.block_tokens);
  AppendField(text, spec.kv_bytes_per_token);
  AppendField(text, spec.checkpoint_bytes);
  if (spec.fidelity != Fidelity::kExact) {
    AppendField(text, FidelityName(spec.fidelity));
    AppendField(text, std::string_view(spec.checkpoint_shape));
    AppendField(text, std::string_view(spec.kv_shape));
  }
  return text;
}

PrefixKey NamespaceSeed(const TenantKey& tenant_key, const NamespaceSpec& spec) {
  const std::string message = std::string(kSeedLabel) + CanonicalNamespace(spec);
  PrefixKey seed;
  unsigned int size = 0;
  const unsigned char* done =
      HMAC(Sha256Method(), tenant_key.bytes.data(), static_cast<int>(tenant_key.bytes.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(),
           reinterpret_cast<unsigned char*>(seed.bytes.data()), &size);
  CAIRN_CHECK(done != nullptr);
  CAIRN_CHECK(size == PrefixKey::kBytes);
  return seed;
}

PrefixKey NextBlockKey(const PrefixKey& parent, std::span<const std::uint32_t> tokens,
                       std::string_view extra) {
  return Sha256().Add(parent.bytes).Add(tokens).Add(extra).Finish();
}

PrefixKey TailKey(const PrefixKey& parent, std::span<const std::uint32_t> tail_tokens) {
  if (tail_tokens.empty()) {
    return parent;
  }
  return Sha256().Add(parent.bytes).Add(kTailLabel).Add(tail_tokens).Finish();
}

PrefixKey ForeignBlockKey(const PrefixKey& seed, std::span<const std::byte> engine_hash) {
  return Sha256().Add(seed.bytes).Add(engine_hash).Finish();
}

std::vector<PrefixKey> BlockKeys(const PrefixKey& seed, std::span<const std::uint32_t> tokens,
                                 std::uint32_t block_tokens) {
  CAIRN_CHECK(block_tokens > 0);
  const std::size_t blocks = tokens.size() / block_tokens;
  std::vector<PrefixKey> keys;
  keys.reserve(blocks);
  PrefixKey key = seed;
  for (std::size_t i = 0; i < blocks; ++i) {
    key = NextBlockKey(key, tokens.subspan(i * block_tokens, block_tokens));
    keys.push_back(key);
  }
  return keys;
}

}  // namespace cairn
