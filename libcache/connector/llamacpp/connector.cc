#include "libcache/connector/llamacpp/connector.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/connector/llamacpp/request.h"
#include "libcache/connector/llamacpp/state_blob.h"
#include "libcache/connector/llamacpp/storer.h"

namespace cairn::llamacpp {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::steady_clock;

constexpr std::uint32_t kDefaultBlockTokens = 64;
constexpr std::uint32_t kLearnTokens = 2;
constexpr std::uint64_t kLeastQueueBytes = 256 * kMiB;
constexpr std::uint64_t kQueuedCheckpoints = 4;
// The daemon's limits (docs/formats/protocol.md), told at Open instead of at each request.
constexpr std::uint32_t kMaxBlockTokens = 65'536;
constexpr std::size_t kMaxNameBytes = 512;

microseconds Since(steady_clock::time_point start) {
  return duration_cast<microseconds>(steady_clock::now() - start);
}

tl::unexpected<Error> Unsupported(const std::string& what) {
  return Fail(ErrorCode::kUnsupported, "the cache cannot be used with " + what);
}

Result<std::vector<std::byte>> ReadWhole(const Api& api, Context* context, std::uint32_t flags) {
  std::vector<std::byte> blob(api.state_seq_get_size_ext(context, 0, flags));
  if (api.state_seq_get_data_ext(context, reinterpret_cast<std::uint8_t*>(blob.data()), blob.size(),
                                 0, flags) != blob.size() ||
      blob.empty()) {
    return Unsupported("this context: llama.cpp cannot save its state");
  }
  return blob;
}

}  // namespace

Connector::Connector(const Api& api, Context* context, ConnectorOptions options)
    : api_(api), context_(context), options_(std::move(options)) {}

Connector::~Connector() = default;

Result<std::unique_ptr<Connector>> Connector::Open(const Api& api, Context* context,
                                                   const ContextParams& context_params,
                                                   const ModelParams& model_params,
                                                   ConnectorOptions options) {
  if (options.weights_path.empty() == options.weights_id.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "weights_path, weights_id: give one of them, to tell models apart");
  }
  // Filled by hand, it may have a hole.
  std::array<void*, sizeof(Api) / sizeof(void*)> functions{};
  std::memcpy(static_cast<void*>(functions.data()), &api, sizeof(api));
  if (std::find(functions.begin(), functions.end(), nullptr) != functions.end()) {
    return Fail(ErrorCode::kInvalidArgument, "api: a function is missing");
  }
  std::unique_ptr<Connector> connector(new Connector(api, context, std::move(options)));
  Status opened = connector->CheckSupported(context_params);
  opened = opened ? connector->Learn() : opened;
  opened = opened ? connector->CheckExact(context_params, model_params) : opened;
  opened = opened ? connector->Identify(context_params, model_params) : opened;
  if (!opened) {
    return Fail(opened.error());
  }
  const ConnectorOptions& given = connector->options_;
  const StateLayout& layout = connector->layout_;
  const std::uint64_t room = layout.KvBytesPerToken() * api.n_ctx_seq(context) +
                             (kQueuedCheckpoints + 1) * layout.CheckpointBytes();
  connector->client_ = std::make_unique<Client>(given.client);
  connector->blob_ = std::make_unique<StateBlob>();
  connector->storer_ = std::make_unique<Storer>(
      Storer::Config{.client = given.client,
                     .spec = connector->spec_,
                     .timeout = given.store_timeout,
                     .max_bytes = given.store_queue_bytes != 0 ? given.store_queue_bytes
                                                               : std::max(kLeastQueueBytes, room)},
      layout);
  return connector;
}

/// What would be right, but not bit for bit: results depend on the cells in which tokens lie.
Status Connector::CheckExact(const ContextParams& params, const ModelParams& model_params) const {
  if (options_.fidelity != Fidelity::kExact) {
    return {};
  }
  if (model_params.tensor_buft_overrides != nullptr || model_params.devices != nullptr ||
      model_params.tensor_split != nullptr) {
    return Fail(ErrorCode::kInvalidArgument,
                "exact fidelity does not know what runs where with tensor_buft_overrides, devices "
                "or tensor_split; leave them out, or choose near fidelity");
  }
  if (params.kv_unified && api_.n_seq_max(context_) > 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "exact fidelity needs kv_unified = false when there are several sequences: in one "
                "cache for all, results depend on what else runs; or choose near fidelity");
  }
  if (layout_.window && !params.swa_full) {
    return Fail(ErrorCode::kInvalidArgument,
                "exact fidelity needs swa_full = true with this model, which has sliding windows: "
                "otherwise results depend on how often its cache went round; or choose near "
                "fidelity");
  }
  return {};
}

Status Connector::CheckSupported(const ContextParams& params) const {
  const Model* const model = api_.get_model(context_);
  if (api_.model_has_encoder(model)) {
    return Unsupported("models that have an encoder: their state depends on more than tokens");
  }
  if (api_.model_is_diffusion(model)) {
    return Unsupported("diffusion models: they have no prefix");
  }
  if (params.attention_type != kAttentionUnspecified && params.attention_type != kAttentionCausal) {
    return Unsupported("attention that is not causal");
  }
  if (SaysNotCausal(api_, model)) {
    return Unsupported("a model whose attention is not causal");
  }
  if (api_.n_batch(context_) < kLearnTokens) {
    return Unsupported("batches of one token (n_batch)");
  }
  if (params.ctx_type != 0 || params.ctx_other != nullptr) {
    return Unsupported("a context that shares its memory with another (ctx_type, ctx_other)");
  }
  if (api_.n_rs_seq(context_) != 0) {
    return Unsupported("n_rs_seq above 0: rollback snapshots are not kept");
  }
  if (params.n_ubatch != 0 && api_.n_ubatch(context_) > params.n_ubatch) {
    return Fail(ErrorCode::kInvalidArgument, "context_params are not those of the context");
  }
  return {};
}

/// There is no call that tells how a context keeps its state; a blob of two tokens does.
Status Connector::Learn() {
  Memory* const memory = api_.get_memory(context_);
  if (memory == nullptr) {
    return Unsupported("this model: it keeps no state");
  }
  if (api_.memory_seq_pos_max(memory, 0) != -1) {
    return Fail(ErrorCode::kInvalidArgument,
                "sequence 0 is in use: open the connector before the first decode");
  }
  std::array<Token, kLearnTokens> tokens{0, 1};
  std::array<Position, kLearnTokens> positions{0, 1};
  std::array<std::int32_t, kLearnTokens> counts{1, 1};
  SequenceId sequence = 0;
  std::array<SequenceId*, kLearnTokens> sequences{&sequence, &sequence};
  std::array<std::int8_t, kLearnTokens> logits{0, 1};
  const std::int32_t decoded = api_.decode(context_, Batch{.n_tokens = kLearnTokens,
                                                           .token = tokens.data(),
                                                           .embd = nullptr,
                                                           .pos = positions.data(),
                                                           .n_seq_id = counts.data(),
                                                           .seq_id = sequences.data(),
                                                           .logits = logits.data()});
  const auto whole = decoded == 0 ? ReadWhole(api_, context_, kWholeState)
                                  : Unsupported("this context: llama_decode of two tokens gives " +
                                                std::to_string(decoded));
  const auto partial = whole ? ReadWhole(api_, context_, kPartialState) : whole;
  if (!Empty(0)) {
    return Unsupported("this context: llama.cpp cannot empty a sequence");
  }
  if (!partial) {
    return Fail(partial.error());
  }
  const Model* const model = api_.get_model(context_);
  const std::int32_t window = api_.model_n_swa(model);
  auto layout = LearnLayout(*whole, *partial, kLearnTokens,
                            {.recurrent = api_.model_is_recurrent(model),
                             .hybrid = api_.model_is_hybrid(model),
                             .window_tokens = static_cast<std::uint32_t>(std::max(window, 0))});
  if (!layout) {
    return Fail(layout.error());
  }
  layout_ = *std::move(layout);
  return {};
}

Status Connector::Identify(const ContextParams& context_params, const ModelParams& model_params) {
  const std::uint32_t physical = api_.n_ubatch(context_);
  const std::uint32_t block = options_.block_tokens != 0            ? options_.block_tokens
                              : physical % kDefaultBlockTokens == 0 ? kDefaultBlockTokens
                                                                    : physical;
  const bool exact = options_.fidelity == Fidelity::kExact;
  const std::uint64_t grid = exact ? std::lcm(std::uint64_t{physical}, std::uint64_t{block}) : 1;
  if (grid > api_.n_ctx_seq(context_)) {
    return Fail(ErrorCode::kInvalidArgument,
                "block_tokens: blocks of " + std::to_string(block) + " and physical batches of " +
                    std::to_string(physical) + " tokens meet only every " + std::to_string(grid) +
                    " tokens, which is more than the context has");
  }
  if (block > kMaxBlockTokens) {
    return Fail(ErrorCode::kInvalidArgument, "block_tokens: " + std::to_string(block) +
                                                 " is more than " +
                                                 std::to_string(kMaxBlockTokens));
  }
  for (const auto& [name, text] :
       {std::pair("tenant", &options_.tenant), std::pair("adapter", &options_.adapter),
        std::pair("salt", &options_.salt)}) {
    if (text->size() > kMaxNameBytes) {
      return Fail(ErrorCode::kInvalidArgument,
                  std::string(name) + ": longer than " + std::to_string(kMaxNameBytes) + " bytes");
    }
  }
  grid_tokens_ = static_cast<std::uint32_t>(grid);
  fill_windows_ = exact && layout_.window.has_value();
  batch_tokens_ = exact ? WholeBatches(api_.n_batch(context_), physical) : api_.n_batch(context_);
  std::string weights = options_.weights_id;
  if (!options_.weights_path.empty()) {
    auto identified =
        IdentifyWeights(options_.weights_path, options_.identify_by, options_.progress);
    if (!identified) {
      return Fail(identified.error());
    }
    weights = *std::move(identified);
  }
  const Model* const model = api_.get_model(context_);
  spec_.tenant = options_.tenant;
  spec_.model = ModelName(api_, model);
  spec_.revision = weights + " model:" + ModelDigest(api_, model, model_params);
  spec_.dtype = layout_.DTypeText();
  spec_.layout = "llama.cpp/1 " + HexDigest(layout_.Text());
  spec_.kernel = KernelText(api_, context_, context_params, model_params,
                            {.fidelity = options_.fidelity,
                             .grid_tokens = grid_tokens_,
                             .engine_build = options_.engine_build});
  spec_.adapter = options_.adapter;
  spec_.salt = options_.salt;
  spec_.block_tokens = block;
  spec_.kv_bytes_per_token = layout_.KvBytesPerToken();
  spec_.checkpoint_bytes = layout_.CheckpointBytes();
  spec_.grid_tokens = grid_tokens_;
  spec_.fidelity = options_.fidelity;
  return {};
}

/// llama.cpp ends the process if it is asked about another one.
bool Connector::Has(SequenceId sequence) const {
  return sequence >= 0 && static_cast<std::uint32_t>(sequence) < api_.n_seq_max(context_);
}

bool Connector::Empty(SequenceId sequence) {
  Memory* const memory = api_.get_memory(context_);
  api_.memory_seq_rm(memory, sequence, -1, -1);
  return api_.memory_seq_pos_max(memory, sequence) == -1;
}

Result<Client::Handle> Connector::Space(TimePoint deadline) {
  if (!space_) {
    const auto opened = client_->OpenNamespace(spec_, deadline);
    if (!opened) {
      return Fail(opened.error());
    }
    space_ = *opened;
  }
  return *space_;
}

Request Connector::Begin(SequenceId sequence, std::span<const Token> prompt) {
  Request request(this, sequence, ++requests_, prompt);
  latest_[sequence] = requests_;
  counters_.requests += 1;
  counters_.prompt_tokens += prompt.size();
  if (!Has(sequence)) {
    request.resumption_.error =
        Error{ErrorCode::kInvalidArgument, "no such sequence: " + std::to_string(sequence)};
  } else if (!Empty(sequence)) {
    counters_.failed_restores += 1;
    request.resumption_.error =
        Error{ErrorCode::kInternal, "llama.cpp cannot empty sequence " + std::to_string(sequence)};
  } else if (prompt.empty() || prompt.size() > api_.n_ctx_seq(context_)) {
    request.resumption_.error =
        Error{ErrorCode::kInvalidArgument, "the prompt has " + std::to_string(prompt.size()) +
                                               " tokens, the context room for 1 to " +
                                               std::to_string(api_.n_ctx_seq(context_))};
  } else {
    try {
      Resume(request);
    } catch (const std::bad_alloc&) {
      request.resumption_.position = 0;
      request.resumption_.error = Error{ErrorCode::kOverloaded, "out of memory"};
      Empty(sequence);
    }
    const std::uint32_t position = request.resumption_.position;
    counters_.resumed += position != 0 ? 1 : 0;
    counters_.resumed_tokens += position;
    request.position_ = position;
    request.stored_to_ = position;
  }
  request.began_ = steady_clock::now();
  return request;
}

void Connector::Resume(Request& request) {
  Resumption& resumption = request.resumption_;
  const auto start = steady_clock::now();
  const TimePoint deadline = In(options_.match_timeout);
  const auto space = Space(deadline);
  const auto prompt = space ? client_->MakePrompt(*space, request.number_, request.tokens_)
                            : Result<Client::Prompt>(Fail(space.error()));
  const auto hit =
      prompt ? client_->Match(*prompt, deadline) : Result<Client::Hit>(Fail(prompt.error()));
  resumption.match = Since(start);
  if (!hit) {
    if (hit.error().code == ErrorCode::kUnsupported) {
      space_.reset();  // Another daemon, with another tenant key.
    }
    counters_.failed_matches += 1;
    resumption.error = hit.error();
    return;
  }
  resumption.overlap_tokens = hit->overlap_tokens;
  // Elsewhere the physical batches would be cut in another way.
  std::copy_if(hit->plan.begin(), hit->plan.end(), std::back_inserter(request.plan_),
               [&](std::uint32_t position) { return position % grid_tokens_ == 0; });
  if (const auto boundary = Choose(*hit, request.length())) {
    const Client::Hit chosen = Client::At(*hit, *boundary);
    if (const Status loaded = Load(chosen, request); loaded) {
      resumption.position = chosen.resume_at;
      resumption.bytes = chosen.bytes;
      resumption.tier = chosen.tier;
    } else {
      resumption.error = loaded.error();
      // What could not be loaded is lost, or will be: this request passes by and can replace it.
      request.plan_.insert(request.plan_.begin(), chosen.resume_at);
    }
  }
  if (hit->lease != 0) {
    static_cast<void>(client_->Release(*hit, In(options_.match_timeout)));
  }
}

/// The boundary from which the prompt's last token is reached soonest; none if from nothing.
std::optional<Boundary> Connector::Choose(const Client::Hit& hit, std::uint32_t prompt_tokens) {
  std::optional<Boundary> best;
  double best_us = options_.always_load || prefill_us_per_token_ == 0
                       ? std::numeric_limits<double>::max()
                       : prefill_us_per_token_ * prompt_tokens;
  bool usable = false;
  for (const Boundary& boundary : hit.boundaries) {
    // The lease covers what is not deeper than the daemon's choice.
    if (boundary.position > hit.resume_at || boundary.position % grid_tokens_ != 0 ||
        boundary.position >= prompt_tokens) {
      continue;
    }
    usable = true;
    const double us = options_.always_load || prefill_us_per_token_ == 0
                          ? prompt_tokens - boundary.position
                          : boundary.estimated_load_us +
                                prefill_us_per_token_ * (prompt_tokens - boundary.position);
    if (us < best_us) {
      best_us = us;
      best = boundary;
    }
  }
  counters_.not_worth_it += usable && !best ? 1 : 0;
  return best;
}

Status Connector::Load(const Client::Hit& hit, Request& request) {
  const auto start = steady_clock::now();
  const TimePoint deadline = In(options_.load_timeout);
  if (const Status begun = blob_->Begin(layout_, hit.resume_at, fill_windows_); !begun) {
    counters_.failed_loads += 1;
    return Fail(begun.error());
  }
  std::vector<std::uint32_t> ends;  // Of the objects; 0 for the checkpoint.
  const auto loaded = client_->LoadScattered(
      hit, 0,
      [&](const ObjectView& object) {
        const bool kv = object.kind == ObjectKind::kKv;
        ends.push_back(kv ? object.position : 0);
        return kv ? blob_->KvTarget(object.position - std::min(object.tokens, object.position),
                                    object.position)
                  : blob_->CheckpointTarget();
      },
      deadline);
  const auto blob =
      loaded ? blob_->Finish() : Result<std::span<const std::byte>>(Fail(loaded.error()));
  request.resumption_.load = Since(start);
  if (!loaded) {
    counters_.failed_loads += 1;
    return Fail(loaded.error());
  }
  if (!blob) {
    counters_.rejected += 1;
    // Stored as it is, it would be found again by every request.
    const std::uint32_t wrong = blob_->wrong_token().value_or(0);
    for (std::uint32_t i = 0; i < ends.size(); ++i) {
      const bool culprit = blob_->wrong_token() ? ends[i] > wrong : ends[i] == 0;
      if (culprit) {
        static_cast<void>(client_->Reject(hit, i, deadline));
        break;
      }
    }
    return Fail(blob.error());
  }
  return Restore(*blob, request);
}

Status Connector::Restore(std::span<const std::byte> blob, Request& request) {
  const auto start = steady_clock::now();
  const std::uint32_t tokens = blob_->tokens();
  const std::size_t taken =
      api_.state_seq_set_data_ext(context_, reinterpret_cast<const std::uint8_t*>(blob.data()),
                                  blob.size(), request.sequence_, kWholeState);
  Memory* const memory = api_.get_memory(context_);
  const Position last = api_.memory_seq_pos_max(memory, request.sequence_);
  request.resumption_.restore = Since(start);
  if (taken == blob.size() && last == static_cast<Position>(tokens) - 1) {
    return {};
  }
  counters_.failed_restores += 1;
  Empty(request.sequence_);
  return Fail(ErrorCode::kInternal, "llama.cpp took " + std::to_string(taken) + " of " +
                                        std::to_string(blob.size()) + " bytes and is at position " +
                                        std::to_string(last + 1) + " instead of " +
                                        std::to_string(tokens));
}

bool Connector::Flush(TimePoint deadline) { return storer_->Flush(deadline); }

ConnectorCounters Connector::counters() const {
  ConnectorCounters counters = counters_;
  const Storer::Counters stored = storer_->counters();
  counters.stored_objects = stored.stored_objects;
  counters.stored_bytes = stored.stored_bytes;
  counters.failed_stores = stored.failed_stores;
  counters.failed_captures += stored.failed_captures;
  return counters;
}

}  // namespace cairn::llamacpp
