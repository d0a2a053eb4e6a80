// Namespaces as the SSD tier gives them back after a restart.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libcache/base/check.h"
#include "libcache/model/namespace_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = cairn::ParseCanonicalNamespace(text);
  if (spec) {
    // One text per namespace: what parses is exactly what would be written.
    CAIRN_CHECK(cairn::CanonicalNamespace(*spec) == text);
  } else {
    CAIRN_CHECK(spec.error().code == cairn::ErrorCode::kCorrupt);
  }
  return 0;
}
