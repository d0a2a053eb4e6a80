// The bytes of a connection, from either side: headers and messages one after the other, as the
// daemon and the connector read them. Nothing may be promised memory beyond the frame limit.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/check.h"
#include "libcache/transport/frame.h"

namespace {

// Memory that a message may take: an empty repeated message is 2 bytes on the wire and about 100 as
// an object.
constexpr std::size_t kGrowth = 128;
constexpr std::size_t kFixed = 16 * 1024;

template <class Message>
void Parse(std::span<const std::byte> payload) {
  Message message;
  if (!cairn::ParsePayload(payload, message)) {
    return;
  }
  CAIRN_CHECK(message.SpaceUsedLong() <= payload.size() * kGrowth + kFixed);
  std::string frame;
  if (!cairn::AppendFrame(message, frame)) {
    return;
  }
  // What we write ourselves we must be able to read, and it must mean the same.
  const auto bytes = std::as_bytes(std::span(frame));
  const auto header = cairn::ParseFrameHeader(bytes, cairn::kMaxFrameBytes);
  CAIRN_CHECK(header.has_value());
  CAIRN_CHECK(frame.size() == cairn::FrameHeader::kBytes + header->payload_bytes);
  Message again;
  CAIRN_CHECK(cairn::ParsePayload(bytes.subspan(cairn::FrameHeader::kBytes), again).has_value());
  CAIRN_CHECK(again.SerializeAsString() == message.SerializeAsString());
}

}  // namespace

// Protobuf reports every string that is no UTF-8; cairnd silences it too.
extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto rest = std::as_bytes(std::span(data, size));
  std::uint32_t limit = cairn::kMaxHelloBytes;  // Before Hello.
  for (;;) {
    const auto header = cairn::ParseFrameHeader(rest, limit);
    if (!header) {
      CAIRN_CHECK(!header.error().message.empty());
      break;
    }
    CAIRN_CHECK(header->payload_bytes <= limit);
    CAIRN_CHECK(header->version == cairn::kProtocolVersion);
    rest = rest.subspan(cairn::FrameHeader::kBytes);
    if (rest.size() < header->payload_bytes) {
      break;  // Cut short: the daemon waits for more and then gives up.
    }
    Parse<cairn::v1::Request>(rest.first(header->payload_bytes));
    Parse<cairn::v1::Response>(rest.first(header->payload_bytes));
    rest = rest.subspan(header->payload_bytes);
    limit = cairn::kMaxFrameBytes;
  }
  // The messages by themselves, so that inputs need no valid header to get far.
  Parse<cairn::v1::Request>(std::as_bytes(std::span(data, size)));
  Parse<cairn::v1::Response>(std::as_bytes(std::span(data, size)));
  return 0;
}
