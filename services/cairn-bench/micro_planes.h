#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "services/cairn-bench/daemon_process.h"
#include "services/cairn-bench/micro.h"

namespace cairn::bench {

/// What get and put say of the plane they are measured over.
struct PlaneWords {
  std::string name;   ///< "get --plane stream --tls".
  std::string title;  ///< "GET over loopback TCP against ...".
  std::string other;  ///< What it is compared with: "raw TLS".
};
/// `command` is "get" or "put"; `through_shm` what the title says of shared memory.
PlaneWords WordsFor(const MicroOptions& options, const std::string& command,
                    const std::string& through_shm);

/// Sizes of objects: those asked for, or those usual for the plane.
std::vector<std::uint64_t> PlaneSizes(const MicroOptions& options);
/// A daemon that holds the working set of any of the sizes and offers the plane. Errors: those of
/// DaemonProcess::Start.
Result<std::unique_ptr<DaemonProcess>> StartForPlane(const MicroOptions& options,
                                                     std::span<const std::uint64_t> sizes);

}  // namespace cairn::bench
