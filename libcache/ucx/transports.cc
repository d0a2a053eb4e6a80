#include "libcache/ucx/transports.h"

#include <algorithm>
#include <array>

namespace cairn::ucx {
namespace {

// Names of single transports and of groups without tcp. Everything else is refused rather than
// guessed at: UCX takes "all", "*", "tcp" and, with "^", what is not to be used.
constexpr std::array<std::string_view, 29> kKnown = {
    "posix",    "sysv", "cma",       "knem",     "xpmem",    "self",    "shm", "sm",
    "mm",       "rc",   "rc_v",      "rc_x",     "rc_verbs", "rc_mlx5", "dc",  "dc_x",
    "dc_mlx5",  "ud",   "ud_v",      "ud_x",     "ud_verbs", "ud_mlx5", "ib",  "srd",
    "gga_mlx5", "cuda", "cuda_copy", "cuda_ipc", "gdr_copy"};
constexpr std::array<std::string_view, 9> kSameHost = {
    "posix", "sysv", "cma", "knem", "xpmem", "self", "cuda_ipc", "cuda_copy", "gdr_copy"};

template <class List>
bool Has(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

Status CheckTransports(std::string_view list, bool allow_tcp) {
  if (list.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "no transport; write for instance " + std::string(kSafeTransports));
  }
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view name = list.substr(begin, end - begin);
    begin = end + 1;
    if (Has(kKnown, name) || (allow_tcp && name == "tcp")) {
      continue;
    }
    const std::string quoted = "'" + std::string(name) + "'";
    if (name.starts_with("^")) {
      return Fail(ErrorCode::kInvalidArgument,
                  quoted +
                      " takes what is not named, tcp for instance; name the transports to use, "
                      "for instance " +
                      std::string(kSafeTransports));
    }
    const bool admits_tcp = name == "tcp" || name == "all" || name == "*" || name == "sockcm" ||
                            name.starts_with("tcp:");
    if (admits_tcp) {
      return Fail(ErrorCode::kInvalidArgument,
                  quoted +
                      " admits tcp, which opens a port that anybody who reaches it can write "
                      "memory through; name the transports to use, for instance " +
                      std::string(kSafeTransports));
    }
    return Fail(ErrorCode::kInvalidArgument,
                quoted + " is no transport that is known to be safe; name some of " +
                    std::string(kSafeTransports));
  }
  return {};
}

std::string_view WireOf(std::span<const std::string> lanes) {
  if (lanes.empty()) {
    return "none";
  }
  if (Has(lanes, "tcp")) {
    return "tcp";
  }
  const bool same_host = std::all_of(lanes.begin(), lanes.end(),
                                     [](const std::string& lane) { return Has(kSameHost, lane); });
  return same_host ? "shm" : "rdma";
}

std::vector<std::string> LanesIn(std::string_view printed) {
  // "#                 lane[0]:  1:sysv/memory.0 md[1]    -> md[1]/sysv/sysdev[255] ..."
  std::vector<std::string> lanes;
  for (std::size_t at = printed.find("lane["); at != std::string_view::npos;
       at = printed.find("lane[", at)) {
    const std::size_t line_end = std::min(printed.find('\n', at), printed.size());
    const std::string_view line = printed.substr(at, line_end - at);
    at = line_end;
    const std::size_t after_lane = line.find("]:");
    const std::size_t colon =
        after_lane == std::string_view::npos ? after_lane : line.find(':', after_lane + 2);
    const std::size_t slash = colon == std::string_view::npos ? colon : line.find('/', colon + 1);
    if (slash != std::string_view::npos) {
      lanes.emplace_back(line.substr(colon + 1, slash - colon - 1));
    } else {
      lanes.emplace_back("unknown");  // A lane nonetheless; WireOf must not take it for shm.
    }
  }
  return lanes;
}

}  // namespace cairn::ucx
