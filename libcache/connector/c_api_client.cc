// Clients, namespaces and prompts. What is read and written with them: c_api_io.cc.
#include <utility>

#include "libcache/connector/c_api.h"
#include "libcache/transport/endpoint.h"

namespace cairn::c_api {
namespace {

Status OpenClient(const cairn_client_options* given, cairn_client** client) {
  if (const Status out = NotNull(static_cast<const void*>(client), "client"); !out) {
    return out;
  }
  *client = nullptr;
  const auto options = ReadStruct(given, "options");
  if (!options) {
    return Fail(options.error());
  }
  if ((options->endpoint == nullptr) == (options->cache == nullptr)) {
    return Invalid("endpoint, cache: give one of the two");
  }
  if (options->plane < CAIRN_PLANE_AUTO || options->plane > CAIRN_PLANE_UCX) {
    return Invalid("plane: " + std::to_string(options->plane) + " is none of CAIRN_PLANE_*");
  }
  if (options->breaker_failures > INT32_MAX) {
    return Invalid("breaker_failures: too large");
  }
  if (options->reserved != 0) {
    return Invalid("reserved: must be 0");
  }
  ClientOptions made;
  if (options->endpoint != nullptr) {
    if (const Status endpoint = CheckEndpoints(options->endpoint); !endpoint) {
      return Invalid("endpoint: " + endpoint.error().message);
    }
    made.endpoint = options->endpoint;
  } else {
    made.cache = options->cache->cache;
  }
  made.name = TextOr(options->name, made.name.c_str());
  made.plane = static_cast<PlaneChoice>(options->plane);
  if (options->breaker_failures != 0) {
    made.breaker_failures = static_cast<int>(options->breaker_failures);
  }
  if (options->probe_every_ms != 0) {
    made.probe_every = std::chrono::milliseconds(options->probe_every_ms);
  }
  made.tls = {.ca = TextOr(options->tls_ca, ""),
              .certificate = TextOr(options->tls_cert, ""),
              .key = TextOr(options->tls_key, ""),
              .server = TextOr(options->tls_server, "")};
  *client = new cairn_client{.client = std::make_shared<Client>(std::move(made))};
  return {};
}

static_assert(static_cast<int>(PlaneChoice::kAuto) == CAIRN_PLANE_AUTO);
static_assert(static_cast<int>(PlaneChoice::kShm) == CAIRN_PLANE_SHM);
static_assert(static_cast<int>(PlaneChoice::kStream) == CAIRN_PLANE_STREAM);
static_assert(static_cast<int>(PlaneChoice::kUcx) == CAIRN_PLANE_UCX);

Status OpenNamespace(cairn_client* client, const cairn_namespace_spec* given,
                     std::uint32_t deadline_ms, std::uint32_t* name_space) {
  if (const Status handle = NotNull(client, "client"); !handle) {
    return handle;
  }
  const auto from = ReadStruct(given, "spec");
  if (!from) {
    return Fail(from.error());
  }
  if (const Status out = NotNull(name_space, "name_space"); !out) {
    return out;
  }
  const auto deadline = Deadline(deadline_ms);
  if (!deadline) {
    return Fail(deadline.error());
  }
  const auto fidelity = FidelityOf(from->fidelity);
  if (!fidelity) {
    return Fail(fidelity.error().code, "fidelity: " + fidelity.error().message);
  }
  if (from->reserved != 0) {
    return Invalid("reserved: must be 0");
  }
  NamespaceSpec spec;
  spec.fidelity = *fidelity;
  spec.checkpoint_shape = TextOr(from->checkpoint_shape, "");
  spec.kv_shape = TextOr(from->kv_shape, "");
  spec.tenant = TextOr(from->tenant, spec.tenant.c_str());
  spec.model = TextOr(from->model, "");
  spec.revision = TextOr(from->revision, "");
  spec.dtype = TextOr(from->dtype, "");
  spec.layout = TextOr(from->layout, "");
  spec.kernel = TextOr(from->kernel, "");
  spec.adapter = TextOr(from->adapter, "");
  spec.salt = TextOr(from->salt, "");
  spec.kv_bytes_per_token = from->kv_bytes_per_token;
  spec.checkpoint_bytes = from->checkpoint_bytes;
  spec.block_tokens = from->block_tokens;
  spec.grid_tokens = from->grid_tokens;
  spec.tp_rank = from->tp_rank;
  spec.tp_size = from->tp_size == 0 ? 1 : from->tp_size;
  const auto opened = client->client->OpenNamespace(spec, *deadline);
  if (!opened) {
    return Fail(opened.error());
  }
  *name_space = *opened;
  return {};
}

Status MakePrompt(cairn_client* client, std::uint32_t name_space, std::uint64_t request,
                  std::span<const std::uint32_t> tokens, cairn_prompt** prompt) {
  if (const Status out = NotNull(static_cast<const void*>(prompt), "prompt"); !out) {
    return out;
  }
  *prompt = nullptr;
  if (const Status handle = NotNull(client, "client"); !handle) {
    return handle;
  }
  if (tokens.empty()) {
    return Invalid("token_count: the prompt is empty: there is nothing to cache");
  }
  if (const Status given = NotNull(tokens.data(), "tokens"); !given) {
    return given;
  }
  if (tokens.size() > UINT32_MAX) {
    return Invalid("token_count: a prompt has at most 2^32 - 1 tokens");
  }
  auto spec = client->client->SpecOf(name_space);
  if (!spec) {
    return Invalid("name_space: " + spec.error().message);
  }
  auto made = std::make_unique<cairn_prompt>();
  made->client = client->client;
  made->spec = std::move(*spec);
  made->tokens.assign(tokens.begin(), tokens.end());
  auto keyed = client->client->MakePrompt(name_space, request, made->tokens);
  if (!keyed) {
    return Fail(keyed.error());
  }
  made->prompt = std::move(*keyed);
  *prompt = made.release();
  return {};
}

}  // namespace
}  // namespace cairn::c_api

namespace api = cairn::c_api;
using cairn::Fail;
using cairn::Status;

cairn_code cairn_client_open(const cairn_client_options* options, cairn_client** client) {
  return api::Guarded([&] { return api::OpenClient(options, client); });
}

cairn_code cairn_client_connect(cairn_client* client, uint32_t deadline_ms) {
  return api::Guarded([&]() -> Status {
    if (const Status handle = api::NotNull(client, "client"); !handle) {
      return handle;
    }
    const auto deadline = api::Deadline(deadline_ms);
    return deadline ? client->client->Connect(*deadline) : Fail(deadline.error());
  });
}

const char* cairn_client_plane(const cairn_client* client) {
  const char* found = "none";
  static_cast<void>(api::Guarded([&]() -> Status {
    const std::string name = client == nullptr ? found : client->client->PlaneName();
    for (const char* const known : {"shm", "ucx", "stream", "embedded"}) {
      found = name == known ? known : found;
    }
    return {};
  }));
  return found;
}

void cairn_client_close(cairn_client* client) { delete client; }

cairn_code cairn_namespace_from_model(const cairn_model* model, uint32_t block_tokens,
                                      cairn_namespace_spec* spec) {
  return api::Guarded([&]() -> Status {
    // Only fields known here are used, so a longer struct of a newer caller will do.
    if (const Status given = api::CheckStruct(model, "model"); !given) {
      return given;
    }
    if (const Status given = api::CheckStruct(spec, "spec"); !given) {
      return given;
    }
    const bool declares = model->struct_size >= api::kModelWithFidelity;
    const bool takes = spec->struct_size >= api::kSpecWithFidelity;
    if (declares && !takes && model->fidelity != CAIRN_FIDELITY_EXACT) {
      return Fail(cairn::ErrorCode::kUnsupported,
                  "spec: has no room to say that the model is not exact");
    }
    if (takes) {  // Of an earlier model nothing may stay.
      spec->fidelity = declares ? model->fidelity : CAIRN_FIDELITY_EXACT;
      spec->checkpoint_shape = declares ? model->checkpoint_shape : nullptr;
      spec->kv_shape = declares ? model->kv_shape : nullptr;
    }
    spec->model = model->id;
    spec->dtype = model->dtype;
    spec->kv_bytes_per_token = model->kv_bytes_per_token;
    spec->checkpoint_bytes = model->checkpoint_bytes;
    spec->tp_size = model->tensor_parallel;
    spec->block_tokens = block_tokens;
    return {};
  });
}

cairn_code cairn_namespace_open(cairn_client* client, const cairn_namespace_spec* spec,
                                uint32_t deadline_ms, uint32_t* name_space) {
  return api::Guarded([&] { return api::OpenNamespace(client, spec, deadline_ms, name_space); });
}

cairn_code cairn_prompt_make(cairn_client* client, uint32_t name_space, uint64_t request,
                             const uint32_t* tokens, size_t token_count, cairn_prompt** prompt) {
  return api::Guarded([&] {
    return api::MakePrompt(client, name_space, request, {tokens, token_count}, prompt);
  });
}

cairn_code cairn_key_at(const cairn_prompt* prompt, uint32_t position,
                        uint8_t key[CAIRN_KEY_BYTES]) {
  return api::Guarded([&]() -> Status {
    if (const Status handle = api::NotNull(prompt, "prompt"); !handle) {
      return handle;
    }
    if (const Status out = api::NotNull(key, "key"); !out) {
      return out;
    }
    const auto made = prompt->client->KeyAt(prompt->prompt, position);
    if (!made) {
      return Fail(made.error());
    }
    std::memcpy(key, made->bytes.data(), CAIRN_KEY_BYTES);
    return {};
  });
}

void cairn_prompt_free(cairn_prompt* prompt) { delete prompt; }
