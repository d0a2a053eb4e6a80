// Headers of objects and stamps of files, as they come from a disk that may have damaged them.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "libcache/base/check.h"
#include "libcache/tier/ssd_record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto header = cairn::DecodeHeader(bytes)) {
    CAIRN_CHECK(header->record.bytes != 0);
    const auto again = cairn::EncodeHeader(*header);
    CAIRN_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  }
  if (const auto object = cairn::DecodeObject(bytes)) {
    const auto again = cairn::EncodeObject(*object);
    CAIRN_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  }
  if (const auto location = cairn::ParseObjectKey(text)) {
    const auto key = cairn::ObjectKeyOf(*location);
    CAIRN_CHECK(std::string_view(key.data(), key.size()) == text);
  }
  static_cast<void>(cairn::SegmentOfKey(text));
  for (const std::string_view name : {"cairn-ssd", "cairn-durable"}) {
    if (const auto number = cairn::ParseStamp(name, text)) {
      CAIRN_CHECK(cairn::FormatStamp(name, *number) == text);
    }
  }
  return 0;
}
