#include "services/cairn-llama/bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <vector>

#include "libcache/connector/llamacpp/request.h"
#include "services/cairn-llama/slot_peer.h"

namespace cairn::llama {
namespace {

using llamacpp::Token;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kFlushTime{60};
constexpr int kHits = 3;  // In a round; the first of a process takes new memory.
constexpr std::size_t kCopies = 5;
constexpr std::size_t kCopyPoolBytes = 128ULL << 20U;  // Beyond any cache.
constexpr Token kFirstToken = 3;  // Most vocabularies begin with two or three special ones.

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

/// The parts of one round, in the order in which they run.
class Bench {
 public:
  Bench(Engine& engine, llamacpp::Connector& connector, const BenchOptions& options,
        const SlotPeer& peer)
      : engine_(engine),
        connector_(connector),
        options_(options),
        peer_(peer),
        random_(options.seed) {
    const std::uint32_t grid =
        std::max(connector.name_space().grid_tokens, connector.name_space().block_tokens);
    const auto wanted =
        static_cast<std::uint32_t>(options.shared * static_cast<double>(options.prompt_tokens));
    // Something must be left to compute.
    result_.shared_tokens =
        std::min((wanted + grid / 2) / grid, (options.prompt_tokens - 1) / grid) * grid;
    result_.prompt_tokens = options.prompt_tokens;
    result_.checkpoint_bytes = connector.name_space().checkpoint_bytes;
    result_.kv_bytes_per_token = connector.name_space().kv_bytes_per_token;
  }

  Status Round() {
    const std::vector<Token> plain = Prompt(options_.prompt_tokens);
    const std::vector<Token> missed = Prompt(options_.prompt_tokens);
    Status status = Plain(plain, plain_ms_);
    status = status ? Miss(missed) : status;
    miss_ratio_.push_back(miss_ms_.back() / plain_ms_.back());
    // A conversation so far, and its next prompt.
    std::vector<Token> shared = Prompt(result_.shared_tokens + 1);
    status = status ? Store(shared) : status;
    status = status ? peer_.Save(shared) : status;
    shared.pop_back();
    std::vector<Token> next;
    for (int i = 0; i < kHits && status; ++i) {
      next = Prompt(options_.prompt_tokens);
      std::copy(shared.begin(), shared.end(), next.begin());
      // The first one is also computed from nothing, to compare.
      status = i == 0 ? Plain(next, cold_ms_) : status;
      status = status ? Hit(next, i == 0 ? std::optional(last_token_) : std::nullopt) : status;
    }
    status = status ? Slot(shared, next) : status;
    return status;
  }

  BenchResult Result() {
    result_.plain_ms = Median(plain_ms_);
    result_.miss_ms = Median(miss_ms_);
    result_.miss_cost = Median(miss_ratio_) - 1;
    result_.cold_ms = Median(cold_ms_);
    result_.hit_ms = Median(hit_ms_);
    result_.hit_ratio = Median(hit_ratio_);
    result_.match_load_ms = Median(load_ms_);
    result_.restore_ms = Median(restore_ms_);
    result_.memcpy_ms = Median(copy_ms_);
    result_.load_ratio = Median(load_ratio_);
    result_.slot_ms = Median(slot_ms_);
    return result_;
  }

 private:
  std::vector<Token> Prompt(std::uint32_t tokens) {
    std::uniform_int_distribution<Token> token(kFirstToken, engine_.vocabulary() - 1);
    std::vector<Token> prompt(tokens);
    std::generate(prompt.begin(), prompt.end(), [&] { return token(random_); });
    return prompt;
  }
  void Empty() {
    const llamacpp::Api& api = engine_.library().api();
    api.memory_seq_rm(api.get_memory(engine_.context()), 0, -1, -1);
  }
  Status Decode(const std::vector<Token>& prompt, std::uint32_t from, std::uint32_t to) {
    const Engine::Part part{.sequence = 0,
                            .position = static_cast<std::int32_t>(from),
                            .tokens = std::span(prompt).subspan(from, to - from),
                            .all_logits = false,
                            .no_logits = to != prompt.size()};
    if (Status decoded = engine_.Decode({&part, 1}); !decoded) {
      return decoded;
    }
    if (to == prompt.size()) {
      const auto logits = engine_.Logits(static_cast<std::int32_t>(to - from) - 1);
      last_token_ =
          static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    }
    return {};
  }
  /// The rest of a prompt in batches, as the connector cuts them.
  Status Rest(const std::vector<Token>& prompt, std::uint32_t from) {
    const auto& params = engine_.context_params();
    const std::uint32_t batch = llamacpp::WholeBatches(params.n_batch, params.n_ubatch);
    const auto length = static_cast<std::uint32_t>(prompt.size());
    Status status;
    for (std::uint32_t at = from; at < length && status; at = std::min(at + batch, length)) {
      status = Decode(prompt, at, std::min(at + batch, length));
    }
    return status;
  }
  Status Plain(const std::vector<Token>& prompt, std::vector<double>& times) {
    const auto start = Clock::now();
    Empty();
    Status status = Rest(prompt, 0);
    times.push_back(MsSince(start));
    return status;
  }
  /// Until the first token; what is to be kept is copied behind it.
  Status Through(const std::vector<Token>& prompt, double* first_token_ms, double* whole_ms,
                 llamacpp::Resumption* resumption) {
    const auto start = Clock::now();
    llamacpp::Request request = connector_.Begin(0, prompt);
    *resumption = request.resumption();
    for (std::uint32_t at = request.position(); at < prompt.size(); at = request.position()) {
      const std::uint32_t stop = request.NextStop();
      if (Status decoded = Decode(prompt, at, stop); !decoded) {
        return decoded;
      }
      if (stop == prompt.size()) {
        *first_token_ms = MsSince(start);
      }
      request.Decoded(stop);
    }
    request.EndPrompt();
    *whole_ms = MsSince(start);
    return {};
  }
  Status Flush() {
    return connector_.Flush(In(kFlushTime))
               ? Status()
               : Fail(ErrorCode::kUnavailable, "the daemon does not take what is stored");
  }
  Status Miss(const std::vector<Token>& prompt) {
    double first = 0;
    double whole = 0;
    llamacpp::Resumption resumption;
    Status status = Through(prompt, &first, &whole, &resumption);
    miss_ms_.push_back(whole);
    return status ? Flush() : status;
  }
  Status Store(const std::vector<Token>& prompt) {
    double first = 0;
    double whole = 0;
    llamacpp::Resumption resumption;
    Status status = Through(prompt, &first, &whole, &resumption);
    return status ? Flush() : status;
  }
  Status Hit(const std::vector<Token>& prompt, std::optional<Token> expected) {
    double first = 0;
    double whole = 0;
    llamacpp::Resumption resumption;
    if (Status status = Through(prompt, &first, &whole, &resumption); !status) {
      return status;
    }
    if (resumption.position == 0) {
      return Fail(ErrorCode::kUnavailable,
                  resumption.error
                      ? "no hit: " + resumption.error->message
                      : std::string("what was stored is not there again: give the daemon more "
                                    "memory (cairnctl status tells what it has)"));
    }
    result_.mismatches += expected && last_token_ != *expected ? 1 : 0;
    result_.resumed_at = resumption.position;
    result_.loaded_bytes = resumption.bytes;
    hit_ms_.push_back(first);
    hit_ratio_.push_back(first / cold_ms_.back());
    const auto ms = [](std::chrono::microseconds time) {
      return static_cast<double>(time.count()) / 1000.0;
    };
    load_ms_.push_back(ms(resumption.match + resumption.load));
    restore_ms_.push_back(ms(resumption.restore));
    copy_ms_.push_back(CopyMs(resumption.bytes));
    load_ratio_.push_back(load_ms_.back() / copy_ms_.back());
    return Flush();
  }
  /// memcpy of as many bytes, between places that were used before but are in no cache any more: as
  /// the state is, after a prefill.
  double CopyMs(std::uint64_t bytes) {
    const std::size_t places = std::max<std::size_t>(kCopies, kCopyPoolBytes / bytes + 1);
    source_.resize(std::max<std::size_t>(source_.size(), places * bytes), 1);
    target_.resize(std::max<std::size_t>(target_.size(), places * bytes), 2);
    std::vector<double> times;
    for (std::size_t i = 0; i < places; ++i) {
      const auto start = Clock::now();
      std::memcpy(target_.data() + i * bytes, source_.data() + i * bytes, bytes);
      times.push_back(MsSince(start));
    }
    return Median(times);
  }
  Status Slot(const std::vector<Token>& shared, const std::vector<Token>& next) {
    const auto start = Clock::now();
    const auto kept = peer_.Restore(next);
    if (!kept) {
      return Fail(kept.error());
    }
    if (Status status = Rest(next, *kept); !status) {
      return status;
    }
    slot_ms_.push_back(MsSince(start));
    result_.slot_cached = *kept;
    const auto same = peer_.Restore(shared);
    result_.slot_same_cached = same.value_or(0);
    return {};
  }

  Engine& engine_;
  llamacpp::Connector& connector_;
  const BenchOptions& options_;
  SlotPeer peer_;
  std::mt19937_64 random_;
  BenchResult result_;
  Token last_token_ = 0;
  std::vector<double> plain_ms_, miss_ms_, miss_ratio_, cold_ms_, hit_ms_, hit_ratio_, load_ms_,
      restore_ms_, copy_ms_, load_ratio_, slot_ms_;
  std::vector<char> source_;
  std::vector<char> target_;
};

}  // namespace

Result<BenchResult> RunBench(Engine& engine, llamacpp::Connector& connector,
                             const BenchOptions& options,
                             const std::function<void(double)>& progress) {
  if (std::max(connector.name_space().grid_tokens, connector.name_space().block_tokens) >=
      options.prompt_tokens) {
    return Fail(ErrorCode::kInvalidArgument,
                "--tokens: a prompt must be longer than a block and a physical batch (--ubatch)");
  }
  auto peer = SlotPeer::Open(engine, options.slot_file);
  if (!peer) {
    return Fail(peer.error());
  }
  Bench bench(engine, connector, options, *peer);
  Status status;
  for (std::uint32_t round = 0; round < options.rounds && status; ++round) {
    progress(static_cast<double>(round) / options.rounds);
    status = bench.Round();
  }
  std::remove(options.slot_file.c_str());
  if (!status) {
    return Fail(status.error());
  }
  return bench.Result();
}

std::string BenchTable(const BenchResult& r, const std::string& model) {
  std::array<char, 2048> text{};
  std::snprintf(
      text.data(), text.size(),
      "%s: prompts of %u tokens\n"
      "  checkpoint                 %12llu bytes\n"
      "  KV                         %12llu bytes a token\n"
      "  prefill, no cache          %12.1f ms\n"
      "  prefill, empty cache       %12.1f ms   cost of a miss %+.2f %%\n"
      "  first token, cold          %12.1f ms\n"
      "  first token, hit           %12.1f ms   %.3f of cold, resumed at %u of %u shared\n"
      "  match and load             %12.2f ms   %.2f of memcpy (%.2f ms, %.1f MB)\n"
      "  to llama.cpp's memory      %12.2f ms\n"
      "  llama.cpp's own slot       %12.1f ms   %u tokens kept (%u for the very same prompt)\n"
      "  first tokens that differ   %12u\n",
      model.c_str(), r.prompt_tokens, static_cast<unsigned long long>(r.checkpoint_bytes),
      static_cast<unsigned long long>(r.kv_bytes_per_token), r.plain_ms, r.miss_ms,
      100 * r.miss_cost, r.cold_ms, r.hit_ms, r.hit_ratio, r.resumed_at, r.shared_tokens,
      r.match_load_ms, r.load_ratio, r.memcpy_ms, static_cast<double>(r.loaded_bytes) / 1e6,
      r.restore_ms, r.slot_ms, r.slot_cached, r.slot_same_cached, r.mismatches);
  return text.data();
}

std::string BenchJson(const BenchResult& r, const std::string& model) {
  const nlohmann::json json = {{"model", model},
                               {"prompt_tokens", r.prompt_tokens},
                               {"shared_tokens", r.shared_tokens},
                               {"checkpoint_bytes", r.checkpoint_bytes},
                               {"kv_bytes_per_token", r.kv_bytes_per_token},
                               {"plain_ms", r.plain_ms},
                               {"miss_ms", r.miss_ms},
                               {"miss_cost", r.miss_cost},
                               {"cold_first_token_ms", r.cold_ms},
                               {"hit_first_token_ms", r.hit_ms},
                               {"hit_ratio", r.hit_ratio},
                               {"resumed_at", r.resumed_at},
                               {"loaded_bytes", r.loaded_bytes},
                               {"match_load_ms", r.match_load_ms},
                               {"restore_ms", r.restore_ms},
                               {"memcpy_ms", r.memcpy_ms},
                               {"load_ratio", r.load_ratio},
                               {"slot_cached_tokens", r.slot_cached},
                               {"slot_first_token_ms", r.slot_ms},
                               {"slot_same_prompt_cached_tokens", r.slot_same_cached},
                               {"mismatches", r.mismatches}};
  return json.dump(2) + "\n";
}

}  // namespace cairn::llama
