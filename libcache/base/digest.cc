#include "libcache/base/digest.h"

#include <algorithm>
#include <cstring>

#include "libcache/base/check.h"
#include "libcache/base/digest_kernels.h"

namespace cairn {
namespace {

const internal::DigestKernels& Kernels() {
  static const internal::DigestKernels* const chosen =
      internal::Avx2Kernels() != nullptr ? internal::Avx2Kernels() : &internal::kKernels;
  return *chosen;
}

}  // namespace

static_assert(sizeof(XXH3_state_t) <= 576 && alignof(XXH3_state_t) <= 64);

Digest DigestOf(std::span<const std::byte> bytes) {
  return Kernels().digest(bytes.data(), bytes.size());
}

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): reset fills it, twice would be waste.
Digester::Digester() {
  XXH3_INITSTATE(reinterpret_cast<XXH3_state_t*>(state_));
  XXH3_128bits_reset(reinterpret_cast<XXH3_state_t*>(state_));
}

void Digester::Update(std::span<const std::byte> bytes) {
  Kernels().update(state_, bytes.data(), bytes.size());
}

void Digester::CopyAndUpdate(std::span<std::byte> target, std::span<const std::byte> source) {
  CAIRN_CHECK(target.size() >= source.size());
  Kernels().copy_and_update(state_, target.data(), source.data(), source.size());
}

Digest Digester::Finish() const {
  return internal::FromXxh(XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(state_)));
}

Digest CopyAndDigest(std::span<std::byte> target, std::span<const std::byte> source) {
  CAIRN_CHECK(target.size() >= source.size());
  if (source.empty()) {
    return DigestOf(source);
  }
  if (source.size() <= internal::kOneShotBytes) {
    std::memcpy(target.data(), source.data(), source.size());
    return DigestOf(source);
  }
  Digester digester;
  digester.CopyAndUpdate(target, source);
  return digester.Finish();
}

std::size_t TotalBytes(Pieces pieces) {
  std::size_t bytes = 0;
  for (const std::span<std::byte> piece : pieces) {
    bytes += piece.size();
  }
  return bytes;
}

Digest CopyAndDigest(Pieces target, std::span<const std::byte> source) {
  if (target.size() == 1) {
    return CopyAndDigest(target.front(), source);
  }
  CAIRN_CHECK(TotalBytes(target) >= source.size());
  Digester digester;
  for (const std::span<std::byte> piece : target) {
    const std::size_t bytes = std::min(piece.size(), source.size());
    digester.CopyAndUpdate(piece, source.first(bytes));
    source = source.subspan(bytes);
  }
  return digester.Finish();
}

}  // namespace cairn
