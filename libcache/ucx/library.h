#pragma once

// Only for files that are compiled where UCX's headers are (CAIRN_WITH_UCX).
#include <ucp/api/ucp.h>

#include <string>

#include "libcache/base/result.h"

namespace cairn::ucx {

/// The functions of libucp.so.0 that are in use here.
struct Library {
#define CAIRN_UCX_FUNCTIONS(F)  \
  F(ucp_get_version_string)     \
  F(ucp_config_read)            \
  F(ucp_config_modify)          \
  F(ucp_config_release)         \
  F(ucp_init_version)           \
  F(ucp_cleanup)                \
  F(ucp_context_query)          \
  F(ucp_worker_create)          \
  F(ucp_worker_destroy)         \
  F(ucp_worker_get_address)     \
  F(ucp_worker_release_address) \
  F(ucp_worker_progress)        \
  F(ucp_worker_get_efd)         \
  F(ucp_worker_arm)             \
  F(ucp_worker_fence)           \
  F(ucp_ep_create)              \
  F(ucp_ep_close_nbx)           \
  F(ucp_ep_flush_nbx)           \
  F(ucp_ep_print_info)          \
  F(ucp_ep_query)               \
  F(ucp_mem_map)                \
  F(ucp_mem_unmap)              \
  F(ucp_mem_query)              \
  F(ucp_rkey_pack)              \
  F(ucp_rkey_buffer_release)    \
  F(ucp_ep_rkey_unpack)         \
  F(ucp_rkey_destroy)           \
  F(ucp_put_nbx)                \
  F(ucp_get_nbx)                \
  F(ucp_request_free)           \
  F(ucs_status_string)
#define CAIRN_DECLARE(name) decltype(&::name) name##_ = nullptr;
  CAIRN_UCX_FUNCTIONS(CAIRN_DECLARE)
#undef CAIRN_DECLARE

  /// kUnavailable, "ucp_init: No such device".
  [[nodiscard]] Error ErrorOf(const char* call, ucs_status_t status) const;
};

/// Loads UCX at the first call and keeps it: it cannot be unloaded. Thread-safe. Errors:
/// kUnsupported, saying what to install.
Result<const Library*> Load();

}  // namespace cairn::ucx
