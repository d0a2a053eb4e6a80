// How objects are made smaller on the cold tier: what the operator wants, as far as the namespace
// permits it.
#include <string>

#include "libcache/cache/cache.h"

namespace cairn {

ObjectCodec Cache::CodecIn(const NamespaceState& state, const ObjectRecord& record) const {
  const auto kind = static_cast<std::size_t>(record.kind);
  const std::uint64_t per_token = state.spec.kv_bytes_per_token;
  const bool kv = record.kind == ObjectKind::kKv && per_token != 0;
  return ChooseCodec(cold_codecs_.For(state.spec.model)[kind],
                     {.fidelity = state.spec.fidelity,
                      .shape = &state.shapes[kind],
                      .bytes = record.bytes,
                      .tokens = kv ? static_cast<std::uint32_t>(record.bytes / per_token) : 0,
                      .coded = record.coded});
}

ObjectCodec Cache::CodecOf(const ObjectRecord& record) const {
  const MutexLock lock(mu_);
  const auto it = namespace_by_seed_.find(record.seed);
  return it == namespace_by_seed_.end() ? ObjectCodec() : CodecIn(namespaces_[it->second], record);
}

ObjectCodec Cache::UsualCodec(const NamespaceState& state, ObjectKind kind) const {
  ObjectRecord record;
  record.kind = kind;
  record.bytes = kind == ObjectKind::kKv ? state.spec.block_tokens * state.spec.kv_bytes_per_token
                                         : state.spec.checkpoint_bytes;
  return record.bytes == 0 ? ObjectCodec() : CodecIn(state, record);
}

std::string Cache::CodecNotice(const NamespaceState& state) {
  std::string notice;
  for (const ObjectKind kind : {ObjectKind::kKv, ObjectKind::kCheckpoint}) {
    const CodecRefusal refused = UsualCodec(state, kind).refused;
    if (cold_ == nullptr || refused == CodecRefusal::kNone) {
      continue;
    }
    const Codec* const wanted = cold_codecs_.For(state.spec.model)[static_cast<std::size_t>(kind)];
    const std::string what = kind == ObjectKind::kKv ? "KV" : "checkpoints";
    const std::string declared =
        refused == CodecRefusal::kFidelity
            ? "are declared " + std::string(FidelityName(state.spec.fidelity))
            : (state.shapes[static_cast<std::size_t>(kind)].empty()
                   ? "have no declared shape"
                   : "have a declared shape that it cannot take");
    notice += (notice.empty() ? "" : "; ") + what + " of " + state.spec.model + " " + declared +
              ", so they are stored without loss, not by " + std::string(wanted->name());
  }
  // As many as there may be namespaces, at most.
  const bool fresh =
      !notice.empty() && codec_notices_.insert(std::hash<std::string>()(notice)).second;
  return fresh ? notice : std::string();
}

}  // namespace cairn
