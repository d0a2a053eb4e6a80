#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace cairn::llamacpp {

/// Walks over a blob. After the first step beyond its end nothing more is read and Ok() is false.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : rest_(bytes) {}

  /// The next integer; 0 at the end.
  template <class T>
  requires std::is_integral_v<T> T Next() {
    T value = 0;
    const std::span<const std::byte> bytes = Take(sizeof(T));
    if (!bytes.empty()) {
      std::memcpy(&value, bytes.data(), sizeof(T));
    }
    return value;
  }
  /// The next `bytes` bytes; none at the end.
  std::span<const std::byte> Take(std::uint64_t bytes) {
    if (!ok_ || bytes > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  [[nodiscard]] bool Ok() const { return ok_; }
  [[nodiscard]] bool AtEnd() const { return ok_ && rest_.empty(); }
  [[nodiscard]] std::uint64_t Left() const { return ok_ ? rest_.size() : 0; }

 private:
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

}  // namespace cairn::llamacpp
