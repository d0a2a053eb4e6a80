#include "libcache/trace/statistics.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <numeric>

#include "libcache/base/check.h"
#include "libcache/trace/mix.h"

namespace cairn {
namespace {

constexpr std::uint32_t kNearTokens = 64;
constexpr std::uint32_t kFarTokens = 512;

Quantiles QuantilesOf(std::vector<double> values) {
  if (values.empty()) {
    return {};
  }
  std::sort(values.begin(), values.end());
  const auto at = [&values](std::size_t percent) {
    return values[std::min(values.size() - 1, values.size() * percent / 100)];
  };
  return {.p10 = at(10), .p50 = at(50), .p90 = at(90), .p99 = at(99), .max = values.back()};
}

double Ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

double ShareUpTo(const std::vector<double>& values, double limit) {
  const auto count =
      std::count_if(values.begin(), values.end(), [limit](double v) { return v <= limit; });
  return Ratio(static_cast<std::uint64_t>(count), values.size());
}

__attribute__((format(printf, 2, 3))) void AppendLine(std::string& out, const char* format, ...) {
  std::array<char, 256> buffer{};
  va_list args;
  va_start(args, format);
  const int size = std::vsnprintf(buffer.data(), buffer.size(), format, args);
  va_end(args);
  out.append(buffer.data(), std::min(buffer.size() - 1, static_cast<std::size_t>(size)));
  out += '\n';
}

}  // namespace

std::size_t StatisticsBuilder::BranchHash::operator()(const Branch& branch) const {
  return Mix(Mix(branch.segment.id + kGoldenRatio * branch.parent) + branch.segment.tokens);
}

StatisticsBuilder::StatisticsBuilder() : nodes_(1) {}

StatisticsBuilder::NodeIndex StatisticsBuilder::Child(NodeIndex parent,
                                                      const TraceSegment& segment) const {
  const Node& node = nodes_[parent];
  if (node.child_node == 0 || node.child == segment) {
    return node.child_node;
  }
  const auto found = branches_.find({.parent = parent, .segment = segment});
  return found == branches_.end() ? 0 : found->second;
}

StatisticsBuilder::NodeIndex StatisticsBuilder::AddChild(NodeIndex parent,
                                                         const TraceSegment& segment) {
  CAIRN_CHECK(nodes_.size() < std::numeric_limits<NodeIndex>::max());
  const auto index = static_cast<NodeIndex>(nodes_.size());
  nodes_.emplace_back();
  Node& node = nodes_[parent];
  if (node.child_node == 0) {
    node.child = segment;
    node.child_node = index;
  } else {
    branches_.emplace(Branch{.parent = parent, .segment = segment}, index);
  }
  return index;
}

void StatisticsBuilder::Add(const TraceRequest& request) {
  const auto number = static_cast<std::uint32_t>(path_tokens_.size());
  NodeIndex node = 0;
  std::uint32_t tokens = 0;
  std::size_t i = 0;
  // Walks down while an earlier prompt went the same way. The nodes' latest request is overwritten
  // on a second walk, once the overlap has been counted.
  for (; i < request.path.size(); ++i) {
    const NodeIndex child = Child(node, request.path[i]);
    if (child == 0) {
      break;
    }
    node = child;
    tokens += request.path[i].tokens;
  }
  arrival_s_.push_back(request.arrival_s);
  input_.push_back(request.input_tokens);
  output_tokens_ += request.output_tokens;
  hit_tokens_ += tokens;
  for (std::size_t size = 0; size < hit_tokens_at_.size(); ++size) {
    const std::uint32_t block = TraceStatistics::kBlockSizes[size];
    hit_tokens_at_[size] += std::uint64_t{tokens / block} * block;
  }
  if (node != 0) {
    CountOverlap(node, tokens);
  }
  node = 0;
  for (std::size_t j = 0; j < i; ++j) {
    node = Child(node, request.path[j]);
    nodes_[node].last_request = number;
  }
  for (; i < request.path.size(); ++i) {
    node = AddChild(node, request.path[i]);
    nodes_[node].last_request = number;
    tokens += request.path[i].tokens;
  }
  path_tokens_.push_back(tokens);
}

void StatisticsBuilder::CountOverlap(NodeIndex end, std::uint32_t overlap) {
  Node& node = nodes_[end];
  if (overlap >= TraceStatistics::kMinOverlapTokens) {
    const std::uint32_t stored = node.last_request;
    const std::uint32_t back = path_tokens_[stored] - overlap;
    overlap_tokens_.push_back(overlap);
    distance_back_.push_back(back);
    reuse_requests_.push_back(static_cast<double>(path_tokens_.size() - stored));
    reuse_s_.push_back(arrival_s_.back() - arrival_s_[stored]);
    seen_sites_ += node.overlap_ended ? 1 : 0;
    novel_sites_ += back > kNearTokens && !node.overlap_ended ? 1 : 0;
  }
  node.overlap_ended = true;
}

TraceStatistics StatisticsBuilder::Finish() const {
  TraceStatistics out;
  out.requests = path_tokens_.size();
  if (out.requests == 0) {
    return out;
  }
  out.span_s = arrival_s_.back() - arrival_s_.front();
  // Sums of whole numbers, exact below 2^53.
  out.input_tokens = static_cast<std::uint64_t>(std::accumulate(input_.begin(), input_.end(), 0.0));
  out.output_tokens = output_tokens_;
  out.input_mean = Ratio(out.input_tokens, out.requests);
  out.output_mean = Ratio(out.output_tokens, out.requests);
  out.input = QuantilesOf(input_);
  out.hit_share = Ratio(hit_tokens_, out.input_tokens);
  for (std::size_t i = 0; i < hit_tokens_at_.size(); ++i) {
    out.hit_share_at[i] = Ratio(hit_tokens_at_[i], out.input_tokens);
  }
  out.overlaps = overlap_tokens_.size();
  out.overlap_share = Ratio(out.overlaps, out.requests);
  out.overlap_tokens = QuantilesOf(overlap_tokens_);
  out.distance_back_tokens = QuantilesOf(distance_back_);
  out.reuse_distance_requests = QuantilesOf(reuse_requests_);
  out.reuse_distance_s = QuantilesOf(reuse_s_);
  out.ends_exactly_share = ShareUpTo(distance_back_, 0);
  out.ends_within_64_share = ShareUpTo(distance_back_, kNearTokens);
  out.ends_within_512_share = ShareUpTo(distance_back_, kFarTokens);
  out.seen_site_share = Ratio(seen_sites_, out.overlaps);
  out.novel_site_share = Ratio(novel_sites_, out.overlaps);
  return out;
}

std::string FormatStatistics(const TraceStatistics& s) {
  std::string out;
  AppendLine(out, "requests             %llu in %.0f s",
             static_cast<unsigned long long>(s.requests), s.span_s);
  AppendLine(out, "input tokens         mean %.0f, p50 %.0f, p90 %.0f, max %.0f", s.input_mean,
             s.input.p50, s.input.p90, s.input.max);
  AppendLine(out, "output tokens        mean %.0f", s.output_mean);
  AppendLine(out,
             "infinite-cache hit   %.1f %%; in blocks of 64, 256, 512, 1024: %.1f %.1f %.1f %.1f",
             100 * s.hit_share, 100 * s.hit_share_at[0], 100 * s.hit_share_at[1],
             100 * s.hit_share_at[2], 100 * s.hit_share_at[3]);
  AppendLine(out, "overlaps             %.1f %% of the requests", 100 * s.overlap_share);
  AppendLine(out, "overlap tokens       p10 %.0f, p50 %.0f, p90 %.0f, p99 %.0f",
             s.overlap_tokens.p10, s.overlap_tokens.p50, s.overlap_tokens.p90,
             s.overlap_tokens.p99);
  AppendLine(out, "distance back        p10 %.0f, p50 %.0f, p90 %.0f tokens",
             s.distance_back_tokens.p10, s.distance_back_tokens.p50, s.distance_back_tokens.p90);
  AppendLine(out,
             "reuse distance       p50 %.0f, p90 %.0f, p99 %.0f requests; p50 %.1f, p90 %.1f s",
             s.reuse_distance_requests.p50, s.reuse_distance_requests.p90,
             s.reuse_distance_requests.p99, s.reuse_distance_s.p50, s.reuse_distance_s.p90);
  AppendLine(
      out,
      "overlaps that end    exactly at a stored end %.1f %%, within 64 %.1f %%, within 512 %.1f %%",
      100 * s.ends_exactly_share, 100 * s.ends_within_64_share, 100 * s.ends_within_512_share);
  AppendLine(out, "                     at a site seen before %.1f %%, at a novel site %.1f %%",
             100 * s.seen_site_share, 100 * s.novel_site_share);
  return out;
}

Result<TraceStatistics> CollectStatistics(TraceReader& reader) {
  StatisticsBuilder builder;
  for (;;) {
    const auto request = reader.Next();
    if (!request) {
      return Fail(request.error());
    }
    if (!*request) {
      return builder.Finish();
    }
    builder.Add(**request);
  }
}

}  // namespace cairn
