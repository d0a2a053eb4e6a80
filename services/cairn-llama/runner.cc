#include "services/cairn-llama/runner.h"

#include <algorithm>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"

namespace cairn::llama {
namespace {

double MsBetween(std::chrono::steady_clock::time_point from,
                 std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace

Runner::Runner(Engine& engine, llamacpp::Connector* connector, const RunOptions& options)
    : engine_(engine), connector_(connector), options_(options), slots_(options.sequences) {
  // Without the cache, batches end where they end with it (Request::NextStop).
  const auto& params = engine.context_params();
  batch_tokens_ = llamacpp::WholeBatches(params.n_batch, params.n_ubatch);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].sequence = static_cast<std::int32_t>(i);
  }
}

Status Runner::Run(std::vector<Job> jobs, const OnOutcome& done) {
  auto next = jobs.begin();
  for (;;) {
    bool busy = false;
    for (Slot& slot : slots_) {
      if (!slot.busy && next != jobs.end()) {
        Begin(slot, std::move(*next++));
      }
      busy |= slot.busy;
      if (slot.busy && slot.position < slot.job.tokens.size()) {
        if (const Status prefilled = Prefill(slot); !prefilled) {
          return Fail(prefilled.error().code, slot.job.id + ": " + prefilled.error().message);
        }
        if (IsDone(slot)) {
          End(slot, done);
        }
      }
    }
    if (!busy) {
      return {};
    }
    if (const Status generated = Generate(done); !generated) {
      return generated;
    }
  }
}

void Runner::Begin(Slot& slot, Job job) {
  slot.busy = true;
  slot.job = std::move(job);
  slot.outcome = {};
  slot.outcome.number = slot.job.number;
  slot.outcome.id = slot.job.id;
  slot.outcome.prompt_tokens = static_cast<std::uint32_t>(slot.job.tokens.size());
  slot.began = Clock::now();
  slot.position = 0;
  if (connector_ != nullptr) {
    slot.request.emplace(connector_->Begin(slot.sequence, slot.job.tokens));
    slot.outcome.cache = slot.request->resumption();
    slot.position = slot.request->position();
  } else {
    const llamacpp::Api& api = engine_.library().api();
    api.memory_seq_rm(api.get_memory(engine_.context()), slot.sequence, -1, -1);
  }
}

Status Runner::Prefill(Slot& slot) {
  const auto length = static_cast<std::uint32_t>(slot.job.tokens.size());
  const std::uint32_t stop =
      slot.request ? slot.request->NextStop() : std::min(slot.position + batch_tokens_, length);
  const Engine::Part part{
      .sequence = slot.sequence,
      .position = static_cast<std::int32_t>(slot.position),
      .tokens = std::span(slot.job.tokens).subspan(slot.position, stop - slot.position),
      .all_logits = options_.logit_digests,
      .no_logits = stop != length};
  const auto start = Clock::now();
  if (Status decoded = engine_.Decode({&part, 1}); !decoded) {
    return decoded;
  }
  const auto last = static_cast<std::int32_t>(stop - slot.position) - 1;
  if (stop == length) {
    Sample(slot, last);  // Also waits for what the backend has still to do.
    slot.first_token = Clock::now();
    slot.outcome.first_token_ms = MsBetween(slot.began, slot.first_token);
  }
  slot.outcome.prefill_ms += MsBetween(start, Clock::now());
  for (std::int32_t i = 0; options_.logit_digests && i <= last; ++i) {
    AddDigest(slot, i);
  }
  slot.position = stop;
  if (slot.request) {
    slot.request->Decoded(stop);
    if (stop == length) {
      slot.request->EndPrompt();
    }
  }
  return {};
}

bool Runner::IsDone(const Slot& slot) const {
  const std::vector<llamacpp::Token>& generated = slot.outcome.generated;
  return slot.position >= slot.job.tokens.size() &&
         (generated.size() >= slot.job.predict ||
          (!generated.empty() && engine_.EndsGeneration(generated.back())));
}

bool Runner::IsGenerating(const Slot& slot) const {
  return slot.busy && slot.position >= slot.job.tokens.size();
}

Status Runner::Generate(const OnOutcome& done) {
  std::vector<Slot*> generating;
  for (Slot& slot : slots_) {
    if (IsGenerating(slot)) {
      generating.push_back(&slot);
    }
  }
  const std::size_t at_a_time = options_.generate_alone ? 1 : generating.size();
  Status generated;
  for (std::size_t i = 0; i < generating.size() && generated; i += at_a_time) {
    generated = GenerateOf(std::span(generating).subspan(i, at_a_time), done);
  }
  return generated;
}

Status Runner::GenerateOf(std::span<Slot* const> slots, const OnOutcome& done) {
  std::vector<Engine::Part> parts;
  parts.reserve(slots.size());
  for (Slot* const slot : slots) {
    parts.push_back({.sequence = slot->sequence,
                     .position = static_cast<std::int32_t>(slot->position),
                     .tokens = {&slot->next, 1}});
  }
  if (Status decoded = engine_.Decode(parts); !decoded) {
    return decoded;
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = *slots[i];
    slot.position += 1;
    if (options_.logit_digests) {
      AddDigest(slot, static_cast<std::int32_t>(i));
    }
    Sample(slot, static_cast<std::int32_t>(i));
    if (IsDone(slot)) {
      End(slot, done);
    }
  }
  return {};
}

void Runner::Sample(Slot& slot, std::int32_t index) {
  if (slot.job.predict == 0) {
    return;
  }
  const std::span<const float> logits = engine_.Logits(index);
  slot.next =
      static_cast<llamacpp::Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  slot.outcome.generated.push_back(slot.next);
}

void Runner::AddDigest(Slot& slot, std::int32_t index) {
  const Digest digest = DigestOf(std::as_bytes(engine_.Logits(index)));
  slot.outcome.logits.push_back(ToHex(std::as_bytes(std::span(&digest.low, 1))));
}

void Runner::End(Slot& slot, const OnOutcome& done) {
  Outcome& outcome = slot.outcome;
  outcome.generate_ms = MsBetween(slot.first_token, Clock::now());
  outcome.text = engine_.Text(outcome.generated);
  if (slot.request) {
    // The token sampled last was not decoded: the sequence does not hold it.
    const std::span<const llamacpp::Token> generated(outcome.generated);
    slot.request->EndTurn(generated.first(slot.position - slot.job.tokens.size()));
    slot.request.reset();
  }
  slot.busy = false;
  done(outcome);
}

}  // namespace cairn::llama
