#include "services/cairn-bench/trace_jobs.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "libcache/trace/generator.h"
#include "libcache/trace/statistics.h"
#include "libcache/trace/trace.h"
#include "libcache/trace/writer.h"
#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Quantiles& q) {
  return {{"p10", q.p10}, {"p50", q.p50}, {"p90", q.p90}, {"p99", q.p99}, {"max", q.max}};
}

std::string StatisticsJson(const TraceStatistics& s) {
  Json at = Json::object();
  for (std::size_t i = 0; i < TraceStatistics::kBlockSizes.size(); ++i) {
    at[std::to_string(TraceStatistics::kBlockSizes[i])] = s.hit_share_at[i];
  }
  const Json json = {{"requests", s.requests},
                     {"span_s", s.span_s},
                     {"input_tokens", s.input_tokens},
                     {"output_tokens", s.output_tokens},
                     {"input_mean", s.input_mean},
                     {"output_mean", s.output_mean},
                     {"input", ToJson(s.input)},
                     {"hit_share", s.hit_share},
                     {"hit_share_by_block_tokens", at},
                     {"overlaps", s.overlaps},
                     {"overlap_share", s.overlap_share},
                     {"overlap_tokens", ToJson(s.overlap_tokens)},
                     {"distance_back_tokens", ToJson(s.distance_back_tokens)},
                     {"reuse_distance_requests", ToJson(s.reuse_distance_requests)},
                     {"reuse_distance_s", ToJson(s.reuse_distance_s)},
                     {"ends_exactly_share", s.ends_exactly_share},
                     {"ends_within_64_share", s.ends_within_64_share},
                     {"ends_within_512_share", s.ends_within_512_share},
                     {"seen_site_share", s.seen_site_share},
                     {"novel_site_share", s.novel_site_share}};
  return json.dump(2) + "\n";
}

}  // namespace

int RunGenerate(const GenerateOptions& options) {
  const auto config = GeneratorScenario(options.scenario, options.seed, options.requests);
  if (!config) {
    Complain("--scenario: " + config.error().message);
    return kExitUsage;
  }
  const auto generator = TraceGenerator::Create(*config);
  if (!generator) {
    Complain(generator.error().message);
    return kExitUsage;
  }
  const auto written = WriteTrace(options.out, **generator);
  if (!written) {
    Complain("--out: " + written.error().message);
    return kExitFailed;
  }
  if (!options.quiet) {
    std::fprintf(stderr, "%s requests written to %s\n", Grouped(*written).c_str(),
                 options.out.c_str());
  }
  return kExitOk;
}

int RunStats(const StatsOptions& options) {
  const auto reader = TraceReader::Open(options.trace);
  if (!reader) {
    Complain("--trace: " + reader.error().message);
    return kExitFailed;
  }
  const auto statistics = CollectStatistics(**reader);
  if (!statistics) {
    Complain(statistics.error().message);
    return kExitFailed;
  }
  std::fputs((options.json ? StatisticsJson(*statistics) : FormatStatistics(*statistics)).c_str(),
             stdout);
  return kExitOk;
}

}  // namespace cairn::bench
