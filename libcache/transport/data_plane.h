#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "libcache/base/clock.h"
#include "libcache/base/digest.h"
#include "libcache/base/result.h"
#include "libcache/transport/channel.h"

namespace cairn {

/// What a plane must know of an object to read it.
struct PlaneObject {
  std::uint64_t lease = 0;
  std::uint32_t index = 0;  ///< In the lease's last fetch.
  std::uint64_t bytes = 0;
  Digest digest;
  std::uint64_t arena_offset = 0;
  std::uint64_t generation = 0;
};

/// Moves the bytes of objects between the daemon and the engine's memory. Bytes never travel in
/// control frames. Implementations: shared memory (same host), UCX (same trust domain), byte
/// stream (any host). Not
/// thread-safe; belongs to one connection and uses its control channel.
class DataPlane {
 public:
  virtual ~DataPlane() = default;
  [[nodiscard]] virtual std::string_view Name() const = 0;
  /// Copies an object into `target` (exactly object.bytes in all) and verifies its digest on the
  /// way.
  /// Errors: kExpired (the slot changed hands), kCorrupt (wrong digest), kUnavailable,
  /// kDeadlineExceeded. After any of them target's content is undefined.
  virtual Status Get(const PlaneObject& object, Pieces target, TimePoint deadline) = 0;
  /// Where object `index` of a GetAll goes; must stay so until the next call, or the end of GetAll.
  /// Its error ends the GetAll.
  using TargetOf = std::function<Result<Pieces>(std::size_t index)>;
  /// Get for several objects, one after the other; a plane that waits for the daemon has it work on
  /// the next one meanwhile. `whole` becomes the number of those that came whole, so the index of
  /// the one that did not. Errors: those of Get, those of `target`.
  virtual Status GetAll(std::span<const PlaneObject> objects, const TargetOf& target,
                        std::size_t& whole, TimePoint deadline) {
    for (whole = 0; whole < objects.size(); ++whole) {
      const Result<Pieces> memory = target(whole);
      if (!memory) {
        return Fail(memory.error());
      }
      if (Status got = Get(objects[whole], *memory, deadline); !got) {
        return got;
      }
    }
    return {};
  }
  /// Fills the object reserved under `token` with `bytes`. Returns the digest to commit with.
  /// Errors: kExpired, kUnavailable, kDeadlineExceeded.
  virtual Result<Digest> Put(std::uint64_t token, std::span<const std::byte> bytes,
                             TimePoint deadline) = 0;
  /// Whether bytes have got through, where that is not certain before the first have.
  [[nodiscard]] virtual bool Proven() const { return true; }
};

/// Maps the daemon's arena read-only and a staging memory read-write. Only over a Unix socket.
/// Errors: kUnsupported (the connection cannot pass descriptors), kUnavailable, kIo (mmap).
/// `channel` must outlive the plane.
Result<std::unique_ptr<DataPlane>> OpenShmPlane(Channel& channel, TimePoint deadline);

/// Has the daemon put to and get from staging memory of this process by UCX, over whatever of
/// shared memory and RDMA reaches from it to here. The daemon must be trusted: with a key for the
/// staging memory it can, over software transports, write anywhere in this process. Takes 10 ms the
/// first time in a process, more on a machine with many cards.
/// Errors: kUnsupported (not offered, not built in, or not on this machine), kUnavailable (no way
/// from the daemon to here), kDeadlineExceeded. `channel` must outlive the plane.
Result<std::unique_ptr<DataPlane>> OpenUcxPlane(Channel& channel, TimePoint deadline);

/// Opens a data connection beside the control channel. `channel` must outlive the plane.
Result<std::unique_ptr<DataPlane>> OpenStreamPlane(Channel& channel, TimePoint deadline);

}  // namespace cairn
