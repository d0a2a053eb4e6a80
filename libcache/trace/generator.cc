#include "libcache/trace/generator.h"

#include <algorithm>
#include <array>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/trace/generator_populations.h"

namespace cairn {
namespace {

constexpr std::array<std::string_view, 5> kScenarios = {"agent", "chat", "documents", "templates",
                                                        "mixed"};
constexpr double kMillisecondsPerSecond = 1000;

}  // namespace

/// Who speaks next. A kind of traffic starts conversations at its own pace until their turns make
/// up its share of the requests; the last one is cut short.
class TraceGenerator::Schedule {
 public:
  Schedule(const GeneratorConfig& config, const std::array<std::uint64_t, 4>& requests)
      : seed_(config.seed) {
    std::uint64_t span_ms = 1;
    for (std::uint32_t kind = 0; kind < requests.size(); ++kind) {
      if (requests[kind] == 0) {
        continue;
      }
      Source source;
      source.kind = kind;
      source.left = requests[kind];
      source.random = GeneratorRandom(SeedOf(kind, 0));
      source.population = Make(kind);
      source.span_ms = source.population->SpanMs(source.left);
      span_ms = std::max(span_ms, source.span_ms);
      source.next_start_ms = source.population->StartGapMs(source.random);
      sources_.push_back(std::move(source));
    }
    for (Source& source : sources_) {
      // Sixteen bits behind the point, so that the product stays small.
      source.stretch = (span_ms << 16U) / std::max<std::uint64_t>(1, source.span_ms);
    }
  }

  /// The next request, with its arrival.
  TraceRequest Next() {
    StartDue();
    CAIRN_CHECK(!pending_.empty());
    const Turn turn = pending_.top();
    pending_.pop();
    Session& session = *sessions_[turn.session];
    Source& source = sources_[session.source];
    TraceRequest request = session.conversation->NextTurn(ids_);
    first_ms_ = first_ms_.value_or(turn.time_ms);
    request.arrival_s = static_cast<double>(turn.time_ms - *first_ms_) / kMillisecondsPerSecond;
    if (--session.turns_left == 0) {
      sessions_[turn.session].reset();
    } else {
      pending_.push({.time_ms = turn.time_ms + Stretch(source, session.conversation->GapMs()),
                     .session = turn.session});
    }
    return request;
  }

 private:
  struct Source {
    std::uint32_t kind = 0;
    std::uint64_t left = 0;  ///< Requests that no conversation has taken yet.
    GeneratorRandom random{0};
    std::unique_ptr<Population> population;
    std::uint64_t span_ms = 0;        ///< Expected, at its own pace.
    std::uint64_t stretch = 0;        ///< Times 2^16.
    std::uint64_t next_start_ms = 0;  ///< At its own pace.
    std::uint32_t started = 0;
  };
  struct Session {
    std::size_t source = 0;
    std::uint64_t turns_left = 0;
    std::unique_ptr<Conversation> conversation;
  };
  struct Turn {
    std::uint64_t time_ms = 0;
    std::size_t session = 0;
    /// Later first, so that a heap has the earliest on top; of one time the older session.
    bool operator<(const Turn& other) const {
      return std::tie(time_ms, session) > std::tie(other.time_ms, other.session);
    }
  };

  [[nodiscard]] std::uint64_t SeedOf(std::uint32_t kind, std::uint32_t number) const {
    return Mix(Mix(seed_ + kGoldenRatio * (kind + 1)) + number);
  }

  std::unique_ptr<Population> Make(std::uint32_t kind) {
    switch (kind) {
      case 0: return MakeAgents(ids_, GeneratorRandom(SeedOf(kind, ~0U)));
      case 1: return MakeChats(ids_);
      case 2: return MakeDocuments(ids_);
      default: return MakeTemplates(ids_);
    }
  }

  static std::uint64_t Stretch(const Source& source, std::uint64_t ms) {
    return static_cast<std::uint64_t>(static_cast<Uint128>(ms) * source.stretch >> 16U);
  }

  /// Starts every conversation that begins before the next turn of those that run.
  void StartDue() {
    for (;;) {
      Source* first = nullptr;
      for (Source& source : sources_) {
        if (source.left > 0 && (first == nullptr || Stretch(source, source.next_start_ms) <
                                                        Stretch(*first, first->next_start_ms))) {
          first = &source;
        }
      }
      if (first == nullptr) {
        return;
      }
      const std::uint64_t start_ms = Stretch(*first, first->next_start_ms);
      if (!pending_.empty() && start_ms > pending_.top().time_ms) {
        return;
      }
      const std::uint32_t number = first->started++;
      Session session;
      session.source = static_cast<std::size_t>(first - sources_.data());
      session.conversation =
          first->population->Start(number, GeneratorRandom(SeedOf(first->kind, number + 1)), ids_);
      session.turns_left = std::min<std::uint64_t>(first->left, session.conversation->Turns());
      first->left -= session.turns_left;
      first->next_start_ms += first->population->StartGapMs(first->random);
      pending_.push({.time_ms = start_ms, .session = sessions_.size()});
      sessions_.push_back(std::make_unique<Session>(std::move(session)));
    }
  }

  std::uint64_t seed_;
  SegmentIds ids_;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<Session>> sessions_;  ///< Null once over.
  std::priority_queue<Turn> pending_;               ///< One per session that runs.
  std::optional<std::uint64_t> first_ms_;
};

std::span<const std::string_view> GeneratorScenarios() { return kScenarios; }

Result<GeneratorConfig> GeneratorScenario(std::string_view name, std::uint64_t seed,
                                          std::uint32_t requests) {
  GeneratorConfig config{.seed = seed, .requests = requests};
  if (name == "agent") {
    config.agent_weight = 1;
  } else if (name == "chat") {
    config.chat_weight = 1;
  } else if (name == "documents") {
    config.documents_weight = 1;
  } else if (name == "templates") {
    config.templates_weight = 1;
  } else if (name == "mixed") {
    config.agent_weight = 30;
    config.chat_weight = 35;
    config.documents_weight = 10;
    config.templates_weight = 25;
  } else {
    std::string known;
    for (const std::string_view scenario : kScenarios) {
      known += (known.empty() ? "" : ", ") + std::string(scenario);
    }
    return Fail(ErrorCode::kInvalidArgument,
                "scenario: expected one of " + known + ", found " + std::string(name));
  }
  return config;
}

Result<std::unique_ptr<TraceGenerator>> TraceGenerator::Create(const GeneratorConfig& config) {
  const std::array<std::uint64_t, 4> weights = {config.agent_weight, config.chat_weight,
                                                config.documents_weight, config.templates_weight};
  std::uint64_t total = 0;
  for (const std::uint64_t weight : weights) {
    total += weight;
  }
  if (total == 0) {
    return Fail(ErrorCode::kInvalidArgument, "weights: expected one above 0, found none");
  }
  if (config.block_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "block_tokens: expected at least 1, found 0");
  }
  // Shares of the running sums, so that rounding neither adds a request nor loses one.
  std::array<std::uint64_t, 4> requests{};
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::uint64_t before = config.requests * sum / total;
    sum += weights[i];
    requests[i] = config.requests * sum / total - before;
  }
  return std::unique_ptr<TraceGenerator>(new TraceGenerator(
      config.requests, config.block_tokens, std::make_unique<Schedule>(config, requests)));
}

TraceGenerator::TraceGenerator(std::uint32_t requests, std::uint32_t block_tokens,
                               std::unique_ptr<Schedule> schedule)
    : requests_(requests), block_tokens_(block_tokens), schedule_(std::move(schedule)) {}

TraceGenerator::~TraceGenerator() = default;

Result<std::optional<TraceRequest>> TraceGenerator::Next() {
  if (emitted_ == requests_) {
    return std::optional<TraceRequest>();
  }
  ++emitted_;
  std::optional<TraceRequest> request = schedule_->Next();
  request->block_tokens = block_tokens_;
  return request;
}

std::pair<std::uint64_t, std::uint64_t> TraceGenerator::Progress() const {
  return {emitted_, requests_};
}

}  // namespace cairn
