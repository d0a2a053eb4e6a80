#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn::ucx {

/// All that UCX may use by default, of what there is: never tcp, which opens a listening socket on
/// every interface and lets whoever connects write to this process.
inline constexpr std::string_view kSafeTransports =
    "posix,sysv,cma,self,rc,dc,ud,cuda_copy,cuda_ipc,gdr_copy";

/// Looks at a list as UCX_TLS has it. Errors: kInvalidArgument, saying what to write instead, for
/// an empty list, for one that says what not to use, and, unless `allow_tcp`, for one that admits
/// tcp.
Status CheckTransports(std::string_view list, bool allow_tcp);

/// What the lanes of an endpoint ("sysv", "rc_mlx5", ...) amount to: "tcp" if one of them is, "shm"
/// if all stay on this host, "rdma" else, "none" without any.
std::string_view WireOf(std::span<const std::string> lanes);

/// The transports in what ucp_ep_print_info prints, one per lane, in order: for UCX before 1.14,
/// which tells in no other way.
std::vector<std::string> LanesIn(std::string_view printed);

}  // namespace cairn::ucx
