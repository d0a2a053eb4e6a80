// Matching, storing and observing. Loading: c_api_load.cc.
#include <utility>

#include "libcache/connector/c_api.h"

namespace cairn::c_api {
namespace {

Status Match(const cairn_prompt* prompt, std::uint32_t deadline_ms, cairn_hit** hit) {
  if (const Status out = NotNull(static_cast<const void*>(hit), "hit"); !out) {
    return out;
  }
  *hit = nullptr;
  if (const Status handle = NotNull(prompt, "prompt"); !handle) {
    return handle;
  }
  const auto deadline = Deadline(deadline_ms);
  if (!deadline) {
    return Fail(deadline.error());
  }
  // Made first, so that nothing can fail once there is a lease.
  auto made = std::make_unique<cairn_hit>();
  made->client = prompt->client;
  made->spec = prompt->spec;
  auto matched = prompt->client->Match(prompt->prompt, *deadline);
  if (!matched) {
    return Fail(matched.error());
  }
  made->hit = std::move(*matched);
  *hit = made.release();
  return {};
}

Status GetInfo(const cairn_hit* hit, cairn_hit_info* info) {
  if (const Status handle = NotNull(hit, "hit"); !handle) {
    return handle;
  }
  if (const Status given = CheckStruct(info, "info"); !given) {
    return given;
  }
  cairn_hit_info value{};
  value.bytes = hit->hit.bytes;
  value.resume_at = hit->hit.resume_at;
  value.overlap_tokens = hit->hit.overlap_tokens;
  value.boundary_count = static_cast<std::uint32_t>(hit->hit.boundaries.size());
  value.plan_count = static_cast<std::uint32_t>(hit->hit.plan.size());
  value.tier = static_cast<std::int32_t>(hit->hit.tier);
  WriteStruct(info, value);
  return {};
}

Result<const Boundary*> BoundaryAt(const cairn_hit* hit, std::size_t index) {
  if (const Status handle = NotNull(hit, "hit"); !handle) {
    return Fail(handle.error());
  }
  if (index >= hit->hit.boundaries.size()) {
    return Invalid("index: " + std::to_string(index) + ", but the hit has " +
                   std::to_string(hit->hit.boundaries.size()) + " boundaries");
  }
  return &hit->hit.boundaries[index];
}

Status GetBoundary(const cairn_hit* hit, std::size_t index, cairn_boundary* boundary) {
  const auto at = BoundaryAt(hit, index);
  if (!at) {
    return Fail(at.error());
  }
  if (const Status given = CheckStruct(boundary, "boundary"); !given) {
    return given;
  }
  cairn_boundary value{};
  value.bytes = (*at)->bytes;
  value.position = (*at)->position;
  value.estimated_load_us = (*at)->estimated_load_us;
  value.tier = static_cast<std::int32_t>((*at)->tier);
  value.inside_block = (*at)->tail ? 1 : 0;
  WriteStruct(boundary, value);
  return {};
}

Result<std::vector<Client::StoreItem>> ReadItems(const cairn_store_item* items,
                                                 std::size_t item_count) {
  std::vector<Client::StoreItem> made;
  if (item_count == 0) {
    return made;
  }
  if (const Status first = CheckStruct(items, "items[0]"); !first) {
    return Fail(first.error());
  }
  const std::size_t stride = items->struct_size;
  if (stride % alignof(cairn_store_item) != 0) {
    return Invalid("items[0].struct_size: set it to sizeof, as CAIRN_INIT does");
  }
  const char* at = reinterpret_cast<const char*>(items);
  for (std::size_t i = 0; i < item_count; ++i, at += stride) {
    const std::string name = "items[" + std::to_string(i) + "]";
    const auto* const given = reinterpret_cast<const cairn_store_item*>(at);
    if (given->struct_size != stride) {
      return Invalid(name + ".struct_size: must be that of items[0]");
    }
    const auto item = ReadStruct(given, name.c_str());
    if (!item) {
      return Fail(item.error());
    }
    if (item->kind != CAIRN_KIND_KV && item->kind != CAIRN_KIND_CHECKPOINT) {
      return Invalid(name + ".kind: " + std::to_string(item->kind) + " is none of CAIRN_KIND_*");
    }
    if (item->data == nullptr) {
      return Invalid(name + ".data: must not be NULL");
    }
    made.push_back({.kind = static_cast<ObjectKind>(item->kind),
                    .position = item->position,
                    .bytes = std::span(static_cast<const std::byte*>(item->data), item->bytes)});
  }
  return made;
}

struct StoreArguments {
  const cairn_store_item* items;
  std::size_t item_count;
  bool durable;
  std::uint32_t deadline_ms;
  cairn_stored* stored;
  cairn_code* codes;
};

Status Store(const cairn_prompt* prompt, const StoreArguments& arguments) {
  if (const Status handle = NotNull(prompt, "prompt"); !handle) {
    return handle;
  }
  const auto items = ReadItems(arguments.items, arguments.item_count);
  if (!items) {
    return Fail(items.error());
  }
  if (arguments.stored != nullptr) {
    if (const Status given = CheckStruct(arguments.stored, "stored"); !given) {
      return given;
    }
  }
  const auto deadline = Deadline(arguments.deadline_ms);
  if (!deadline) {
    return Fail(deadline.error());
  }
  const auto stored = prompt->client->Store(prompt->prompt, *items, arguments.durable, *deadline);
  if (!stored) {
    return Fail(stored.error());
  }
  if (arguments.codes != nullptr) {
    for (std::size_t i = 0; i < stored->codes.size(); ++i) {
      arguments.codes[i] = static_cast<cairn_code>(stored->codes[i]);
    }
  }
  if (arguments.stored != nullptr) {
    cairn_stored value{};
    value.bytes = stored->bytes;
    value.written = stored->written;
    value.present = stored->present;
    value.refused = stored->refused;
    WriteStruct(arguments.stored, value);
  }
  return {};
}

Status Observe(const cairn_prompt* prompt, const cairn_observation* given,
               std::uint32_t deadline_ms) {
  if (const Status handle = NotNull(prompt, "prompt"); !handle) {
    return handle;
  }
  const auto from = ReadStruct(given, "observation");
  if (!from) {
    return Fail(from.error());
  }
  if (from->tier < CAIRN_TIER_NONE || from->tier > CAIRN_TIER_GPU) {
    return Invalid("observation.tier: " + std::to_string(from->tier) + " is none of CAIRN_TIER_*");
  }
  const auto deadline = Deadline(deadline_ms);
  if (!deadline) {
    return Fail(deadline.error());
  }
  return prompt->client->Observe(prompt->prompt,
                                 {.prompt_tokens = from->prompt_tokens,
                                  .overlap_tokens = from->overlap_tokens,
                                  .resumed_at = from->resumed_at,
                                  .gap_tokens = from->gap_tokens,
                                  .load_us = from->load_us,
                                  .recompute_us = from->recompute_us,
                                  .tier = static_cast<TierKind>(from->tier),
                                  .failed = from->failed != 0},
                                 *deadline);
}

}  // namespace
}  // namespace cairn::c_api

namespace api = cairn::c_api;
using cairn::Fail;
using cairn::Status;

cairn_code cairn_match(const cairn_prompt* prompt, uint32_t deadline_ms, cairn_hit** hit) {
  return api::Guarded([&] { return api::Match(prompt, deadline_ms, hit); });
}

cairn_code cairn_hit_get_info(const cairn_hit* hit, cairn_hit_info* info) {
  return api::Guarded([&] { return api::GetInfo(hit, info); });
}

cairn_code cairn_hit_boundary(const cairn_hit* hit, size_t index, cairn_boundary* boundary) {
  return api::Guarded([&] { return api::GetBoundary(hit, index, boundary); });
}

const uint32_t* cairn_hit_plan(const cairn_hit* hit, size_t* count) {
  if (count == nullptr) {
    return nullptr;
  }
  *count = hit == nullptr ? 0 : hit->hit.plan.size();
  return *count == 0 ? nullptr : hit->hit.plan.data();
}

cairn_code cairn_hit_choose(cairn_hit* hit, size_t index) {
  return api::Guarded([&]() -> Status {
    const auto boundary = api::BoundaryAt(hit, index);
    if (!boundary) {
      return Fail(boundary.error());
    }
    hit->hit = cairn::Client::At(hit->hit, **boundary);
    return {};
  });
}

cairn_code cairn_hit_release(cairn_hit* hit, uint32_t deadline_ms) {
  return api::Guarded([&]() -> Status {
    if (const Status handle = api::NotNull(hit, "hit"); !handle) {
      return handle;
    }
    const auto deadline = api::Deadline(deadline_ms);
    if (!deadline) {
      return Fail(deadline.error());
    }
    Status released = hit->client->Release(hit->hit, *deadline);
    if (released) {
      hit->hit.lease = 0;
    }
    return released;
  });
}

void cairn_hit_free(cairn_hit* hit) { delete hit; }

cairn_code cairn_store(const cairn_prompt* prompt, const cairn_store_item* items, size_t item_count,
                       int32_t durable, uint32_t deadline_ms, cairn_stored* stored,
                       cairn_code* codes) {
  return api::Guarded([&] {
    return api::Store(prompt, {.items = items,
                               .item_count = item_count,
                               .durable = durable != 0,
                               .deadline_ms = deadline_ms,
                               .stored = stored,
                               .codes = codes});
  });
}

cairn_code cairn_observe(const cairn_prompt* prompt, const cairn_observation* observation,
                         uint32_t deadline_ms) {
  return api::Guarded([&] { return api::Observe(prompt, observation, deadline_ms); });
}
