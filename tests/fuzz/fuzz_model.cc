// Model descriptions that a user writes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libcache/base/check.h"
#include "libcache/model/model_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = cairn::ParseModelSpec(text);
  if (!spec) {
    CAIRN_CHECK(spec.error().code == cairn::ErrorCode::kInvalidArgument);
    CAIRN_CHECK(!spec.error().message.empty());
    return 0;
  }
  // Within the limits that parsing promises, no size overflows (UBSan looks on).
  CAIRN_CHECK(spec->KvBytesPerToken() != 0 || spec->CheckpointBytes() != 0);
  CAIRN_CHECK(spec->HasRecurrence() == (spec->CheckpointBytes() != 0));
  CAIRN_CHECK(!spec->DTypeText().empty());
  const bool packed = spec->kv_shape == cairn::kPackedShape;
  CAIRN_CHECK(packed || spec->KvShape() == spec->kv_shape);
  static_cast<void>(spec->CheckpointShape());
  return 0;
}
