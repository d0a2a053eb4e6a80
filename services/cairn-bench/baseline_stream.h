#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "libcache/base/result.h"

namespace cairn::bench {

/// Something that a stream of ours is compared with.
class StreamBaseline {
 public:
  virtual ~StreamBaseline() = default;
  /// Receives the next chunk into target, which has its size.
  virtual Status Get(std::span<std::byte> target) = 0;
};

/// Both ends of a new loopback TCP connection without delay: client, server; {-1, -1} on failure.
std::pair<int, int> LoopbackPair();

/// What a plain program gets out of a loopback TCP connection: one thread sends a chunk when asked
/// for it, the other receives it. Blocking sockets, no protocol, no digest.
class PlainStream final : public StreamBaseline {
 public:
  /// `source` is sent in pieces of `chunk`, round and round. Errors: kIo.
  static Result<std::unique_ptr<PlainStream>> Open(std::span<const std::byte> source,
                                                   std::uint64_t chunk);
  ~PlainStream() override;
  PlainStream(const PlainStream&) = delete;
  PlainStream& operator=(const PlainStream&) = delete;

  Status Get(std::span<std::byte> target) override;

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
