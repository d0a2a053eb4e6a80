#pragma once

// Only for files that are compiled where UCX's headers are (CAIRN_WITH_UCX).
#include <memory>

#include "libcache/ucx/library.h"
#include "libcache/ucx/ucx.h"

namespace cairn::ucx {

/// Owns a context of UCX; shared by what was made of it.
class ContextHandle {
 public:
  ContextHandle(const Library& library, ucp_context_h context)
      : library_(library), context_(context) {}
  ContextHandle(const ContextHandle&) = delete;
  ContextHandle& operator=(const ContextHandle&) = delete;
  ~ContextHandle() { library_.ucp_cleanup_(context_); }

  [[nodiscard]] const Library& library() const { return library_; }
  [[nodiscard]] ucp_context_h get() const { return context_; }

 private:
  const Library& library_;
  const ucp_context_h context_;
};

/// Errors: kUnavailable.
Result<std::unique_ptr<Worker>> MakeWorker(std::shared_ptr<ContextHandle> context);

ucp_mem_h HandleOf(const Region& region);

}  // namespace cairn::ucx
