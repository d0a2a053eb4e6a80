// A client's device: attaching it, and loading to it.
#include <utility>

#include "libcache/connector/client.h"
#include "libcache/connector/device_port.h"

namespace cairn {
namespace {

// The circuit breaker does not hear of it: it is the device's fault as likely as the daemon's.
Error LoadTooLate() { return {ErrorCode::kDeadlineExceeded, "loading took too long"}; }

}  // namespace

void Client::Publish(Peer& peer) {
  const bool members_changed = peers_.TakeChanged();
  const bool peer_changed = peer.TakeChanged();
  if (members_changed || peer_changed || peer.id() != shown_peer_) {
    shown_peer_ = peer.id();
    PublishAgain();
  }
}

void Client::PublishAgain() {
  const Peer* const peer = peers_.Find(shown_peer_);
  const Backend* const backend = peer == nullptr ? nullptr : peer->Connected();
  DeviceInfo info{.attached = port_ != nullptr, .reads_gpu_tier = {}};
  if (port_ == nullptr) {
    info.reads_gpu_tier = Fail(ErrorCode::kUnsupported, "no device is attached; attach one first");
  } else if (backend == nullptr) {
    info.reads_gpu_tier =
        Fail(ErrorCode::kUnavailable, "not connected yet; the next match connects");
  } else {
    info.reads_gpu_tier = backend->DeviceState();
  }
  std::vector<MemberView> members;
  for (const auto& one : peers_.all()) {
    members.push_back(one->View());
  }
  const MutexLock lock(names_mu_);
  device_info_ = std::move(info);
  members_ = std::move(members);
  plane_ = backend == nullptr ? "none" : backend->PlaneName();
}

Client::DeviceInfo Client::Device() const {
  const MutexLock lock(names_mu_);
  return device_info_;
}

Status Client::AttachDevice(std::shared_ptr<DevicePort> port, TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  if (port_ != nullptr) {
    // A copy that is late must not overwrite what the engine has there next. Of a device that
    // failed nobody can tell; it is given up all the same.
    const Status settled = port_->Settle(deadline);
    if (!settled && settled.error().code == ErrorCode::kDeadlineExceeded) {
      return settled;
    }
  }
  for (const auto& peer : peers_.all()) {
    if (peer->backend() != nullptr) {
      peer->backend()->AttachDevice(port);
    }
  }
  port_ = std::move(port);
  PublishAgain();
  return {};
}

Result<Client::Loaded> Client::LoadToDevice(const Hit& hit, std::uint32_t from_position,
                                            const DeviceTarget& target, TimePoint deadline) {
  const TurnLock turn(turn_, deadline);
  if (!turn.Taken()) {
    return TooLate();
  }
  if (port_ == nullptr) {
    return Fail(ErrorCode::kInvalidArgument, "no device is attached to load to");
  }
  const auto objects = FetchFor(hit, from_position, deadline);
  if (!objects) {
    return Fail(objects.error());
  }
  auto loaded = BringToDevice(*PeerOf(hit), hit.lease, *objects, target, deadline);
  PublishAgain();
  return loaded;
}

Result<Client::Loaded> Client::BringToDevice(Peer& peer, LeaseId lease,
                                             std::span<const ObjectView> objects,
                                             const DeviceTarget& target, TimePoint deadline) {
  Loaded loaded;
  for (std::uint32_t i = 0; i < objects.size(); ++i) {
    if (SteadyClock::Instance().Now() >= deadline) {
      return Fail(LoadTooLate());
    }
    const ObjectView& object = objects[i];
    const std::uint64_t place = target(object);
    if (place == 0) {
      return Fail(ErrorCode::kNoSpace, "the target gave no address");
    }
    bool on_device = false;
    if (object.device.extent != 0) {
      const Status read = peer.backend()->ReadOnDevice(lease, i, object, place, deadline);
      if (!read && peer.Connected() == nullptr) {  // It had to ask the daemon for what to map.
        Note(peer, Fail(ErrorCode::kUnavailable, read.error().message));
        return Fail(read.error());
      }
      on_device = read.has_value();
    }
    if (!on_device) {
      if (Status brought = BringByHost(peer, lease, i, object, place, deadline); !brought) {
        return Fail(brought.error());
      }
    }
    loaded.device_objects += on_device ? 1 : 0;
    loaded.objects += 1;
    loaded.bytes += object.bytes;
  }
  return loaded;
}

Status Client::BringByHost(Peer& peer, LeaseId lease, std::uint32_t index, const ObjectView& object,
                           std::uint64_t place, TimePoint deadline) {
  if (SteadyClock::Instance().Now() >= deadline) {
    return Fail(LoadTooLate());
  }
  const auto staging = port_->Staging(object.bytes, deadline);
  if (!staging) {
    return Fail(staging.error());
  }
  const std::span<std::byte> memory = staging->first(object.bytes);
  if (Status read = peer.backend()->Read(lease, index, object, Pieces(&memory, 1), deadline);
      !read) {
    Note(peer, read);
    return read;
  }
  return port_->CopyFromHost(memory, object, place, deadline);
}

}  // namespace cairn
