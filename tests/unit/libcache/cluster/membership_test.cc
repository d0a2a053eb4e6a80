#include "libcache/cluster/membership.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "libcache/base/mutex.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;

/// A name server whose answer a test sets.
class FakeDns {
 public:
  void Answer(Result<std::vector<std::string>> answer) {
    const MutexLock lock(mu_);
    answer_ = std::move(answer);
  }
  [[nodiscard]] NameResolver Resolver() {
    return [this](const std::string&, std::uint16_t) {
      ++lookups_;
      const MutexLock lock(mu_);
      return answer_;
    };
  }
  /// Two look-ups begun from now on: the first may have begun before.
  void AwaitLookup() const {
    const int until = lookups_ + 2;
    for (int i = 0; i < 2000 && lookups_ < until; ++i) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  }

 private:
  std::atomic<int> lookups_ = 0;
  Mutex mu_;
  Result<std::vector<std::string>> answer_ = std::vector<std::string>();
};

TimePoint Soon() { return SteadyClock::Instance().Now() + std::chrono::seconds(20); }

std::string ErrorOf(const std::string& list) {
  const auto members = ParseMembers(list);
  return members ? "" : members.error().message;
}

TEST(MembersTest, NamesComeWithEndpointsOrAreThem) {
  const auto named = ParseMembers("a=host:1,b=unix:/run/x=y.sock");
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(*named, (std::vector<Member>{{"a", "host:1"}, {"b", "unix:/run/x=y.sock"}}));
  const auto alone = ParseMembers("host:1,unix:/run/x=y.sock");
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(*alone, (std::vector<Member>{{"host:1", "host:1"},
                                         {"unix:/run/x=y.sock", "unix:/run/x=y.sock"}}));
}

TEST(MembersTest, SpaceAroundAnEntryMakesNoOtherMember) {
  const auto spaced = ParseMembers(" a=host:1, b = host:2 ,\tc=unix:/run/c.sock\n");
  ASSERT_TRUE(spaced.has_value());
  EXPECT_EQ(*spaced, *ParseMembers("a=host:1,b=host:2,c=unix:/run/c.sock"));
  EXPECT_NE(ErrorOf("a b=h:1,c=h:2").find("a name has no spaces"), std::string::npos);
  EXPECT_NE(ErrorOf("a=h:1, ,b=h:2").find("empty entry"), std::string::npos);
}

TEST(MembersTest, NamesAreForAllOrNone) {
  for (const char* const text : {"a=h:1,h:2", "h:2,a=h:1"}) {
    EXPECT_NE(ErrorOf(text).find("'h:2' has no name, but others have"), std::string::npos);
  }
}

TEST(MembersTest, DnsIsNoEntryOfAList) {
  for (const char* const text : {"a=dns:cairn:7411,b=h:1", "h:1,dns:cairn:7411", "a=dns:cairn:1"}) {
    EXPECT_NE(ErrorOf(text).find("stands alone"), std::string::npos) << text;
  }
  EXPECT_FALSE(NamedMembers("dns:cairn:7411,h:1").has_value());
}

TEST(MembersTest, WrongListsAreToldInWords) {
  EXPECT_NE(ErrorOf("a=h:1,a=h:2").find("two are named 'a'"), std::string::npos);
  EXPECT_NE(ErrorOf("a=h:1,b=h:1").find("'a' and 'b' are one daemon, h:1"), std::string::npos);
  EXPECT_NE(ErrorOf("a=h:1,,b=h:2").find("empty entry"), std::string::npos);
  EXPECT_NE(ErrorOf("a=h:1,b=").find("empty entry"), std::string::npos);
  EXPECT_NE(ErrorOf("=h:1").find("write a=host:port,b=host:port"), std::string::npos);
}

TEST(MembersTest, TellsOneEndpointFromSeveral) {
  for (const char* const one : {"host:1", "unix:/run/a=b.sock", "tcp:h:1", "[::1]:7411", ""}) {
    EXPECT_TRUE(IsOneEndpoint(one)) << one;
  }
  for (const char* const several : {"a=host:1", "h:1,h:2", "dns:cairn:7411"}) {
    EXPECT_FALSE(IsOneEndpoint(several)) << several;
  }
}

TEST(DnsMembershipTest, WrongNamesAreRefused) {
  for (const char* const text : {"dns:", "dns:cairn", "dns::1", "dns:cairn:", "dns:cairn:0",
                                 "dns:cairn:70000", "dns:cairn:12x", "dns:cairn:1,h:1"}) {
    const auto made = MakeDnsMembership(text, {});
    ASSERT_FALSE(made.has_value()) << text;
    EXPECT_NE(made.error().message.find("dns:NAME:PORT"), std::string::npos) << text;
  }
}

TEST(DnsMembershipTest, KeepsTheLastGoodAnswerAndTellsOfTheRest) {
  FakeDns dns;
  dns.Answer(std::vector<std::string>{"10.0.0.2:7411", "10.0.0.1:7411", "10.0.0.2:7411"});
  const auto made =
      MakeDnsMembership("dns:cairn:7411", {.resolve = dns.Resolver(), .every = milliseconds(20)});
  ASSERT_TRUE(made.has_value());
  Membership& membership = **made;
  membership.AwaitAnswer(Soon());
  ASSERT_EQ(membership.Members().size(), 2U) << "each once";
  EXPECT_EQ(membership.Members()[0].name, "10.0.0.1:7411") << "in an order of their own";
  EXPECT_EQ(membership.Members()[0].server, "cairn") << "certificates are for the name";
  EXPECT_TRUE(membership.Problem().has_value());
  const std::uint64_t version = membership.Version();

  dns.Answer(std::vector<std::string>());
  dns.AwaitLookup();
  EXPECT_EQ(membership.Members().size(), 2U);
  EXPECT_EQ(membership.Version(), version);
  ASSERT_FALSE(membership.Problem().has_value());
  const std::string said = membership.Problem().error().message;
  EXPECT_NE(said.find("'cairn' answers nothing"), std::string::npos) << said;
  EXPECT_NE(said.find("last 2 members stay"), std::string::npos) << said;

  dns.Answer(std::vector<std::string>{"10.0.0.3:7411"});
  dns.AwaitLookup();
  ASSERT_EQ(membership.Members().size(), 1U);
  EXPECT_NE(membership.Version(), version);
  EXPECT_TRUE(membership.Problem().has_value());
}

TEST(DnsMembershipTest, AnEmptyFirstAnswerIsSaidPlainly) {
  FakeDns dns;
  dns.Answer(Fail(ErrorCode::kNotFound, "Name or service not known"));
  const auto made =
      MakeDnsMembership("dns:cairn:7411", {.resolve = dns.Resolver(), .every = milliseconds(20)});
  ASSERT_TRUE(made.has_value());
  (*made)->AwaitAnswer(Soon());
  EXPECT_TRUE((*made)->Members().empty());
  ASSERT_FALSE((*made)->Problem().has_value());
  EXPECT_NE((*made)->Problem().error().message.find("answers nothing"), std::string::npos);
}

// A program that waits for SIGTERM on one thread must not lose it to this one.
TEST(DnsMembershipTest, ItsThreadTakesNoSignals) {
  const auto blocked = std::make_shared<std::atomic<int>>(-1);
  const auto made = MakeDnsMembership(
      "dns:cairn:7411", {.resolve = [blocked](const std::string&, std::uint16_t) {
        sigset_t now;
        pthread_sigmask(SIG_BLOCK, nullptr, &now);
        *blocked = sigismember(&now, SIGTERM) + sigismember(&now, SIGPROF);
        return Result<std::vector<std::string>>(std::vector<std::string>{"10.0.0.1:1"});
      }});
  ASSERT_TRUE(made.has_value());
  (*made)->AwaitAnswer(Soon());
  EXPECT_EQ(*blocked, 2);
}

TEST(MembersTest, NamedMembersAreThoseOfAList) {
  const auto list = NamedMembers("a=h:1,b=h:2");
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(list->size(), 2U);
  const auto dns = NamedMembers("dns:cairn:7411");
  ASSERT_TRUE(dns.has_value());
  EXPECT_TRUE(dns->empty());
  EXPECT_FALSE(NamedMembers("dns:cairn").has_value());
  EXPECT_FALSE(NamedMembers("a=h:1,").has_value());
}

// A resolver may hang for as long as it likes: nobody waits for it, not even at the end.
TEST(DnsMembershipTest, ASlowResolverHoldsNobodyUp) {
  const auto gate = std::make_shared<std::atomic<bool>>(false);
  const TimePoint began = SteadyClock::Instance().Now();
  {
    const auto made =
        MakeDnsMembership("dns:cairn:7411", {.resolve = [gate](const std::string&, std::uint16_t) {
                            while (!*gate) {
                              std::this_thread::sleep_for(milliseconds(1));
                            }
                            return Result<std::vector<std::string>>(std::vector<std::string>());
                          }});
    ASSERT_TRUE(made.has_value());
    (*made)->AwaitAnswer(began + milliseconds(30));
    EXPECT_TRUE((*made)->Members().empty());
    EXPECT_FALSE((*made)->Problem().has_value());
  }
  EXPECT_LT(SteadyClock::Instance().Now() - began, std::chrono::seconds(10));
  *gate = true;
}

}  // namespace
}  // namespace cairn
