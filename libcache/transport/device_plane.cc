#include "libcache/transport/device_plane.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

namespace cairn {
namespace {

constexpr std::uint32_t kMaxLedgerWords = 1U << 20U;

}  // namespace

Result<std::unique_ptr<DevicePlane>> DevicePlane::Open(Channel& channel, DeviceMapper& mapper) {
  const auto& planes = channel.hello().planes();
  if (std::find(planes.begin(), planes.end(), v1::PLANE_DEVICE) == planes.end()) {
    return Fail(ErrorCode::kUnsupported,
                "the daemon offers no GPU memory over this connection: it has no GPU tier "
                "(--gpu-memory is not set, or its log and cairnctl tiers say why), or the engine "
                "is not on its Unix socket");
  }
  const v1::Device& said = channel.hello().device();
  DeviceIdentity device{.kind = said.kind(), .id = said.id(), .name = said.name()};
  if (!device.kind.empty()) {
    if (const Status accepted = mapper.Accepts(device); !accepted) {
      return Fail(accepted.error());
    }
  }
  return std::unique_ptr<DevicePlane>(new DevicePlane(channel, mapper, std::move(device)));
}

DevicePlane::~DevicePlane() {
  for (const auto& [number, extent] : extents_) {
    mapper_.Unmap(extent.mapping);
  }
}

Result<const DevicePlane::Extent*> DevicePlane::Find(const DeviceObject& object,
                                                     TimePoint deadline) {
  if (const auto known = extents_.find(object.extent); known != extents_.end()) {
    return &known->second;
  }
  v1::Request request;
  request.mutable_attach_device()->set_lease_id(object.lease);
  request.mutable_attach_device()->set_extent(object.extent);
  std::vector<UniqueFd> fds;
  const auto response = channel_.CallWithFds(request, fds, deadline);
  if (!response) {
    return Fail(response.error());
  }
  const v1::AttachDeviceReply& reply = response->attach_device();
  if (fds.size() != 2 || reply.ledger_words() == 0 || reply.ledger_words() > kMaxLedgerWords) {
    return Fail(ErrorCode::kCorrupt, "the daemon sent no device memory");
  }
  if (device_.kind.empty()) {  // A daemon that says it only now.
    const Status accepted = mapper_.Accepts({.kind = reply.kind(), .id = "", .name = ""});
    if (!accepted) {
      return Fail(accepted.error());
    }
  } else if (reply.kind() != device_.kind) {
    return Fail(ErrorCode::kCorrupt, "the daemon's device became another: " + reply.kind());
  }
  auto ledger = Mapping::Map(fds[1].get(), reply.ledger_words() * sizeof(std::uint64_t), PROT_READ);
  if (!ledger) {
    return Fail(ledger.error());
  }
  const auto mapping = mapper_.Map(fds[0].get(), reply.extent_bytes());
  if (!mapping) {
    return Fail(mapping.error());
  }
  Extent extent{.mapping = *mapping, .bytes = reply.extent_bytes(), .ledger = std::move(*ledger)};
  return &extents_.emplace(object.extent, std::move(extent)).first->second;
}

Status DevicePlane::Get(const DeviceObject& object, const Copy& copy, TimePoint deadline) {
  const auto found = Find(object, deadline);
  if (!found) {
    return Fail(found.error());
  }
  if (SteadyClock::Instance().Now() >= deadline) {  // To map takes as long as the driver takes.
    return Fail(ErrorCode::kDeadlineExceeded, "device memory was not mapped in time");
  }
  const Extent& extent = **found;
  const std::span<std::byte> ledger = extent.ledger.memory();
  if (object.offset > extent.bytes || object.bytes > extent.bytes - object.offset ||
      object.slot >= ledger.size() / sizeof(std::uint64_t)) {
    return Fail(ErrorCode::kCorrupt, "the object does not lie inside its extent");
  }
  auto* const words = reinterpret_cast<std::uint64_t*>(ledger.data());
  const std::atomic_ref<std::uint64_t> generation(words[object.slot]);
  const auto changed = [] {
    return Fail(ErrorCode::kExpired, "the object was replaced in device memory");
  };
  if (generation.load(std::memory_order_acquire) != object.generation) {
    return changed();
  }
  if (Status copied = copy(extent.mapping); !copied) {
    return copied;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (generation.load(std::memory_order_relaxed) != object.generation) {
    return changed();
  }
  return {};
}

}  // namespace cairn
