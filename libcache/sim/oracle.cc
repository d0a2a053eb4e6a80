// The clairvoyant. Two passes: the first builds the trie of the whole trace and notes where the
// overlap of each request will end; the second keeps states at such places only, each with the KV
// down to it, and lets go of the one that is wanted last.
#include <algorithm>
#include <set>

#include "libcache/base/check.h"
#include "libcache/sim/kept_prefixes.h"
#include "libcache/sim/path.h"
#include "libcache/sim/prefix_tree.h"
#include "libcache/sim/simulator.h"

namespace cairn::sim {
namespace {

constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

struct Seen {
  NodeId end = 0;      // Of the prompt's whole blocks.
  NodeId overlap = 0;  // The node where its overlap ends.
};

class Oracle {
 public:
  explicit Oracle(const Options& options) : options_(options), kept_(options_, tree_, nullptr) {
    report_.positions = PositionBins(options.block_tokens);
  }

  void Note(const TraceRequest& request) {
    if (options_.context_tokens != 0 && request.input_tokens > options_.context_tokens) {
      ++report_.refused_requests;
      return;
    }
    ++report_.requests;
    report_.prompt_tokens += request.input_tokens;
    report_.prefill_s += options_.cost.Seconds(request.input_tokens);
    report_.span_s = std::max(report_.span_s, request.arrival_s);
    const std::vector<std::uint64_t> words = ChainWords(request, options_.block_tokens);
    if (words.empty()) {
      return;
    }
    const std::uint32_t limit = (request.input_tokens - 1) / options_.block_tokens;
    // What ended at the lower part's end still does, so cuts need no care.
    const PromptPath path = ResolvePrompt(tree_, words, limit, [](NodeId, NodeId) {});
    Seen seen{.end = path.nodes.back()};
    for (const NodeId id : path.nodes) {
      if (tree_[id].end <= path.overlap_blocks) {
        seen.overlap = id;
      }
    }
    seen_.push_back(seen);
  }

  Report Replay() {
    wanted_.resize(tree_.size());
    next_.resize(tree_.size(), 0);
    wanted_at_.resize(tree_.size(), kNever);
    for (std::uint32_t i = 0; i < seen_.size(); ++i) {
      if (seen_[i].overlap != 0) {
        wanted_[seen_[i].overlap].push_back(i);
      }
    }
    for (std::uint32_t i = 0; i < seen_.size(); ++i) {
      Serve(i);
      report_.peak_bytes = std::max(report_.peak_bytes, kept_.used_bytes());
    }
    report_.memory_bytes = tree_.memory_bytes();
    CountKept(tree_, options_.block_tokens, report_.positions);
    return report_;
  }

 private:
  /// The next request after `now` whose overlap ends at the node.
  std::uint32_t NextWanted(NodeId id, std::uint32_t now) {
    const auto& requests = wanted_[id];
    while (next_[id] < requests.size() && requests[next_[id]] <= now) {
      ++next_[id];
    }
    return next_[id] < requests.size() ? requests[next_[id]] : kNever;
  }

  void Serve(std::uint32_t now) {
    const Seen& seen = seen_[now];
    std::vector<NodeId> path;
    for (NodeId id = seen.end; id != 0; id = tree_[id].parent) {
      path.push_back(id);
    }
    std::reverse(path.begin(), path.end());
    std::uint32_t resume = 0;
    const std::uint32_t overlap = seen.overlap == 0 ? 0 : tree_[seen.overlap].end;
    for (const NodeId id : path) {
      if (tree_[id].state && tree_[id].end <= overlap) {
        resume = tree_[id].end;
      }
    }
    const std::uint64_t served = std::uint64_t{resume} * options_.block_tokens;
    report_.overlap_tokens += std::uint64_t{overlap} * options_.block_tokens;
    report_.served_tokens += served;
    report_.gap_tokens += std::uint64_t{overlap - resume} * options_.block_tokens;
    report_.hits += resume > 0 ? 1 : 0;
    report_.positions.AddOverlap(std::uint64_t{overlap} * options_.block_tokens, served);
    report_.saved_s += options_.cost.Seconds(static_cast<double>(served));
    for (const NodeId id : path) {
      const std::uint32_t next = NextWanted(id, now);
      if (tree_[id].state) {
        order_.erase({wanted_at_[id], id});
        if (next == kNever) {
          kept_.Drop(id);
        } else {
          wanted_at_[id] = next;
          order_.insert({next, id});
        }
      } else if (next != kNever && tree_[id].end > resume) {
        kept_.Keep(id);
        wanted_at_[id] = next;
        order_.insert({next, id});
      }
    }
    while (!kept_.Fits()) {
      CAIRN_CHECK(!order_.empty());
      const auto last = std::prev(order_.end());
      kept_.Drop(last->second);
      order_.erase(last);
    }
    kept_.CountWritten(report_);
  }

  const Options options_;
  Report report_;
  PrefixTree tree_;
  KeptPrefixes kept_;
  std::vector<Seen> seen_;
  std::vector<std::vector<std::uint32_t>> wanted_;  // By node: requests whose overlap ends there.
  std::vector<std::size_t> next_;
  std::vector<std::uint32_t> wanted_at_;
  std::set<std::pair<std::uint32_t, NodeId>> order_;  // States by when they are wanted next.
};

}  // namespace

Result<Report> RunOracle(TraceReader& reader, const Options& options) {
  if (options.block_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "block_tokens: must be at least 1");
  }
  if (!options.tiers.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "tiers: the oracle knows one place only; give it a capacity");
  }
  Oracle oracle(options);
  for (;;) {
    auto request = reader.Next();
    if (!request) {
      return Fail(request.error());
    }
    if (!*request) {
      return oracle.Replay();
    }
    oracle.Note(**request);
  }
}

}  // namespace cairn::sim
