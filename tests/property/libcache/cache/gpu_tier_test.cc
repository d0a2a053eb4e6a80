// Random requests, losses and readers against a GPU tier on a fake device: no byte is ever wrong,
// what somebody reads is not used again, and the cap holds.
#include "libcache/cache/gpu_tier.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/tier/device_uploader.h"
#include "libcache/tier/host_device_memory.h"

namespace cairn {
namespace {

constexpr NodeId kUnits = 12;      // Boundaries on two paths, one for each tenant.
constexpr ObjectId kStates = 100;  // Numbers of their checkpoints; KV has those of the blocks.

class Model {
 public:
  explicit Model(std::uint64_t capacity_bytes)
      : device({.total_bytes = capacity_bytes, .streams = 2, .lost_when_exists = {}}),
        uploader(std::move(DeviceUploader::Open(&device, {.buffer_bytes = 4096})).value()) {
    GpuTier::Config config;
    config.capacity_bytes = capacity_bytes;
    config.extent_bytes = 128 * kKiB;
    config.granularity_bytes = device.granularity_bytes();
    config.least_stay = std::chrono::milliseconds(0);
    config.clock = &clock;
    config.worth = [this](NodeId unit) { return worth[unit]; };
    tier = std::make_unique<GpuTier>(config);
  }

  static std::uint32_t DomainOf(NodeId unit) { return unit % 2; }
  static std::vector<GpuTier::Source> ObjectsOf(NodeId unit) {
    std::vector<GpuTier::Source> objects;
    for (ObjectId block = unit % 2; block <= unit; block += 2) {
      objects.push_back({.id = block, .kind = ObjectKind::kKv, .bytes = 3'000 + 1'000 * block});
    }
    objects.push_back(
        {.id = kStates + unit, .kind = ObjectKind::kCheckpoint, .bytes = 20'000 + 7 * unit});
    return objects;
  }
  static std::vector<std::byte> Content(ObjectId id, std::uint64_t bytes) {
    std::vector<std::byte> content(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      content[i] = static_cast<std::byte>(id * 37 + i * 11 + i / 253);
    }
    return content;
  }

  void Promote(NodeId unit, double value, bool copy_fails) {
    if (tier->HasUnit(unit)) {
      return;
    }
    worth[unit] = value;
    const auto objects = ObjectsOf(unit);
    auto plan = tier->Reserve(unit, DomainOf(unit), objects);
    while (plan.next == GpuTier::Plan::Next::kGrow) {
      for (const std::uint32_t region : plan.release) {
        device.Release(region);
        domains.erase(region);
      }
      const auto region = device.Allocate(plan.extent_bytes);
      RC_ASSERT(region.has_value());
      RC_ASSERT(tier->AddExtent(DomainOf(unit), *region).has_value());
      domains[region->id] = DomainOf(unit);
      plan = tier->Reserve(unit, DomainOf(unit), objects);
    }
    if (plan.next == GpuTier::Plan::Next::kRefuse) {
      RC_ASSERT(!tier->HasUnit(unit));
      return;
    }
    std::vector<std::vector<std::byte>> sources;
    std::vector<DeviceUploader::Transfer> transfers;
    for (const GpuTier::Upload& upload : plan.uploads) {
      RC_ASSERT(!tier->Has(upload.id));
      RC_ASSERT(domains.at(upload.region) == DomainOf(unit));
      const auto object = std::find_if(objects.begin(), objects.end(),
                                       [&](const auto& o) { return o.id == upload.id; });
      sources.push_back(Content(upload.id, object->bytes));
      transfers.push_back({.source = sources.back(),
                           .digest = DigestOf(sources.back()),
                           .region = upload.region,
                           .offset = upload.offset});
    }
    const auto outcome = uploader->Upload(transfers);
    RC_ASSERT(outcome.status.has_value());
    tier->Finish(!copy_fails);
    RC_ASSERT(tier->HasUnit(unit) != copy_fails);
  }

  void Hold(NodeId unit) {
    for (const GpuTier::Source& object : ObjectsOf(unit)) {
      if (const auto place = tier->Hold(object.id)) {
        held.push_back({*place, Content(object.id, object.bytes)});
      }
    }
  }
  void Release(std::size_t index) {
    if (!held.empty()) {
      index %= held.size();
      tier->Release(held[index].place);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }

  void Check() {
    GpuStats stats;
    tier->AddTo(stats);
    RC_ASSERT(stats.extent_bytes <= stats.capacity_bytes);
    RC_ASSERT(stats.used_bytes <= stats.extent_bytes);
    RC_ASSERT(stats.readers == held.size());
    RC_ASSERT(device.SpaceNow()->total_bytes - device.SpaceNow()->free_bytes == stats.extent_bytes);
    // What readers hold is as it was, whether the tier still counts on it or not.
    for (const Held& reader : held) {
      RC_ASSERT(Is(reader.place, reader.content));
    }
    std::map<std::uint32_t, std::map<std::uint64_t, std::uint64_t>> taken;  // By region and offset.
    for (const Held& reader : held) {
      taken[reader.place.extent][reader.place.offset] = reader.content.size();
    }
    for (NodeId unit = 0; unit < kUnits; ++unit) {
      for (const GpuTier::Source& object : ObjectsOf(unit)) {
        RC_ASSERT(!tier->HasUnit(unit) || tier->Has(object.id));
        const auto place = tier->Hold(object.id);
        RC_ASSERT(place.has_value() == tier->Has(object.id));
        if (place) {
          RC_ASSERT(domains.at(place->extent) == DomainOf(unit));
          RC_ASSERT(Is(*place, Content(object.id, object.bytes)));
          taken[place->extent][place->offset] = object.bytes;
          tier->Release(*place);
        }
      }
    }
    for (const auto& [region, slots] : taken) {
      std::uint64_t end = 0;
      for (const auto& [offset, bytes] : slots) {
        RC_ASSERT(offset >= end);
        end = offset + DeviceArena::SlotBytes(bytes);
      }
    }
  }

  struct Held {
    DevicePlace place;
    std::vector<std::byte> content;
  };
  [[nodiscard]] bool Is(const DevicePlace& place, const std::vector<std::byte>& content) const {
    const auto memory = device.Content(place.extent);
    return std::equal(content.begin(), content.end(),
                      memory.begin() + static_cast<std::ptrdiff_t>(place.offset));
  }

  ManualClock clock;
  std::map<NodeId, double> worth;
  HostDeviceMemory device;
  std::unique_ptr<DeviceUploader> uploader;
  std::unique_ptr<GpuTier> tier;
  std::map<std::uint32_t, std::uint32_t> domains;  // By region.
  std::vector<Held> held;
};

RC_GTEST_PROP(GpuTierProperty, BytesAreRightReadersAreSafeAndTheCapHolds, ()) {
  const auto capacity = *rc::gen::inRange<std::uint64_t>(2, 9) * 64 * kKiB;
  Model model(capacity);
  const auto steps = *rc::gen::inRange(1, 60);
  for (int i = 0; i < steps; ++i) {
    const auto unit = *rc::gen::inRange<NodeId>(0, kUnits);
    switch (*rc::gen::inRange(0, 9)) {
      case 0:
      case 1:
      case 2:
      case 3: model.Promote(unit, *rc::gen::inRange(0, 20), *rc::gen::inRange(0, 8) == 0); break;
      case 4: model.tier->Forget(unit); break;
      case 5: model.tier->Forget(kStates + unit); break;
      case 6: model.Hold(unit); break;
      default: model.Release(*rc::gen::inRange<std::size_t>(0, 100)); break;
    }
    model.Check();
  }
  while (!model.held.empty()) {
    model.Release(0);
  }
  for (ObjectId id = 0; id < kUnits; ++id) {
    model.tier->Forget(id);
    model.tier->Forget(kStates + id);
  }
  GpuStats stats;
  model.tier->AddTo(stats);
  RC_ASSERT(stats.used_bytes == 0U);
  RC_ASSERT(stats.boundaries == 0U);
  RC_ASSERT(stats.readers == 0U);
}

}  // namespace
}  // namespace cairn
