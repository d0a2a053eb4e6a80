#include "libcache/tier/ssd_blobs.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "libcache/base/endian.h"
#include "libcache/tier/ssd_record.h"

namespace cairn {
namespace {

// RocksDB's blob record: key length, value length, expiration (8 bytes each), two CRCs (4 each),
// key, value. A reference: type, then varints for file, offset of the value, size; compression.
constexpr std::size_t kRecordHeaderBytes = 32;
constexpr std::size_t kComparedBytes = 16;  // Key and value length.
constexpr std::size_t kRecordPrefixBytes = kRecordHeaderBytes + std::tuple_size_v<SsdChunkKey>;
constexpr char kPlainBlob = 1;

constexpr std::size_t kEncodedBytes = 20;
constexpr std::size_t kAlignment = 4096;
constexpr std::size_t kPooledBytes = kSsdChunkBytes + 4 * kAlignment;
constexpr std::size_t kMaxPooled = 8;
constexpr std::size_t kMaxOpenFiles = 64;

std::optional<std::uint64_t> TakeVarint(std::string_view& text) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !text.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(text.front());
    text.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if ((byte & 0x80U) == 0) {
      return value;
    }
  }
  return std::nullopt;
}

bool FitsIn32Bits(std::uint64_t value) {
  return value <= std::numeric_limits<std::uint32_t>::max();
}

/// What stands in front of the value, with the fields that are not compared left zero.
std::array<std::byte, kRecordPrefixBytes> RecordPrefix(ColdLocation location, std::uint32_t chunk,
                                                       std::uint64_t value_bytes) {
  std::array<std::byte, kRecordPrefixBytes> prefix{};
  const SsdChunkKey key = ChunkKeyOf(location, chunk);
  StoreLe(std::span<std::byte>(prefix), 0, std::uint64_t{key.size()});
  StoreLe(std::span<std::byte>(prefix), 8, value_bytes);
  std::memcpy(prefix.data() + kRecordHeaderBytes, key.data(), key.size());
  return prefix;
}

bool SamePrefix(std::span<const std::byte> found, std::span<const std::byte> wanted) {
  return std::memcmp(found.data(), wanted.data(), kComparedBytes) == 0 &&
         std::memcmp(found.data() + kRecordHeaderBytes, wanted.data() + kRecordHeaderBytes,
                     kRecordPrefixBytes - kRecordHeaderBytes) == 0;
}

}  // namespace

class SsdBlobs::File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

void SsdBlobs::FreeBuffer::operator()(std::byte* bytes) const { std::free(bytes); }

void SsdBlobs::Collector::Add(std::string_view key, std::string_view blob_index) {
  if (key.size() != std::tuple_size_v<SsdChunkKey> || blob_index.empty() ||
      blob_index.front() != kPlainBlob) {
    return;
  }
  blob_index.remove_prefix(1);
  const auto file = TakeVarint(blob_index);
  const auto offset = TakeVarint(blob_index);
  const auto size = TakeVarint(blob_index);
  if (!file || !offset || !size || !FitsIn32Bits(*file) || !FitsIn32Bits(*offset) ||
      *offset < kRecordPrefixBytes || *size < kMinBytes) {
    return;
  }
  const auto location = ParseObjectKey(key.substr(0, std::tuple_size_v<SsdObjectKey>));
  CAIRN_CHECK(location.has_value());
  std::array<std::byte, kEncodedBytes> entry{};
  const std::span<std::byte> out(entry);
  StoreLe(out, 0, location->segment);
  StoreLe(out, 4, location->ordinal);
  StoreLe(out, 8, static_cast<std::uint32_t>(ChunkOfKey(key)));
  StoreLe(out, 12, static_cast<std::uint32_t>(*file));
  StoreLe(out, 16, static_cast<std::uint32_t>(*offset));
  encoded_.append(reinterpret_cast<const char*>(entry.data()), entry.size());
}

std::string SsdBlobs::Collector::Finish() {
  blobs_->Learn(encoded_);
  return std::move(encoded_);
}

SsdBlobs::SsdBlobs(std::string directory, bool direct_io)
    : directory_(std::move(directory)), direct_io_(direct_io) {}
SsdBlobs::~SsdBlobs() = default;

void SsdBlobs::Learn(std::string_view encoded) {
  if (encoded.size() % kEncodedBytes != 0) {
    return;
  }
  const auto bytes = std::as_bytes(std::span(encoded));
  const auto before = [](const Place& a, const Place& b) {
    return std::tie(a.ordinal, a.chunk) < std::tie(b.ordinal, b.chunk);
  };
  std::map<std::uint32_t, std::vector<Place>> learned;
  for (std::size_t at = 0; at < bytes.size(); at += kEncodedBytes) {
    learned[LoadLe<std::uint32_t>(bytes, at)].push_back(
        {.ordinal = LoadLe<std::uint32_t>(bytes, at + 4),
         .chunk = static_cast<std::uint16_t>(LoadLe<std::uint32_t>(bytes, at + 8)),
         .file = LoadLe<std::uint32_t>(bytes, at + 12),
         .offset = LoadLe<std::uint32_t>(bytes, at + 16)});
  }
  const MutexLock lock(mu_);
  for (auto& [segment, fresh] : learned) {
    std::stable_sort(fresh.begin(), fresh.end(), before);
    std::vector<Place>& known = places_[segment];
    std::vector<Place> merged;
    merged.reserve(known.size() + fresh.size());
    // Of two places for one chunk the newer counts: a flush that failed is written again elsewhere.
    std::set_union(fresh.begin(), fresh.end(), known.begin(), known.end(),
                   std::back_inserter(merged), before);
    merged.shrink_to_fit();
    known = std::move(merged);
  }
}

void SsdBlobs::Forget(std::uint32_t segment) {
  const MutexLock lock(mu_);
  const auto it = places_.find(segment);
  if (it == places_.end()) {
    return;
  }
  std::set<std::uint32_t> files;
  for (const Place& place : it->second) {
    files.insert(place.file);
  }
  places_.erase(it);
  open_.remove_if([&](const OpenFile& open) { return files.contains(open.number); });
}

std::optional<SsdBlobs::Place> SsdBlobs::Find(ColdLocation location, std::uint32_t chunk) const {
  const auto it = places_.find(location.segment);
  if (it == places_.end()) {
    return std::nullopt;
  }
  const auto wanted = std::make_pair(location.ordinal, chunk);
  const auto found =
      std::partition_point(it->second.begin(), it->second.end(), [&](const Place& place) {
        return std::make_pair(place.ordinal, std::uint32_t{place.chunk}) < wanted;
      });
  if (found == it->second.end() || found->ordinal != location.ordinal || found->chunk != chunk) {
    return std::nullopt;
  }
  return *found;
}

std::shared_ptr<const SsdBlobs::File> SsdBlobs::FileOf(std::uint32_t segment,
                                                       std::uint32_t number) {
  {
    const MutexLock lock(mu_);
    const auto it = std::find_if(open_.begin(), open_.end(),
                                 [&](const OpenFile& open) { return open.number == number; });
    if (it != open_.end()) {
      open_.splice(open_.begin(), open_, it);
      return it->file;
    }
  }
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "/%06u.blob", number);
  const int fd = ::open((directory_ + name.data()).c_str(),
                        O_RDONLY | O_CLOEXEC | (direct_io_ ? O_DIRECT : 0));
  if (fd < 0) {
    return nullptr;
  }
  auto file = std::make_shared<const File>(fd);
  const MutexLock lock(mu_);
  // Kept open only while the segment exists: a deleted file takes space until it is closed.
  if (places_.contains(segment)) {
    open_.push_front({.number = number, .file = file});
    if (open_.size() > kMaxOpenFiles) {
      open_.pop_back();
    }
  }
  return file;
}

bool SsdBlobs::Read(ColdLocation location, std::uint32_t chunk, std::span<std::byte> head,
                    std::span<std::byte> body) {
  std::optional<Place> place;
  {
    const MutexLock lock(mu_);
    place = Find(location, chunk);
  }
  const auto file = place ? FileOf(location.segment, place->file) : nullptr;
  if (!file) {
    return false;
  }
  const auto wanted = RecordPrefix(location, chunk, head.size() + body.size());
  const std::uint64_t begin = place->offset - kRecordPrefixBytes;
  if (direct_io_) {
    return ReadDirect(*file, begin, wanted, head, body);
  }
  std::array<std::byte, kRecordPrefixBytes> prefix{};
  const std::array<iovec, 3> parts = {
      {{prefix.data(), prefix.size()}, {head.data(), head.size()}, {body.data(), body.size()}}};
  const ssize_t got =
      ::preadv(file->fd(), parts.data(), static_cast<int>(parts.size()), static_cast<off_t>(begin));
  return got == static_cast<ssize_t>(prefix.size() + head.size() + body.size()) &&
         SamePrefix(prefix, wanted);
}

bool SsdBlobs::ReadDirect(const File& file, std::uint64_t begin, std::span<const std::byte> record,
                          std::span<std::byte> head, std::span<std::byte> body) {
  const std::uint64_t aligned = begin / kAlignment * kAlignment;
  const auto skipped = static_cast<std::size_t>(begin - aligned);
  const std::size_t needed = skipped + record.size() + head.size() + body.size();
  const std::size_t padded = RoundUp(needed, kAlignment);
  Buffer buffer = TakeBuffer(padded);
  if (!buffer) {
    return false;
  }
  const ssize_t got = ::pread(file.fd(), buffer.get(), padded, static_cast<off_t>(aligned));
  // The last page of a file comes short.
  bool good = got >= static_cast<ssize_t>(needed);
  const std::byte* at = buffer.get() + skipped;
  good = good && SamePrefix({at, record.size()}, record);
  if (good) {
    at += record.size();
    if (!head.empty()) {
      std::memcpy(head.data(), at, head.size());
    }
    std::memcpy(body.data(), at + head.size(), body.size());
  }
  ReturnBuffer(std::move(buffer), padded);
  return good;
}

SsdBlobs::Buffer SsdBlobs::TakeBuffer(std::size_t bytes) {
  if (bytes <= kPooledBytes) {
    const MutexLock lock(mu_);
    if (!buffers_.empty()) {
      Buffer buffer = std::move(buffers_.back());
      buffers_.pop_back();
      return buffer;
    }
    bytes = kPooledBytes;
  }
  return Buffer(static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes)));
}

void SsdBlobs::ReturnBuffer(Buffer buffer, std::size_t bytes) {
  const MutexLock lock(mu_);
  if (bytes <= kPooledBytes && buffers_.size() < kMaxPooled) {
    buffers_.push_back(std::move(buffer));
  }
}

}  // namespace cairn
