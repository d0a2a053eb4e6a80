// The network that the schedules break is what they take it for.
#include "tests/chaos/network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "libcache/base/clock.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

/// A datagram socket on a host, with a port of its own.
class Post {
 public:
  Post(const Network& network, std::size_t host) {
    const Network::Visit there(network, host);
    socket_ = UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = At(host);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  void Send(std::size_t host, std::size_t bytes = 4) const {
    const std::vector<char> text(bytes, 'x');
    const sockaddr_in address = At(host);
    EXPECT_EQ(sendto(socket_.get(), text.data(), text.size(), 0,
                     reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              static_cast<ssize_t>(bytes));
  }
  /// Whether something came.
  [[nodiscard]] bool Receive(milliseconds limit) const {
    pollfd p{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (poll(&p, 1, static_cast<int>(limit.count())) != 1) {
      return false;
    }
    std::array<char, 2'000> text{};
    EXPECT_GT(recv(socket_.get(), text.data(), text.size(), 0), 0);
    return true;
  }

 private:
  static sockaddr_in At(std::size_t host) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(4'000);
    inet_pton(AF_INET, Network::Address(host).c_str(), &address.sin_addr);
    return address;
  }
  UniqueFd socket_;
};

constexpr milliseconds kNever{200};
constexpr milliseconds kSurely{5'000};

class NetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SkipWithoutNetwork();
    if (IsSkipped()) {
      return;
    }
    network_.emplace(dir_, 3);
    for (std::size_t i = 0; i < 3; ++i) {
      posts_.emplace_back(*network_, i);
    }
  }
  /// How long a datagram is under way.
  Duration Travels(std::size_t from, std::size_t to, std::size_t bytes) {
    const TimePoint began = std::chrono::steady_clock::now();
    posts_[from].Send(to, bytes);
    EXPECT_TRUE(posts_[to].Receive(kSurely));
    return std::chrono::steady_clock::now() - began;
  }
  bool Reaches(std::size_t from, std::size_t to, milliseconds limit) {
    posts_[from].Send(to);
    return posts_[to].Receive(limit);
  }

  TempDir dir_;
  std::optional<Network> network_;
  std::vector<Post> posts_;
};

TEST_F(NetworkTest, AllReachAllAndTheMachineReachesNone) {
  for (std::size_t from = 0; from < 3; ++from) {
    for (std::size_t to = 0; to < 3; ++to) {
      EXPECT_TRUE(Reaches(from, to, kSurely)) << from << " to " << to;
    }
  }
  const UniqueFd outside(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(4'000);
  inet_pton(AF_INET, Network::Address(0).c_str(), &address.sin_addr);
  sendto(outside.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  EXPECT_FALSE(posts_[0].Receive(kNever));
}

TEST_F(NetworkTest, ABlockIsOneWayAndOfOnePair) {
  network_->Block(0, 1, true);
  EXPECT_FALSE(Reaches(0, 1, kNever));
  EXPECT_TRUE(Reaches(1, 0, kSurely));
  EXPECT_TRUE(Reaches(2, 1, kSurely));
  network_->Block(2, 1, true);
  EXPECT_FALSE(Reaches(2, 1, kNever));
  network_->Block(0, 1, false);
  EXPECT_TRUE(Reaches(0, 1, kSurely));
  EXPECT_FALSE(Reaches(2, 1, kNever));
}

TEST_F(NetworkTest, DelayAddsUpAndARateHoldsBack) {
  network_->SetSpeed(0, {.delay = milliseconds(40), .bytes_per_second = 0});
  network_->SetSpeed(1, {.delay = milliseconds(60), .bytes_per_second = 0});
  EXPECT_GE(Travels(0, 1, 4), milliseconds(100));
  network_->SetSpeed(0, {.delay = milliseconds(0), .bytes_per_second = 10'000});
  network_->SetSpeed(1, {});
  // With its headers 1,028 bytes.
  EXPECT_GE(Travels(0, 1, 1'000), milliseconds(102));
  // What would wait for more than half a second is lost: some of ten, but not all.
  for (int i = 0; i < 10; ++i) {
    posts_[0].Send(1, 1'000);
  }
  int arrived = 0;
  while (posts_[1].Receive(milliseconds(400))) {
    arrived += 1;
  }
  EXPECT_GE(arrived, 5);
  EXPECT_LE(arrived, 7);
}

TEST_F(NetworkTest, AnUnpluggedHostIsGone) {
  network_->Unplug(2);
  EXPECT_FALSE(Reaches(0, 2, kNever));
  EXPECT_FALSE(Reaches(2, 0, kNever));
  EXPECT_TRUE(Reaches(0, 1, kSurely));
}

}  // namespace
}  // namespace cairn::test
