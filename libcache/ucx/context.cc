#ifdef CAIRN_WITH_UCX

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "libcache/ucx/handles.h"

namespace cairn::ucx {
namespace {

struct Setting {
  const char* name;
  const char* value;
};

// Without the first there is no shared memory where peers may die. The second: sessions notice
// death themselves, and UCX would send messages of its own.
constexpr std::array<Setting, 2> kSettings = {
    {{"MM_ERROR_HANDLING", "y"}, {"KEEPALIVE_INTERVAL", "inf"}}};

class RegionImpl final : public Region {
 public:
  RegionImpl(std::shared_ptr<ContextHandle> context, ucp_mem_h memory, std::span<std::byte> bytes)
      : context_(std::move(context)), memory_(memory), bytes_(bytes) {}
  RegionImpl(const RegionImpl&) = delete;
  RegionImpl& operator=(const RegionImpl&) = delete;
  ~RegionImpl() override { context_->library().ucp_mem_unmap_(context_->get(), memory_); }

  [[nodiscard]] std::span<std::byte> memory() const override { return bytes_; }
  [[nodiscard]] Result<std::string> RemoteKey() const override {
    void* packed = nullptr;
    std::size_t size = 0;
    const ucs_status_t status =
        context_->library().ucp_rkey_pack_(context_->get(), memory_, &packed, &size);
    if (status != UCS_OK) {
      return Fail(context_->library().ErrorOf("ucp_rkey_pack", status));
    }
    std::string key(static_cast<const char*>(packed), size);
    context_->library().ucp_rkey_buffer_release_(packed);
    return key;
  }
  [[nodiscard]] ucp_mem_h handle() const { return memory_; }

 private:
  const std::shared_ptr<ContextHandle> context_;
  const ucp_mem_h memory_;
  const std::span<std::byte> bytes_;
};

class ContextImpl final : public Context {
 public:
  explicit ContextImpl(std::shared_ptr<ContextHandle> context) : context_(std::move(context)) {}

  [[nodiscard]] std::string version() const override {
    return context_->library().ucp_get_version_string_();
  }

  [[nodiscard]] bool has_cuda() const override {
    ucp_context_attr_t attributes{};
    attributes.field_mask = UCP_ATTR_FIELD_MEMORY_TYPES;
    return context_->library().ucp_context_query_(context_->get(), &attributes) == UCS_OK &&
           (attributes.memory_types & (1ULL << UCS_MEMORY_TYPE_CUDA)) != 0;
  }

  Result<std::unique_ptr<Region>> Register(std::span<std::byte> memory) override {
    ucp_mem_map_params_t params{};
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
    params.address = memory.data();
    params.length = memory.size();
    return Map(params);
  }

  Result<std::unique_ptr<Region>> Allocate(std::uint64_t bytes) override {
    ucp_mem_map_params_t params{};
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS;
    params.length = bytes;
    params.flags = UCP_MEM_MAP_ALLOCATE;
    auto region = Map(params);
    if (region) {
      std::memset((*region)->memory().data(), 0, (*region)->memory().size());
    }
    return region;
  }

  Result<std::unique_ptr<Worker>> OpenWorker() override { return MakeWorker(context_); }

 private:
  Result<std::unique_ptr<Region>> Map(const ucp_mem_map_params_t& params) {
    const Library& library = context_->library();
    ucp_mem_h memory = nullptr;
    const ucs_status_t status = library.ucp_mem_map_(context_->get(), &params, &memory);
    if (status != UCS_OK) {
      return Fail(library.ErrorOf("ucp_mem_map", status));
    }
    ucp_mem_attr_t attributes{};
    attributes.field_mask = UCP_MEM_ATTR_FIELD_ADDRESS;
    const ucs_status_t known = library.ucp_mem_query_(memory, &attributes);
    if (known != UCS_OK) {
      library.ucp_mem_unmap_(context_->get(), memory);
      return Fail(library.ErrorOf("ucp_mem_query", known));
    }
    // What is asked for: UCX may have taken more.
    const std::span<std::byte> bytes(static_cast<std::byte*>(attributes.address), params.length);
    return std::make_unique<RegionImpl>(context_, memory, bytes);
  }

  const std::shared_ptr<ContextHandle> context_;
};

Status Configure(const Library& library, ucp_config_t* config, const std::string& transports) {
  // Its complaints go to standard output, which is an engine's or a benchmark's. What matters comes
  // back as an error. An operator who looks for more says so.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours changes the environment.
  if (std::getenv("UCX_LOG_LEVEL") == nullptr) {
    library.ucp_config_modify_(config, "LOG_LEVEL", "fatal");
  }
  if (const auto status = library.ucp_config_modify_(config, "TLS", transports.c_str());
      status != UCS_OK) {
    return Fail(library.ErrorOf("UCX_TLS", status));
  }
  for (const Setting& setting : kSettings) {
    const auto status = library.ucp_config_modify_(config, setting.name, setting.value);
    if (status != UCS_OK) {
      return Fail(library.ErrorOf(setting.name, status));
    }
  }
  return {};
}

}  // namespace

ucp_mem_h HandleOf(const Region& region) { return static_cast<const RegionImpl&>(region).handle(); }

Result<std::shared_ptr<Context>> Context::Open(const std::string& transports) {
  const auto library = Load();
  if (!library) {
    return Fail(library.error());
  }
  ucp_config_t* config = nullptr;
  ucs_status_t status = (*library)->ucp_config_read_(nullptr, nullptr, &config);
  if (status != UCS_OK) {
    return Fail((*library)->ErrorOf("ucp_config_read", status));
  }
  ucp_params_t params{};
  params.field_mask =
      UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_RMA | UCP_FEATURE_WAKEUP;
  params.mt_workers_shared = 1;
  params.name = "cairn";
  ucp_context_h context = nullptr;
  const Status configured = Configure(**library, config, transports);
  if (configured) {
    status = (*library)->ucp_init_version_(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &context);
  }
  (*library)->ucp_config_release_(config);
  if (!configured) {
    return Fail(configured.error());
  }
  if (status != UCS_OK) {
    Error error = (*library)->ErrorOf("UCX", status);
    error.message += "; is one of these transports on this machine: " + transports + "?";
    return Fail(std::move(error));
  }
  return std::make_shared<ContextImpl>(std::make_shared<ContextHandle>(**library, context));
}

}  // namespace cairn::ucx

#endif
