#include "libcache/connector/llamacpp/request.h"

#include <algorithm>
#include <utility>

#include "libcache/connector/llamacpp/state_blob.h"

namespace cairn::llamacpp {
namespace {

// How much one more measurement moves the estimate of the prefill's speed.
constexpr double kNewWeight = 0.3;

}  // namespace

Request::Request(Connector* connector, SequenceId sequence, std::uint64_t number,
                 std::span<const Token> prompt)
    : connector_(connector),
      sequence_(sequence),
      number_(number),
      tokens_(prompt.begin(), prompt.end()) {}

Request::~Request() {
  for (StoreJob::Blob& blob : checkpoints_) {  // Not stored; their memory is the storer's to count.
    connector_->storer_->Give(std::move(blob));
  }
}

std::uint32_t Request::NextStop() const {
  // Batches are cut into physical ones from their begin, so whole ones keep to the grid.
  const std::uint64_t batch_end = std::uint64_t{position_} + connector_->batch_tokens_;
  auto stop = static_cast<std::uint32_t>(std::min<std::uint64_t>(batch_end, length()));
  for (const std::uint32_t planned : plan_) {
    if (planned > position_) {
      stop = std::min(stop, planned);
      break;
    }
  }
  return stop;
}

void Request::Decoded(std::uint32_t position) {
  position_ = std::min(position, length());
  bool planned = false;
  while (!plan_.empty() && plan_.front() <= position_) {
    planned = plan_.front() == position_;
    plan_.erase(plan_.begin());
  }
  if (planned) {
    Capture(position_);
  }
}

std::optional<StoreJob::Blob> Request::ReadState(std::uint32_t position, std::uint32_t flags) {
  const Api& api = connector_->api_;
  Context* const context = connector_->context_;
  // The caller's word is not enough: a state under a wrong name would be found again.
  if (!connector_->Has(sequence_) || connector_->latest_[sequence_] != number_ ||
      api.memory_seq_pos_max(api.get_memory(context), sequence_) !=
          static_cast<Position>(position) - 1) {
    connector_->counters_.failed_captures += 1;
    return std::nullopt;
  }
  const std::size_t bytes = api.state_seq_get_size_ext(context, sequence_, flags);
  if (bytes == 0) {
    connector_->counters_.failed_captures += 1;
    return std::nullopt;
  }
  auto blob = connector_->storer_->Take(bytes);
  if (!blob) {
    connector_->counters_.dropped_stores += std::exchange(dropped_, true) ? 0 : 1;
    return std::nullopt;
  }
  auto* const memory = reinterpret_cast<std::uint8_t*>(blob->memory.span().data());
  if (api.state_seq_get_data_ext(context, memory, bytes, sequence_, flags) != bytes) {
    connector_->storer_->Give(*std::move(blob));
    connector_->counters_.failed_captures += 1;
    return std::nullopt;
  }
  blob->position = position;
  return blob;
}

void Request::Capture(std::uint32_t position) {
  if (connector_->layout_.CheckpointBytes() == 0) {
    return;  // KV alone can be resumed from.
  }
  if (auto blob = ReadState(position, kPartialState)) {
    connector_->counters_.captured += 1;
    checkpoints_.push_back(*std::move(blob));
  }
}

void Request::EndPrompt() {
  if (observed_) {
    return;
  }
  const auto elapsed = std::chrono::steady_clock::now() - began_;
  const double us = std::chrono::duration<double, std::micro>(elapsed).count();
  if (const std::uint32_t computed = position_ - resumption_.position;
      computed >= connector_->batch_tokens_ || computed >= length() / 2) {
    double& rate = connector_->prefill_us_per_token_;
    const double measured = us / std::max(computed, 1U);
    rate = rate == 0 ? measured : rate + kNewWeight * (measured - rate);
  }
  // KV beyond the last checkpoint of a recurrent model cannot be resumed from. That of a physical
  // batch which is not whole differs in its last bits from what a longer prompt computes there.
  const bool exact = connector_->options_.fidelity == Fidelity::kExact;
  const std::uint32_t unit = exact ? connector_->grid_tokens_ : connector_->spec_.block_tokens;
  if (connector_->layout_.CheckpointBytes() == 0) {
    Submit(position_ / unit * unit);
  } else {
    Submit(checkpoints_.empty() ? 0 : checkpoints_.back().position);
  }
}

void Request::EndTurn(std::span<const Token> generated) {
  if (connector_->options_.fidelity != Fidelity::kNear) {
    return;
  }
  EndPrompt();  // Should the caller have left it out.
  tokens_.insert(tokens_.end(), generated.begin(), generated.end());
  position_ = length();
  Capture(position_);
  const std::uint32_t block = connector_->spec_.block_tokens;
  Submit(connector_->layout_.CheckpointBytes() == 0 ? position_ / block * block
         : checkpoints_.empty()                     ? 0
                                                    : position_);
}

void Request::Submit(std::uint32_t kv_to) {
  const std::uint32_t block = connector_->spec_.block_tokens;
  StoreJob job;
  job.kv_from = stored_to_ / block * block;
  job.kv_to = kv_to;
  job.checkpoints = std::exchange(checkpoints_, {});
  if (connector_->layout_.attention && kv_to > job.kv_from) {
    job.whole = ReadState(position_, kWholeState);
    if (!job.whole) {  // States without their KV are of no use.
      for (StoreJob::Blob& blob : job.checkpoints) {
        connector_->storer_->Give(std::move(blob));
      }
      job.checkpoints.clear();
      job.kv_to = job.kv_from;
    }
  }
  stored_to_ = std::max(stored_to_, job.kv_to);
  if (!observed_) {
    const std::uint32_t resumed = resumption_.position;
    const std::uint32_t gap =
        resumption_.overlap_tokens - std::min(resumption_.overlap_tokens, resumed);
    job.observation = Observation{
        .prompt_tokens = length(),
        .overlap_tokens = resumption_.overlap_tokens,
        .resumed_at = resumed,
        .gap_tokens = gap,
        .load_us = static_cast<std::uint32_t>(resumption_.load.count()),
        .recompute_us = static_cast<std::uint32_t>(gap * connector_->prefill_us_per_token_),
        .tier = resumption_.tier,
        .failed = resumption_.error.has_value() && resumption_.overlap_tokens != 0};
    observed_ = true;
  } else if (job.checkpoints.empty() && !job.whole) {
    return;
  }
  job.tokens = tokens_;
  connector_->counters_.dropped_stores += connector_->storer_->Submit(std::move(job)) ? 0 : 1;
}

}  // namespace cairn::llamacpp
