// From host memory to the GPU tier, and who reads there.
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "libcache/base/errno_text.h"
#include "libcache/cache/cache.h"

namespace cairn {
namespace {

// The walk to it and the places for it are made under the lock.
constexpr std::size_t kMaxObjects = 4'096;

}  // namespace

void Cache::OpenGpu(Gpu gpu) {
  const MutexLock lock(mu_);
  stats_.gpu.state = gpu.without;
  if (gpu.device == nullptr) {
    return;
  }
  auto uploader = DeviceUploader::Open(gpu.device.get(), gpu.uploader);
  if (!uploader) {
    stats_.gpu.state = "absent: " + uploader.error().message;
    return;
  }
  stats_.gpu.capacity_bytes = gpu.capacity_bytes;
  stats_.gpu.device = {.name = gpu.device->Name(),
                       .kind = std::string(gpu.device->Kind()),
                       .id = gpu.device->Id(),
                       .copies = gpu.copies.text,
                       .copy_switch_bytes = gpu.copies.bytes};
  GpuTier::Config config;
  config.kind = std::string(gpu.device->Kind());
  config.capacity_bytes = gpu.capacity_bytes;
  config.extent_bytes = gpu.extent_bytes;
  config.granularity_bytes = gpu.device->granularity_bytes();
  config.promote_after = gpu.promote_after;
  config.least_stay = gpu.least_stay;
  config.clock = config_.clock;
  const EvictionPolicy* const policy = policy_ != nullptr ? policy_.get() : trie_.get();
  config.worth = [policy](NodeId unit) { return policy->Worth(unit); };
  gpu_ = std::make_unique<GpuTier>(std::move(config));
  GpuMover::Owner owner;
  owner.next = [this] { return NextGpuStep(); };
  owner.grown = [this](const Result<DeviceMemory::Region>& region) { return OnGpuGrown(region); };
  owner.copied = [this](const DeviceUploader::Outcome& outcome) { OnGpuCopied(outcome); };
  owner.kernel_dropped = [this, told = std::move(gpu.on_kernel_dropped)](const std::string& why) {
    OnGpuKernelDropped(why);
    if (told) {
      told(why);
    }
  };
  owner.lost = [this, told = std::move(gpu.on_lost)](const std::string& reason) {
    OnGpuLost(reason);
    if (told) {
      told(reason);
    }
  };
  mover_ =
      std::make_unique<GpuMover>(std::move(gpu.device), std::move(*uploader), std::move(owner));
}

bool Cache::OnGpu(ObjectId id) const { return gpu_ != nullptr && gpu_->Has(id); }

void Cache::HoldOnGpu(Lease& lease, std::vector<ObjectView>& views) {
  const bool all = lease.want_device && !lease.objects.empty() &&
                   std::all_of(lease.objects.begin(), lease.objects.end(),
                               [this](ObjectId id) CAIRN_REQUIRES(mu_) { return OnGpu(id); });
  if (!all) {
    return;
  }
  lease.device.reserve(views.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (const auto place = gpu_->Hold(lease.objects[i])) {
      views[i].device = *place;
      lease.device.push_back(*place);
    }
  }
  lease.fetched_tier = TierKind::kGpu;
}

void Cache::ReleaseOnGpu(Lease& lease) {
  for (const DevicePlace& place : lease.device) {
    gpu_->Release(place);
  }
  lease.device.clear();
}

void Cache::OfferToGpu(const Lease& lease) {
  // Engines that cannot read from there give no reason to bring anything there.
  if (gpu_ != nullptr && lease.want_device && lease.fetched_tier != TierKind::kGpu &&
      gpu_->Offer(lease.fetched)) {
    mover_->Wake();
  }
}

Result<Cache::DeviceGrant> Cache::AttachDevice(SessionId session, LeaseId lease_id,
                                               std::uint32_t extent) {
  const MutexLock lock(mu_);
  const auto found = FindLease(session, lease_id);
  if (!found) {
    return Fail(found.error());
  }
  const Lease& lease = **found;
  const bool holds =
      std::any_of(lease.device.begin(), lease.device.end(),
                  [extent](const DevicePlace& place) { return place.extent == extent; });
  if (!holds) {
    return Fail(ErrorCode::kPermissionDenied, "no object of the lease lies in this extent");
  }
  const std::uint32_t domain = namespaces_[index_.node(lease.best).name_space].domain;
  const auto granted = gpu_->Attach(session, domain, extent);
  if (!granted) {
    return Fail(granted.error());
  }
  DeviceGrant grant;
  grant.kind = granted->kind;
  grant.bytes = granted->bytes;
  grant.ledger_words = DeviceArena::kMaxSlots;
  grant.region = UniqueFd(fcntl(granted->region_fd, F_DUPFD_CLOEXEC, 0));
  grant.ledger = UniqueFd(fcntl(granted->ledger_fd, F_DUPFD_CLOEXEC, 0));
  if (!grant.region.valid() || !grant.ledger.valid()) {
    return Fail(ErrorCode::kIo, "descriptors of device memory: " + ErrnoText());
  }
  return grant;
}

GpuMover::Step Cache::NextGpuStep() {
  const MutexLock lock(mu_);
  for (;;) {
    NodeId unit = std::exchange(gpu_waiting_, kNoId);
    if (unit == kNoId) {
      const auto candidate = gpu_->NextCandidate();
      if (!candidate) {
        return {};
      }
      unit = *candidate;
    }
    GpuMover::Step step = PlanGpuCopy(unit);
    if (step.what != GpuMover::Step::What::kNothing) {
      return step;
    }
  }
}

GpuMover::Step Cache::PlanGpuCopy(NodeId unit) {
  // The number may belong to another node by now, or to none: then it is no unit.
  if (!index_.node(unit).Has(Node::kUnit) || gpu_->HasUnit(unit)) {
    return {};
  }
  Lease path;
  if (!CollectObjects(path, unit, 0) || path.objects.size() > kMaxObjects) {
    return {};
  }
  std::vector<GpuTier::Source> sources;
  sources.reserve(path.objects.size());
  for (const ObjectId id : path.objects) {
    const Object& object = index_.object(id);
    if (!object.Has(Object::kHost) || object.io_pins == UINT16_MAX) {
      return {};
    }
    sources.push_back({.id = id, .kind = object.kind, .bytes = object.bytes});
  }
  const NamespaceState& space = namespaces_[index_.node(unit).name_space];
  GpuTier::Plan plan = gpu_->Reserve(unit, space.domain, sources);
  GpuMover::Step step;
  if (plan.next == GpuTier::Plan::Next::kGrow) {
    gpu_waiting_ = unit;
    step.what = GpuMover::Step::What::kGrow;
    step.release = std::move(plan.release);
    step.grow_bytes = plan.extent_bytes;
  } else if (plan.next == GpuTier::Plan::Next::kUpload) {
    step.what = GpuMover::Step::What::kCopy;
    // All of the boundary stays in host memory until it is over, also what is on the device
    // already.
    gpu_sources_ = std::move(path.objects);
    for (const ObjectId id : gpu_sources_) {
      index_.object(id).io_pins += 1;
    }
    gpu_copies_.clear();
    for (const GpuTier::Upload& upload : plan.uploads) {
      const ObjectView view = ViewOf(upload.id);
      gpu_copies_.push_back(upload.id);
      step.transfers.push_back({.source = arena_->Payload(view.arena_offset).first(view.bytes),
                                .digest = view.digest,
                                .region = upload.region,
                                .offset = upload.offset});
    }
  }
  return step;
}

bool Cache::OnGpuGrown(const Result<DeviceMemory::Region>& region) {
  const MutexLock lock(mu_);
  const NodeId unit = gpu_waiting_;
  // Should the one that waits have gone, its number still leads to a namespace, whose tenant gets
  // the extent.
  const std::uint32_t domain = namespaces_[index_.node(unit).name_space].domain;
  const bool kept = region.has_value() && gpu_->AddExtent(domain, *region).has_value();
  if (!kept) {
    gpu_->NoMoreExtents();
  }
  return kept;
}

void Cache::OnGpuCopied(const DeviceUploader::Outcome& outcome) {
  ColdLocation dropped;
  bool drop = false;
  {
    const MutexLock lock(mu_);
    gpu_->Finish(outcome.status.has_value());
    const std::vector<ObjectId> sources = std::exchange(gpu_sources_, {});
    const bool damaged = !outcome.status && outcome.status.error().code == ErrorCode::kCorrupt;
    if (damaged) {
      stats_.checksum_failures += 1;
      drop = Condemn(gpu_copies_[outcome.failed], dropped);
    }
    for (const ObjectId id : sources) {
      UnpinIo(id);
    }
  }
  if (drop) {
    cold_->Drop(dropped);
  }
}

void Cache::OnGpuKernelDropped(const std::string& why) {
  const CopySwitch now = NoCopyKernel(why);
  const MutexLock lock(mu_);
  stats_.gpu.device.copies = now.text;
  stats_.gpu.device.copy_switch_bytes = now.bytes;
}

void Cache::OnGpuLost(const std::string& reason) {
  const MutexLock lock(mu_);
  gpu_->Lose(reason);
}

}  // namespace cairn
