#ifdef CAIRN_WITH_UCX

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "libcache/ucx/handles.h"
#include "libcache/ucx/transports.h"

namespace cairn::ucx {
namespace {

/// Owns a worker of UCX; shared by its endpoints.
class WorkerHandle {
 public:
  WorkerHandle(std::shared_ptr<ContextHandle> context, ucp_worker_h worker)
      : context_(std::move(context)), worker_(worker) {}
  WorkerHandle(const WorkerHandle&) = delete;
  WorkerHandle& operator=(const WorkerHandle&) = delete;
  ~WorkerHandle() { library().ucp_worker_destroy_(worker_); }

  [[nodiscard]] const Library& library() const { return context_->library(); }
  [[nodiscard]] ucp_worker_h get() const { return worker_; }

 private:
  const std::shared_ptr<ContextHandle> context_;
  const ucp_worker_h worker_;
};

class TransferImpl final : public Transfer {
 public:
  /// Nothing ends it before Begun(): a request that is over at once must not be taken for the last.
  TransferImpl(const Library& library, std::uint64_t word) : library_(library), word_(word) {
    pending_ = 1;
  }

  /// What each request of it is started with.
  [[nodiscard]] ucp_request_param_t Param(std::optional<ucp_mem_h> memory) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    param.cb.send = &TransferImpl::Ended;
    param.user_data = this;
    if (memory) {
      param.op_attr_mask |= UCP_OP_ATTR_FIELD_MEMH;
      param.memh = *memory;
    }
    return param;
  }

  void Started(ucs_status_ptr_t request) {
    if (UCS_PTR_IS_ERR(request)) {
      Note(UCS_PTR_STATUS(request));
    } else if (request != nullptr) {
      pending_ += 1;
    }
  }
  /// All of its requests are on their way.
  void Begun(const std::shared_ptr<TransferImpl>& self) {
    pending_ -= 1;
    if (pending_ != 0) {
      self_ = self;  // UCX has its address.
    }
  }
  void Note(ucs_status_t status) {
    if (status != UCS_OK && status_) {
      status_ = Fail(library_.ErrorOf("UCX", status));
    }
  }
  [[nodiscard]] bool good() const { return status_.has_value(); }
  [[nodiscard]] const std::uint64_t& word() const { return word_; }

 private:
  static void Ended(void* request, ucs_status_t status, void* user_data) {
    auto& transfer = *static_cast<TransferImpl*>(user_data);
    transfer.library_.ucp_request_free_(request);
    transfer.Note(status);
    if (--transfer.pending_ == 0) {
      const auto self = std::move(transfer.self_);
      transfer.held_.reset();
      if (transfer.on_done_) {
        const auto on_done = std::move(transfer.on_done_);
        on_done();
      }
    }
  }

  const Library& library_;
  const std::uint64_t word_;
  std::shared_ptr<TransferImpl> self_;
};

class EndpointImpl final : public Endpoint {
 public:
  explicit EndpointImpl(std::shared_ptr<WorkerHandle> worker) : worker_(std::move(worker)) {}
  EndpointImpl(const EndpointImpl&) = delete;
  EndpointImpl& operator=(const EndpointImpl&) = delete;
  ~EndpointImpl() override { Shut(); }

  Status Open(const std::string& address, const std::string& remote_key) {
    ucp_ep_params_t params{};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                        UCP_EP_PARAM_FIELD_ERR_HANDLER;
    params.address = reinterpret_cast<const ucp_address_t*>(address.data());
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;  // Or it could not be closed by force.
    params.err_handler.cb = [](void* self, ucp_ep_h, ucs_status_t) {
      static_cast<EndpointImpl*>(self)->failed_ = true;
    };
    params.err_handler.arg = this;
    const Library& library = worker_->library();
    if (const auto status = library.ucp_ep_create_(worker_->get(), &params, &endpoint_);
        status != UCS_OK) {
      endpoint_ = nullptr;
      return Fail(library.ErrorOf("ucp_ep_create", status));
    }
    if (const auto status = library.ucp_ep_rkey_unpack_(endpoint_, remote_key.data(), &key_);
        status != UCS_OK) {
      key_ = nullptr;
      return Fail(library.ErrorOf("ucp_ep_rkey_unpack", status));
    }
    lanes_ = ReadLanes();
    return {};
  }

  [[nodiscard]] const std::vector<std::string>& lanes() const override { return lanes_; }
  [[nodiscard]] bool failed() const override { return failed_ || endpoint_ == nullptr; }

  std::shared_ptr<Transfer> Put(std::span<const std::byte> source, const Region& region,
                                std::uint64_t address, std::uint64_t word,
                                std::uint64_t word_address) override {
    const Library& library = worker_->library();
    auto transfer = std::make_shared<TransferImpl>(library, word);
    if (endpoint_ == nullptr) {
      transfer->Note(UCS_ERR_NOT_CONNECTED);
    }
    if (transfer->good()) {
      const auto param = transfer->Param(HandleOf(region));
      transfer->Started(
          library.ucp_put_nbx_(endpoint_, source.data(), source.size(), address, key_, &param));
    }
    if (transfer->good()) {
      transfer->Note(library.ucp_worker_fence_(worker_->get()));
    }
    const auto param = transfer->Param(std::nullopt);
    if (transfer->good()) {
      transfer->Started(library.ucp_put_nbx_(endpoint_, &transfer->word(), sizeof(transfer->word()),
                                             word_address, key_, &param));
    }
    if (transfer->good()) {
      transfer->Started(library.ucp_ep_flush_nbx_(endpoint_, &param));
    }
    transfer->Begun(transfer);
    return transfer;
  }

  std::shared_ptr<Transfer> Get(std::span<std::byte> target, const Region& region,
                                std::uint64_t address) override {
    const Library& library = worker_->library();
    auto transfer = std::make_shared<TransferImpl>(library, 0);
    if (endpoint_ == nullptr) {
      transfer->Note(UCS_ERR_NOT_CONNECTED);
    } else {
      const auto param = transfer->Param(HandleOf(region));
      transfer->Started(
          library.ucp_get_nbx_(endpoint_, target.data(), target.size(), address, key_, &param));
    }
    transfer->Begun(transfer);
    return transfer;
  }

  void Close() override { Shut(); }

 private:
  void Shut() {
    const Library& library = worker_->library();
    if (key_ != nullptr) {  // Before its endpoint, or UCX looks into what it has freed.
      library.ucp_rkey_destroy_(key_);
      key_ = nullptr;
    }
    if (endpoint_ == nullptr) {
      return;
    }
    ucp_request_param_t param{};
    param.op_attr_mask =
        UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    param.cb.send = [](void* request, ucs_status_t, void* user_data) {
      static_cast<const Library*>(user_data)->ucp_request_free_(request);
    };
    param.user_data = const_cast<Library*>(&library);
    library.ucp_ep_close_nbx_(endpoint_, &param);
    endpoint_ = nullptr;
    // Hands back what was under way; what a card still has at work ends with a later progress.
    for (int i = 0; i < kLastTurns && library.ucp_worker_progress_(worker_->get()) != 0; ++i) {
    }
  }

  [[nodiscard]] std::vector<std::string> ReadLanes() const {
#ifdef CAIRN_HAVE_UCP_EP_TRANSPORTS
    constexpr unsigned kMostLanes = 64;
    std::vector<ucp_transport_entry_t> entries(kMostLanes);
    ucp_ep_attr_t attributes{};
    attributes.field_mask = UCP_EP_ATTR_FIELD_TRANSPORTS;
    attributes.transports.entries = entries.data();
    attributes.transports.num_entries = kMostLanes;
    attributes.transports.entry_size = sizeof(ucp_transport_entry_t);
    std::vector<std::string> queried;
    if (worker_->library().ucp_ep_query_(endpoint_, &attributes) == UCS_OK) {
      for (unsigned i = 0; i < attributes.transports.num_entries; ++i) {
        queried.emplace_back(entries[i].transport_name);
      }
    }
    if (!queried.empty()) {  // A library that is older than the headers leaves it empty.
      return queried;
    }
#endif
    char* text = nullptr;
    std::size_t size = 0;
    FILE* const stream = open_memstream(&text, &size);
    if (stream == nullptr) {
      return {};
    }
    worker_->library().ucp_ep_print_info_(endpoint_, stream);
    std::fclose(stream);
    std::vector<std::string> lanes = LanesIn(std::string_view(text, size));
    std::free(text);  // NOLINT(cppcoreguidelines-no-malloc): open_memstream's.
    return lanes;
  }

  static constexpr int kLastTurns = 1000;
  const std::shared_ptr<WorkerHandle> worker_;
  ucp_ep_h endpoint_ = nullptr;
  ucp_rkey_h key_ = nullptr;
  bool failed_ = false;
  std::vector<std::string> lanes_;
};

class WorkerImpl final : public Worker {
 public:
  WorkerImpl(std::shared_ptr<WorkerHandle> worker, int event_fd)
      : worker_(std::move(worker)), event_fd_(event_fd) {}

  [[nodiscard]] Result<std::string> Address() const override {
    ucp_address_t* address = nullptr;
    std::size_t size = 0;
    const Library& library = worker_->library();
    const auto status = library.ucp_worker_get_address_(worker_->get(), &address, &size);
    if (status != UCS_OK) {
      return Fail(library.ErrorOf("ucp_worker_get_address", status));
    }
    std::string copy(reinterpret_cast<const char*>(address), size);
    library.ucp_worker_release_address_(worker_->get(), address);
    return copy;
  }
  [[nodiscard]] int event_fd() const override { return event_fd_; }
  bool Progress() override { return worker_->library().ucp_worker_progress_(worker_->get()) != 0; }
  bool Arm() override { return worker_->library().ucp_worker_arm_(worker_->get()) == UCS_OK; }

  Result<std::unique_ptr<Endpoint>> Connect(const std::string& address,
                                            const std::string& remote_key) override {
    auto endpoint = std::make_unique<EndpointImpl>(worker_);
    if (const Status opened = endpoint->Open(address, remote_key); !opened) {
      return Fail(opened.error());
    }
    return endpoint;
  }

 private:
  const std::shared_ptr<WorkerHandle> worker_;
  const int event_fd_;
};

}  // namespace

Result<std::unique_ptr<Worker>> MakeWorker(std::shared_ptr<ContextHandle> context) {
  const Library& library = context->library();
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  // Not "single": that means the thread that made it, and threads of an engine take turns.
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucp_worker_h worker = nullptr;
  const auto status = library.ucp_worker_create_(context->get(), &params, &worker);
  if (status != UCS_OK) {
    return Fail(library.ErrorOf("ucp_worker_create", status));
  }
  auto handle = std::make_shared<WorkerHandle>(std::move(context), worker);
  int event_fd = -1;
  if (const auto found = library.ucp_worker_get_efd_(worker, &event_fd); found != UCS_OK) {
    return Fail(library.ErrorOf("ucp_worker_get_efd", found));
  }
  return std::make_unique<WorkerImpl>(std::move(handle), event_fd);
}

}  // namespace cairn::ucx

#endif
