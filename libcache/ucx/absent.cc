#ifndef CAIRN_WITH_UCX

#include "libcache/ucx/ucx.h"

namespace cairn::ucx {

Result<std::shared_ptr<Context>> Context::Open(const std::string& /*transports*/) {
  return Fail(ErrorCode::kUnsupported,
              "UCX is not built in; install its headers (on Debian: apt-get install libucx-dev) "
              "and build again");
}

}  // namespace cairn::ucx

#endif
