#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "libcache/base/result.h"

namespace google::protobuf {
class MessageLite;
}

namespace cairn {

/// A control frame is 16 bytes of header and one Protobuf message (docs/formats/protocol.md):
///   u32 magic "CRN1", u16 protocol version, u16 zero, u32 payload bytes, u32 zero; little-endian.
struct FrameHeader {
  static constexpr std::size_t kBytes = 16;
  static constexpr std::uint32_t kMagic = 0x314E5243;  // "CRN1"
  std::uint16_t version = 0;
  std::uint32_t payload_bytes = 0;
};

inline constexpr std::uint16_t kProtocolVersion = 1;
/// Keys of a million-token prompt in 16-token blocks are 2 MiB.
inline constexpr std::uint32_t kMaxFrameBytes = 4U << 20U;
/// Before a peer has said Hello it gets no more memory than this.
inline constexpr std::uint32_t kMaxHelloBytes = 4096;

/// Errors: kCorrupt (not our magic, reserved bits set), kUnsupported (another version),
/// kInvalidArgument (longer than `max_payload_bytes`, nothing was allocated). The stream cannot be
/// used after any of them.
Result<FrameHeader> ParseFrameHeader(std::span<const std::byte> bytes,
                                     std::uint32_t max_payload_bytes);

/// Appends header and message. Errors: kInvalidArgument when it would exceed kMaxFrameBytes.
Status AppendFrame(const google::protobuf::MessageLite& message, std::string& out);

/// Errors: kCorrupt when the bytes are no such message.
Status ParsePayload(std::span<const std::byte> payload, google::protobuf::MessageLite& message);

}  // namespace cairn
