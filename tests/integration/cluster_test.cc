// Three daemons and the engines that use them: who has what, what a dead one costs, and what
// people see of it.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libcache/transport/frame.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kPromptTokens = 16 * 12 + 3;
constexpr int kFamilies = 24;
constexpr milliseconds kProbeEvery{200};
constexpr milliseconds kAmple{kSanitized ? 60'000 : 20'000};

class ClusterTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kDaemons = 3;

  bool Start() {
    bool all = true;
    for (std::size_t i = 0; i < kDaemons; ++i) {
      daemons_[i].emplace(dirs_[i], DaemonProcess::Options());
      all = daemons_[i]->Start() && all;
    }
    return all;
  }
  DaemonProcess& daemon(std::size_t i) { return *daemons_[i]; }
  static std::string Name(std::size_t i) { return std::string(1, static_cast<char>('a' + i)); }
  std::string List() {
    std::string list;
    for (std::size_t i = 0; i < kDaemons; ++i) {
      list += (i == 0 ? "" : ",") + Name(i) + "=" + daemon(i).UnixEndpoint();
    }
    return list;
  }
  ClientOptions Options() {
    ClientOptions options;
    options.endpoint = List();
    options.probe_every = kProbeEvery;
    options.routing.home_tokens = 64;
    options.routing.spread_tokens = {128};
    return options;
  }
  /// One turn of an engine: it matches, and stores what it had to compute.
  static std::uint32_t Turn(Engine& engine, std::span<const std::uint32_t> tokens,
                            milliseconds limit = kAmple) {
    const Client::Prompt prompt = engine.Prompt(tokens);
    const auto hit = engine.client().Match(prompt, In(limit));
    EXPECT_TRUE(hit.has_value()) << Why(hit);
    if (!hit) {
      return 0;
    }
    if (hit->resume_at != 0) {
      const auto read = engine.LoadHit(prompt, *hit, In(limit));
      EXPECT_TRUE(read.has_value()) << Why(read);
      EXPECT_EQ(read ? read->wrong : 1, 0U);
      EXPECT_TRUE(engine.client().Release(*hit, In(limit)).has_value());
      return hit->resume_at;
    }
    std::vector<std::vector<std::byte>> payloads;
    const auto items = engine.Items(prompt, std::vector<std::uint32_t>{192}, payloads);
    const auto stored = engine.client().Store(prompt, items, false, In(limit));
    EXPECT_TRUE(stored.has_value()) << Why(stored);
    return 0;
  }
  /// Matches, and stores the boundary at `position`.
  static bool StoreTurn(Engine& engine, std::span<const std::uint32_t> tokens,
                        std::uint32_t position) {
    const Client::Prompt prompt = engine.Prompt(tokens);
    const auto hit = engine.client().Match(prompt, Soon());
    EXPECT_TRUE(hit.has_value()) << Why(hit);
    if (hit && hit->lease != 0) {
      EXPECT_TRUE(engine.client().Release(*hit, Soon()).has_value());
    }
    std::vector<std::vector<std::byte>> payloads;
    const auto items = engine.Items(prompt, std::vector<std::uint32_t>{position}, payloads);
    const auto stored = engine.client().Store(prompt, items, false, Soon());
    EXPECT_TRUE(stored.has_value()) << Why(stored);
    return hit && stored && stored->refused == 0;
  }
  /// Where it would go on; every byte is checked.
  static std::uint32_t Resumes(Engine& engine, std::span<const std::uint32_t> tokens) {
    const auto loaded = engine.Load(tokens);
    EXPECT_TRUE(loaded.has_value()) << Why(loaded);
    EXPECT_EQ(loaded ? loaded->wrong : 1, 0U);
    return loaded ? loaded->resume_at : 0;
  }
  std::uint64_t Sum(const std::string& counter) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kDaemons; ++i) {
      sum += daemon(i).Counter(counter);
    }
    return sum;
  }
  /// How many daemons have anything.
  int Holders() {
    int holders = 0;
    for (std::size_t i = 0; i < kDaemons; ++i) {
      holders += daemon(i).Status().tiers(0).used_bytes() > 0 ? 1 : 0;
    }
    return holders;
  }
  static int Hits(Engine& engine, milliseconds limit = kAmple) {
    int hits = 0;
    for (int i = 0; i < kFamilies; ++i) {
      hits +=
          Turn(engine, Tokens(static_cast<std::uint64_t>(i), kPromptTokens), limit) != 0 ? 1 : 0;
    }
    return hits;
  }
  static MemberView View(Engine& engine, const std::string& name) {
    for (const MemberView& view : engine.client().Members()) {
      if (view.member.name == name) {
        return view;
      }
    }
    ADD_FAILURE() << "no member " << name;
    return {};
  }

  void TearDown() override {
    for (auto& daemon : daemons_) {
      if (daemon && daemon->running()) {
        daemon->ExpectNothingHeld();
        daemon->Stop();
      }
    }
  }

  std::array<TempDir, kDaemons> dirs_;
  std::array<std::optional<DaemonProcess>, kDaemons> daemons_;
};

TEST_F(ClusterTest, EnginesAgreeAndDaemonsShareTheLoad) {
  ASSERT_TRUE(Start());
  {
    Engine one(Options(), SmallModel());
    Engine two(Options(), SmallModel());
    ASSERT_TRUE(one.Open().has_value());
    ASSERT_TRUE(two.Open().has_value());
    EXPECT_EQ(Hits(one), 0) << "all is new";
    EXPECT_EQ(Hits(two), kFamilies) << "an engine that never talked to the first finds all of it";
    EXPECT_EQ(Hits(one), kFamilies);
    for (std::size_t i = 0; i < kDaemons; ++i) {
      EXPECT_GT(daemon(i).Status().tiers(0).used_bytes(), 0U) << Name(i);
    }
    EXPECT_EQ(Sum("matches"), 3U * kFamilies) << "one daemon serves a prompt, and it counts there";
    EXPECT_EQ(Sum("match_hits"), 2U * kFamilies);
    for (int i = 0; i < 100 && Sum("matches_elsewhere") < 3U * kFamilies; ++i) {
      std::this_thread::sleep_for(milliseconds(20));  // It is told without waiting.
    }
    EXPECT_EQ(Sum("matches_elsewhere"), 3U * kFamilies) << "one other candidate hears of it";
    EXPECT_EQ(View(one, "a").state, MemberView::State::kConnected);
  }
}

// What one engine remembers must not hide from it what another stored at the other candidate.
TEST_F(ClusterTest, WhatAnotherEngineStoredDeeperElsewhereIsFound) {
  ASSERT_TRUE(Start());
  {
    ClientOptions options = Options();
    options.routing.unserved_tokens = 32;
    NamespaceSpec spec = SmallModel();
    spec.kv_bytes_per_token = 16 * kKiB;  // A turn shows in the load.
    Engine one(options, spec);
    ASSERT_TRUE(one.Open().has_value());
    // Goes where there is less, whoever has the prompt: after one's store that is the other one.
    options.routing.worth = 1;
    options.routing.load_margin_permille = 0;
    Engine two(options, spec);
    ASSERT_TRUE(two.Open().has_value());
    const auto tokens = Tokens(7, 600);
    const auto turn = [&tokens](std::size_t length) { return std::span(tokens).first(length); };
    ASSERT_TRUE(StoreTurn(one, turn(200), 192));
    EXPECT_EQ(Resumes(one, turn(210)), 192U);
    ASSERT_TRUE(StoreTurn(two, turn(400), 384));
    ASSERT_EQ(Holders(), 2) << "the second turn is not where the first is";
    EXPECT_EQ(Resumes(one, turn(410)), 384U) << "though it remembers where the first turn is";
    EXPECT_EQ(Resumes(one, turn(410)), 384U);
  }
}

TEST_F(ClusterTest, WhatWasEvictedWhereItWasStoredIsLookedForAtTheOtherCandidate) {
  ASSERT_TRUE(Start());
  {
    Engine one(Options(), SmallModel());
    Engine two(Options(), SmallModel());
    ASSERT_TRUE(one.Open().has_value());
    ASSERT_TRUE(two.Open().has_value());
    const auto tokens = Tokens(9, 210);
    ASSERT_TRUE(StoreTurn(one, tokens, 192));
    EXPECT_EQ(Resumes(one, tokens), 192U);
    v1::AdminRequest clear;
    clear.mutable_clear();
    for (std::size_t i = 0; i < kDaemons; ++i) {
      ASSERT_TRUE(daemon(i).Admin(clear));
    }
    EXPECT_EQ(Resumes(one, tokens), 0U);
    ASSERT_TRUE(StoreTurn(two, tokens, 192));
    EXPECT_EQ(Resumes(one, tokens), 192U) << "wherever the other engine put it";
  }
}

TEST_F(ClusterTest, ADeadDaemonCostsMissesAndItsReturnIsNoticed) {
  ASSERT_TRUE(Start());
  {
    Engine engine(Options(), SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    EXPECT_EQ(Hits(engine), 0);
    daemon(1).Kill();
    // Every call succeeds: what b had is computed again and stored elsewhere.
    const int hits = Hits(engine);
    EXPECT_LT(hits, kFamilies);
    EXPECT_GT(hits, 0);
    EXPECT_EQ(View(engine, "b").state, MemberView::State::kDown);
    EXPECT_FALSE(View(engine, "b").problem.empty());
    EXPECT_GE(Hits(engine), kFamilies - 3) << "all but what went to b before it was known";
    ASSERT_TRUE(daemon(1).Start());
    for (int i = 0; i < 100 && View(engine, "b").state != MemberView::State::kConnected; ++i) {
      std::this_thread::sleep_for(kProbeEvery / 2);
      Hits(engine);
    }
    EXPECT_EQ(View(engine, "b").state, MemberView::State::kConnected);
    Hits(engine);
    EXPECT_EQ(Hits(engine), kFamilies);
  }
}

TEST_F(ClusterTest, AFrozenDaemonCostsPartOfTheDeadlineAFewTimes) {
  ASSERT_TRUE(Start());
  {
    Engine engine(Options(), SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    EXPECT_EQ(Hits(engine), 0);
    daemon(2).Freeze();
    constexpr milliseconds kDeadline{400};
    int failed = 0;
    for (int i = 0; i < kFamilies; ++i) {
      const auto tokens = Tokens(static_cast<std::uint64_t>(i), kPromptTokens);
      const Client::Prompt prompt = engine.Prompt(tokens);
      const TimePoint began = SteadyClock::Instance().Now();
      const auto hit = engine.client().Match(prompt, In(kDeadline));
      EXPECT_LT(SteadyClock::Instance().Now() - began, kDeadline + milliseconds(200));
      failed += hit.has_value() ? 0 : 1;
      if (hit && hit->lease != 0) {
        // Nor does what the frozen one is to be told wait for it, however long the deadline is.
        const TimePoint released = SteadyClock::Instance().Now();
        EXPECT_TRUE(engine.client().Release(*hit, Soon()).has_value());
        EXPECT_LT(SteadyClock::Instance().Now() - released, kDeadline);
      }
    }
    EXPECT_EQ(failed, 0) << "the other candidate's answer is not spoilt";
    EXPECT_EQ(View(engine, "c").state, MemberView::State::kDown);
    daemon(2).Thaw();
  }
}

TEST_F(ClusterTest, TheOnlyOneThatIsLeftServesFromTheFirstCallOn) {
  ASSERT_TRUE(Start());
  {
    Engine engine(Options(), SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    EXPECT_EQ(Hits(engine), 0);
    // What a frozen daemon costs is a share of it.
    constexpr milliseconds kLimit{kSanitized ? 4'000 : 800};
    daemon(1).Kill();
    daemon(2).Freeze();
    // Each call succeeds, be it that both of its candidates are among those two.
    Hits(engine, kLimit);
    EXPECT_EQ(Hits(engine, kLimit), kFamilies) << "all is stored with the one that is left";
    // And while probes find them down again.
    for (int i = 0; i < 3; ++i) {
      std::this_thread::sleep_for(kProbeEvery + milliseconds(10));
      EXPECT_EQ(Hits(engine, kLimit), kFamilies);
    }
    daemon(2).Thaw();
  }
}

TEST_F(ClusterTest, AllDownIsToldInWords) {
  ASSERT_TRUE(Start());
  Engine engine(Options(), SmallModel());
  ASSERT_TRUE(engine.Open().has_value());
  for (std::size_t i = 0; i < kDaemons; ++i) {
    daemon(i).Kill();
  }
  const auto tokens = Tokens(1, kPromptTokens);
  const Client::Prompt prompt = engine.Prompt(tokens);
  Result<Client::Hit> hit = Fail(ErrorCode::kOk, "");
  for (int i = 0; i < 12; ++i) {
    hit = engine.client().Match(prompt, In(milliseconds(200)));
    ASSERT_FALSE(hit.has_value());
    EXPECT_EQ(hit.error().code, ErrorCode::kUnavailable) << Why(hit);
  }
  EXPECT_NE(hit.error().message.find("can be used: a: "), std::string::npos) << Why(hit);
  Engine late(Options(), SmallModel());
  EXPECT_FALSE(late.Open(In(milliseconds(500))).has_value());
}

/// Says Hello as a daemon of another protocol version does, or something that no daemon says.
class OtherVersion {
 public:
  explicit OtherVersion(const std::string& path, std::string says = OldFrame())
      : path_(path), says_(std::move(says)) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    thread_ = std::thread([this] {
      for (int fd = accept(listener_, nullptr, nullptr); fd >= 0;
           fd = accept(listener_, nullptr, nullptr)) {
        ++asked_;
        Refuse(fd);
        close(fd);
      }
    });
  }
  ~OtherVersion() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  OtherVersion(const OtherVersion&) = delete;
  OtherVersion& operator=(const OtherVersion&) = delete;
  [[nodiscard]] int asked() const { return asked_; }

 private:
  static std::string OldFrame() {
    v1::Response response;
    response.set_id(1);
    response.set_code(static_cast<std::uint32_t>(ErrorCode::kUnsupported));
    response.set_message("protocol version 1; this daemon speaks 0");
    std::string frame;
    EXPECT_TRUE(AppendFrame(response, frame).has_value());
    return frame;
  }
  void Refuse(int fd) const {
    std::array<char, 4096> hello{};
    static_cast<void>(recv(fd, hello.data(), hello.size(), 0));
    static_cast<void>(send(fd, says_.data(), says_.size(), MSG_NOSIGNAL));
  }

  std::string path_;
  std::string says_;
  int listener_ = -1;
  std::atomic<int> asked_ = 0;
  std::thread thread_;
};

TEST_F(ClusterTest, AMemberOfAnotherProtocolVersionIsLeftOut) {
  ASSERT_TRUE(Start());
  const OtherVersion old(dirs_[0] / "old.sock");
  {
    ClientOptions options = Options();
    options.endpoint += ",old=unix:" + (dirs_[0] / "old.sock");
    options.probe_every = std::chrono::hours(1);
    Engine engine(options, SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    Hits(engine);
    EXPECT_EQ(Hits(engine), kFamilies) << "nothing is routed there";
    const MemberView view = View(engine, "old");
    EXPECT_EQ(view.state, MemberView::State::kLeftOut);
    EXPECT_NE(view.problem.find("this daemon speaks 0"), std::string::npos) << view.problem;
    EXPECT_EQ(old.asked(), 1) << "told once";
  }
}

TEST_F(ClusterTest, AMemberThatIsNoDaemonIsNamedWithTheReason) {
  const OtherVersion web(dirs_[0] / "web.sock",
                         "HTTP/1.1 400 Bad Request, and some more that no frame begins with\r\n");
  ClientOptions options;
  options.endpoint =
      "web=unix:" + (dirs_[0] / "web.sock") + ",gone=unix:" + (dirs_[0] / "gone.sock");
  Engine engine(options, SmallModel());
  const Status opened = engine.Open(In(std::chrono::seconds(2)));
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("web: not a cairn peer"), std::string::npos) << Why(opened);
  EXPECT_NE(opened.error().message.find("gone: no daemon at"), std::string::npos) << Why(opened);
}

TEST_F(ClusterTest, ARingOfOneIsADaemon) {
  ASSERT_TRUE(Start());
  {
    ClientOptions options = Options();
    options.endpoint = "only=" + daemon(0).UnixEndpoint();
    Engine engine(options, SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    EXPECT_EQ(Hits(engine), 0);
    EXPECT_EQ(Hits(engine), kFamilies);
    EXPECT_EQ(daemon(0).Counter("matches"), 2U * kFamilies);
  }
}

TEST_F(ClusterTest, WrongListsAreRefusedBeforeAnythingIsAsked) {
  const std::map<std::string, std::string> wrong = {
      {"a=h:1,a=h:2", "two are named 'a'"},
      {"a=h:1,b=h:1", "are one daemon"},
      {"a=h:1,", "empty entry"},
      {"a=h", "a host and a port are needed"},
      {"dns:cairn", "dns:NAME:PORT"},
  };
  for (const auto& [list, words] : wrong) {
    const Status checked = CheckEndpoints(list);
    ASSERT_FALSE(checked.has_value()) << list;
    EXPECT_NE(checked.error().message.find(words), std::string::npos) << checked.error().message;
    ClientOptions options;
    options.endpoint = list;
    Engine engine(options, SmallModel());
    const Status opened = engine.Open(In(milliseconds(500)));
    ASSERT_FALSE(opened.has_value()) << list;
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument) << Why(opened);
  }
}

TEST_F(ClusterTest, DnsThatAnswersNothingIsSaidPlainly) {
  ClientOptions options;
  options.endpoint = "dns:no-such-name.invalid:7411";
  Engine engine(options, SmallModel());
  const Status opened = engine.Open(In(std::chrono::seconds(20)));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(opened.error().message.find("no-such-name.invalid"), std::string::npos) << Why(opened);
}

TEST_F(ClusterTest, DnsFindsADaemonOnLoopback) {
  ASSERT_TRUE(Start());
  {
    ClientOptions options = Options();
    options.endpoint = "dns:127.0.0.1:" + std::to_string(daemon(0).tcp_port());
    Engine engine(options, SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    EXPECT_EQ(Hits(engine), 0);
    EXPECT_EQ(Hits(engine), kFamilies);
    EXPECT_EQ(engine.client().Members().size(), 1U);
  }
}

TEST_F(ClusterTest, CairnctlShowsAllAndDrainsOne) {
  ASSERT_TRUE(Start());
  {
    Engine engine(Options(), SmallModel());
    ASSERT_TRUE(engine.Open().has_value());
    Hits(engine);
    Cairnctl ctl(dirs_[0], List());
    for (const char* const command : {"status", "members"}) {
      const Ran shown = ctl({command});
      EXPECT_EQ(shown.code, 0) << shown.err;
      for (std::size_t i = 0; i < kDaemons; ++i) {
        EXPECT_NE(shown.out.find(daemon(i).UnixEndpoint()), std::string::npos) << shown.out;
      }
    }
    EXPECT_EQ(ctl({"tiers"}).code, 0);
    const auto json = ctl({"status", "--json"}).Json();
    ASSERT_EQ(json.at("members").size(), kDaemons);
    EXPECT_EQ(json.at("members")[1].at("name"), "b");
    EXPECT_EQ(json.at("members")[1].at("status").at("state"), "serving");

    const Ran which = ctl({"drain"});
    EXPECT_EQ(which.code, 2);
    EXPECT_NE(which.err.find("--member: a, b, c"), std::string::npos) << which.err;
    EXPECT_EQ(ctl({"drain", "--member", "z"}).code, 2);
    const Ran one = ctl({"status", "--member", "c", "--json"});
    EXPECT_EQ(one.Json().at("state"), "serving");

    const Ran drained = ctl({"drain", "--member", "b", "--wait"});
    EXPECT_EQ(drained.code, 0) << drained.err;
    EXPECT_EQ(daemon(1).process().WaitExit(std::chrono::seconds(20)), 0);
    const auto after = ctl({"members", "--json"}).Json();
    EXPECT_EQ(after.at("members")[1].at("state"), "no answer");
    EXPECT_EQ(after.at("members")[2].at("state"), "serving");
    // Engines go on.
    Hits(engine);
    EXPECT_GE(Hits(engine), kFamilies - 3);
  }
  Cairnctl none(dirs_[0],
                "x=unix:" + (dirs_[0] / "no.sock") + ",y=unix:" + (dirs_[0] / "nor.sock"));
  const Ran failed = none({"status"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_NE(failed.err.find("none of 2 daemons tells anything: no answer (x)"), std::string::npos)
      << failed.err;
}

}  // namespace
}  // namespace cairn::test
