#include "libcache/base/timed_copy.h"

#include <algorithm>

#include "libcache/base/check.h"

namespace cairn {
namespace {

constexpr std::size_t kStretchBytes = 2U << 20U;

}  // namespace

std::optional<Digest> CopyAndDigestUntil(Pieces target, std::span<const std::byte> source,
                                         TimePoint deadline) {
  if (IsLate(deadline)) {
    return {};
  }
  if (source.size() <= kStretchBytes) {
    return CopyAndDigest(target, source);
  }
  CAIRN_CHECK(TotalBytes(target) >= source.size());
  Digester digester;
  std::size_t unchecked = 0;  // Copied since the clock was read.
  for (std::span<std::byte> piece : target) {
    while (!piece.empty() && !source.empty()) {
      const std::size_t bytes = std::min({piece.size(), source.size(), kStretchBytes - unchecked});
      digester.CopyAndUpdate(piece, source.first(bytes));
      piece = piece.subspan(bytes);
      source = source.subspan(bytes);
      unchecked += bytes;
      if (unchecked == kStretchBytes) {
        if (!source.empty() && IsLate(deadline)) {
          return {};
        }
        unchecked = 0;
      }
    }
  }
  return digester.Finish();
}

}  // namespace cairn
