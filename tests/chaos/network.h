#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/unique_fd.h"
#include "tests/integration/temp_dir.h"

namespace cairn::test {

/// How slow the wire of a host is, in each direction.
struct LinkSpeed {
  std::chrono::milliseconds delay{0};
  std::uint64_t bytes_per_second = 0;  ///< 0: as fast as it goes.
};

/// Hosts of their own on this machine: each is a network namespace with one interface, whose wire
/// is a thread of this process. The wire delays and limits; partitions are rules of nftables in the
/// namespaces. Nothing of it has a name: it is gone with the process, however that ends.
class Network {
 public:
  /// Needs root, or user namespaces and a /dev/net/tun for all; and the program nft. To be called
  /// before the process has threads. Why it cannot be had here, else nullopt.
  static std::optional<std::string> WhyNot();

  /// `hosts` in all, with nothing wrong. `dir` for what nft says.
  Network(const TempDir& dir, std::size_t hosts);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// IPv4, without a mask.
  static std::string Address(std::size_t host);

  /// The calling thread is on `host` while this lives: its new sockets and children are.
  class Visit {
   public:
    Visit(const Network& network, std::size_t host);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    UniqueFd home_;
  };

  void SetSpeed(std::size_t host, LinkSpeed speed);
  /// Whether packets from `from` are dropped where they reach `to`.
  void Block(std::size_t from, std::size_t to, bool blocked);
  /// Takes the plug out, for good.
  void Unplug(std::size_t host);
  [[nodiscard]] std::uint64_t packets() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Host {
    UniqueFd space;
    UniqueFd wire;
    LinkSpeed speed;
    Clock::time_point free_up;    // When the last packet is through, from the host
    Clock::time_point free_down;  // and to it.
    bool plugged = true;
    std::set<std::size_t> blocked;  // Hosts whose packets it drops.
  };
  struct Packet {
    Clock::time_point due;
    std::uint64_t order = 0;
    std::size_t to = 0;
    std::vector<char> bytes;
    // For a queue that gives the earliest first.
    bool operator<(const Packet& other) const {
      return std::pair(due, order) > std::pair(other.due, other.order);
    }
  };

  void MakeHost(std::size_t index);
  void RunRules(std::size_t host, const std::string& rules);
  void Carry(const std::stop_token& stop);
  void TakeFrom(std::size_t from);
  void Deliver();

  const std::string rules_path_;
  mutable std::mutex mu_;
  std::vector<Host> hosts_;
  std::priority_queue<Packet> under_way_;
  std::uint64_t packets_ = 0;
  std::jthread wire_;
};

/// For SetUp: skips the test, and says why, where there can be no Network.
void SkipWithoutNetwork();

}  // namespace cairn::test
