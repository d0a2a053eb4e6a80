#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/kv/check.h"
#include "kernels/kv/digest.h"
#include "kernels/kv/rope.h"
#include "kernels/launch/parts.h"

namespace cairn::kernels {
namespace {

/// One leaf, by runs of bytes that lie in one unit.
class CpuLeaf {
 public:
  CpuLeaf(const KvPlan& plan, const KvObject& object, std::int64_t leaf)
      : plan_(plan),
        object_(object),
        leaf_(leaf),
        first_((leaf - object.range.leaf_at) * CAIRN_KERNELS_LEAF_BYTES),
        bytes_(std::min<std::int64_t>(CAIRN_KERNELS_LEAF_BYTES, object.bytes - first_)),
        at_(static_cast<unsigned char*>(plan.args.objects) + object.range.object_at + first_) {}

  cairn_kernels_status Run() {
    return plan_.args.direction == CAIRN_KERNELS_KV_PACK ? Pack() : Unpack();
  }

 private:
  /// Calls visit(offset in the leaf, bytes, where that is in the pages, place) for all that is to
  /// be copied.
  template <class Visit>
  void ForEachRun(const Visit& visit) const {
    std::int64_t offset = 0;
    while (offset < bytes_) {
      const KvPlace place = PlaceOf(plan_, object_, first_ + offset);
      const std::int64_t count =
          std::min<std::int64_t>(plan_.args.unit_bytes - place.byte, bytes_ - offset);
      int error = CAIRN_KERNELS_OK;  // There is none: the lists were checked.
      if (unsigned char* paged = PagedAt(plan_, object_, place, error)) {
        visit(offset, count, paged, place);
      }
      offset += count;
    }
  }

  /// Copies a run; keys that are to be turned are. The partner of each byte is near `from`.
  void CopyRun(unsigned char* to, const unsigned char* from, std::int64_t count,
               const KvPlace& place) const {
    std::memcpy(to, from, static_cast<std::size_t>(count));
    if (object_.range.rope < 0 || place.kv != 0) {
      return;
    }
    const std::int64_t begin = std::max<std::int64_t>(0, plan_.rope_begin - place.byte);
    const std::int64_t end = std::min<std::int64_t>(count, plan_.rope_end - place.byte);
    for (std::int64_t i = begin; i < end; i += 4) {
      KvPlace at = place;
      at.byte = static_cast<std::int32_t>(place.byte + i);
      std::uint32_t words[2];
      std::memcpy(&words[0], from + i, 4);
      std::memcpy(&words[1], from + i + PartnerAt(plan_, at.byte), 4);
      const std::uint32_t turned =
          TurnedWord(plan_, AnglesOf(plan_, object_, at), at.byte, words[0], words[1]);
      std::memcpy(to + i, &turned, 4);
    }
  }

  cairn_kernels_digest Digest() const {
    if (bytes_ == CAIRN_KERNELS_LEAF_BYTES) {
      return LeafDigest(at_);
    }
    unsigned char filled[CAIRN_KERNELS_LEAF_BYTES] = {};
    std::memcpy(filled, at_, static_cast<std::size_t>(bytes_));
    return LeafDigest(filled);
  }

  cairn_kernels_status Pack() const {
    ForEachRun([&](std::int64_t offset, std::int64_t count, const unsigned char* paged,
                   const KvPlace& place) { CopyRun(at_ + offset, paged, count, place); });
    if (plan_.args.leaves != nullptr) {
      plan_.args.leaves[leaf_] = Digest();
    }
    return CAIRN_KERNELS_OK;
  }

  cairn_kernels_status Unpack() const {
    if (plan_.args.leaves != nullptr) {
      const cairn_kernels_digest digest = Digest();
      const cairn_kernels_digest& expected = plan_.args.leaves[leaf_];
      if (digest.low != expected.low || digest.high != expected.high) {
        return CAIRN_KERNELS_CHECKSUM;
      }
    }
    ForEachRun([&](std::int64_t offset, std::int64_t count, unsigned char* paged,
                   const KvPlace& place) { CopyRun(paged, at_ + offset, count, place); });
    return CAIRN_KERNELS_OK;
  }

  const KvPlan& plan_;
  const KvObject& object_;
  const std::int64_t leaf_;
  const std::int64_t first_;
  const std::int64_t bytes_;
  unsigned char* const at_;
};

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_kv_cpu(const cairn_kernels_kv* args, int32_t part,
                                                     int32_t parts) {
  using namespace cairn::kernels;
  KvPlan plan{};
  if (const auto status = CheckKv(args, plan)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (plan.word_bytes == 0) {
    return CAIRN_KERNELS_OK;
  }
  if (const auto status = CheckKvLists(plan)) {
    return status;
  }
  const std::int64_t all = args->leaf_count;
  const auto [first, last] = ShareOf(all, part, parts);
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  for (int r = 0; r < args->range_count; ++r) {
    KvObject object{};
    ReadKvObject(plan, args->ranges[r], object);
    const std::int64_t begin = object.range.leaf_at;
    for (std::int64_t leaf = std::max(first, begin); leaf < std::min(last, begin + object.leaves);
         ++leaf) {
      if (const auto wrong = CpuLeaf(plan, object, leaf).Run()) {
        status = wrong;
      }
    }
  }
  return status;
}
