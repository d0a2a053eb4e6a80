#include "services/cairnctl/text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/transport/certificates.h"
#include "services/cairnctl/format.h"

namespace cairn::ctl {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

/// "  name   value" lines.
std::string Lines(const Fields& fields, const Style& style) {
  std::size_t width = 0;
  for (const auto& [name, value] : fields) {
    width = std::max(width, name.size());
  }
  std::string text;
  for (const auto& [name, value] : fields) {
    text += "  " + style.Bold(name) + std::string(width - name.size() + 2, ' ') + Printable(value) +
            "\n";
  }
  return text;
}

std::string InObjects(std::uint64_t bytes, std::uint64_t objects) {
  return objects == 0 ? "-" : FormatBytes(bytes) + " in " + FormatCount(objects);
}

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::uint64_t Counter(const v1::StatusReply& status, const std::string& name) {
  const auto found = status.counters().find(name);
  return found == status.counters().end() ? 0 : found->second;
}

std::string ResidentText(const v1::StatusReply& status) {
  const std::uint64_t peak = status.peak_rss_bytes();  // Older daemons do not tell.
  return FormatBytes(status.rss_bytes()) + (peak == 0 ? "" : ", peak " + FormatBytes(peak));
}

std::uint64_t Evictions(const v1::StatusReply& status) {
  std::uint64_t sum = 0;
  for (const auto& [name, value] : status.counters()) {
    sum += name.starts_with("evictions_") ? value : 0;
  }
  return sum;
}

Fields SinceStart(const v1::StatusReply& status) {
  const auto count = [&status](const std::string& name) { return Counter(status, name); };
  const std::uint64_t prompt = count("prompt_tokens");
  const std::uint64_t host = count("hit_tokens_host");
  const std::uint64_t ssd = count("hit_tokens_ssd");
  const std::uint64_t gpu = count("hit_tokens_gpu");
  const std::uint64_t served = host + ssd + gpu;
  return {{"matches", FormatCount(count("matches")) + ", " +
                          FormatShare(count("match_hits"), count("matches")) +
                          " with a restorable boundary"},
          {"prompt tokens", FormatCount(prompt)},
          {"served", FormatCount(served) + " tokens (" + FormatShare(served, prompt) +
                         "): " + FormatCount(host) + " from host, " + FormatCount(ssd) +
                         " from SSD" + (gpu == 0 ? "" : ", " + FormatCount(gpu) + " from GPU")},
          {"gap", FormatCount(count("gap_tokens")) + " tokens recomputed, " +
                      FormatCount(count("lost_tokens")) + " lost for want of a checkpoint"},
          {"commits", FormatCount(count("commits")) + ", " + FormatCount(count("durable_commits")) +
                          " of them durable"},
          {"evictions", FormatCount(Evictions(status), "object")},
          {"bad checksums", FormatCount(count("checksum_failures"))}};
}

/// As --ssd-codec is written; one name where both kinds have it.
std::string CodecText(const v1::NamespaceStatus& from) {
  const std::string& kv = from.kv_codec();
  const std::string& checkpoint = from.checkpoint_codec();
  if (kv.empty() || checkpoint.empty() || kv == checkpoint) {
    return OrDash(kv.empty() ? checkpoint : kv);
  }
  return "checkpoint:" + checkpoint + "+kv:" + kv;
}

std::string NamespacesText(const v1::StatusReply& status, const Style& style) {
  Table table({{"NAMESPACE"},
               {"TENANT"},
               {"BLOCK", Align::kRight},
               {"KV PER TOKEN", Align::kRight},
               {"CHECKPOINT", Align::kRight},
               {"FIDELITY"},
               {"SSD CODEC"},
               {"ROOT KEY"}});
  for (const v1::NamespaceStatus& from : status.namespaces()) {
    table.AddRow({from.model(), from.tenant(), FormatCount(from.block_tokens(), "token"),
                  FormatBytes(from.kv_bytes_per_token()), FormatBytes(from.checkpoint_bytes()),
                  OrDash(from.fidelity()), CodecText(from), ShortKey(from.root_key())});
  }
  return table.empty() ? "" : "\n" + table.Text(style);
}

/// How bytes travel. Older daemons do not tell.
std::string PlanesText(const v1::StatusReply& status, const Style& style) {
  Table table({{"PLANE"}, {"CONNECTIONS", Align::kRight}, {"STATE"}, {"LANES"}});
  for (const v1::PlaneStatus& plane : status.planes()) {
    std::string lanes;
    for (const std::string& way : plane.lanes()) {
      lanes += (lanes.empty() ? "" : "; ") + way;
    }
    table.AddRow({plane.name(), FormatCount(plane.connections()), plane.state(), OrDash(lanes)});
  }
  return table.empty() ? "" : "\n" + table.Text(style);
}

/// Settings that are sizes, for people to read as such.
bool IsSize(std::string_view name) {
  static constexpr std::array<std::string_view, 11> kSizes = {
      "gpu-memory", "placement-memory", "arena",   "index",       "memory", "ssd", "ssd-min-free",
      "ssd-queue",  "ssd-write-buffer", "staging", "staging-pool"};
  return std::find(kSizes.begin(), kSizes.end(), name) != kSizes.end();
}

std::string SettingText(const std::string& name, const std::string& value) {
  const bool number = !value.empty() && value.size() <= 19 &&
                      value.find_first_not_of("0123456789") == std::string::npos;
  return IsSize(name) && number ? FormatBytes(std::stoull(value)) : OrDash(value);
}

std::string Where(const v1::TierStatus& tier) {
  return tier.copies().empty() ? tier.location() : tier.location() + "; " + tier.copies();
}

std::string TlsText(const v1::TlsStatus& tls) {
  if (!tls.on()) {
    return "off";
  }
  const std::int64_t left = tls.expires() - UnixNow();
  return "on, as " + OrDash(tls.identity()) + "; " + (left < 0 ? "EXPIRED on " : "good until ") +
         FormatUnixTime(tls.expires()) +
         (left < 0 ? "" : ", for " + FormatSeconds(static_cast<double>(left)));
}

}  // namespace

std::string TiersText(const v1::StatusReply& status, const Style& style) {
  Table table({{"TIER"},
               {"USED", Align::kRight},
               {"CAPACITY", Align::kRight},
               {"FULL", Align::kRight},
               {"KV", Align::kRight},
               {"CHECKPOINTS", Align::kRight},
               {"STATE"},
               {"CODEC"},
               {"LOCATION"}});
  for (const v1::TierStatus& tier : status.tiers()) {
    const bool off = tier.state().starts_with("off") || tier.state().starts_with("absent");
    table.AddRow({tier.name(), off ? "-" : FormatBytes(tier.used_bytes()),
                  off ? "-" : FormatBytes(tier.capacity_bytes()),
                  FormatShare(tier.used_bytes(), tier.capacity_bytes()),
                  InObjects(tier.kv_bytes(), tier.kv_objects()),
                  InObjects(tier.checkpoint_bytes(), tier.checkpoint_objects()), tier.state(),
                  OrDash(tier.codec()), Where(tier)});
  }
  return table.Text(style);
}

std::string StatusText(const v1::StatusReply& status, std::string_view endpoint,
                       const Style& style) {
  std::string text = style.Bold("cairnd " + Printable(status.version())) + " at " +
                     Printable(endpoint) + ": " + style.State(Printable(status.state())) + ", up " +
                     FormatSeconds(status.uptime_seconds()) + "\n";
  Fields now = {{"resident", ResidentText(status)},
                {"index", FormatCount(status.index_nodes(), "prefix node") + " in " +
                              FormatBytes(status.index_bytes())},
                {"sessions", FormatCount(status.sessions()) + ", this one included"},
                {"leases", FormatCount(status.leases()) + ", pins included; " +
                               FormatCount(status.reservations(), "reservation")},
                {"planner", status.planner()},
                {"eviction", status.eviction()}};
  now.emplace_back("TLS", TlsText(status.tls()));
  for (const std::string& member : status.members()) {
    now.emplace_back("member", member);
  }
  if (!status.members_problem().empty()) {
    now.emplace_back("members", status.members_problem());
  }
  text += Lines(now, style);
  text += "\n" + TiersText(status, style);
  text += PlanesText(status, style);
  text += NamespacesText(status, style);
  text += "\nSince the start\n" + Lines(SinceStart(status), style);
  return text;
}

std::string LookupText(const v1::LookupReply& found, const Style& style) {
  const v1::TreeNode& node = found.node();
  std::string restorable = "no: its checkpoint, or KV before it, is not here";
  if (node.depth() == 0) {
    restorable = "no: it is a namespace's root, where nothing is to be restored";
  } else if (found.restorable()) {
    restorable = "yes, by loading " + FormatBytes(found.restore_bytes());
  }
  return Lines({{"key", node.key()},
                {"model", OrDash(found.model())},
                {"position", FormatCount(node.position(), "token")},
                {"depth", FormatCount(node.depth(), "block")},
                {"parent", OrDash(node.parent())},
                {"kv", OrDash(node.kv())},
                {"checkpoint", OrDash(node.checkpoint())},
                {"size", FormatBytes(node.bytes())},
                {"children", FormatCount(node.children())},
                {"pins", FormatCount(node.pins())},
                {"restorable", restorable}},
               style);
}

std::string LeasesText(const v1::LeasesReply& leases, const Style& style) {
  Table table({{"LEASE", Align::kRight},
               {"KIND"},
               {"SESSION", Align::kRight},
               {"REQUEST", Align::kRight},
               {"POSITION", Align::kRight},
               {"EXPIRES", Align::kRight}});
  for (const v1::LeaseStatus& lease : leases.leases()) {
    const bool pin = lease.kind() == "pin";
    table.AddRow(
        {std::to_string(lease.lease_id()), lease.kind(),
         pin ? "-" : std::to_string(lease.session_id()),
         pin ? "-" : std::to_string(lease.request_id()), FormatCount(lease.position()),
         pin ? "never" : FormatSeconds(static_cast<double>(lease.expires_in_ms()) / 1000.0)});
  }
  return table.empty() ? "no leases, reservations or pins\n" : table.Text(style);
}

std::string ConfigText(const v1::ConfigReply& config, const Style& style) {
  Table table({{"SETTING"}, {"VALUE"}});
  std::vector<std::pair<std::string, std::string>> values(config.values().begin(),
                                                          config.values().end());
  std::sort(values.begin(), values.end());
  for (const auto& [name, value] : values) {
    table.AddRow({name, SettingText(name, value)});
  }
  return table.Text(style);
}

}  // namespace cairn::ctl
