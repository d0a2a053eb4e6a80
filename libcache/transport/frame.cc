#include "libcache/transport/frame.h"

#include <google/protobuf/message_lite.h>

#include <cstring>

#include "libcache/base/endian.h"

namespace cairn {

Result<FrameHeader> ParseFrameHeader(std::span<const std::byte> bytes,
                                     std::uint32_t max_payload_bytes) {
  if (bytes.size() < FrameHeader::kBytes) {
    return Fail(ErrorCode::kCorrupt, "frame header cut short");
  }
  if (LoadLe<std::uint32_t>(bytes, 0) != FrameHeader::kMagic) {
    return Fail(ErrorCode::kCorrupt, "not a cairn peer: wrong magic in the frame header");
  }
  const FrameHeader header{.version = LoadLe<std::uint16_t>(bytes, 4),
                           .payload_bytes = LoadLe<std::uint32_t>(bytes, 8)};
  if (header.version != kProtocolVersion) {
    return Fail(ErrorCode::kUnsupported,
                "protocol version " + std::to_string(header.version) + ", this side speaks " +
                    std::to_string(kProtocolVersion) + "; upgrade the older one");
  }
  if (LoadLe<std::uint16_t>(bytes, 6) != 0 || LoadLe<std::uint32_t>(bytes, 12) != 0) {
    return Fail(ErrorCode::kCorrupt, "reserved bits set in the frame header");
  }
  if (header.payload_bytes > max_payload_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "frame of " + std::to_string(header.payload_bytes) +
                                                 " bytes; the limit is " +
                                                 std::to_string(max_payload_bytes));
  }
  return header;
}

Status AppendFrame(const google::protobuf::MessageLite& message, std::string& out) {
  const std::size_t payload_bytes = message.ByteSizeLong();
  if (payload_bytes > kMaxFrameBytes) {
    return Fail(ErrorCode::kInvalidArgument,
                "a message of " + std::to_string(payload_bytes) + " bytes exceeds the frame limit");
  }
  const std::size_t start = out.size();
  out.resize(start + FrameHeader::kBytes + payload_bytes);
  const auto header = std::as_writable_bytes(std::span(out.data() + start, FrameHeader::kBytes));
  StoreLe<std::uint32_t>(header, 0, FrameHeader::kMagic);
  StoreLe<std::uint16_t>(header, 4, kProtocolVersion);
  StoreLe<std::uint16_t>(header, 6, 0);
  StoreLe<std::uint32_t>(header, 8, static_cast<std::uint32_t>(payload_bytes));
  StoreLe<std::uint32_t>(header, 12, 0);
  message.SerializeWithCachedSizesToArray(
      reinterpret_cast<std::uint8_t*>(out.data() + start + FrameHeader::kBytes));
  return {};
}

Status ParsePayload(std::span<const std::byte> payload, google::protobuf::MessageLite& message) {
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return Fail(ErrorCode::kCorrupt, "the frame holds no valid message");
  }
  return {};
}

}  // namespace cairn
