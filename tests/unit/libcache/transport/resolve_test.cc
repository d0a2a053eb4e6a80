// Which of the addresses that a name has are the daemons'.
#include "libcache/transport/resolve.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace cairn {
namespace {

/// What getaddrinfo would give for addresses in this order.
class Answer {
 public:
  explicit Answer(const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      addrinfo& entry = entries_.emplace_back();
      sockaddr_storage& at = storage_.emplace_back();
      if (address.find(':') == std::string::npos) {
        auto& four = reinterpret_cast<sockaddr_in&>(at);
        four.sin_family = AF_INET;
        EXPECT_EQ(inet_pton(AF_INET, address.c_str(), &four.sin_addr), 1) << address;
        entry.ai_addrlen = sizeof(four);
      } else {
        auto& six = reinterpret_cast<sockaddr_in6&>(at);
        six.sin6_family = AF_INET6;
        EXPECT_EQ(inet_pton(AF_INET6, address.c_str(), &six.sin6_addr), 1) << address;
        entry.ai_addrlen = sizeof(six);
      }
      entry.ai_family = at.ss_family;
      entry.ai_addr = reinterpret_cast<sockaddr*>(&at);
      if (entries_.size() > 1) {
        entries_[entries_.size() - 2].ai_next = &entry;
      }
    }
  }
  [[nodiscard]] std::vector<std::string> Endpoints() const {
    return EndpointsOf(entries_.empty() ? nullptr : &entries_.front(), 7411);
  }

 private:
  std::deque<addrinfo> entries_;  // They point to each other.
  std::deque<sockaddr_storage> storage_;
};

using Endpoints = std::vector<std::string>;

// A headless service with two families has both addresses of each pod.
TEST(ResolveTest, ADaemonWithTwoAddressesIsOne) {
  EXPECT_EQ(Answer({"fd00::7", "10.0.0.7", "fd00::8", "10.0.0.8"}).Endpoints(),
            (Endpoints{"10.0.0.7:7411", "10.0.0.8:7411"}));
}

TEST(ResolveTest, OneFamilyIsTakenAsItIs) {
  EXPECT_EQ(Answer({"10.0.0.7"}).Endpoints(), Endpoints{"10.0.0.7:7411"});
  EXPECT_EQ(Answer({"fd00::7", "fd00::8"}).Endpoints(),
            (Endpoints{"[fd00::7]:7411", "[fd00::8]:7411"}));
  EXPECT_EQ(Answer({}).Endpoints(), Endpoints());
}

TEST(ResolveTest, NumbersNeedNoNameServer) {
  const auto four = ResolveHost("127.0.0.1", 1);
  ASSERT_TRUE(four.has_value()) << four.error().message;
  EXPECT_EQ(*four, Endpoints{"127.0.0.1:1"});
  const auto six = ResolveHost("::1", 1);
  ASSERT_TRUE(six.has_value()) << six.error().message;
  EXPECT_EQ(*six, Endpoints{"[::1]:1"});
}

}  // namespace
}  // namespace cairn
