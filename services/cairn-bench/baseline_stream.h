#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <thread>

#include "libcache/base/result.h"

namespace cairn::bench {

/// What a plain program gets out of a loopback TCP connection: one thread sends a chunk when asked
/// for it, the other receives it. Blocking sockets, no protocol, no digest.
class PlainStream {
 public:
  /// `source` is sent in pieces of `chunk`, round and round. Errors: kIo.
  static Result<std::unique_ptr<PlainStream>> Open(std::span<const std::byte> source,
                                                   std::uint64_t chunk);
  ~PlainStream();
  PlainStream(const PlainStream&) = delete;
  PlainStream& operator=(const PlainStream&) = delete;

  /// Receives the next chunk into target, which has its size.
  Status Get(std::span<std::byte> target);

 private:
  PlainStream(int client, int server, std::span<const std::byte> source, std::uint64_t chunk);
  void Serve(std::span<const std::byte> source, std::uint64_t chunk) const;
  int client_;
  int server_;
  std::thread thread_;
};

/// What iperf3 moves over loopback in two seconds, bytes per second; 0 if it is not installed or
/// fails.
double Iperf3BytesPerSecond();

}  // namespace cairn::bench
