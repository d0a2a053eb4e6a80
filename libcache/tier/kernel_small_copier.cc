#include "libcache/tier/kernel_small_copier.h"

#include <cstddef>
#include <string>

#include "kernels/cairn_kernels.h"

namespace cairn {
namespace {

// Of some 130. They hold 0.5 MB under way, many times what the wire does.
constexpr std::int32_t kMostBlocks = 16;

static_assert(sizeof(SmallCopier::Move) == sizeof(cairn_kernels_piece));
static_assert(offsetof(SmallCopier::Move, source) == offsetof(cairn_kernels_piece, source));
static_assert(offsetof(SmallCopier::Move, target) == offsetof(cairn_kernels_piece, target));
static_assert(offsetof(SmallCopier::Move, bytes) == offsetof(cairn_kernels_piece, bytes));

cairn_kernels_copy CallFor(std::span<const SmallCopier::Move> moves) {
  cairn_kernels_copy call{};
  call.struct_bytes = sizeof(call);
  call.count = static_cast<std::int32_t>(moves.size());
  call.pieces = reinterpret_cast<const cairn_kernels_piece*>(moves.data());
  call.max_blocks = kMostBlocks;
  return call;
}

class KernelSmallCopier final : public SmallCopier {
 public:
  Status Copy(void* stream, std::span<const Move> moves) override {
    const cairn_kernels_copy call = CallFor(moves);
    const cairn_kernels_status status = cairn_kernels_copy_cuda(&call, stream);
    if (status != CAIRN_KERNELS_OK) {
      return Fail(ErrorCode::kUnavailable, std::string("the copy kernel: ") +
                                               cairn_kernels_status_text(status) + ", CUDA error " +
                                               std::to_string(cairn_kernels_last_cuda_error()));
    }
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<SmallCopier>> OpenKernelSmallCopier() {
  const cairn_kernels_copy nothing = CallFor({});
  if (cairn_kernels_copy_cuda(&nothing, nullptr) == CAIRN_KERNELS_NO_DEVICE) {
    return Fail(ErrorCode::kUnsupported, "the kernels were built without CUDA");
  }
  return std::make_unique<KernelSmallCopier>();
}

}  // namespace cairn
