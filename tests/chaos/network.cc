#include "tests/chaos/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "libcache/base/errno_text.h"
#include "tests/integration/child_process.h"

namespace cairn::test {
namespace {

constexpr const char* kInterface = "net0";
constexpr const char* kNft = "/usr/sbin/nft";
constexpr std::size_t kMtu = 1'500;
// What waits longer for its turn on a slow wire is dropped, as a router with a full queue does.
constexpr std::chrono::milliseconds kLongestQueue{500};
constexpr std::chrono::milliseconds kLookAgain{20};

UniqueFd OwnSpace() { return UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

/// An empty answer means that it worked.
std::string BecomeRootOfAUserNamespace() {
  const unsigned uid = getuid();
  const unsigned gid = getgid();
  // With a network of its own, since nobody may come back to one that is not the namespace's.
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return "no user namespace: " + ErrnoText();
  }
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  return geteuid() == 0 ? "" : "no root in the user namespace";
}

/// In a new namespace, where the calling thread is then.
std::string NewInterface(std::size_t host, UniqueFd& space, UniqueFd& wire) {
  if (unshare(CLONE_NEWNET) != 0) {
    return "no network namespace: " + ErrnoText();
  }
  space = OwnSpace();
  wire = UniqueFd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  std::strcpy(request.ifr_name, kInterface);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (!wire.valid() || ioctl(wire.get(), TUNSETIFF, &request) != 0) {
    return "no /dev/net/tun: " + ErrnoText();
  }
  const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto set_address = [&](unsigned long what, const std::string& text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, text.c_str(), &address.sin_addr);
    std::memcpy(&request.ifr_addr, &address, sizeof(address));
    return ioctl(any.get(), what, &request) == 0;
  };
  const auto up = [&](const char* name) {
    std::strcpy(request.ifr_name, name);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(any.get(), SIOCSIFFLAGS, &request) == 0;
  };
  if (!set_address(SIOCSIFADDR, Network::Address(host)) ||
      !set_address(SIOCSIFNETMASK, "255.255.255.0") || !up(kInterface) || !up("lo")) {
    return "no address for " + std::string(kInterface) + ": " + ErrnoText();
  }
  return "";
}

}  // namespace

std::optional<std::string> Network::WhyNot() {
  if (access(kNft, X_OK) != 0) {
    return std::string(kNft) + " is not there; ./dev setup test";
  }
  std::string why = geteuid() == 0 ? "" : BecomeRootOfAUserNamespace();
  if (why.empty()) {
    std::thread([&why] {
      UniqueFd space;
      UniqueFd wire;
      why = NewInterface(0, space, wire);
    }).join();
  }
  return why.empty() ? std::nullopt : std::optional(why);
}

void SkipWithoutNetwork() {
  static const std::optional<std::string> kWhyNot = Network::WhyNot();
  if (kWhyNot) {
    GTEST_SKIP() << "no network of its own: " << *kWhyNot;
  }
}

Network::Network(const TempDir& dir, std::size_t hosts)
    : rules_path_(dir / "rules.nft"), hosts_(hosts) {
  for (std::size_t i = 0; i < hosts; ++i) {
    MakeHost(i);
  }
  wire_ = std::jthread([this](const std::stop_token& stop) { Carry(stop); });
}

Network::~Network() = default;

std::string Network::Address(std::size_t host) { return "10.203.88." + std::to_string(host + 1); }

void Network::MakeHost(std::size_t index) {
  Host& host = hosts_[index];
  std::string why;
  std::thread([&] { why = NewInterface(index, host.space, host.wire); }).join();
  ASSERT_EQ(why, "");
  RunRules(index,
           "add table inet cairn\n"
           "add chain inet cairn arrive { type filter hook input priority 0; }\n");
}

void Network::RunRules(std::size_t host, const std::string& rules) {
  WriteFile(rules_path_, rules);
  const Visit there(*this, host);
  ChildProcess nft({kNft, "-f", rules_path_}, rules_path_ + ".log");
  EXPECT_EQ(nft.WaitExit(std::chrono::seconds(20)), 0) << rules << nft.Output();
}

Network::Visit::Visit(const Network& network, std::size_t host) : home_(OwnSpace()) {
  EXPECT_EQ(setns(network.hosts_[host].space.get(), CLONE_NEWNET), 0) << ErrnoText();
}
Network::Visit::~Visit() { EXPECT_EQ(setns(home_.get(), CLONE_NEWNET), 0) << ErrnoText(); }

void Network::SetSpeed(std::size_t host, LinkSpeed speed) {
  const std::lock_guard lock(mu_);
  hosts_[host].speed = speed;
  hosts_[host].free_up = hosts_[host].free_down = Clock::now();
}

void Network::Unplug(std::size_t host) {
  const std::lock_guard lock(mu_);
  hosts_[host].plugged = false;
}

void Network::Block(std::size_t from, std::size_t to, bool blocked) {
  std::set<std::size_t>& all = hosts_[to].blocked;
  if (blocked) {
    all.insert(from);
  } else {
    all.erase(from);
  }
  std::string rules = "flush chain inet cairn arrive\n";
  for (const std::size_t host : all) {
    rules += "add rule inet cairn arrive ip saddr " + Address(host) + " drop\n";
  }
  RunRules(to, rules);
}

std::uint64_t Network::packets() const {
  const std::lock_guard lock(mu_);
  return packets_;
}

void Network::Carry(const std::stop_token& stop) {
  std::vector<pollfd> fds;
  for (const Host& host : hosts_) {
    fds.push_back({.fd = host.wire.get(), .events = POLLIN, .revents = 0});
  }
  while (!stop.stop_requested()) {
    std::chrono::nanoseconds wait = kLookAgain;
    if (!under_way_.empty()) {
      wait = std::clamp<std::chrono::nanoseconds>(under_way_.top().due - Clock::now(),
                                                  std::chrono::nanoseconds(0), kLookAgain);
    }
    const timespec timeout{.tv_sec = 0, .tv_nsec = wait.count()};
    ppoll(fds.data(), fds.size(), &timeout, nullptr);
    const std::lock_guard lock(mu_);
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents != 0) {
        TakeFrom(i);
      }
    }
    Deliver();
  }
}

void Network::TakeFrom(std::size_t from) {
  std::array<char, kMtu> packet{};
  Host& source = hosts_[from];
  for (int i = 0; i < 64; ++i) {
    const ssize_t size = read(source.wire.get(), packet.data(), packet.size());
    if (size <= 0) {
      return;
    }
    // IPv4: the last byte of the destination is the host's number and one.
    const std::size_t to = static_cast<unsigned char>(packet[19]) - std::size_t{1};
    if (packet[0] >> 4U != 4 || to >= hosts_.size()) {
      continue;
    }
    Host& target = hosts_[to];
    if (!source.plugged || !target.plugged) {
      continue;
    }
    const auto now = Clock::now();
    const auto pass = [size](Clock::time_point& free, const LinkSpeed& speed,
                             Clock::time_point arrives) {
      if (speed.bytes_per_second == 0) {
        return arrives + speed.delay;
      }
      free = std::max(free, arrives) +
             std::chrono::nanoseconds(static_cast<std::uint64_t>(size) * 1'000'000'000 /
                                      speed.bytes_per_second);
      return free + speed.delay;
    };
    const auto full = [now](const Host& host, Clock::time_point free) {
      return host.speed.bytes_per_second != 0 && free > now + kLongestQueue;
    };
    if (full(source, source.free_up) || full(target, target.free_down)) {
      continue;
    }
    const auto due = pass(target.free_down, target.speed, pass(source.free_up, source.speed, now));
    under_way_.push({.due = due,
                     .order = packets_++,
                     .to = to,
                     .bytes = std::vector<char>(packet.data(), packet.data() + size)});
  }
}

void Network::Deliver() {
  const auto now = Clock::now();
  while (!under_way_.empty() && under_way_.top().due <= now) {
    const Packet& packet = under_way_.top();
    // A host that takes nothing more loses the packet, as on any wire.
    static_cast<void>(
        !write(hosts_[packet.to].wire.get(), packet.bytes.data(), packet.bytes.size()));
    under_way_.pop();
  }
}

}  // namespace cairn::test
