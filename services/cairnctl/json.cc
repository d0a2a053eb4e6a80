#include "services/cairnctl/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace cairn::ctl {
namespace {

// In the order of writing, which is the order of reading.
using Json = nlohmann::ordered_json;

// Settings that are text even when they look like a number or a switch.
constexpr std::array<std::string_view, 15> kTextSettings = {
    "ssd-codec", "ssd-path", "listen-unix", "listen-tcp",  "listen-http",
    "planner",   "eviction", "members",     "log-level",   "placement-file",
    "tls-cert",  "tls-key",  "tls-ca",      "tls-tenants", "tls-admins"};

std::string Dump(const Json& json, int indent = 2) {
  // Names come from engines: one bad byte must not cost the answer.
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json TierJson(const v1::TierStatus& tier) {
  return {
      {"name", tier.name()},
      {"state", tier.state()},
      {"capacity_bytes", tier.capacity_bytes()},
      {"used_bytes", tier.used_bytes()},
      {"kv", {{"bytes", tier.kv_bytes()}, {"objects", tier.kv_objects()}}},
      {"checkpoint", {{"bytes", tier.checkpoint_bytes()}, {"objects", tier.checkpoint_objects()}}},
      {"location", tier.location()},
      {"codec", tier.codec()},
      {"copies", tier.copies()},
      {"copy_switch_bytes", tier.copy_switch_bytes()}};
}

Json Tiers(const v1::StatusReply& status) {
  Json tiers = Json::array();
  for (const v1::TierStatus& tier : status.tiers()) {
    tiers.push_back(TierJson(tier));
  }
  return tiers;
}

Json Namespaces(const v1::StatusReply& status) {
  Json namespaces = Json::array();
  for (const v1::NamespaceStatus& from : status.namespaces()) {
    namespaces.push_back(
        {{"id", from.id()},
         {"tenant", from.tenant()},
         {"model", from.model()},
         {"block_tokens", from.block_tokens()},
         {"kv_bytes_per_token", from.kv_bytes_per_token()},
         {"checkpoint_bytes", from.checkpoint_bytes()},
         {"root_key", from.root_key()},
         {"fidelity", from.fidelity()},
         {"checkpoint_shape", from.checkpoint_shape()},
         {"kv_shape", from.kv_shape()},
         {"ssd_codec", {{"kv", from.kv_codec()}, {"checkpoint", from.checkpoint_codec()}}}});
  }
  return namespaces;
}

Json NodeJson(const v1::TreeNode& node) {
  Json json = {{"key", node.key()}};
  json["parent"] = node.parent().empty() ? Json(nullptr) : Json(node.parent());
  json["depth"] = node.depth();
  json["position"] = node.position();
  json["kv"] = node.kv();
  json["checkpoint"] = node.checkpoint();
  json["bytes"] = node.bytes();
  json["children"] = node.children();
  json["pins"] = node.pins();
  return json;
}

/// The daemon sends its settings as text; here a number is a number and a switch a boolean.
Json SettingJson(const std::string& name, const std::string& value) {
  if (std::find(kTextSettings.begin(), kTextSettings.end(), name) != kTextSettings.end()) {
    return value;
  }
  if (value == "true" || value == "false") {
    return value == "true";
  }
  std::uint64_t number = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  return error == std::errc{} && stop == end ? Json(number) : Json(value);
}

Json Planes(const v1::StatusReply& status) {
  Json planes = Json::array();
  for (const v1::PlaneStatus& plane : status.planes()) {
    Json lanes = Json::array();
    for (const std::string& way : plane.lanes()) {
      lanes.push_back(way);
    }
    planes.push_back({{"name", plane.name()},
                      {"state", plane.state()},
                      {"connections", plane.connections()},
                      {"lanes", lanes}});
  }
  return planes;
}

Json StatusObject(const v1::StatusReply& status) {
  Json json = {{"version", status.version()},
               {"state", status.state()},
               {"uptime_seconds", status.uptime_seconds()},
               {"rss_bytes", status.rss_bytes()},
               {"peak_rss_bytes", status.peak_rss_bytes()},
               {"index", {{"bytes", status.index_bytes()}, {"nodes", status.index_nodes()}}},
               {"sessions", status.sessions()},
               {"leases", status.leases()},
               {"reservations", status.reservations()},
               {"planner", status.planner()},
               {"eviction", status.eviction()}};
  json["tiers"] = Tiers(status);
  json["planes"] = Planes(status);
  json["namespaces"] = Namespaces(status);
  json["counters"] = Json::object();
  // A protobuf map has no order of its own.
  std::vector<std::pair<std::string, std::uint64_t>> counters(status.counters().begin(),
                                                              status.counters().end());
  std::sort(counters.begin(), counters.end());
  for (const auto& [name, value] : counters) {
    json["counters"][name] = value;
  }
  json["members"] = Json::array();
  for (const std::string& member : status.members()) {
    json["members"].push_back(member);
  }
  json["members_problem"] =
      status.members_problem().empty() ? Json(nullptr) : Json(status.members_problem());
  json["member_self"] = status.member_self().empty() ? Json(nullptr) : Json(status.member_self());
  json["tls"] = {{"on", status.tls().on()},
                 {"identity", status.tls().identity()},
                 {"expires", status.tls().on() ? Json(status.tls().expires()) : Json(nullptr)}};
  return json;
}

}  // namespace

std::string StatusJson(const v1::StatusReply& status) { return Dump(StatusObject(status)); }

std::string MembersJson(std::span<const MemberStatus> members) {
  Json json;
  json["members"] = Json::array();
  for (const MemberStatus& member : members) {
    Json& to = json["members"].emplace_back(Json::object());
    to["name"] = member.member.name;
    to["endpoint"] = member.member.endpoint;
    to["state"] = member.State();
    if (member.status) {
      to["status"] = StatusObject(*member.status);
    } else {
      const Error& error = member.status.error();
      to["error"] = {{"code", ErrorName(error.code)}, {"message", error.message}};
    }
  }
  return Dump(json);
}

std::string TiersJson(const v1::StatusReply& status) {
  Json json;
  json["tiers"] = Tiers(status);
  return Dump(json);
}

std::string TreeJson(const v1::TreeReply& tree) {
  Json json;
  json["nodes"] = Json::array();
  for (const v1::TreeNode& node : tree.nodes()) {
    json["nodes"].push_back(NodeJson(node));
  }
  json["truncated"] = tree.truncated();
  return Dump(json);
}

std::string LookupJson(const v1::LookupReply& found) {
  Json json = NodeJson(found.node());
  json["restorable"] = found.restorable();
  json["restore_bytes"] = found.restore_bytes();
  json["model"] = found.model();
  return Dump(json);
}

std::string LeasesJson(const v1::LeasesReply& leases) {
  Json json;
  json["leases"] = Json::array();
  for (const v1::LeaseStatus& lease : leases.leases()) {
    Json& to = json["leases"].emplace_back(Json::object());
    to["lease_id"] = lease.lease_id();
    to["kind"] = lease.kind();
    to["session_id"] = lease.session_id();
    to["request_id"] = lease.request_id();
    to["position"] = lease.position();
    // Negative stands for never: pins end by unpin only.
    to["expires_in_ms"] = lease.expires_in_ms() < 0 && lease.kind() == "pin"
                              ? Json(nullptr)
                              : Json(lease.expires_in_ms());
  }
  return Dump(json);
}

std::string ConfigJson(const v1::ConfigReply& config) {
  std::vector<std::string> names;
  for (const auto& [name, value] : config.values()) {
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  Json json = Json::object();
  for (const std::string& name : names) {
    json[name] = SettingJson(name, config.values().at(name));
  }
  return Dump(json);
}

namespace {

Json PlaceJson(const v1::PlaceStatus& place) {
  return {{"key", place.key().empty() ? Json(nullptr) : Json(place.key())},
          {"position", place.position()},
          {"kind", place.kind()},
          {"model", place.model()},
          {"tenant", place.tenant()},
          {"uses", place.uses()},
          {"mass", place.mass()},
          {"uses_per_s", place.uses_per_s()},
          {"idle_s", place.idle_s()},
          {"children", place.children()}};
}

Json CheckpointJson(const v1::CheckpointStatus& checkpoint) {
  return {{"position", checkpoint.position()},
          {"uses_per_s", checkpoint.uses_per_s()},
          {"saved_s", checkpoint.saved_s()},
          {"bytes", checkpoint.bytes()},
          {"value_per_byte_s", checkpoint.value_per_byte_s()}};
}

}  // namespace

std::string PlacementShowJson(const v1::PlacementShowReply& shown) {
  Json top = Json::array();
  for (const v1::PlaceStatus& place : shown.top()) {
    top.push_back(PlaceJson(place));
  }
  return Dump({{"places", shown.places()},
               {"most_places", shown.most_places()},
               {"waiting_places", shown.waiting_places()},
               {"checkpoints", shown.checkpoints()},
               {"other_boundaries", shown.other_boundaries()},
               {"memory_bytes", shown.memory_bytes()},
               {"price_per_byte_s", shown.price_per_byte_s()},
               {"planned_bytes", shown.planned_bytes()},
               {"engine_written_bytes", shown.engine_written_bytes()},
               {"engine_served_tokens", shown.engine_served_tokens()},
               {"top", std::move(top)}});
}

std::string PlacementExplainJson(const v1::PlacementExplainReply& path) {
  Json places = Json::array();
  for (const v1::PlaceStatus& place : path.places()) {
    places.push_back(PlaceJson(place));
  }
  Json kept = Json::array();
  for (const v1::CheckpointStatus& checkpoint : path.kept()) {
    kept.push_back(CheckpointJson(checkpoint));
  }
  return Dump({{"places", std::move(places)},
               {"kept", std::move(kept)},
               {"next", path.has_next() ? CheckpointJson(path.next()) : Json(nullptr)},
               {"price_per_byte_s", path.price_per_byte_s()}});
}

std::string PlacementFileJson(std::string_view path, std::uint64_t places, std::uint64_t of) {
  return Dump({{"file", path}, {"places", places}, {"of", of}});
}

std::string PlacementImportJson(std::string_view path, std::uint64_t places, std::uint64_t of,
                                std::string_view left_out) {
  return Dump({{"file", path},
               {"places", places},
               {"of", of},
               {"left_out", left_out.empty() ? Json(nullptr) : Json(left_out)}});
}

std::string CertDevJson(std::string_view directory, const DevCertificates& made) {
  return Dump({{"directory", directory},
               {"files", made.files},
               {"daemon_identity", made.daemon_identity},
               {"engine_identity", made.engine_identity},
               {"admin_identity", made.admin_identity}});
}

std::string CertShowJson(const std::vector<CertificateInfo>& certificates) {
  Json all = Json::array();
  for (const CertificateInfo& from : certificates) {
    all.push_back({{"subject", from.subject},
                   {"issuer", from.issuer},
                   {"identity", from.identity},
                   {"dns", from.dns},
                   {"addresses", from.addresses},
                   {"uris", from.uris},
                   {"not_before", from.not_before},
                   {"not_after", from.not_after},
                   {"key", from.key},
                   {"is_ca", from.is_ca}});
  }
  return Dump({{"certificates", all}});
}

std::string PinJson(const v1::LookupReply& found, bool pinned) {
  return Dump({{"key", found.node().key()},
               {"position", found.node().position()},
               {"pinned", pinned},
               {"restore_bytes", found.restore_bytes()}});
}

std::string EvictedJson(const v1::CountReply& count, std::string_view key, bool host_only) {
  Json json = Json::object();
  if (!key.empty()) {
    json["key"] = key;
    json["host_only"] = host_only;
  }
  json["objects"] = count.objects();
  json["bytes"] = count.bytes();
  return Dump(json);
}

std::string DrainJson(double seconds, bool cut_off) {
  Json json = {{"state", seconds < 0 ? "draining" : "stopped"}};
  if (seconds >= 0) {
    json["seconds"] = seconds;
    json["cut_off"] = cut_off;
  }
  return Dump(json);
}

std::string VersionJson(std::string_view endpoint, std::string_view daemon, const Error& problem) {
  Json json = {{"cairnctl", CAIRN_VERSION}};
  json["cairnd"] = daemon.empty() ? Json(nullptr) : Json(daemon);
  json["endpoint"] = endpoint;
  if (daemon.empty()) {
    json["error"] = {{"code", ErrorName(problem.code)}, {"message", problem.message}};
  }
  return Dump(json);
}

std::string CompletionJson(std::string_view shell, std::string_view script) {
  return Dump({{"shell", shell}, {"script", script}});
}

std::string ErrorJson(std::string_view code, std::string_view message) {
  return Dump({{"error", {{"code", code}, {"message", message}}}}, -1);
}

}  // namespace cairn::ctl
