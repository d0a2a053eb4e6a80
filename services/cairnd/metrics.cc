#include "services/cairnd/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <fstream>
#include <utility>
#include <vector>

namespace cairn::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct Sample {
  std::vector<std::pair<std::string, std::string>> labels;
  double value;
};

MetricFamily Family(const std::string& name, const std::string& help, MetricType type,
                    const std::vector<Sample>& samples) {
  MetricFamily family;
  family.name = "cairn_" + name;
  family.help = help;
  family.type = type;
  for (const Sample& sample : samples) {
    ClientMetric metric;
    for (const auto& [label, value] : sample.labels) {
      metric.label.push_back({label, value});
    }
    if (type == MetricType::Counter) {
      metric.counter.value = sample.value;
    } else {
      metric.gauge.value = sample.value;
    }
    family.metric.push_back(std::move(metric));
  }
  return family;
}

class Families {
 public:
  template <class T>
  void Count(const std::string& name, const std::string& help, T value) {
    Counts(name, help, {{{}, static_cast<double>(value)}});
  }
  void Counts(const std::string& name, const std::string& help,
              const std::vector<Sample>& samples) {
    all_.push_back(Family(name + "_total", help, MetricType::Counter, samples));
  }
  template <class T>
  void Gauge(const std::string& name, const std::string& help, T value) {
    Gauges(name, help, {{{}, static_cast<double>(value)}});
  }
  void Gauges(const std::string& name, const std::string& help,
              const std::vector<Sample>& samples) {
    all_.push_back(Family(name, help, MetricType::Gauge, samples));
  }
  [[nodiscard]] const std::vector<MetricFamily>& all() const { return all_; }

 private:
  std::vector<MetricFamily> all_;
};

/// A GPU tier was asked for, whatever became of it.
bool HasGpu(const CacheStats& s) { return s.gpu.state != "off"; }

std::vector<Sample> ByTierAndKind(const CacheStats& s,
                                  std::array<std::uint64_t, 2> TierUse::*field) {
  std::vector<Sample> samples;
  std::vector<std::pair<const char*, const TierUse*>> tiers = {{"host", &s.host}, {"ssd", &s.cold}};
  if (HasGpu(s)) {
    tiers.emplace_back("gpu", &s.gpu.use);
  }
  for (const auto& [tier, use] : tiers) {
    samples.push_back({{{"tier", tier}, {"kind", "kv"}}, static_cast<double>((use->*field)[0])});
    samples.push_back(
        {{{"tier", tier}, {"kind", "checkpoint"}}, static_cast<double>((use->*field)[1])});
  }
  return samples;
}

double Refused(const CacheStats& s, CodecRefusal refusal) {
  return static_cast<double>(s.cold_store.codec_refusals[static_cast<std::size_t>(refusal)]);
}

void AddRequests(Families& f, const CacheStats& s) {
  f.Count("matches", "Match requests answered.", s.matches);
  f.Count("match_hits", "Matches that had a restorable boundary.", s.match_hits);
  f.Count("matches_elsewhere",
          "Matches that another daemon of the cluster served, which are not among the others.",
          s.matches_elsewhere);
  f.Count("restorable_boundaries",
          "Restorable boundaries returned; divide by matches for the mean per match.",
          s.boundaries_returned);
  f.Count("prompt_tokens", "Prompt tokens of all matches.", s.prompt_tokens);
  f.Count("overlap_tokens", "Prompt tokens in blocks that were seen before, resident or not.",
          s.overlap_tokens);
  f.Counts("hit_tokens", "Tokens before the boundaries that were fetched, by slowest tier used.",
           {{{{"tier", "host"}}, static_cast<double>(s.hit_tokens[1])},
            {{{"tier", "ssd"}}, static_cast<double>(s.hit_tokens[2])},
            {{{"tier", "gpu"}}, static_cast<double>(s.hit_tokens[3])}});
  f.Count("gap_tokens", "Tokens between boundary and overlap that engines recomputed.",
          s.gap_tokens);
  f.Count("lost_tokens",
          "Tokens whose KV was resident but that no checkpoint made restorable: prefill lost for "
          "want of a checkpoint.",
          s.lost_tokens);
  f.Count("fetches", "Boundaries handed to engines.", s.fetches);
  f.Count("failed_restores", "Fetched boundaries that an engine could not use.", s.failed_restores);
  f.Count("commits", "Objects published.", s.commits);
  f.Count("durable_commits", "Objects whose writer waited for the SSD.", s.durable_commits);
  f.Count("reserve_refused", "Objects not accepted: present, in progress, no room.",
          s.reserve_refused);
  f.Count("aborted_writes", "Reservations that ended without a commit.", s.aborted);
  f.Count("leases_expired", "Leases that ended by time instead of release.", s.leases_expired);
}

void AddTiers(Families& f, const CacheStats& s) {
  f.Gauges("tier_bytes", "Payload bytes by tier and kind.", ByTierAndKind(s, &TierUse::bytes));
  f.Gauges("tier_objects", "Objects by tier and kind.", ByTierAndKind(s, &TierUse::objects));
  f.Gauges("tier_capacity_bytes", "Caps.",
           {{{{"tier", "host"}}, static_cast<double>(s.arena_capacity_bytes)},
            {{{"tier", "ssd"}}, static_cast<double>(s.cold_store.capacity_bytes)}});
  f.Gauges("tier_used_bytes", "Bytes taken of the cap, rounding and dead space included.",
           {{{{"tier", "host"}}, static_cast<double>(s.arena_used_bytes)},
            {{{"tier", "ssd"}}, static_cast<double>(s.cold_store.disk_bytes)}});
  std::vector<Sample> evictions;
  evictions.reserve(kEvictReasons);
  for (std::size_t i = 0; i < kEvictReasons; ++i) {
    evictions.push_back({{{"reason", std::string(EvictReasonName(static_cast<EvictReason>(i)))}},
                         static_cast<double>(s.evictions[i])});
  }
  f.Counts("evictions", "Objects that left a tier, by reason.", evictions);
  f.Count("evicted_bytes", "Payload bytes evicted from host memory.", s.evicted_bytes);
  f.Count("checksum_failures", "Objects whose bytes did not have their digest.",
          s.checksum_failures);
  f.Count("promotions", "Objects read from SSD to host memory.", s.promotions);
  f.Count("promotion_failures", "Reads from SSD that failed.", s.promotion_failures);
  f.Count("ssd_queue_dropped", "Objects not written to SSD because its queue was full.",
          s.cold_queue_dropped);
  f.Gauge("ssd_unindexed", "Objects left on SSD at start for want of index memory.",
          s.cold_unindexed);
  f.Gauge("ssd_queue_bytes", "Bytes waiting for the SSD.", s.cold_queue_bytes);
  f.Count("ssd_written_bytes", "Payload bytes written to SSD.", s.cold_store.written_bytes);
  f.Count("ssd_encoded_bytes", "What --ssd-codec made of the payload written to SSD.",
          s.cold_store.encoded_bytes);
  f.Count("ssd_lossy_objects", "Objects written to SSD by a lossy codec.",
          s.cold_store.lossy_objects);
  f.Counts("ssd_codec_refused",
           "Objects written without the lossy codec that --ssd-codec has for them, by what their "
           "namespace does not permit or declare.",
           {{{{"reason", "fidelity"}}, Refused(s, CodecRefusal::kFidelity)},
            {{{"reason", "shape"}}, Refused(s, CodecRefusal::kShape)}});
  f.Count("ssd_device_written_bytes", "Bytes the store wrote to the device in all.",
          s.cold_store.device_written_bytes);
  f.Count("ssd_read_bytes", "Payload bytes read from SSD.", s.cold_store.read_bytes);
  f.Count("ssd_checksum_failures", "Damaged objects found on SSD.", s.cold_store.checksum_failures);
  f.Count("ssd_write_failures", "Writes the SSD refused.", s.cold_store.write_failures);
  f.Count("ssd_segments_evicted", "SSD segments freed.", s.cold_store.segments_evicted);
  f.Gauge("ssd_lost_epochs", "Durable writes that the store had lost at start.",
          s.cold_store.lost_epochs);
}

/// Only where a GPU tier is asked for.
void AddGpu(Families& f, const CacheStats& s) {
  if (!HasGpu(s)) {
    return;
  }
  f.Gauge("gpu_healthy", "1 while the GPU tier serves; 0: absent or lost.",
          s.gpu.state == "ok" ? 1 : 0);
  f.Gauge("gpu_capacity_bytes", "Cap of the GPU tier.", s.gpu.capacity_bytes);
  f.Gauge(
      "gpu_copy_switch_bytes",
      "Smaller pieces are copied by a kernel, as measured at the start; 0: none are, or not any "
      "more.",
      s.gpu.device.copy_switch_bytes);
  f.Gauge("gpu_extent_bytes", "GPU memory taken from the device.", s.gpu.extent_bytes);
  f.Gauge("gpu_used_bytes", "GPU memory in use, rounding included.", s.gpu.used_bytes);
  f.Gauge("gpu_boundaries", "Boundaries that have a copy in GPU memory.", s.gpu.boundaries);
  f.Gauge("gpu_readers", "Objects in GPU memory that leases hold now.", s.gpu.readers);
  f.Count("gpu_promotions", "Boundaries brought to GPU memory.", s.gpu.promotions);
  f.Count("gpu_promoted_bytes", "Payload bytes brought there.", s.gpu.promoted_bytes);
  f.Count("gpu_refused", "Boundaries not brought there: not worth it, or no room.", s.gpu.refused);
  f.Count("gpu_evictions", "Boundaries that left GPU memory.", s.gpu.evictions);
  f.Count("gpu_failed_copies", "Copies that did not arrive as they were sent.",
          s.gpu.failed_copies);
  f.Count("gpu_served_objects", "Objects handed out in GPU memory.", s.gpu.served_objects);
  f.Count("gpu_losses", "Devices lost since the start.", s.gpu.losses);
}

/// Only where an SSD is configured: a 0 elsewhere would read as a failed one.
void AddSsdHealth(Families& f, const CacheStats& s, const ProcessStats& p) {
  if (!p.ssd_configured) {
    return;
  }
  f.Gauge("ssd_healthy", "1 while the SSD tier takes writes.",
          s.has_cold && s.cold_store.state == "ok" ? 1 : 0);
  f.Gauge("ssd_quarantined", "1 if the store was damaged and moved aside at this start.",
          p.ssd_quarantined ? 1 : 0);
}

/// Only where the planner learns.
void AddPlacement(Families& f, const CacheStats& s, const ProcessStats& p) {
  if (!s.learns) {
    return;
  }
  f.Gauge("placement_places", "Places of the prefix trie whose use is remembered.", s.places);
  f.Gauge("placement_bytes", "Memory of what the planner has learned.", s.placement_bytes);
  f.Gauge("placement_price",
          "Prefill seconds that a GiB of host memory saves in a second, as of the last requests.",
          s.price_per_byte_s * static_cast<double>(kGiB));
  f.Count("placement_planned_bytes", "Bytes that plans asked for.", s.planned_bytes);
  f.Count("placement_engine_bytes",
          "Bytes that turn_end_demand would have written in as much memory and SSD.",
          s.engine_written_bytes);
  f.Count("placement_save_failures", "Times that what was learned could not be written.",
          p.failed_placement_saves);
}

/// Only where there is TLS.
void AddTls(Families& f, const TlsStats& tls) {
  if (!tls.on) {
    return;
  }
  std::vector<Sample> handshakes;
  handshakes.reserve(kTlsOutcomes);
  for (std::size_t i = 0; i < kTlsOutcomes; ++i) {
    handshakes.push_back({{{"result", std::string(TlsOutcomeName(static_cast<TlsOutcome>(i)))}},
                          static_cast<double>(tls.handshakes[i])});
  }
  f.Counts("tls_handshakes", "Connections to TLS ports by what became of the handshake.",
           handshakes);
  f.Gauge("tls_handshakes_under_way", "Handshakes begun and not over.", tls.half_open);
  f.Counts("tls_reloads", "Times that the files of the certificate had changed.",
           {{{{"result", "ok"}}, static_cast<double>(tls.reloads)},
            {{{"result", "failed"}}, static_cast<double>(tls.failed_reloads)}});
  f.Gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "Unix time at which the daemon's certificate, one between it and the CA, or the CA expires.",
      tls.validity.not_after);
  f.Gauge("tls_certificate_not_before_timestamp_seconds",
          "Unix time from which that certificate is valid.", tls.validity.not_before);
}

/// Only where UCX is in use.
void AddUcx(Families& f, const ProcessStats& p) {
  if (!p.has_ucx) {
    return;
  }
  f.Count("ucx_gets", "Stretches of objects put into engines' memory by UCX.", p.ucx.gets);
  f.Count("ucx_get_bytes", "Their bytes.", p.ucx.get_bytes);
  f.Count("ucx_puts", "Stretches of objects got from engines' memory by UCX.", p.ucx.puts);
  f.Count("ucx_put_bytes", "Their bytes.", p.ucx.put_bytes);
  f.Count("ucx_peers_lost", "Engines that died or froze in the middle of a transfer.",
          p.ucx.peers_lost);
  f.Count("ucx_refused_attach", "Engines whose memory could not be reached, or that sent nonsense.",
          p.ucx.refused_attach);
}

void AddState(Families& f, const CacheStats& s, const ProcessStats& p) {
  f.Gauges("leases", "Leases held now.",
           {{{{"kind", "read"}}, static_cast<double>(s.leases)},
            {{{"kind", "write"}}, static_cast<double>(s.reservations)},
            {{{"kind", "pin"}}, static_cast<double>(s.pins)}});
  f.Gauge("sessions", "Engine sessions open now.", s.sessions);
  f.Gauge("index_nodes", "Prefixes known, ghosts included.", s.nodes);
  f.Gauge("index_ghosts", "Prefixes remembered after their bytes are gone.", s.ghosts);
  f.Gauge("index_bytes", "Memory of the prefix index.", s.index_bytes);
  f.Gauge("resident_bytes", "Resident memory of the daemon.", p.rss_bytes);
  f.Gauge("uptime_seconds", "Seconds since start.", p.uptime_seconds);
  f.Gauge("connections", "Connections open now.", p.connections);
  f.Count("refused_frames", "Connections closed for a malformed or unexpected frame.",
          p.refused_frames);
  f.Gauge("draining", "1 while shutting down.", s.draining ? 1 : 0);
}

}  // namespace

std::uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return file ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

std::uint64_t PeakResidentBytes() {
  // Not getrusage: that includes what the process was before it became this program.
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmHWM:" && file >> kib) {
      return kib * 1024;
    }
  }
  return 0;
}

std::string PrometheusText(const CacheStats& stats, const ProcessStats& process) {
  Families families;
  AddRequests(families, stats);
  AddTiers(families, stats);
  AddSsdHealth(families, stats, process);
  AddGpu(families, stats);
  AddPlacement(families, stats, process);
  AddUcx(families, process);
  AddState(families, stats, process);
  AddTls(families, process.tls);
  return prometheus::TextSerializer().Serialize(families.all());
}

}  // namespace cairn::server
