#include "libcache/sim/marconi_tuner.h"

#include <algorithm>

#include "libcache/base/check.h"

namespace cairn::sim {

MarconiTuner::MarconiTuner(const Options& options) : options_(options) {}

std::optional<double> MarconiTuner::Add(const TraceRequest& request, const PrefixTree& tree,
                                        NodeId end, bool evicted) {
  if (done_) {
    return std::nullopt;
  }
  records_.push_back({.end = end,
                      .input_tokens = request.input_tokens,
                      .output_tokens = request.output_tokens,
                      .arrival_s = request.arrival_s});
  if (evicted && before_eviction_ == 0) {
    before_eviction_ = std::max<std::uint64_t>(records_.size() - 1, 1);
  }
  if (before_eviction_ == 0 || records_.size() < kWindows * before_eviction_) {
    return std::nullopt;
  }
  done_ = true;
  const double best = Best(tree);
  records_ = {};
  return best;
}

double MarconiTuner::Best(const PrefixTree& tree) const {
  double best = 0;
  std::uint64_t most = 0;
  for (int step = 0; step <= kSteps; ++step) {
    Options options = options_;
    options.marconi_alpha = step / 10.0;
    auto simulator = Simulator::Create(options);
    CAIRN_CHECK(simulator.has_value());  // Its options are those that we run with.
    for (const Record& record : records_) {
      TraceRequest request;
      request.arrival_s = record.arrival_s;
      request.input_tokens = record.input_tokens;
      request.output_tokens = record.output_tokens;
      request.block_tokens = options.block_tokens;
      for (const std::uint64_t word : tree.WordsTo(record.end)) {
        request.path.push_back({.id = word, .tokens = options.block_tokens});
      }
      (*simulator)->Add(request);
    }
    const std::uint64_t served = (*simulator)->Finish().served_tokens;
    if (served > most) {
      most = served;
      best = *options.marconi_alpha;
    }
  }
  return best;
}

}  // namespace cairn::sim
