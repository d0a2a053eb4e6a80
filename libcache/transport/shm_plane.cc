#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "libcache/base/timed_copy.h"
#include "libcache/transport/data_plane.h"
#include "libcache/transport/mapping.h"

namespace cairn {
namespace {

/// What precedes every payload in the arena (libcache/tier/arena.h, SlotHeader): the generation is
/// its first word. Repeated here because a connector knows the format, not the allocator.
constexpr std::uint64_t kSlotHeaderBytes = 64;

class ShmPlane final : public DataPlane {
 public:
  ShmPlane(Channel& channel, Mapping arena, Mapping staging)
      : channel_(channel), arena_(std::move(arena)), staging_(std::move(staging)) {}

  [[nodiscard]] std::string_view Name() const override { return "shm"; }

  Status Get(const PlaneObject& object, Pieces target, TimePoint deadline) override {
    const std::span<std::byte> arena = arena_.memory();
    if (object.arena_offset < kSlotHeaderBytes || object.arena_offset % kSlotHeaderBytes != 0 ||
        object.arena_offset > arena.size() || object.bytes > arena.size() - object.arena_offset ||
        TotalBytes(target) != object.bytes) {
      return Fail(ErrorCode::kCorrupt, "the object does not lie inside the arena");
    }
    auto* const word = reinterpret_cast<std::uint64_t*>(
        arena.subspan(object.arena_offset - kSlotHeaderBytes).data());
    const std::atomic_ref<std::uint64_t> generation(*word);
    if (generation.load(std::memory_order_acquire) != object.generation) {
      return Changed();
    }
    const std::optional<Digest> digest =
        CopyAndDigestUntil(target, arena.subspan(object.arena_offset, object.bytes), deadline);
    if (!digest) {
      return Late();
    }
    // The copy must be complete before the second look; the lease should have made sure anyway.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (generation.load(std::memory_order_relaxed) != object.generation) {
      return Changed();
    }
    if (!(*digest == object.digest)) {
      return Fail(ErrorCode::kCorrupt, "the object does not have its digest");
    }
    return {};
  }

  Result<Digest> Put(std::uint64_t token, std::span<const std::byte> bytes,
                     TimePoint deadline) override {
    // Two halves in turn: the daemon empties one while the other is filled.
    const std::uint64_t half = staging_.memory().size() / 2;
    Digester digester;
    std::uint64_t done = 0;
    int in_flight = 0;
    Status status;
    for (int turn = 0; done < bytes.size() && status; turn ^= 1) {
      if (IsLate(deadline)) {
        status = Late();
        break;
      }
      if (in_flight == 2) {
        status = TakeReply(deadline);
        --in_flight;
        if (!status) {
          break;
        }
      }
      const std::uint64_t piece = std::min(half, bytes.size() - done);
      const std::uint64_t at = turn == 0 ? 0 : half;
      digester.CopyAndUpdate(staging_.memory().subspan(at, piece), bytes.subspan(done, piece));
      v1::Request request;
      v1::Write& write = *request.mutable_write();
      write.set_token(token);
      write.set_object_offset(done);
      write.set_staging_offset(at);
      write.set_bytes(piece);
      status = channel_.Send(request, {}, deadline);
      in_flight += status ? 1 : 0;
      done += piece;
    }
    for (; in_flight > 0 && !channel_.broken(); --in_flight) {
      Status reply = TakeReply(deadline);
      if (status && !reply) {
        status = std::move(reply);
      }
    }
    if (!status) {
      return Fail(status.error());
    }
    return digester.Finish();
  }

 private:
  static tl::unexpected<Error> Late() {
    return Fail(ErrorCode::kDeadlineExceeded, "the object could not be copied in time");
  }
  static tl::unexpected<Error> Changed() {
    return Fail(ErrorCode::kExpired, "the object was replaced while it was read");
  }

  Status TakeReply(TimePoint deadline) {
    const auto reply = channel_.Receive(deadline);
    if (!reply) {
      return Fail(reply.error());
    }
    return {};
  }

  Channel& channel_;
  Mapping arena_;
  Mapping staging_;
};

}  // namespace

Result<std::unique_ptr<DataPlane>> OpenShmPlane(Channel& channel, TimePoint deadline) {
  const auto& planes = channel.hello().planes();
  if (std::find(planes.begin(), planes.end(), v1::PLANE_SHARED_MEMORY) == planes.end()) {
    return Fail(ErrorCode::kUnsupported,
                "no shared memory over this connection; connect by the Unix socket");
  }
  v1::Request request;
  request.mutable_attach_shared_memory();
  std::vector<UniqueFd> fds;
  const auto response = channel.CallWithFds(request, fds, deadline);
  if (!response) {
    return Fail(response.error());
  }
  const v1::AttachSharedMemoryReply& reply = response->attach_shared_memory();
  if (fds.size() != 2 || reply.arena_bytes() == 0 || reply.staging_bytes() < 2) {
    return Fail(ErrorCode::kCorrupt, "the daemon sent no shared memory");
  }
  auto arena = Mapping::Map(fds[0].get(), reply.arena_bytes(), PROT_READ);
  if (!arena) {
    return Fail(arena.error());
  }
  auto staging = Mapping::Map(fds[1].get(), reply.staging_bytes(), PROT_READ | PROT_WRITE);
  if (!staging) {
    return Fail(staging.error());
  }
  return std::make_unique<ShmPlane>(channel, std::move(*arena), std::move(*staging));
}

}  // namespace cairn
