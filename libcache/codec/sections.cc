#include "libcache/codec/sections.h"

#include <array>

#include "libcache/base/endian.h"

namespace cairn::internal {

void PutRans(const RansModel& model, std::span<const std::byte> stream, SectionWriter& writer) {
  const auto bytes = static_cast<std::uint32_t>(stream.size());
  std::array<std::byte, kMaxModelBytes> stored{};
  model.Store(stored);
  writer.Put(&bytes, 4);
  writer.Put(stored.data(), model.StoredBytes());
  writer.Put(stream.data(), stream.size());
}

bool TakeRans(SectionReader& reader, std::span<std::uint8_t> symbols) {
  const std::byte* const size = reader.Take(4);
  if (size == nullptr) {
    return false;
  }
  const auto bytes = LoadLe<std::uint32_t>({size, 4}, 0);
  const auto model = RansModel::Load(reader.left());
  if (!model || reader.Take(model->StoredBytes()) == nullptr) {
    return false;
  }
  const std::byte* const stream = reader.Take(bytes);
  return stream != nullptr && RansDecoder(*model).Decode({stream, bytes}, symbols).has_value();
}

}  // namespace cairn::internal
