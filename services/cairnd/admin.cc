#include "services/cairnd/admin.h"

#include "services/cairnd/metrics.h"
#include "services/cairnd/placement.h"
#include "services/cairnd/session.h"
#include "services/cairnd/tls_gate.h"

namespace cairn::server {
namespace {

constexpr std::size_t kDefaultTreeNodes = 1000;
constexpr std::size_t kMaxTreeNodes = 10'000;  // Stays within a frame.
constexpr std::uint32_t kDefaultPlaces = 20;
constexpr std::uint32_t kMaxPlaces = 10'000;

Result<std::optional<ObjectKind>> ParseKind(const std::string& name) {
  if (name.empty()) {
    return std::nullopt;
  }
  if (name != "kv" && name != "checkpoint") {
    return Fail(ErrorCode::kInvalidArgument,
                "only: \"" + name + "\" is neither \"kv\" nor \"checkpoint\"");
  }
  return name == "kv" ? ObjectKind::kKv : ObjectKind::kCheckpoint;
}

void SetTier(v1::TierStatus& tier, const std::string& name, const TierUse& use) {
  tier.set_name(name);
  tier.set_kv_bytes(use.bytes[0]);
  tier.set_checkpoint_bytes(use.bytes[1]);
  tier.set_kv_objects(use.objects[0]);
  tier.set_checkpoint_objects(use.objects[1]);
}

/// As --ssd-codec names it.
std::string CodecName(const Codec* codec) {
  return codec == nullptr                        ? "none"
         : codec->fidelity() == Fidelity::kExact ? "lossless"
                                                 : std::string(codec->name());
}

void AddNamespace(const Cache::NamespaceView& from, bool has_ssd, v1::NamespaceStatus& to) {
  to.set_id(from.id);
  to.set_tenant(from.spec.tenant);
  to.set_model(from.spec.model);
  to.set_block_tokens(from.spec.block_tokens);
  to.set_kv_bytes_per_token(from.spec.kv_bytes_per_token);
  to.set_checkpoint_bytes(from.spec.checkpoint_bytes);
  to.set_root_key(from.seed.Hex());
  to.set_fidelity(std::string(FidelityName(from.spec.fidelity)));
  to.set_checkpoint_shape(from.spec.checkpoint_shape);
  to.set_kv_shape(from.spec.kv_shape);
  if (has_ssd && from.spec.kv_bytes_per_token != 0) {
    to.set_kv_codec(CodecName(from.cold_codecs[0].codec));
  }
  if (has_ssd && from.spec.checkpoint_bytes != 0) {
    to.set_checkpoint_codec(CodecName(from.cold_codecs[1].codec));
  }
}

void AddTiers(const AdminContext& context, const CacheStats& stats, v1::StatusReply& reply) {
  v1::TierStatus& host = *reply.add_tiers();
  SetTier(host, "host", stats.host);
  host.set_capacity_bytes(stats.arena_capacity_bytes);
  host.set_used_bytes(stats.arena_used_bytes);
  host.set_state("ok");
  v1::TierStatus& ssd = *reply.add_tiers();
  SetTier(ssd, "ssd", stats.cold);
  ssd.set_capacity_bytes(stats.cold_store.capacity_bytes);
  ssd.set_used_bytes(stats.cold_store.disk_bytes);
  ssd.set_state(stats.has_cold ? stats.cold_store.state : context.without_ssd);
  ssd.set_location(context.config->ssd_path);
  ssd.set_codec(stats.has_cold ? context.config->ssd_codec : "");
  v1::TierStatus& gpu = *reply.add_tiers();
  SetTier(gpu, "gpu", stats.gpu.use);
  gpu.set_capacity_bytes(stats.gpu.capacity_bytes);
  gpu.set_used_bytes(stats.gpu.used_bytes);
  gpu.set_state(stats.gpu.state);
  gpu.set_location(stats.gpu.device.name);
  gpu.set_copies(stats.gpu.device.copies);
  gpu.set_copy_switch_bytes(stats.gpu.device.copy_switch_bytes);
}

void AddPlanes(const AdminContext& context, v1::StatusReply& reply) {
  v1::PlaneStatus& shm = *reply.add_planes();
  shm.set_name("shm");
  shm.set_state("ok");
  shm.set_connections(context.sessions->shm_connections);
  v1::PlaneStatus& ucx = *reply.add_planes();
  ucx.set_name("ucx");
  ucx.set_state(context.sessions->ucx != nullptr ? "ok" : context.without_ucx);
  if (context.sessions->ucx != nullptr) {
    std::uint32_t connections = 0;
    for (const auto& [lanes, count] : context.sessions->ucx->Connections()) {
      connections += count;
      ucx.add_lanes(lanes);
    }
    ucx.set_connections(connections);
    const UcxStats stats = context.sessions->ucx->Stats();
    auto& c = *reply.mutable_counters();
    c["ucx_gets"] = stats.gets;
    c["ucx_get_bytes"] = stats.get_bytes;
    c["ucx_puts"] = stats.puts;
    c["ucx_put_bytes"] = stats.put_bytes;
    c["ucx_peers_lost"] = stats.peers_lost;
    c["ucx_refused_attach"] = stats.refused_attach;
  }
  v1::PlaneStatus& stream = *reply.add_planes();
  stream.set_name("stream");
  stream.set_state("ok");
  stream.set_connections(context.sessions->stream_connections);
}

void AddCounters(const CacheStats& s, v1::StatusReply& reply) {
  auto& c = *reply.mutable_counters();
  c["matches"] = s.matches;
  c["match_hits"] = s.match_hits;
  c["matches_elsewhere"] = s.matches_elsewhere;
  c["boundaries_returned"] = s.boundaries_returned;
  c["prompt_tokens"] = s.prompt_tokens;
  c["overlap_tokens"] = s.overlap_tokens;
  c["lost_tokens"] = s.lost_tokens;
  c["failed_restores"] = s.failed_restores;
  c["hit_tokens_host"] = s.hit_tokens[1];
  c["hit_tokens_ssd"] = s.hit_tokens[2];
  c["hit_tokens_gpu"] = s.hit_tokens[3];
  c["gap_tokens"] = s.gap_tokens;
  c["fetches"] = s.fetches;
  c["commits"] = s.commits;
  c["durable_commits"] = s.durable_commits;
  c["aborted_writes"] = s.aborted;
  c["leases_expired"] = s.leases_expired;
  c["checksum_failures"] = s.checksum_failures + s.cold_store.checksum_failures;
  c["promotions"] = s.promotions;
  c["promotion_failures"] = s.promotion_failures;
  c["gpu_promotions"] = s.gpu.promotions;
  c["gpu_promoted_bytes"] = s.gpu.promoted_bytes;
  c["gpu_refused"] = s.gpu.refused;
  c["gpu_evictions"] = s.gpu.evictions;
  c["gpu_failed_copies"] = s.gpu.failed_copies;
  c["gpu_served_objects"] = s.gpu.served_objects;
  c["gpu_losses"] = s.gpu.losses;
  c["ssd_queue_dropped"] = s.cold_queue_dropped;
  c["ssd_unindexed"] = s.cold_unindexed;
  c["ssd_written_bytes"] = s.cold_store.written_bytes;
  c["ssd_encoded_bytes"] = s.cold_store.encoded_bytes;
  c["ssd_lossy_objects"] = s.cold_store.lossy_objects;
  for (const CodecRefusal refusal : {CodecRefusal::kFidelity, CodecRefusal::kShape}) {
    c["ssd_codec_refused_" + std::string(CodecRefusalName(refusal))] =
        s.cold_store.codec_refusals[static_cast<std::size_t>(refusal)];
  }
  c["ssd_device_written_bytes"] = s.cold_store.device_written_bytes;
  c["ssd_lost_epochs"] = s.cold_store.lost_epochs;
  for (std::size_t i = 0; i < kEvictReasons; ++i) {
    c["evictions_" + std::string(EvictReasonName(static_cast<EvictReason>(i)))] = s.evictions[i];
  }
}

void AddMembers(const AdminContext& context, v1::StatusReply& reply) {
  const std::vector<Member> members = context.membership->Members();
  for (const Member& member : members) {
    reply.add_members(member.name == member.endpoint ? member.endpoint
                                                     : member.name + "=" + member.endpoint);
    reply.set_members_server(member.server);  // One source has one for all.
  }
  if (const auto problem = context.membership->Problem(); !problem) {
    reply.set_members_problem(problem.error().message);
  }
  reply.set_member_self(OwnMember(members, context.config->listen_unix, context.tcp));
}

void AddTls(const TlsGate& gate, v1::TlsStatus& to) {
  const auto credentials = gate.credentials();
  to.set_on(true);
  to.set_identity(credentials->identity());
  to.set_expires(credentials->validity().not_after);
}

v1::StatusReply Status(const AdminContext& context) {
  const CacheStats stats = context.cache->Stats();
  v1::StatusReply reply;
  reply.set_version(CAIRN_VERSION);
  const bool drained = context.sessions->drained;
  reply.set_state(drained ? "drained" : stats.draining ? "draining" : "serving");
  reply.set_drain_cut_off(drained && context.sessions->drain_cut_off);
  reply.set_uptime_seconds(
      std::chrono::duration<double>(SteadyClock::Instance().Now() - context.started).count());
  reply.set_rss_bytes(ResidentBytes());
  reply.set_peak_rss_bytes(PeakResidentBytes());
  reply.set_index_bytes(stats.index_bytes);
  reply.set_index_nodes(stats.nodes);
  reply.set_sessions(stats.sessions);
  reply.set_leases(stats.leases + stats.pins);
  reply.set_reservations(stats.reservations);
  reply.set_planner(std::string(context.cache->planner_name()));
  reply.set_eviction(context.config->eviction);
  AddTiers(context, stats, reply);
  for (const Cache::NamespaceView& view : context.cache->Namespaces()) {
    AddNamespace(view, stats.has_cold, *reply.add_namespaces());
  }
  AddCounters(stats, reply);
  AddPlanes(context, reply);
  AddMembers(context, reply);
  if (context.tls != nullptr) {
    AddTls(*context.tls, *reply.mutable_tls());
  }
  return reply;
}

std::string Where(const NodeView& view, ObjectKind kind) {
  const auto k = static_cast<std::size_t>(kind);
  if (!view.present[k]) {
    return "";
  }
  if (view.on_host[k]) {
    return view.on_cold[k] ? "host+ssd" : "host";
  }
  return view.on_cold[k] ? "ssd" : "writing";
}

void SetNode(v1::TreeNode& to, const NodeView& from) {
  to.set_key(from.key.Hex());
  if (from.depth != 0) {
    to.set_parent(from.parent.Hex());
  }
  to.set_depth(from.depth);
  to.set_position(from.position);
  to.set_kv(Where(from, ObjectKind::kKv));
  to.set_checkpoint(Where(from, ObjectKind::kCheckpoint));
  to.set_bytes(from.bytes);
  to.set_children(from.children);
  to.set_pins(from.pins);
}

v1::TreeReply Tree(const AdminContext& context, const v1::TreeRequest& request) {
  const std::size_t limit = request.max_nodes() == 0
                                ? kDefaultTreeNodes
                                : std::min<std::size_t>(request.max_nodes(), kMaxTreeNodes);
  const std::vector<NodeView> views = context.cache->Tree(request.prefix(), limit + 1);
  v1::TreeReply reply;
  for (std::size_t i = 0; i < std::min(views.size(), limit); ++i) {
    SetNode(*reply.add_nodes(), views[i]);
  }
  reply.set_truncated(views.size() > limit);
  return reply;
}

Result<v1::LookupReply> Lookup(const AdminContext& context, const v1::LookupRequest& request) {
  const auto view = context.cache->Lookup(request.key());
  if (!view) {
    return Fail(view.error());
  }
  v1::LookupReply reply;
  SetNode(*reply.mutable_node(), *view);
  reply.set_restorable(view->restorable);
  reply.set_restore_bytes(view->restore_bytes);
  const auto namespaces = context.cache->Namespaces();
  if (view->name_space < namespaces.size()) {
    reply.set_model(namespaces[view->name_space].spec.model);
  }
  return reply;
}

v1::LeasesReply Leases(const AdminContext& context) {
  v1::LeasesReply reply;
  for (const LeaseView& from : context.cache->Leases()) {
    v1::LeaseStatus& to = *reply.add_leases();
    to.set_lease_id(from.id);
    to.set_session_id(from.session);
    to.set_request_id(from.request);
    to.set_position(from.position);
    to.set_expires_in_ms(from.expires_in_ms);
    to.set_kind(from.kind);
  }
  return reply;
}

v1::AdminReply Counted(std::uint64_t objects, std::uint64_t bytes) {
  v1::AdminReply reply;
  reply.mutable_count()->set_objects(objects);
  reply.mutable_count()->set_bytes(bytes);
  return reply;
}

Result<v1::AdminReply> CountedIf(const cairn::Status& status) {
  if (!status) {
    return Fail(status.error());
  }
  return Counted(1, 0);
}

template <class T>
Result<v1::AdminReply> Replied(Result<T> body, T* (v1::AdminReply::*field)()) {
  if (!body) {
    return Fail(body.error());
  }
  v1::AdminReply reply;
  *(reply.*field)() = std::move(*body);
  return reply;
}

}  // namespace

Result<v1::AdminReply> HandleAdminRequest(const AdminContext& context,
                                          const v1::AdminRequest& request) {
  v1::AdminReply reply;
  switch (request.body_case()) {
    case v1::AdminRequest::kStatus: *reply.mutable_status() = Status(context); return reply;
    case v1::AdminRequest::kTree:
      *reply.mutable_tree() = Tree(context, request.tree());
      return reply;
    case v1::AdminRequest::kLookup:
      return Replied(Lookup(context, request.lookup()), &v1::AdminReply::mutable_lookup);
    case v1::AdminRequest::kLeases: *reply.mutable_leases() = Leases(context); return reply;
    case v1::AdminRequest::kPin: return CountedIf(context.cache->PinPrefix(request.pin().key()));
    case v1::AdminRequest::kUnpin:
      return CountedIf(context.cache->UnpinPrefix(request.unpin().key()));
    case v1::AdminRequest::kEvict: {
      const auto only = ParseKind(request.evict().only());
      if (!only) {
        return Fail(only.error());
      }
      const auto evicted = context.cache->EvictPrefix(
          request.evict().key(), {.host_only = request.evict().host_only(), .only = *only});
      if (!evicted) {
        return Fail(evicted.error());
      }
      return Counted(evicted->objects, evicted->bytes);
    }
    case v1::AdminRequest::kClear: {
      const Cache::Evicted evicted = context.cache->Clear();
      return Counted(evicted.objects, evicted.bytes);
    }
    case v1::AdminRequest::kDrain: context.drain(); return Counted(0, 0);
    case v1::AdminRequest::kConfig: {
      for (const auto& [name, value] : context.config->Shown()) {
        (*reply.mutable_config()->mutable_values())[name] = value;
      }
      return reply;
    }
    case v1::AdminRequest::kPlacementShow: {
      const std::uint32_t most = request.placement_show().max_places();
      return Replied(
          ShowPlacement(*context.cache, most == 0 ? kDefaultPlaces : std::min(most, kMaxPlaces)),
          &v1::AdminReply::mutable_placement_show);
    }
    case v1::AdminRequest::kPlacementExplain:
      return Replied(ExplainPlacement(*context.cache, request.placement_explain().key()),
                     &v1::AdminReply::mutable_placement_explain);
    case v1::AdminRequest::kPlacementExport:
      return Replied(ExportPlacement(*context.cache, request.placement_export().from()),
                     &v1::AdminReply::mutable_placement_export);
    case v1::AdminRequest::kPlacementImport: {
      const auto imported = ImportPlacement(*context.cache, request.placement_import().part());
      if (!imported || !request.placement_import().more()) {
        context.cache->SortLearnedPlaces();
      }
      if (!imported) {
        return Fail(imported.error());
      }
      reply = Counted(imported->places, 0);
      reply.mutable_count()->set_left_out(imported->left_out);
      return reply;
    }
    default: return Fail(ErrorCode::kUnsupported, "this daemon does not know the command");
  }
}

}  // namespace cairn::server
