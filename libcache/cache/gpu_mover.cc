#include "libcache/cache/gpu_mover.h"

#include <chrono>
#include <utility>

#include "libcache/base/thread_pool.h"

namespace cairn {
namespace {

constexpr std::chrono::seconds kHealthEvery{1};
// A device whose memory does not hold what was written to it is no place for a cache.
constexpr int kMostWrongCopies = 3;

}  // namespace

GpuMover::GpuMover(std::unique_ptr<DeviceMemory> device, std::unique_ptr<DeviceUploader> uploader,
                   Owner owner)
    : device_(std::move(device)),
      uploader_(std::move(uploader)),
      by_kernel_(device_->SmallPieces().by_kernel),
      owner_(std::move(owner)),
      thread_([this] { Run(); }) {}

GpuMover::~GpuMover() { Stop(); }

void GpuMover::Wake() {
  const MutexLock lock(mu_);
  woken_ = true;
  wake_.NotifyOne();
}

void GpuMover::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyOne();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

bool GpuMover::stopping() {
  const MutexLock lock(mu_);
  return stopping_;
}

bool GpuMover::WaitForWork() {
  const TimePoint until = SteadyClock::Instance().Now() + kHealthEvery;
  const MutexLock lock(mu_);
  while (!woken_ && !stopping_ && wake_.WaitUntil(mu_, until)) {
  }
  woken_ = false;
  return !stopping_;
}

void GpuMover::Run() {
  NameThread("cairn-gpu");
  std::string lost;
  while (lost.empty() && WaitForWork()) {
    LookAtCopies();
    const Status healthy = device_->Health();
    lost = healthy ? Work() : healthy.error().message;
  }
  if (!lost.empty()) {
    owner_.lost(lost);
    uploader_.reset();
    device_.reset();
  }
}

void GpuMover::LookAtCopies() {
  if (!by_kernel_) {
    return;
  }
  const DeviceMemory::SmallPiecesWay way = device_->SmallPieces();
  if (!way.by_kernel) {
    by_kernel_ = false;
    owner_.kernel_dropped(way.why_not);
  }
}

std::string GpuMover::Work() {
  while (!stopping()) {
    const Step step = owner_.next();
    if (step.what == Step::What::kNothing) {
      break;
    }
    if (step.what == Step::What::kGrow) {
      for (const std::uint32_t region : step.release) {
        device_->Release(region);
      }
      const auto region = device_->Allocate(step.grow_bytes);
      if (!owner_.grown(region) && region) {
        device_->Release(region->id);
      }
      if (!region && region.error().code == ErrorCode::kUnavailable) {
        return region.error().message;
      }
      continue;
    }
    const DeviceUploader::Outcome outcome = uploader_->Upload(step.transfers);
    owner_.copied(outcome);
    if (!outcome.status && outcome.status.error().code == ErrorCode::kUnavailable) {
      return outcome.status.error().message;
    }
    if (!outcome.status && outcome.status.error().code == ErrorCode::kIo &&
        ++wrong_copies_ == kMostWrongCopies) {
      return outcome.status.error().message;
    }
  }
  return "";
}

}  // namespace cairn
