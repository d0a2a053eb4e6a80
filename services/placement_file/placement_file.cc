#include "services/placement_file/placement_file.h"

#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <span>
#include <system_error>

#include "libcache/base/digest.h"

namespace cairn {
namespace {

constexpr std::string_view kMagic = "CAIRNPLC";
constexpr std::size_t kHeaderBytes = 8 + 16;

void AppendLittleEndian(std::string& to, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) {
    to.push_back(static_cast<char>(value >> shift & 0xFFU));
  }
}

std::uint64_t LittleEndian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i-- > 0;) {
    value = value << 8U | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

Digest DigestOfText(std::string_view text) {
  return DigestOf(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace

std::string EncodePlacement(const v1::PlacementStatistics& statistics) {
  const std::string body = statistics.SerializeAsString();
  const Digest digest = DigestOfText(body);
  std::string file(kMagic);
  AppendLittleEndian(file, digest.low);
  AppendLittleEndian(file, digest.high);
  return file + body;
}

Result<v1::PlacementStatistics> DecodePlacement(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return Fail(ErrorCode::kCorrupt, "this is no file of placement statistics");
  }
  const std::string_view body = bytes.substr(kHeaderBytes);
  const Digest written = {.low = LittleEndian(bytes.substr(8)),
                          .high = LittleEndian(bytes.substr(16))};
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
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const bool absent = errno == ENOENT;
    return Fail(absent ? ErrorCode::kNotFound : ErrorCode::kIo,
                path + ": " + std::generic_category().message(errno));
  }
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
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
