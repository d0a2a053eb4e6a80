#include "libcache/tier/host_device_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "libcache/base/thread_pool.h"

namespace cairn {

HostDeviceMemory::HostDeviceMemory(Config config)
    : config_(std::move(config)), streams_(static_cast<std::size_t>(config_.streams)) {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    streams_[i].thread = std::thread([this, i] {
      NameThread("cairn-fake-gpu");
      Run(i);
    });
  }
}

HostDeviceMemory::~HostDeviceMemory() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  for (Stream& stream : streams_) {
    stream.thread.join();
  }
}

Status HostDeviceMemory::Alive() const {
  return lost_.empty() ? Status() : Fail(ErrorCode::kUnavailable, lost_);
}

void HostDeviceMemory::LoseLocked(const std::string& reason) {
  if (lost_.empty()) {
    lost_ = reason;
    changed_.NotifyAll();
  }
}

void HostDeviceMemory::Lose(const std::string& reason) {
  const MutexLock lock(mu_);
  LoseLocked(reason);
}

void HostDeviceMemory::Hang(bool hang) {
  const MutexLock lock(mu_);
  hanging_ = hang;
  changed_.NotifyAll();
}

int HostDeviceMemory::allocations() const {
  const MutexLock lock(mu_);
  return static_cast<int>(regions_.size());
}

Status HostDeviceMemory::Health() {
  const bool asked =
      !config_.lost_when_exists.empty() && ::access(config_.lost_when_exists.c_str(), F_OK) == 0;
  const MutexLock lock(mu_);
  if (asked) {
    LoseLocked("the fake device was told to fail");
  }
  return Alive();
}

Result<DeviceMemory::Space> HostDeviceMemory::SpaceNow() const {
  const MutexLock lock(mu_);
  if (!lost_.empty()) {
    return Fail(ErrorCode::kUnavailable, lost_);
  }
  return Space{.total_bytes = config_.total_bytes, .free_bytes = config_.total_bytes - used_bytes_};
}

Result<DeviceMemory::Region> HostDeviceMemory::Allocate(std::uint64_t bytes) {
  CAIRN_CHECK(bytes > 0 && bytes % kGranularity == 0);
  const MutexLock lock(mu_);
  if (const Status alive = Alive(); !alive) {
    return Fail(alive.error());
  }
  if (full_ || bytes > config_.total_bytes - used_bytes_) {
    return Fail(ErrorCode::kNoSpace, "the fake device has no " + FormatBytes(bytes) + " left");
  }
  auto memory = SealedMemory::Create("cairn-fake-gpu", bytes);
  if (!memory) {
    return Fail(ErrorCode::kNoSpace, memory.error().message);
  }
  Region region{.id = next_region_++, .bytes = bytes, .handle = (*memory)->fd()};
  regions_.emplace(region.id, std::move(*memory));
  used_bytes_ += bytes;
  return region;
}

void HostDeviceMemory::Release(std::uint32_t region) {
  const MutexLock lock(mu_);
  const auto it = regions_.find(region);
  CAIRN_CHECK(it != regions_.end());
  used_bytes_ -= it->second->memory().size();
  regions_.erase(it);
}

std::span<const std::byte> HostDeviceMemory::Content(std::uint32_t region) const {
  const MutexLock lock(mu_);
  return regions_.at(region)->memory();
}

Result<std::span<std::byte>> HostDeviceMemory::AllocateStaging(std::uint64_t bytes) {
  const MutexLock lock(mu_);
  if (const Status alive = Alive(); !alive) {
    return Fail(alive.error());
  }
  staging_.push_back(std::make_unique<std::byte[]>(bytes));
  return std::span<std::byte>(staging_.back().get(), bytes);
}

void HostDeviceMemory::ReleaseStaging(std::span<std::byte> staging) {
  const MutexLock lock(mu_);
  std::erase_if(staging_, [&](const auto& memory) { return memory.get() == staging.data(); });
}

DeviceMemory::SmallPiecesWay HostDeviceMemory::SmallPieces() const {
  return {.by_kernel = kernel_, .why_not = "a fake device has no kernels"};
}

Status HostDeviceMemory::CopyToDevice(int stream, std::uint32_t region,
                                      std::span<const Piece> pieces) {
  return Push(stream, region, pieces, true);
}

Status HostDeviceMemory::CopyToHost(int stream, std::uint32_t region,
                                    std::span<const Piece> pieces) {
  return Push(stream, region, pieces, false);
}

Status HostDeviceMemory::Push(int stream, std::uint32_t region, std::span<const Piece> pieces,
                              bool to_device) {
  if (const Status healthy = Health(); !healthy) {
    return healthy;
  }
  const MutexLock lock(mu_);
  if (lose_after_ == 0) {
    LoseLocked("the fake device was told to fail after some copies");
  }
  lose_after_ -= lose_after_ >= 0 ? 1 : 0;
  if (const Status alive = Alive(); !alive) {
    return alive;
  }
  const std::span<std::byte> memory = regions_.at(region)->memory();
  for (const Piece& piece : pieces) {
    CAIRN_CHECK(piece.offset <= memory.size() && piece.host.size() <= memory.size() - piece.offset);
  }
  Stream& to = streams_[static_cast<std::size_t>(stream)];
  to.queue.push_back({to_device, memory, {pieces.begin(), pieces.end()}});
  to.pushed += 1;
  changed_.NotifyAll();
  return {};
}

void HostDeviceMemory::Work(const Batch& batch) {
  const int now = ++at_once_;
  int most = most_at_once_;
  while (now > most && !most_at_once_.compare_exchange_weak(most, now)) {
  }
  if (const std::int64_t us = copy_us_; us != 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(us));
  }
  for (const Piece& piece : batch.pieces) {
    const std::span<std::byte> device = batch.region.subspan(piece.offset, piece.host.size());
    const auto [to, from] =
        batch.to_device ? std::pair(device, piece.host) : std::pair(piece.host, device);
    std::memcpy(to.data(), from.data(), from.size());
  }
  if (batch.to_device && !batch.pieces.empty() && spoil_.exchange(false)) {
    batch.region[batch.pieces.front().offset] ^= std::byte{1};
  }
  --at_once_;
}

void HostDeviceMemory::Run(std::size_t index) {
  Stream& stream = streams_[index];
  for (;;) {
    Batch batch;
    {
      const MutexLock lock(mu_);
      while (!stopping_ && (stream.queue.empty() || hanging_ || !lost_.empty())) {
        changed_.Wait(mu_);
      }
      if (stopping_) {
        return;
      }
      batch = std::move(stream.queue.front());
      stream.queue.pop_front();
    }
    Work(batch);
    const MutexLock lock(mu_);
    stream.done += 1;
    changed_.NotifyAll();
  }
}

Result<DeviceMemory::Mark> HostDeviceMemory::SetMark(int stream) {
  const MutexLock lock(mu_);
  if (const Status alive = Alive(); !alive) {
    return Fail(alive.error());
  }
  return Mark{.stream = stream, .number = streams_[static_cast<std::size_t>(stream)].pushed};
}

Result<bool> HostDeviceMemory::Reached(const Mark& mark) {
  const MutexLock lock(mu_);
  if (const Status alive = Alive(); !alive) {
    return Fail(alive.error());
  }
  return streams_[static_cast<std::size_t>(mark.stream)].done >= mark.number;
}

Status HostDeviceMemory::Wait(const Mark& mark, TimePoint deadline) {
  const MutexLock lock(mu_);
  const Stream& stream = streams_[static_cast<std::size_t>(mark.stream)];
  while (lost_.empty() && stream.done < mark.number) {
    if (!changed_.WaitUntil(mu_, deadline) && stream.done < mark.number) {
      return Fail(ErrorCode::kDeadlineExceeded, "the fake device does not answer");
    }
  }
  return Alive();
}

}  // namespace cairn
