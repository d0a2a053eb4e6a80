#include "libcache/tier/device_uploader.h"

#include <algorithm>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"

namespace cairn {
namespace {

constexpr std::uint64_t kPartStep = 64;  // Parts begin at cache lines of the buffers.

}  // namespace

Result<std::unique_ptr<DeviceUploader>> DeviceUploader::Open(DeviceMemory* device,
                                                             const Config& config) {
  CAIRN_CHECK(config.buffer_bytes >= kPartStep && config.buffer_bytes % kPartStep == 0);
  std::unique_ptr<DeviceUploader> uploader(new DeviceUploader(device, config));
  for (int stream = 0; stream < device->streams(); ++stream) {
    auto buffers = device->AllocateStaging(2 * config.buffer_bytes);
    if (!buffers) {
      return Fail(buffers.error());
    }
    Lane lane;
    lane.stream = stream;
    lane.up = buffers->first(config.buffer_bytes);
    lane.down = buffers->subspan(config.buffer_bytes);
    uploader->lanes_.push_back(std::move(lane));
  }
  return uploader;
}

DeviceUploader::Outcome DeviceUploader::Upload(std::span<const Transfer> transfers) {
  transfers_ = transfers;
  back_ = Digester();
  failed_ = 0;
  Status status;
  for (std::size_t i = 0; i < transfers.size() && status; ++i) {
    status = Stage(i);
  }
  if (status) {
    status = FinishAll();
  }
  if (!status) {
    GiveUp(status.error().code != ErrorCode::kUnavailable);
  }
  transfers_ = {};
  return {.status = std::move(status), .failed = failed_};
}

Status DeviceUploader::Stage(std::size_t index) {
  const Transfer& transfer = transfers_[index];
  const std::uint64_t size = transfer.source.size();
  CAIRN_CHECK(size > 0);
  Digester digester;
  for (std::uint64_t done = 0; done < size;) {
    Lane& lane = lanes_[next_];
    if (lane.under_way) {
      if (Status completed = Complete(lane); !completed) {
        return completed;
      }
    }
    const bool other_region = !lane.parts.empty() && lane.region != transfer.region;
    if (lane.filled == config_.buffer_bytes || other_region) {
      if (Status started = Start(lane); !started) {
        return started;
      }
      next_ = (next_ + 1) % lanes_.size();
      continue;
    }
    const std::uint64_t bytes = std::min(config_.buffer_bytes - lane.filled, size - done);
    digester.CopyAndUpdate(lane.up.subspan(lane.filled, bytes),
                           transfer.source.subspan(done, bytes));
    lane.region = transfer.region;
    lane.parts.push_back({.transfer = index,
                          .at = lane.filled,
                          .bytes = bytes,
                          .offset = transfer.offset + done,
                          .last = done + bytes == size});
    lane.filled = RoundUp(lane.filled + bytes, kPartStep);
    done += bytes;
  }
  if (!(digester.Finish() == transfer.digest)) {
    failed_ = index;
    return Fail(ErrorCode::kCorrupt, "an object in host memory does not have its digest");
  }
  return {};
}

Status DeviceUploader::Start(Lane& lane) {
  std::vector<DeviceMemory::Piece> up;
  std::vector<DeviceMemory::Piece> down;
  up.reserve(lane.parts.size());
  down.reserve(lane.parts.size());
  for (const Part& part : lane.parts) {
    up.push_back({.host = lane.up.subspan(part.at, part.bytes), .offset = part.offset});
    down.push_back({.host = lane.down.subspan(part.at, part.bytes), .offset = part.offset});
  }
  if (Status sent = device_->CopyToDevice(lane.stream, lane.region, up); !sent) {
    return sent;
  }
  lane.under_way = true;  // From here on the buffers are in use, whatever comes.
  Status asked = device_->CopyToHost(lane.stream, lane.region, down);
  const auto mark = device_->SetMark(lane.stream);
  if (!asked) {
    return asked;
  }
  if (!mark) {
    return Fail(mark.error());
  }
  lane.mark = *mark;
  return {};
}

Status DeviceUploader::Complete(Lane& lane) {
  Status waited = device_->Wait(lane.mark, SteadyClock::Instance().Now() + config_.limit);
  if (!waited && waited.error().code == ErrorCode::kDeadlineExceeded) {
    return Fail(ErrorCode::kUnavailable,
                "a copy took longer than " + std::to_string(config_.limit.count()) + " ms");
  }
  if (!waited) {
    return waited;
  }
  lane.under_way = false;
  for (const Part& part : lane.parts) {
    back_.Update(lane.down.subspan(part.at, part.bytes));
    if (part.last) {
      const Digest digest = back_.Finish();
      back_ = Digester();
      if (!(digest == transfers_[part.transfer].digest)) {
        failed_ = part.transfer;
        return Fail(ErrorCode::kIo, "the device gave back other bytes than it was sent");
      }
    }
  }
  lane.parts.clear();
  lane.filled = 0;
  return {};
}

Status DeviceUploader::FinishAll() {
  if (!lanes_[next_].parts.empty() && !lanes_[next_].under_way) {
    if (Status started = Start(lanes_[next_]); !started) {
      return started;
    }
    next_ = (next_ + 1) % lanes_.size();
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {  // Oldest first.
    Lane& lane = lanes_[(next_ + i) % lanes_.size()];
    if (lane.under_way) {
      if (Status completed = Complete(lane); !completed) {
        return completed;
      }
    }
  }
  return {};
}

void DeviceUploader::GiveUp(bool device_works) {
  for (Lane& lane : lanes_) {
    // What a lost device still does to its buffers stays between the two: they go together.
    if (lane.under_way && device_works) {
      const auto mark = device_->SetMark(lane.stream);
      if (mark) {
        static_cast<void>(device_->Wait(*mark, SteadyClock::Instance().Now() + config_.limit));
      }
    }
    lane.under_way = false;
    lane.parts.clear();
    lane.filled = 0;
  }
}

}  // namespace cairn
