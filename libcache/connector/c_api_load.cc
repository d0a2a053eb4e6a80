// What a hit has, and loading it: into host memory, or to the engine's GPU.
#include <utility>

#include "libcache/connector/c_api.h"

namespace cairn::c_api {
namespace {

/// What a load brings follows from the namespace, in the order of Cache::FinishFetch.
class ObjectList {
 public:
  ObjectList(const cairn_hit& hit, std::uint32_t from_position)
      : spec_(hit.spec), end_(hit.hit.resume_at) {
    const std::uint32_t blocks = end_ / spec_.block_tokens;
    first_block_ = std::min(from_position / spec_.block_tokens, blocks);
    if (spec_.kv_bytes_per_token != 0) {
      whole_blocks_ = blocks - first_block_;
      tail_tokens_ = end_ > from_position ? end_ % spec_.block_tokens : 0;
    }
    has_checkpoint_ = end_ != 0 && spec_.checkpoint_bytes != 0;
  }

  [[nodiscard]] std::size_t Count() const {
    return std::size_t{whole_blocks_} + (tail_tokens_ != 0 ? 1 : 0) + (has_checkpoint_ ? 1 : 0);
  }
  [[nodiscard]] std::uint64_t Bytes() const {
    const std::uint64_t tokens = std::uint64_t{whole_blocks_} * spec_.block_tokens + tail_tokens_;
    return tokens * spec_.kv_bytes_per_token + (has_checkpoint_ ? spec_.checkpoint_bytes : 0);
  }
  [[nodiscard]] cairn_object At(std::size_t index) const {
    cairn_object object{};
    object.struct_size = sizeof(object);
    object.kind = CAIRN_KIND_KV;
    object.position = end_;
    if (index < whole_blocks_) {
      const auto block = static_cast<std::uint32_t>(first_block_ + index);
      object.position = (block + 1) * spec_.block_tokens;
      object.tokens = spec_.block_tokens;
    } else if (index == whole_blocks_ && tail_tokens_ != 0) {
      object.tokens = tail_tokens_;
    } else {
      object.kind = CAIRN_KIND_CHECKPOINT;
    }
    object.bytes = object.kind == CAIRN_KIND_KV ? object.tokens * spec_.kv_bytes_per_token
                                                : spec_.checkpoint_bytes;
    return object;
  }

 private:
  const NamespaceSpec& spec_;
  std::uint32_t end_;
  std::uint32_t first_block_ = 0;
  std::uint32_t whole_blocks_ = 0;
  std::uint32_t tail_tokens_ = 0;
  bool has_checkpoint_ = false;
};

struct LoadArguments {
  const cairn_hit* hit;
  std::uint32_t from_position;
  std::uint32_t deadline_ms;
  cairn_loaded* loaded;
};

Status CheckLoad(const LoadArguments& arguments) {
  if (const Status handle = NotNull(arguments.hit, "hit"); !handle) {
    return handle;
  }
  if (arguments.loaded != nullptr) {
    if (const Status given = CheckStruct(arguments.loaded, "loaded"); !given) {
      return given;
    }
  }
  return {};
}

/// Of the objects that a load hands out.
cairn_object ToObject(const ObjectView& view) {
  cairn_object object{};
  object.struct_size = sizeof(object);
  object.bytes = view.bytes;
  object.kind = static_cast<std::int32_t>(view.kind);
  object.position = view.position;
  object.tokens = view.tokens;
  return object;
}

Status Finish(const LoadArguments& arguments, const Result<Client::Loaded>& loaded, bool refused) {
  if (refused) {
    return Fail(ErrorCode::kNoSpace, "target: gave no memory");
  }
  if (!loaded) {
    return Fail(loaded.error());
  }
  if (arguments.loaded != nullptr) {
    cairn_loaded value{};
    value.bytes = loaded->bytes;
    value.objects = loaded->objects;
    value.device_objects = loaded->device_objects;
    WriteStruct(arguments.loaded, value);
  }
  return {};
}

/// `give` takes a cairn_object and returns memory for it, or nullptr.
template <class Give>
Status Load(const LoadArguments& arguments, const Give& give) {
  const auto deadline = Deadline(arguments.deadline_ms);
  if (!deadline) {
    return Fail(deadline.error());
  }
  bool refused = false;
  const Client::Target target = [&](const ObjectView& view) -> std::span<std::byte> {
    void* const memory = give(ToObject(view));
    refused = memory == nullptr;
    return refused ? std::span<std::byte>()
                   : std::span(static_cast<std::byte*>(memory), view.bytes);
  };
  const auto loaded =
      arguments.hit->client->Load(arguments.hit->hit, arguments.from_position, target, *deadline);
  return Finish(arguments, loaded, refused);
}

/// The same; `give` returns an address of the engine's device, or 0.
template <class Give>
Status LoadToDevice(const LoadArguments& arguments, const Give& give) {
  const auto deadline = Deadline(arguments.deadline_ms);
  if (!deadline) {
    return Fail(deadline.error());
  }
  bool refused = false;
  const Client::DeviceTarget target = [&](const ObjectView& view) {
    const std::uint64_t address = give(ToObject(view));
    refused = address == 0;
    return address;
  };
  const auto loaded = arguments.hit->client->LoadToDevice(
      arguments.hit->hit, arguments.from_position, target, *deadline);
  return Finish(arguments, loaded, refused);
}

/// The caller's arrays: a place and its size for each object.
template <class Place>
struct Places {
  const Place* places;
  const char* name;  // Of the argument.
  const std::size_t* sizes;
  std::size_t count;
};

template <class Place>
Status CheckPlaces(const ObjectList& objects, const Places<Place>& into) {
  if (into.count != objects.Count()) {
    return Invalid("count: " + std::to_string(into.count) + " " + into.name + " for " +
                   std::to_string(objects.Count()) + " objects");
  }
  if (into.count != 0 && (into.places == nullptr || into.sizes == nullptr)) {
    return Invalid(std::string(into.places == nullptr ? into.name : "sizes") +
                   ": must not be NULL");
  }
  for (std::size_t i = 0; i < into.count; ++i) {
    const std::string index = "[" + std::to_string(i) + "]: ";
    if (into.places[i] == Place{}) {
      return Invalid(into.name + index + "must not be NULL");
    }
    if (into.sizes[i] < objects.At(i).bytes) {
      return Invalid("sizes" + index + std::to_string(into.sizes[i]) + " for an object of " +
                     std::to_string(objects.At(i).bytes) + " bytes");
    }
  }
  return {};
}

/// `load` is one of the two above.
template <class Place, class LoadBy>
Status LoadInto(const LoadArguments& arguments, const Places<Place>& into, const LoadBy& load) {
  const ObjectList objects(*arguments.hit, arguments.from_position);
  if (const Status valid = CheckPlaces(objects, into); !valid) {
    return valid;
  }
  std::size_t next = 0;
  bool foreign = false;
  Status loaded = load([&](const cairn_object& object) -> Place {
    const bool expected = next < into.count && objects.At(next).position == object.position &&
                          objects.At(next).bytes == object.bytes &&
                          objects.At(next).kind == object.kind;
    foreign = foreign || !expected;
    return expected ? into.places[next++] : Place{};
  });
  if (foreign || (loaded && next != into.count)) {
    return Fail(ErrorCode::kCorrupt, "the daemon sent other objects than the boundary has");
  }
  return loaded;
}

/// What all four calls check before anything else; `body` does the rest.
template <class Body>
cairn_code Loading(const LoadArguments& arguments, const Body& body) {
  return Guarded([&]() -> Status {
    const Status valid = CheckLoad(arguments);
    return valid ? body() : valid;
  });
}

}  // namespace
}  // namespace cairn::c_api

namespace api = cairn::c_api;
using cairn::Status;

cairn_code cairn_hit_object_count(const cairn_hit* hit, uint32_t from_position, size_t* count,
                                  uint64_t* total_bytes) {
  return api::Guarded([&]() -> Status {
    if (const Status handle = api::NotNull(hit, "hit"); !handle) {
      return handle;
    }
    if (const Status out = api::NotNull(count, "count"); !out) {
      return out;
    }
    const api::ObjectList objects(*hit, from_position);
    *count = objects.Count();
    if (total_bytes != nullptr) {
      *total_bytes = objects.Bytes();
    }
    return {};
  });
}

cairn_code cairn_hit_object(const cairn_hit* hit, uint32_t from_position, size_t index,
                            cairn_object* object) {
  return api::Guarded([&]() -> Status {
    if (const Status handle = api::NotNull(hit, "hit"); !handle) {
      return handle;
    }
    if (const Status given = api::CheckStruct(object, "object"); !given) {
      return given;
    }
    const api::ObjectList objects(*hit, from_position);
    if (index >= objects.Count()) {
      return api::Invalid("index: " + std::to_string(index) + ", but there are " +
                          std::to_string(objects.Count()) + " objects");
    }
    api::WriteStruct(object, objects.At(index));
    return {};
  });
}

cairn_code cairn_load(const cairn_hit* hit, uint32_t from_position, cairn_target target,
                      void* context, uint32_t deadline_ms, cairn_loaded* loaded) {
  const api::LoadArguments arguments{hit, from_position, deadline_ms, loaded};
  return api::Loading(arguments, [&]() -> Status {
    if (target == nullptr) {
      return api::Invalid("target: must not be NULL");
    }
    return api::Load(arguments,
                     [&](const cairn_object& object) { return target(context, &object); });
  });
}

cairn_code cairn_load_into(const cairn_hit* hit, uint32_t from_position, void* const* buffers,
                           const size_t* sizes, size_t count, uint32_t deadline_ms,
                           cairn_loaded* loaded) {
  const api::LoadArguments arguments{hit, from_position, deadline_ms, loaded};
  return api::Loading(arguments, [&] {
    return api::LoadInto(arguments, api::Places<void*>{buffers, "buffers", sizes, count},
                         [&](const auto& give) { return api::Load(arguments, give); });
  });
}

cairn_code cairn_load_device(const cairn_hit* hit, uint32_t from_position,
                             cairn_device_target target, void* context, uint32_t deadline_ms,
                             cairn_loaded* loaded) {
  const api::LoadArguments arguments{hit, from_position, deadline_ms, loaded};
  return api::Loading(arguments, [&]() -> Status {
    if (target == nullptr) {
      return api::Invalid("target: must not be NULL");
    }
    return api::LoadToDevice(arguments,
                             [&](const cairn_object& object) { return target(context, &object); });
  });
}

cairn_code cairn_load_device_into(const cairn_hit* hit, uint32_t from_position,
                                  const uint64_t* addresses, const size_t* sizes, size_t count,
                                  uint32_t deadline_ms, cairn_loaded* loaded) {
  const api::LoadArguments arguments{hit, from_position, deadline_ms, loaded};
  return api::Loading(arguments, [&] {
    return api::LoadInto(arguments,
                         api::Places<std::uint64_t>{addresses, "addresses", sizes, count},
                         [&](const auto& give) { return api::LoadToDevice(arguments, give); });
  });
}
