#include "libcache/sim/simulator.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <unordered_map>

#include "libcache/base/check.h"
#include "libcache/sim/marconi_tuner.h"
#include "libcache/sim/path.h"
#include "libcache/sim/pool.h"
#include "libcache/sim/prefix_tree.h"

namespace cairn::sim {
namespace {

double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Status CheckTiers(const Options& options) {
  std::uint64_t sum = 0;
  for (const TierOptions& tier : options.tiers) {
    if (!(tier.bytes_per_s > 0) || tier.capacity_bytes > options.capacity_bytes - sum) {
      return Fail(ErrorCode::kInvalidArgument,
                  "tiers: " + tier.name + " must have a speed, and no more room than there is");
    }
    sum += tier.capacity_bytes;
  }
  if (!options.tiers.empty() && sum != options.capacity_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "tiers: their capacities must add up to the capacity");
  }
  return {};
}

class TrieSimulator final : public Simulator {
 public:
  explicit TrieSimulator(const Options& options) : options_(options) {
    report_.positions = PositionBins(options.block_tokens);
  }

  Status Open() {
    const bool learns = options_.strategy == "trie" || options_.eviction == "value";
    if (learns) {
      LearnedPlacement::Config config = options_.learned;
      config.capacity_bytes = options_.capacity_bytes;
      if (options_.strategy != "trie") {
        config.admission = false;
      }
      learned_ = std::make_unique<LearnedPlacement>(config);
    }
    if (options_.strategy != "trie") {
      auto strategy = MakeStrategy(options_.strategy, options_.block_tokens);
      if (!strategy) {
        return Fail(strategy.error());
      }
      strategy_ = std::move(*strategy);
    }
    if (!options_.tiers.empty()) {
      tiers_ = std::make_unique<Tiers>(options_.tiers);
    }
    const PoolParts parts{
        .options = options_, .tree = tree_, .report = report_, .tiers = tiers_.get()};
    if (options_.eviction == "value") {
      pool_ = MakeValuePool(parts, *learned_, now_s_);
      return {};
    }
    if (options_.eviction == "marconi") {
      if (!options_.marconi_alpha) {
        tuner_ = std::make_unique<MarconiTuner>(options_);
      }
      report_.marconi_alpha = options_.marconi_alpha.value_or(0);
      pool_ = MakeMarconiPool(parts, report_.marconi_alpha);
      return {};
    }
    auto pool = MakeObjectPool(parts);
    if (!pool) {
      return Fail(pool.error());
    }
    pool_ = std::move(*pool);
    return {};
  }

  void Add(const TraceRequest& request) override {
    if (options_.context_tokens != 0 && request.input_tokens > options_.context_tokens) {
      ++report_.refused_requests;
      return;
    }
    now_s_ = std::max(now_s_, request.arrival_s);
    ++report_.requests;
    report_.prompt_tokens += request.input_tokens;
    report_.prefill_s += options_.cost.Seconds(request.input_tokens);
    if (request.input_tokens == 0) {
      return;
    }
    const std::vector<std::uint64_t> words = ChainWords(request, options_.block_tokens);
    if (words.empty()) {
      return;  // Shorter than a block: nothing of it has a name.
    }
    // At least one token is left to compute.
    const std::uint32_t limit = (request.input_tokens - 1) / options_.block_tokens;
    Path path = Resolve(words, limit);
    Count(path);
    Place(request, path);
    for (const NodeId id : path.nodes) {
      tree_[id].prompt_end = tree_[path.nodes.back()].end;
    }
    Tune(request, path);
    report_.peak_bytes = std::max(report_.peak_bytes, pool_->used_bytes());
  }

  [[nodiscard]] std::uint32_t ResumeTokens(std::span<const std::uint64_t> words,
                                           std::uint32_t input_tokens) const override {
    const std::uint32_t limit = (std::max(input_tokens, 1U) - 1) / options_.block_tokens;
    std::uint32_t blocks = 0;
    for (const NodeId id : tree_.WholeNodes(words)) {
      const Node& node = tree_[id];
      if (!node.kv || node.end > limit) {
        break;
      }
      blocks = node.state ? node.end : blocks;
    }
    return Tokens(blocks);
  }

  [[nodiscard]] std::uint32_t SeenTokens(std::span<const std::uint64_t> words) const override {
    return Tokens(tree_.SeenBlocks(words));
  }

  void Overhear(const TraceRequest& request) override {
    const std::vector<std::uint64_t> words = ChainWords(request, options_.block_tokens);
    if (request.input_tokens == 0 || words.empty()) {
      return;
    }
    now_s_ = std::max(now_s_, request.arrival_s);
    Path path = Resolve(words, (request.input_tokens - 1) / options_.block_tokens);
    if (learned_) {
      Watch(path);
      static_cast<void>(learned_->Plan(path.request, path.places, pool_->Price()));
      learned_->Forgo(learned_->last_spent());
    }
  }

  [[nodiscard]] std::uint64_t used_bytes() const override { return pool_->used_bytes(); }
  [[nodiscard]] std::uint64_t written_bytes() const override { return report_.bytes_written; }

  Report Finish() override {
    report_.span_s = now_s_;
    report_.prices = pool_->Prices();
    CountKept(tree_, options_.block_tokens, report_.positions);
    if (tiers_) {
      report_.tiers = tiers_->reports();
    }
    report_.memory_bytes = tree_.memory_bytes() + (learned_ ? learned_->memory_bytes() : 0);
    if (learned_) {
      report_.engine_written_bytes = learned_->shadow().written_bytes();
      report_.engine_served_tokens = learned_->shadow().served_tokens();
    }
    return report_;
  }

 private:
  struct Path {
    std::vector<NodeId> nodes;  // To the end of the prompt.
    std::size_t overlap = 0;    // Nodes that count as seen: ended before the last token.
    std::size_t resumed = 0;    // Nodes up to the boundary that is used.
    std::size_t kv = 0;         // Leading nodes with KV.
    bool seen_whole = false;
    std::uint32_t overlap_blocks = 0;
    std::uint32_t resume_blocks = 0;
    LearnedPlacement::Request request;
    LearnedPlacement::Places places;

    /// Of the overlap, what lies in the cache as KV.
    [[nodiscard]] std::uint32_t ResidentBlocks(const PrefixTree& tree) const {
      return kv == 0 ? 0 : std::min(tree[nodes[kv - 1]].end, overlap_blocks);
    }
    /// How long the latest prompt with that overlap was.
    [[nodiscard]] std::uint32_t StoredBlocks(const PrefixTree& tree) const {
      return overlap == 0 ? 0 : tree[nodes[overlap - 1]].prompt_end;
    }
  };

  void Tune(const TraceRequest& request, const Path& path) {
    if (!tuner_) {
      return;
    }
    const double start_s = ThreadCpuSeconds();
    const auto alpha =
        tuner_->Add(request, tree_, path.nodes.back(), report_.evicted_checkpoints > 0);
    if (alpha) {
      report_.marconi_alpha = *alpha;
    }
    report_.planner_cpu_s += ThreadCpuSeconds() - start_s;
  }

  std::uint32_t Tokens(std::uint32_t blocks) const { return blocks * options_.block_tokens; }

  Path Resolve(std::span<const std::uint64_t> words, std::uint32_t limit) {
    PromptPath prompt = ResolvePrompt(tree_, words, limit,
                                      [this](NodeId upper, NodeId lower) { Cut(upper, lower); });
    Path path;
    path.nodes = std::move(prompt.nodes);
    path.overlap_blocks = prompt.overlap_blocks;
    path.seen_whole = prompt.seen_whole;
    bool kv = true;
    for (std::size_t i = 0; i < path.nodes.size(); ++i) {
      const Node& node = tree_[path.nodes[i]];
      kv = kv && node.kv;
      path.kv = kv ? i + 1 : path.kv;
      if (node.end <= path.overlap_blocks) {
        path.overlap = i + 1;
        if (kv && node.state && !tiers_) {
          path.resumed = i + 1;
          path.resume_blocks = node.end;
        }
      }
    }
    if (tiers_) {
      ChooseBoundary(path);
    }
    return path;
  }

  /// The least of loading and computing again, as the daemon chooses; of equals the deepest.
  void ChooseBoundary(Path& path) {
    double kv_s = 0;
    double most_s = 0;  // Prefill saved less what is loaded.
    for (std::size_t i = 0; i < std::min(path.kv, path.overlap); ++i) {
      const NodeId id = path.nodes[i];
      const Node& node = tree_[id];
      kv_s += tiers_->LoadSeconds(Tiers::KvOf(id));
      const double saved_s =
          options_.cost.Seconds(Tokens(node.end)) - kv_s - tiers_->LoadSeconds(Tiers::StateOf(id));
      if (node.state && saved_s >= most_s) {
        most_s = saved_s;
        path.resumed = i + 1;
        path.resume_blocks = node.end;
      }
    }
    std::vector<Tiers::Object> loaded;
    loaded.reserve(path.resumed + std::size_t{1});
    for (std::size_t i = 0; i < path.resumed; ++i) {
      loaded.push_back(Tiers::KvOf(path.nodes[i]));
    }
    if (path.resumed > 0) {
      loaded.push_back(Tiers::StateOf(path.nodes[path.resumed - 1]));
    }
    tiers_->CountLoad(loaded);
  }

  /// What a request loaded, computed or stored lies in the first tier; the deep end of its path is
  /// the oldest of it.
  void BringUp(const Path& path, std::span<const NodeId> states) {
    for (std::size_t i = path.nodes.size(); i > 0; --i) {
      const NodeId id = path.nodes[i - 1];
      const Node& node = tree_[id];
      const bool used =
          i == path.resumed || std::find(states.begin(), states.end(), id) != states.end();
      if (node.state && used) {
        tiers_->Use(Tiers::StateOf(id), options_.checkpoint_bytes);
      }
      if (node.kv) {
        tiers_->Use(Tiers::KvOf(id), KvBytes(node));
      }
    }
  }

  [[nodiscard]] std::uint64_t KvBytes(const Node& node) const {
    return std::uint64_t{node.end - node.begin} * options_.block_tokens *
           options_.kv_bytes_per_token;
  }

  void Cut(NodeId upper, NodeId lower) {
    pool_->OnSplit(upper, lower);
    if (tiers_) {
      tiers_->Cut(Tiers::KvOf(upper), Tiers::KvOf(lower), KvBytes(tree_[upper]));
    }
  }

  void Count(const Path& path) {
    const std::uint32_t overlap = Tokens(path.overlap_blocks);
    const std::uint32_t served = Tokens(path.resume_blocks);
    report_.overlap_tokens += overlap;
    report_.served_tokens += served;
    report_.gap_tokens += overlap - served;
    report_.hits += served > 0 ? 1 : 0;
    report_.positions.AddOverlap(overlap, served);
    report_.saved_s += options_.cost.Seconds(served);
  }

  void Place(const TraceRequest& request, Path& path) {
    const double start_s = ThreadCpuSeconds();
    std::vector<std::uint32_t> positions;
    if (learned_) {
      Watch(path);
    }
    if (strategy_) {
      // Where a block trace is cut finer than its blocks, what follows the last one has no name and
      // nothing can be stored there; without that it would be less than a block.
      const std::uint32_t named = Tokens(tree_[path.nodes.back()].end) + options_.block_tokens - 1;
      positions =
          strategy_->Plan({.prompt = {.prompt_tokens = std::min(request.input_tokens, named),
                                      .overlap_tokens = Tokens(path.overlap_blocks),
                                      .resume_tokens = Tokens(path.resume_blocks),
                                      .grid_tokens = options_.block_tokens,
                                      .block_tokens = options_.block_tokens},
                           .resident_tokens = Tokens(path.ResidentBlocks(tree_)),
                           .stored_tokens = Tokens(path.StoredBlocks(tree_))});
    } else {
      for (const auto& planned : learned_->Plan(path.request, path.places, pool_->Price())) {
        positions.push_back(planned.position);
      }
    }
    report_.planner_cpu_s += ThreadCpuSeconds() - start_s;
    Keep(path, positions);
    if (learned_) {
      learned_->Answered(path.places.tip, request.output_tokens);
    }
  }

  /// Makes every position the end of a node and hands all to the pool.
  void Keep(Path& path, const std::vector<std::uint32_t>& positions) {
    std::vector<NodeId> states;
    std::size_t i = 0;
    std::size_t deepest = 0;
    for (const std::uint32_t position : positions) {
      const std::uint32_t block = position / options_.block_tokens;
      while (i < path.nodes.size() && tree_[path.nodes[i]].end < block) {
        ++i;
      }
      if (i == path.nodes.size()) {
        break;  // In the partial block at the end, which has no name.
      }
      if (tree_[path.nodes[i]].end > block) {
        const NodeId upper = tree_.Split(path.nodes[i], block);
        Cut(upper, path.nodes[i]);
        path.nodes.insert(path.nodes.begin() + static_cast<std::ptrdiff_t>(i), upper);
      }
      states.push_back(path.nodes[i]);
      deepest = i + 1;
    }
    // As engines do, the heuristics store all KV; ours only what a checkpoint needs.
    const std::size_t kv_depth = strategy_ ? path.nodes.size() : deepest;
    pool_->Put(
        {.path = path.nodes, .kv_depth = kv_depth, .resumed = path.resumed, .states = states});
    if (tiers_) {
      BringUp(path, states);
    }
  }

  /// Tells the learned placement of the request, and the nodes whose edge they are on.
  void Watch(Path& path) {
    if (!root_known_) {
      LearnedPlacement::Owner owner{.checkpoint_bytes = options_.checkpoint_bytes,
                                    .kv_bytes_per_token = options_.kv_bytes_per_token,
                                    .grain_tokens = options_.block_tokens,
                                    .cost = options_.cost};
      root_ = learned_->AddOwner(owner, now_s_);
      root_known_ = true;
    }
    LearnedPlacement::Request& r = path.request;
    r.now_s = now_s_;
    r.root = root_;
    r.edge = root_;
    // The deepest node whose place is still known.
    std::size_t known = path.overlap;
    while (known > 0 && !learned_->tree().Valid(tree_[path.nodes[known - 1]].site)) {
      --known;
    }
    if (known > 0) {
      r.edge = tree_[path.nodes[known - 1]].site;
      r.overlap = Tokens(tree_[path.nodes[known - 1]].end);
    }
    r.resume = Tokens(path.resume_blocks);
    r.kv_resident = path.kv == 0 ? 0 : Tokens(tree_[path.nodes[path.kv - 1]].end);
    r.end = Tokens(tree_[path.nodes.back()].end);
    r.extends = !path.seen_whole || known < path.overlap;
    path.places = learned_->Observe(r);
    const std::uint32_t junction = learned_->tree().site(path.places.junction.id).position;
    if (path.places.junction_is_new) {
      for (std::size_t i = known; i > 0 && tree_[path.nodes[i - 1]].site == r.edge; --i) {
        tree_[path.nodes[i - 1]].site = path.places.junction;
      }
    }
    for (std::size_t i = known; r.extends && i < path.nodes.size(); ++i) {
      Node& node = tree_[path.nodes[i]];
      if (Tokens(node.end) > junction) {
        node.site = path.places.tip;
      }
    }
  }

  const Options options_;
  Report report_;
  PrefixTree tree_;
  std::unique_ptr<Strategy> strategy_;
  std::unique_ptr<LearnedPlacement> learned_;
  std::unique_ptr<MarconiTuner> tuner_;
  std::unique_ptr<Tiers> tiers_;
  std::unique_ptr<Pool> pool_;
  double now_s_ = 0;
  SiteRef root_;
  bool root_known_ = false;
};

}  // namespace

Result<std::unique_ptr<Simulator>> Simulator::Create(const Options& options) {
  if (options.block_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "block_tokens: must be at least 1");
  }
  const double alpha = options.marconi_alpha.value_or(0);
  if (!std::isfinite(alpha) || alpha < 0) {
    return Fail(ErrorCode::kInvalidArgument, "marconi_alpha: must be a finite number, not below 0");
  }
  if (auto checked = CheckTiers(options); !checked) {
    return Fail(checked.error());
  }
  auto simulator = std::make_unique<TrieSimulator>(options);
  if (auto opened = simulator->Open(); !opened) {
    return Fail(opened.error());
  }
  return simulator;
}

}  // namespace cairn::sim
