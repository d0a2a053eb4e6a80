#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "libcache/base/check.h"
#include "libcache/codec/rans.h"

// Payloads are made of sections that begin at multiples of four bytes, as threads of a GPU read
// them; what is between them is zero.
namespace cairn::internal {

constexpr std::size_t Padded(std::size_t bytes) { return (bytes + 3) / 4 * 4; }

/// Appends sections to room that is known to suffice.
class SectionWriter {
 public:
  explicit SectionWriter(std::span<std::byte> out) : out_(out) {}
  void Put(const void* bytes, std::size_t size) {
    CAIRN_CHECK(Padded(size) <= out_.size() - at_);
    if (size != 0) {
      std::memcpy(out_.data() + at_, bytes, size);
    }
    std::fill_n(out_.data() + at_ + size, Padded(size) - size, std::byte{0});
    at_ += Padded(size);
  }
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  std::span<std::byte> out_;
  std::size_t at_ = 0;
};

/// Takes sections off the front of untrusted bytes; after a failure it is never Done.
class SectionReader {
 public:
  explicit SectionReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  /// Null if there is less left, or the padding is not zero.
  const std::byte* Take(std::size_t size) {
    if (size > bytes_.size() || Padded(size) > bytes_.size() ||
        std::any_of(bytes_.data() + size, bytes_.data() + Padded(size),
                    [](std::byte byte) { return byte != std::byte{0}; })) {
      bytes_ = {};
      failed_ = true;
      return nullptr;
    }
    const std::byte* const taken = bytes_.data();
    bytes_ = bytes_.subspan(Padded(size));
    return taken;
  }
  [[nodiscard]] std::span<const std::byte> left() const { return bytes_; }
  [[nodiscard]] bool Done() const { return !failed_ && bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
  bool failed_ = false;
};

/// Most bytes of a stored model.
inline constexpr std::size_t kMaxModelBytes = 32 + 512;

/// Bytes of the stream (u32), the model, the stream.
void PutRans(const RansModel& model, std::span<const std::byte> stream, SectionWriter& writer);
/// False if damaged; `symbols` then holds anything.
bool TakeRans(SectionReader& reader, std::span<std::uint8_t> symbols);

}  // namespace cairn::internal
