#include <algorithm>
#include <utility>

#include "libcache/base/timed_copy.h"
#include "libcache/transport/data_plane.h"

namespace cairn {
namespace {

// Received and hashed a piece at a time, while the piece is still in the second-level cache.
constexpr std::size_t kPieceBytes = 256 * 1024;
// The daemon takes a put in stretches, so that a slow writer holds no large buffer anywhere.
constexpr std::uint64_t kPutBytes = 8ULL << 20U;

class StreamPlane final : public DataPlane {
 public:
  explicit StreamPlane(Channel data) : data_(std::move(data)) {}

  [[nodiscard]] std::string_view Name() const override { return "stream"; }

  Status Get(const PlaneObject& object, Pieces target, TimePoint deadline) override {
    v1::Request request;
    request.mutable_stream_get()->set_lease_id(object.lease);
    request.mutable_stream_get()->set_index(object.index);
    const auto response = data_.Call(request, deadline);
    if (!response) {
      // A frame that makes no sense says nothing about the object.
      return data_.broken() && response.error().code == ErrorCode::kCorrupt
                 ? Fail(ErrorCode::kUnavailable, response.error().message)
                 : Fail(response.error());
    }
    if (response->stream_get().bytes() != object.bytes || TotalBytes(target) != object.bytes) {
      data_.Abandon();  // With the payload on its way, the stream is out of step.
      return Fail(ErrorCode::kUnavailable, "the daemon sends another length than it announced");
    }
    Digester digester;
    for (std::span<std::byte> rest : target) {
      while (!rest.empty()) {
        if (IsLate(deadline)) {  // Bytes that keep coming never make a receiver wait.
          data_.Abandon();
          return Fail(ErrorCode::kDeadlineExceeded, "the daemon did not send all in time");
        }
        const auto piece = rest.first(std::min(kPieceBytes, rest.size()));
        if (Status got = data_.ReceiveRaw(piece, deadline); !got) {
          return got;
        }
        digester.Update(piece);
        rest = rest.subspan(piece.size());
      }
    }
    if (!(digester.Finish() == object.digest)) {
      return Fail(ErrorCode::kCorrupt, "the object does not have its digest");
    }
    return {};
  }

  Result<Digest> Put(std::uint64_t token, std::span<const std::byte> bytes,
                     TimePoint deadline) override {
    Digester digester;
    for (std::uint64_t done = 0; done < bytes.size();) {
      if (IsLate(deadline)) {
        return Fail(ErrorCode::kDeadlineExceeded, "the daemon did not take all in time");
      }
      const auto piece =
          bytes.subspan(done, std::min<std::uint64_t>(kPutBytes, bytes.size() - done));
      v1::Request request;
      v1::StreamPut& put = *request.mutable_stream_put();
      put.set_token(token);
      put.set_object_offset(done);
      put.set_bytes(piece.size());
      if (const Status sent = data_.Send(request, piece, deadline); !sent) {
        return Fail(sent.error());
      }
      digester.Update(piece);  // While the bytes are on their way.
      if (const auto reply = data_.Receive(deadline); !reply) {
        return Fail(reply.error());
      }
      done += piece.size();
    }
    return digester.Finish();
  }

 private:
  Channel data_;
};

}  // namespace

Result<std::unique_ptr<DataPlane>> OpenStreamPlane(Channel& channel, TimePoint deadline) {
  Channel::Greeting greeting;
  greeting.role = v1::ROLE_DATA;
  greeting.session_token = channel.hello().session_token();
  greeting.tls = channel.tls();
  auto data = Channel::Open(channel.endpoint(), greeting, deadline);
  if (!data) {
    return Fail(data.error());
  }
  return std::make_unique<StreamPlane>(std::move(*data));
}

}  // namespace cairn
