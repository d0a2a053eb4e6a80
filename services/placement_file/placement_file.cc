#include "services/placement_file/placement_file.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <span>
#include <system_error>

#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"
#include "libcache/base/endian.h"

namespace cairn {
namespace {

constexpr std::string_view kMagic = "CAIRNPLC";
constexpr std::size_t kHeaderBytes = 8 + 16;
// Ten million places; what is read must fit memory, and a message of protobuf 2 GiB.
constexpr std::uint64_t kMostBytes = kGiB;

Digest DigestOfText(std::string_view text) {
  return DigestOf(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace

Result<std::string> EncodePlacement(const v1::PlacementStatistics& statistics) {
  if (statistics.ByteSizeLong() > kMostBytes) {
    return Fail(ErrorCode::kNoSpace, "statistics of more than " + FormatBytes(kMostBytes));
  }
  std::string file(kMagic);
  file.resize(kHeaderBytes);
  statistics.AppendToString(&file);
  const Digest digest = DigestOfText(std::string_view(file).substr(kHeaderBytes));
  const auto header = std::as_writable_bytes(std::span(file).first(kHeaderBytes));
  StoreLe(header, kMagic.size(), digest.low);
  StoreLe(header, kMagic.size() + sizeof(digest.low), digest.high);
  return file;
}

Result<v1::PlacementStatistics> DecodePlacement(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return Fail(ErrorCode::kCorrupt, "this is no file of placement statistics");
  }
  const std::string_view body = bytes.substr(kHeaderBytes);
  const auto header = std::as_bytes(std::span(bytes.data(), kHeaderBytes));
  const Digest written = {
      .low = LoadLe<std::uint64_t>(header, kMagic.size()),
      .high = LoadLe<std::uint64_t>(header, kMagic.size() + sizeof(std::uint64_t))};
  v1::PlacementStatistics statistics;
  if (!(DigestOfText(body) == written) ||
      !statistics.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return Fail(ErrorCode::kCorrupt, "the file is damaged: its digest is another");
  }
  if (statistics.version() != kPlacementVersion) {
    return Fail(ErrorCode::kUnsupported,
                "statistics of version " + std::to_string(statistics.version()) +
                    "; this program knows version " + std::to_string(kPlacementVersion));
  }
  return statistics;
}

Result<v1::PlacementStatistics> ReadPlacementFile(const std::string& path) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error);
  if (kind.type() == std::filesystem::file_type::not_found) {
    return Fail(ErrorCode::kNotFound, path + ": there is no such file");
  }
  const std::uint64_t size = error ? 0 : std::filesystem::file_size(path, error);
  if (error) {
    return Fail(ErrorCode::kIo, path + ": " + error.message());
  }
  if (size > kMostBytes + kHeaderBytes) {
    return Fail(ErrorCode::kCorrupt, path + ": has " + FormatBytes(size) +
                                         "; statistics have at most " + FormatBytes(kMostBytes));
  }
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!file) {
    return Fail(ErrorCode::kIo, path + " could not be read");
  }
  auto statistics = DecodePlacement(bytes);
  if (!statistics) {
    return Fail(statistics.error().code, path + ": " + statistics.error().message);
  }
  return statistics;
}

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace cairn
