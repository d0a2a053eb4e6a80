#include "libcache/connector/c_api.h"

// Versions, errors, models and caches. Clients and what is done with them: c_api_client.cc.
#include "libcache/cache/open_cache.h"
#include "libcache/model/model_spec.h"

namespace cairn::c_api {
namespace {

// Of the first version. A struct that grows keeps its line, with kFirstBytes in place of sizeof.
// Those that grew: what they had at first ends where the new fields begin.
static_assert(kFirstBytes<cairn_model> == offsetof(cairn_model, fidelity));
static_assert(kFirstBytes<cairn_cache_options> == offsetof(cairn_cache_options, ssd_codec));
static_assert(kFirstBytes<cairn_cache_stats> == offsetof(cairn_cache_stats, ssd_lossy_objects));
// And of the second, whatever comes behind it later.
static_assert(kModelWithFidelity == 1264 && sizeof(cairn_model) >= kModelWithFidelity);
static_assert(kSpecWithFidelity == 128 && sizeof(cairn_namespace_spec) >= kSpecWithFidelity);
static_assert(offsetof(cairn_model, checkpoint_shape) == 240);
static_assert(offsetof(cairn_namespace_spec, kv_shape) == 112);
static_assert(kFirstBytes<cairn_client_options> == offsetof(cairn_client_options, tls_ca));
static_assert(kFirstBytes<cairn_namespace_spec> ==
              offsetof(cairn_namespace_spec, checkpoint_shape));
static_assert(sizeof(cairn_hit_info) == 40);
static_assert(sizeof(cairn_boundary) == 32);
static_assert(sizeof(cairn_object) == 32);
static_assert(kFirstBytes<cairn_loaded> == 24);
static_assert(sizeof(cairn_store_item) == 32);
static_assert(sizeof(cairn_stored) == 32);
static_assert(sizeof(cairn_observation) == 40);
static_assert(sizeof(cairn_device_copy) == 80);
static_assert(sizeof(cairn_device_port) == 56);
static_assert(sizeof(cairn_device_options) == 32);
static_assert(sizeof(cairn_device_info) == 512);

// The values travel as they are.
static_assert(CAIRN_OK == static_cast<int>(ErrorCode::kOk));
static_assert(CAIRN_NOT_FOUND == static_cast<int>(ErrorCode::kNotFound));
static_assert(CAIRN_EXISTS == static_cast<int>(ErrorCode::kExists));
static_assert(CAIRN_IN_PROGRESS == static_cast<int>(ErrorCode::kInProgress));
static_assert(CAIRN_INVALID_ARGUMENT == static_cast<int>(ErrorCode::kInvalidArgument));
static_assert(CAIRN_DEADLINE_EXCEEDED == static_cast<int>(ErrorCode::kDeadlineExceeded));
static_assert(CAIRN_OVERLOADED == static_cast<int>(ErrorCode::kOverloaded));
static_assert(CAIRN_UNAVAILABLE == static_cast<int>(ErrorCode::kUnavailable));
static_assert(CAIRN_CORRUPT == static_cast<int>(ErrorCode::kCorrupt));
static_assert(CAIRN_NO_SPACE == static_cast<int>(ErrorCode::kNoSpace));
static_assert(CAIRN_PERMISSION_DENIED == static_cast<int>(ErrorCode::kPermissionDenied));
static_assert(CAIRN_UNSUPPORTED == static_cast<int>(ErrorCode::kUnsupported));
static_assert(CAIRN_EXPIRED == static_cast<int>(ErrorCode::kExpired));
static_assert(CAIRN_IO == static_cast<int>(ErrorCode::kIo));
static_assert(CAIRN_INTERNAL == static_cast<int>(ErrorCode::kInternal));
static_assert(CAIRN_TIER_HOST == static_cast<int>(TierKind::kHost));
static_assert(CAIRN_TIER_SSD == static_cast<int>(TierKind::kSsd));
static_assert(CAIRN_TIER_GPU == static_cast<int>(TierKind::kGpu));
static_assert(CAIRN_KIND_KV == static_cast<int>(ObjectKind::kKv));
static_assert(CAIRN_KIND_CHECKPOINT == static_cast<int>(ObjectKind::kCheckpoint));
static_assert(CAIRN_KEY_BYTES == PrefixKey::kBytes);
static_assert(CAIRN_FIDELITY_EXACT == static_cast<int>(Fidelity::kExact));
static_assert(CAIRN_FIDELITY_NEAR == static_cast<int>(Fidelity::kNear));
static_assert(CAIRN_FIDELITY_COMPACT == static_cast<int>(Fidelity::kCompact));

// An array, so that telling of an error needs no memory.
thread_local char last_error[1024] = "";

Status PutText(char* field, std::size_t field_bytes, const std::string& text, const char* name) {
  if (text.size() >= field_bytes) {
    return Fail(ErrorCode::kUnsupported, std::string(name) + ": too long for cairn_model");
  }
  std::memcpy(field, text.c_str(), text.size() + 1);
  return {};
}

Status LoadModel(const char* id_or_path, std::uint32_t tensor_parallel, cairn_model* model) {
  if (const Status given = NotNull(id_or_path, "id_or_path"); !given) {
    return given;
  }
  if (const Status given = CheckStruct(model, "model"); !given) {
    return given;
  }
  auto spec = LoadModelSpec(id_or_path);
  if (!spec) {
    return Fail(spec.error());
  }
  if (tensor_parallel != 0) {
    spec->tensor_parallel = tensor_parallel;
  }
  cairn_model value{};
  if (const Status put = PutText(value.id, sizeof(value.id), spec->id, "id"); !put) {
    return put;
  }
  Status put = PutText(value.dtype, sizeof(value.dtype), spec->DTypeText(), "dtype");
  if (!put) {
    return put;
  }
  value.kv_bytes_per_token = spec->KvBytesPerToken();
  value.checkpoint_bytes = spec->CheckpointBytes();
  value.tensor_parallel = spec->tensor_parallel;
  value.context_tokens = spec->context_tokens;
  value.fidelity = static_cast<std::int32_t>(spec->fidelity);
  if (value.fidelity != CAIRN_FIDELITY_EXACT && model->struct_size < kModelWithFidelity) {
    return Fail(ErrorCode::kUnsupported,
                "fidelity: the model is not exact, which this program cannot say; build it anew");
  }
  put = PutText(value.checkpoint_shape, sizeof(value.checkpoint_shape), spec->CheckpointShape(),
                "checkpoint_shape");
  if (!put) {
    return put;
  }
  put = PutText(value.kv_shape, sizeof(value.kv_shape), spec->KvShape(), "kv_shape");
  if (!put) {
    return put;
  }
  WriteStruct(model, value);
  return {};
}

Status OpenCache(const cairn_cache_options* given, cairn_cache** cache) {
  if (const Status out = NotNull(static_cast<const void*>(cache), "cache"); !out) {
    return out;
  }
  *cache = nullptr;
  const auto options = ReadStruct(given, "options");
  if (!options) {
    return Fail(options.error());
  }
  if (options->memory_bytes == 0) {
    return Fail(ErrorCode::kInvalidArgument, "memory_bytes: must be given; at least 2MiB");
  }
  Cache::Config config;
  config.host_bytes = options->memory_bytes;
  config.huge_pages = options->no_huge_pages == 0;
  config.planner = TextOr(options->planner, config.planner.c_str());
  config.eviction = TextOr(options->eviction, config.eviction.c_str());
  config.cold_codecs = TextOr(options->ssd_codec, config.cold_codecs.c_str());
  if (options->index_bytes != 0) {
    config.index_bytes = options->index_bytes;
  }
  if (options->lease_ms != 0) {
    config.lease_time = std::chrono::milliseconds(options->lease_ms);
  }
  auto opened = OpenCacheWithSsd(config, TextOr(options->ssd_path, ""), options->ssd_bytes);
  if (!opened) {
    return Fail(opened.error());
  }
  *cache = new cairn_cache{.cache = std::move(opened->cache), .notice = std::move(opened->notice)};
  return {};
}

Status GetStats(cairn_cache* cache, cairn_cache_stats* stats) {
  if (const Status given = NotNull(cache, "cache"); !given) {
    return given;
  }
  if (const Status given = CheckStruct(stats, "stats"); !given) {
    return given;
  }
  cache->cache->SweepExpired();
  const CacheStats now = cache->cache->Stats();
  cairn_cache_stats value{};
  value.matches = now.matches;
  value.match_hits = now.match_hits;
  value.prompt_tokens = now.prompt_tokens;
  value.overlap_tokens = now.overlap_tokens;
  value.lost_tokens = now.lost_tokens;
  value.fetches = now.fetches;
  value.host_hit_tokens = now.hit_tokens[CAIRN_TIER_HOST];
  value.ssd_hit_tokens = now.hit_tokens[CAIRN_TIER_SSD];
  value.gap_tokens = now.gap_tokens;
  value.commits = now.commits;
  value.evicted_bytes = now.evicted_bytes;
  value.checksum_failures = now.checksum_failures;
  value.leases_expired = now.leases_expired;
  value.memory_used_bytes = now.arena_used_bytes;
  value.memory_capacity_bytes = now.arena_capacity_bytes;
  value.ssd_used_bytes = now.cold_store.disk_bytes;
  value.ssd_capacity_bytes = now.cold_store.capacity_bytes;
  value.index_bytes = now.index_bytes;
  value.leases = now.leases;
  value.reservations = now.reservations;
  value.sessions = now.sessions;
  value.ssd_lossy_objects = now.cold_store.lossy_objects;
  for (const CodecRefusal refusal : {CodecRefusal::kFidelity, CodecRefusal::kShape}) {
    value.ssd_codec_refused += now.cold_store.codec_refusals[static_cast<std::size_t>(refusal)];
  }
  WriteStruct(stats, value);
  return {};
}

}  // namespace

cairn_code Failed(ErrorCode code, std::string_view message) noexcept {
  const std::size_t bytes = std::min(message.size(), sizeof(last_error) - 1);
  std::memcpy(last_error, message.data(), bytes);
  last_error[bytes] = '\0';
  return static_cast<cairn_code>(code);
}

}  // namespace cairn::c_api

using cairn::c_api::Guarded;

uint32_t cairn_abi_version(void) { return CAIRN_ABI_VERSION; }

const char* cairn_version(void) { return CAIRN_VERSION; }

const char* cairn_error_name(cairn_code code) {
  // The names are literals, so they end in a zero.
  return cairn::ErrorName(static_cast<cairn::ErrorCode>(code)).data();
}

const char* cairn_last_error(void) { return cairn::c_api::last_error; }

cairn_code cairn_model_load(const char* id_or_path, uint32_t tensor_parallel, cairn_model* model) {
  return Guarded([&] { return cairn::c_api::LoadModel(id_or_path, tensor_parallel, model); });
}

const char* cairn_model_preset(size_t index) {
  const char* id = nullptr;
  static_cast<void>(Guarded([&]() -> cairn::Status {  // The first use makes the table.
    const auto presets = cairn::ModelPresets();
    id = index < presets.size() ? presets[index].id.c_str() : nullptr;
    return {};
  }));
  return id;
}

cairn_code cairn_cache_open(const cairn_cache_options* options, cairn_cache** cache) {
  return Guarded([&] { return cairn::c_api::OpenCache(options, cache); });
}

const char* cairn_cache_notice(const cairn_cache* cache) {
  return cache == nullptr ? "" : cache->notice.c_str();
}

cairn_code cairn_cache_get_stats(cairn_cache* cache, cairn_cache_stats* stats) {
  return Guarded([&] { return cairn::c_api::GetStats(cache, stats); });
}

cairn_code cairn_cache_flush(cairn_cache* cache, uint32_t deadline_ms) {
  return Guarded([&]() -> cairn::Status {
    if (const cairn::Status given = cairn::c_api::NotNull(cache, "cache"); !given) {
      return given;
    }
    const auto deadline = cairn::c_api::Deadline(deadline_ms);
    if (!deadline) {
      return cairn::Fail(deadline.error());
    }
    if (cache->cache->FlushCold(*deadline)) {
      return {};
    }
    if (cairn::SteadyClock::Instance().Now() >= *deadline) {
      return cairn::Fail(cairn::ErrorCode::kDeadlineExceeded, "the SSD is not done yet");
    }
    return cairn::Fail(cairn::ErrorCode::kIo,
                       "the SSD refused: " + cache->cache->Stats().cold_store.state);
  });
}

void cairn_cache_close(cairn_cache* cache) { delete cache; }
