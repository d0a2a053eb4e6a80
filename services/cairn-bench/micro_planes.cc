#include "services/cairn-bench/micro_planes.h"

#include "services/cairn-bench/micro_objects.h"

namespace cairn::bench {

PlaneWords WordsFor(const MicroOptions& options, const std::string& command,
                    const std::string& through_shm) {
  const std::string verb = command == "get" ? "GET" : "PUT";
  if (options.plane == "shm") {
    return {.name = command, .title = verb + " " + through_shm, .other = "memcpy"};
  }
  PlaneWords words{.name = command + " --plane " + options.plane, .title = verb, .other = {}};
  if (options.tls) {
    words.name += " --tls";
    words.title += " over loopback TCP with TLS against OpenSSL that sends the same chunks";
    words.other = "raw TLS";
  } else if (options.plane == "stream") {
    words.title += " over loopback TCP against a plain socket that sends the same chunks";
    words.other = "plain socket";
  } else {
    words.title += " by UCX against ucx_perftest -t ucp_put_bw with the same transports";
    words.other = "ucx_perftest";
  }
  return words;
}

std::vector<std::uint64_t> PlaneSizes(const MicroOptions& options) {
  return options.plane == "ucx" ? SizesOf(options, kUcxSizes) : SizesOf(options, kUsualSizes);
}

Result<std::unique_ptr<DaemonProcess>> StartForPlane(const MicroOptions& options,
                                                     std::span<const std::uint64_t> sizes) {
  DaemonProcess::Config config{.memory_bytes = MemoryFor(options, sizes),
                               .below = "",
                               .tcp = options.plane == "stream",
                               .tls = options.tls};
  if (options.plane == "ucx") {
    config.more_flags = {"--ucx=on", std::string("--ucx-tls=") + kUcxTransports};
  }
  return DaemonProcess::Start(config);
}

}  // namespace cairn::bench
