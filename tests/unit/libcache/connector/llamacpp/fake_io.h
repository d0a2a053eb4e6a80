#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

/// How the fake llama.cpp writes and reads its state blobs.
namespace cairn::llamacpp::fake {

using Bytes = std::vector<std::byte>;

/// A hash of both; not symmetric.
inline std::uint64_t Mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9E3779B97F4A7C15ULL + b + 0x632BE59BD9B4E019ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

inline void Fill(std::span<std::byte> out, std::uint64_t seed) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::byte>(Mix(seed, i / 8) >> (i % 8 * 8));
  }
}

/// A blob in the making, and which of its bytes are structure: all but rows, extensions, and the
/// numbers of sequences, which llama.cpp skips when it reads.
class Writer {
 public:
  template <class T>
  void Put(T value) {
    Append(std::as_bytes(std::span(&value, 1)), true);
  }
  template <class T>
  void Skipped(T value) {
    Append(std::as_bytes(std::span(&value, 1)), false);
  }
  void Rows(std::span<const std::byte> bytes) { Append(bytes, false); }

  Bytes blob;
  std::vector<bool> structure;

 private:
  void Append(std::span<const std::byte> bytes, bool is_structure) {
    blob.insert(blob.end(), bytes.begin(), bytes.end());
    structure.insert(structure.end(), bytes.size(), is_structure);
  }
};

/// Throws at the end of the blob, as llama_io_read_host does.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> blob) : blob_(blob) {}
  template <class T>
  T Next() {
    T value;
    std::memcpy(&value, Take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  template <class T>
  void Expect(T value) {
    if (Next<T>() != value) {
      throw std::runtime_error("mismatch");
    }
  }
  std::span<const std::byte> Take(std::size_t bytes) {
    if (bytes > blob_.size() - at_) {
      throw std::runtime_error("unexpectedly reached end of buffer");
    }
    at_ += bytes;
    return blob_.subspan(at_ - bytes, bytes);
  }
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  std::span<const std::byte> blob_;
  std::size_t at_ = 0;
};

}  // namespace cairn::llamacpp::fake
