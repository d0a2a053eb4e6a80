// Objects by UCX: round trips, what is refused, and what an engine may ask of a daemon.
#include <gtest/gtest.h>
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "libcache/transport/data_plane.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/ucx_fixture.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

using UcxPlaneTest = UcxTest;

/// cairnctl status tells people and programs that engines come by UCX, by `wire` and no other.
void ExpectCairnctlShows(const DaemonProcess& daemon, const TempDir& dir, const std::string& wire) {
  Cairnctl ctl(dir, daemon.UnixEndpoint());
  const Ran ran = ctl({"status", "--json"});
  bool shown = false;
  const auto status = ran.Json();
  for (const auto& plane : status.at("planes")) {
    if (plane.at("name") == "ucx") {
      ASSERT_EQ(plane.at("lanes").size(), 1U) << ran.out;
      const std::string lanes = plane.at("lanes")[0];
      EXPECT_TRUE(lanes.starts_with(wire + ": ")) << lanes;
      shown = true;
    }
  }
  EXPECT_TRUE(shown) << ran.out;
  std::istringstream text(ctl({"status"}).out);
  std::string row;
  for (std::string line; std::getline(text, line);) {
    row = line.starts_with("ucx ") ? line : row;
  }
  EXPECT_NE(row.find(" " + wire + ": "), std::string::npos) << row;
  const std::string other = wire == "shm" ? "tcp" : "shm";
  EXPECT_EQ(row.find(other), std::string::npos) << row;
}

TEST_F(UcxPlaneTest, ObjectsOfAnySizeComeBackByteForByte) {
  ASSERT_TRUE(StartUcx());
  // Around words, pages, pieces, and the 2 MiB of staging memory.
  for (const std::uint64_t size :
       {1UL, 7UL, 8UL, 63UL, 4095UL, 4096UL, 64 * kKiB - 1, 64 * kKiB, 64 * kKiB + 1, 512 * kKiB,
        512 * kKiB + 1, 2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 9 * kMiB + 5, 32 * kMiB}) {
    const NamespaceSpec spec = StatesOf(size);
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kUcx, spec);
    ASSERT_TRUE(engine.Open());
    EXPECT_EQ(engine.client().PlaneName(), "ucx");
    const auto tokens = Tokens(size, 3);
    const auto stored = engine.Store(tokens, {2});
    ASSERT_TRUE(stored.has_value()) << Why(stored) << " size " << size;
    ASSERT_EQ(stored->written, 3U) << "two blocks of a byte and a state of " << size;
    const auto hit = engine.Load(tokens);
    ASSERT_TRUE(hit.has_value()) << Why(hit) << " size " << size;
    EXPECT_EQ(hit->resume_at, 2U);
    EXPECT_EQ(hit->bytes, size + 2);
    EXPECT_EQ(hit->wrong, 0U) << "size " << size;
    // What one plane stored another reads.
    Engine mapped(daemon().UnixEndpoint(), PlaneChoice::kShm, spec);
    ASSERT_TRUE(mapped.Open());
    const auto same = mapped.Load(tokens);
    ASSERT_TRUE(same.has_value()) << Why(same);
    EXPECT_EQ(same->wrong, 0U) << "size " << size;
  }
  EXPECT_GT(daemon().Counter("ucx_gets"), 0U);
  EXPECT_GT(daemon().Counter("ucx_puts"), 0U);
  EXPECT_EQ(daemon().Counter("ucx_peers_lost"), 0U);
}

TEST_F(UcxPlaneTest, TheStatusShowsTheLanesOfEnginesThatAreThere) {
  ASSERT_TRUE(StartUcx());
  EXPECT_EQ(PlaneOf("ucx").state(), "ok");
  EXPECT_EQ(PlaneOf("ucx").connections(), 0U);
  EXPECT_TRUE(PlaneOf("ucx").lanes().empty());
  {
    Engine first(daemon().UnixEndpoint(), PlaneChoice::kUcx);
    Engine second(daemon().UnixEndpoint(), PlaneChoice::kUcx);
    Engine mapped(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(first.Open());
    ASSERT_TRUE(second.Open());
    ASSERT_TRUE(mapped.Open());
    EXPECT_EQ(mapped.client().PlaneName(), "shm") << "the faster way, where there is one";
    const v1::PlaneStatus plane = PlaneOf("ucx");
    EXPECT_EQ(plane.connections(), 2U);
    ASSERT_EQ(plane.lanes_size(), 1);
    EXPECT_TRUE(plane.lanes(0).starts_with("shm: ")) << plane.lanes(0);
    EXPECT_NE(plane.lanes(0).find("sysv"), std::string::npos) << plane.lanes(0);
    EXPECT_EQ(PlaneOf("shm").connections(), 1U);
    ExpectCairnctlShows(daemon(), dir_, "shm");
  }
  for (int i = 0; i < 500 && PlaneOf("ucx").connections() != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(PlaneOf("ucx").lanes().empty()) << "engines that left are not shown";
}

TEST_F(UcxPlaneTest, WithoutSharedMemoryAutoTakesUcx) {
  ASSERT_TRUE(StartUcx({"--staging=12MiB"}));  // An eighth of the memory: two connections' worth.
  std::vector<std::unique_ptr<Engine>> engines;
  std::set<std::string> planes;
  for (int i = 0; i < 3; ++i) {
    engines.push_back(std::make_unique<Engine>(daemon().UnixEndpoint(), PlaneChoice::kAuto));
    ASSERT_TRUE(engines.back()->Open());
    planes.emplace(engines.back()->client().PlaneName());
  }
  EXPECT_EQ(planes, (std::set<std::string>{"shm", "ucx"}));
  EXPECT_EQ(engines.back()->client().PlaneName(), "ucx");
  Engine remote(daemon().TcpEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(remote.Open());
  EXPECT_EQ(remote.client().PlaneName(), "stream") << "nobody knows who it is";
}

/// A connection of the test's own, with one object of 1 MiB stored and matched.
struct Matched {
  OpenedChannel opened;
  PlaneObject object;
  PrefixKey key;
};

class UcxWireTest : public UcxTest {
 protected:
  static constexpr std::uint64_t kObjectBytes = kMiB + 3;

  Matched StoreAndMatch(const std::string& endpoint) {
    const NamespaceSpec spec = StatesOf(kObjectBytes);
    const auto tokens = Tokens(1, 3);
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kShm, spec);
    EXPECT_TRUE(engine.Open());
    EXPECT_TRUE(engine.Store(tokens, {2}));
    const auto prompt = engine.Prompt(tokens);
    Matched matched{
        .opened = OpenedChannel::To(endpoint, spec), .object = {}, .key = prompt.keys[1]};
    auto request = MatchRequest(matched.opened.space, prompt.keys, 3);
    request.mutable_match()->set_want_objects(16);
    const auto reply = matched.opened.Call(request);
    EXPECT_TRUE(reply.has_value()) << Why(reply);
    for (const v1::ObjectRef& ref : reply->match().objects()) {
      if (ref.kind() == v1::KIND_CHECKPOINT) {
        matched.object = {.lease = reply->match().lease_id(),
                          .index = ref.index(),
                          .bytes = ref.bytes(),
                          .digest = {.low = ref.digest_low(), .high = ref.digest_high()}};
      }
    }
    EXPECT_EQ(matched.object.bytes, kObjectBytes);
    return matched;
  }
};

TEST_F(UcxWireTest, AWrongDigestIsACorruptObject) {
  ASSERT_TRUE(StartUcx());
  Matched matched = StoreAndMatch(daemon().UnixEndpoint());
  const auto plane = OpenUcxPlane(matched.opened.channel, Soon());
  ASSERT_TRUE(plane.has_value()) << Why(plane);
  std::vector<std::byte> memory(kObjectBytes);
  const std::span<std::byte> target(memory);
  ASSERT_TRUE((*plane)->Get(matched.object, std::span(&target, 1), Soon()));
  EXPECT_EQ(memory, PayloadOf(matched.key, ObjectKind::kCheckpoint, kObjectBytes));
  PlaneObject wrong = matched.object;
  wrong.digest.low ^= 1U;
  const Status got = (*plane)->Get(wrong, std::span(&target, 1), Soon());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  // In several places of odd sizes it is the same object, and the connection is still in step.
  const std::array<std::span<std::byte>, 3> pieces = {target.first(1), target.subspan(1, 700'001),
                                                      target.subspan(700'002)};
  std::fill(memory.begin(), memory.end(), std::byte{0});
  ASSERT_TRUE((*plane)->Get(matched.object, pieces, Soon()));
  EXPECT_EQ(memory, PayloadOf(matched.key, ObjectKind::kCheckpoint, kObjectBytes));
}

TEST_F(UcxWireTest, SeveralObjectsComeOneBehindTheOther) {
  ASSERT_TRUE(StartUcx());
  Matched matched = StoreAndMatch(daemon().UnixEndpoint());
  const auto plane = OpenUcxPlane(matched.opened.channel, Soon());
  ASSERT_TRUE(plane.has_value()) << Why(plane);
  const auto expected = PayloadOf(matched.key, ObjectKind::kCheckpoint, kObjectBytes);
  std::vector<PlaneObject> objects(5, matched.object);
  std::vector<std::vector<std::byte>> memory(5);
  std::span<std::byte> target;
  std::size_t refuse = 5;
  std::size_t whole = 0;
  const DataPlane::TargetOf target_of = [&](std::size_t i) -> Result<Pieces> {
    if (i == refuse) {
      return Fail(ErrorCode::kNoSpace, "no room");
    }
    memory[i].assign(kObjectBytes, std::byte{0});
    target = memory[i];
    return Pieces(&target, 1);
  };
  ASSERT_TRUE((*plane)->GetAll(objects, target_of, whole, Soon()));
  EXPECT_EQ(whole, 5U);
  for (const auto& one : memory) {
    EXPECT_EQ(one, expected);
  }
  // What fails in the middle is named, and what was asked for behind it is out of the way.
  objects[2].digest.low ^= 1U;
  const Status corrupt = (*plane)->GetAll(objects, target_of, whole, Soon());
  ASSERT_FALSE(corrupt);
  EXPECT_EQ(corrupt.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(whole, 2U);
  EXPECT_EQ(memory[1], expected);
  refuse = 1;
  const Status refused = (*plane)->GetAll(objects, target_of, whole, Soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(whole, 1U);
  refuse = 5;
  objects[2] = matched.object;
  ASSERT_TRUE((*plane)->GetAll(objects, target_of, whole, Soon()));
  EXPECT_EQ(memory[4], expected);
  EXPECT_FALSE(matched.opened.channel.broken());
}

TEST_F(UcxWireTest, ALeaseThatEndsInTheMiddleEndsTheRead) {
  ASSERT_TRUE(StartUcx({"--lease-ms=300"}));
  Matched matched = StoreAndMatch(daemon().UnixEndpoint());
  const auto plane = OpenUcxPlane(matched.opened.channel, Soon());
  ASSERT_TRUE(plane.has_value()) << Why(plane);
  std::vector<std::byte> memory(kObjectBytes);
  const std::span<std::byte> target(memory);
  Status got;
  int whole = 0;
  for (const TimePoint until = In(std::chrono::seconds(20));
       got && SteadyClock::Instance().Now() < until; ++whole) {
    std::fill(memory.begin(), memory.end(), std::byte{0});
    got = (*plane)->Get(matched.object, std::span(&target, 1), Soon());
    if (got) {
      ASSERT_EQ(memory, PayloadOf(matched.key, ObjectKind::kCheckpoint, kObjectBytes));
    }
  }
  ASSERT_FALSE(got) << "a lease of 300 ms holds for 20 s";
  EXPECT_EQ(got.error().code, ErrorCode::kExpired) << got.error().message;
  EXPECT_GT(whole, 0);
  EXPECT_FALSE(matched.opened.channel.broken()) << "answers that were under way are taken";
}

v1::Request GetRequest(const PlaneObject& object, std::uint64_t offset, std::uint64_t bytes) {
  v1::Request request;
  v1::UcxGet& get = *request.mutable_ucx_get();
  get.set_lease_id(object.lease);
  get.set_index(object.index);
  get.set_object_offset(offset);
  get.set_staging_offset(4096);
  get.set_bytes(bytes);
  get.set_word_offset(8);
  get.set_word(77);
  return request;
}

TEST_F(UcxWireTest, StagingMemorySmallerThanTheObjectTakesItInPieces) {
  ASSERT_TRUE(StartUcx());
  Matched matched = StoreAndMatch(daemon().UnixEndpoint());
  const HandMade engine(64 * kKiB);
  const auto attached = matched.opened.Call(engine.Attach());
  ASSERT_TRUE(attached.has_value()) << Why(attached);
  EXPECT_GT(attached->attach_ucx().lanes_size(), 0);
  std::vector<std::byte> memory;
  while (memory.size() < kObjectBytes) {
    const std::uint64_t bytes = std::min<std::uint64_t>(60 * kKiB, kObjectBytes - memory.size());
    const auto got = matched.opened.Call(GetRequest(matched.object, memory.size(), bytes));
    ASSERT_TRUE(got.has_value()) << Why(got);
    std::uint64_t word = 0;
    std::memcpy(&word, engine.staging->memory().data() + 8, sizeof(word));
    EXPECT_EQ(word, 77U);
    const auto piece = engine.staging->memory().subspan(4096, bytes);
    memory.insert(memory.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(memory, PayloadOf(matched.key, ObjectKind::kCheckpoint, kObjectBytes));
}

TEST_F(UcxWireTest, WhatDoesNotFitIsRefusedAndTheDaemonLives) {
  ASSERT_TRUE(StartUcx());
  Matched matched = StoreAndMatch(daemon().UnixEndpoint());
  const auto early = matched.opened.Call(GetRequest(matched.object, 0, 100));
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(early.error().code, ErrorCode::kInvalidArgument) << "before attach_ucx";
  const HandMade engine(64 * kKiB);
  ASSERT_TRUE(matched.opened.Call(engine.Attach()));
  EXPECT_FALSE(matched.opened.Call(engine.Attach())) << "once per connection";
  const v1::Request good = GetRequest(matched.object, 0, 100);
  ASSERT_TRUE(matched.opened.Call(good));
  using Change = void (v1::UcxGet::*)(std::uint64_t);
  const std::vector<std::pair<Change, std::vector<std::uint64_t>>> changes = {
      {&v1::UcxGet::set_bytes, {0, 60 * kKiB + 1, 4 * kMiB + 1, kObjectBytes + 1, UINT64_MAX}},
      {&v1::UcxGet::set_staging_offset, {64 * kKiB - 99, 64 * kKiB, UINT64_MAX, UINT64_MAX - 99}},
      {&v1::UcxGet::set_object_offset, {kObjectBytes - 99, kObjectBytes, UINT64_MAX}},
      {&v1::UcxGet::set_piece_bytes, {1}},
      {&v1::UcxGet::set_word_offset, {1, 4, 64 * kKiB - 7, 64 * kKiB, UINT64_MAX - 7}},
      {&v1::UcxGet::set_lease_id, {0, matched.object.lease + 1000}}};
  for (const auto& [change, values] : changes) {
    for (const std::uint64_t value : values) {
      v1::Request request = good;
      (request.mutable_ucx_get()->*change)(value);
      if (request.ucx_get().piece_bytes() == 1) {
        request.mutable_ucx_get()->set_bytes(65);  // A piece too many.
      }
      EXPECT_FALSE(matched.opened.Call(request)) << request.ucx_get().ShortDebugString();
    }
  }
  v1::Request put;
  put.mutable_ucx_put()->set_token(12345);
  put.mutable_ucx_put()->set_bytes(100);
  EXPECT_FALSE(matched.opened.Call(put)) << "no such reservation";
  put.mutable_ucx_put()->set_staging_offset(UINT64_MAX);
  EXPECT_FALSE(matched.opened.Call(put));
  EXPECT_TRUE(matched.opened.Call(good)) << "and all goes on";
}

TEST_F(UcxWireTest, AttachThatCannotBeIsRefusedBeforeUcxSeesIt) {
  ASSERT_TRUE(StartUcx());
  const HandMade engine(64 * kKiB);
  const v1::Request good = engine.Attach();
  std::vector<v1::Request> bad(11, good);
  const auto attach = [&bad](std::size_t i) { return bad[i].mutable_attach_ucx(); };
  attach(0)->set_worker_address(std::string(300, '\xA5'));  // Not what was signed.
  attach(1)->set_remote_key("garbage");
  attach(2)->clear_worker_address();
  attach(3)->clear_remote_key();
  attach(4)->set_worker_address(std::string(1 << 20, 'x'));
  attach(5)->set_remote_key(std::string(4097, 'x'));
  for (const std::size_t i : {2U, 3U, 4U, 5U}) {
    HandMade::Sign(*attach(i));
  }
  attach(6)->set_bytes(0);
  attach(7)->set_bytes(64 * kKiB - 1);
  attach(8)->set_bytes(UINT64_MAX);
  attach(9)->set_address(0);
  attach(10)->set_address(UINT64_MAX - 7);
  OpenedChannel opened = OpenedChannel::To(daemon().UnixEndpoint(), StatesOf(1));
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto refused = opened.Call(bad[i]);
    ASSERT_FALSE(refused.has_value()) << "case " << i;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << "case " << i;
  }
  EXPECT_EQ(daemon().Counter("ucx_refused_attach"), bad.size());
  EXPECT_TRUE(opened.Call(good)) << "the same connection may still do it right";
}

TEST_F(UcxWireTest, StrangersMayNotAttach) {
  ASSERT_TRUE(StartUcx());
  OpenedChannel stranger = OpenedChannel::To(daemon().TcpEndpoint(), StatesOf(1));
  const auto& planes = stranger.channel.hello().planes();
  EXPECT_EQ(std::count(planes.begin(), planes.end(), v1::PLANE_UCX), 0);
  const auto refused = stranger.Call(HandMade(64 * kKiB).Attach());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied) << refused.error().message;
  Engine engine(daemon().TcpEndpoint(), PlaneChoice::kUcx);
  EXPECT_FALSE(engine.client().Connect(Soon())) << "no silent change to another plane";
}

/// Ports of TCP sockets of `pid` that listen, of whatever address.
std::multiset<std::uint16_t> ListeningPorts(pid_t pid) {
  std::set<std::string> inodes;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    const std::string target = std::filesystem::read_symlink(entry, error);
    if (target.starts_with("socket:[")) {
      inodes.insert(target.substr(8, target.size() - 9));
    }
  }
  std::multiset<std::uint16_t> ports;
  for (const char* const table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::vector<std::string> column;
      for (std::string word; words >> word;) {
        column.push_back(word);
      }
      if (column.size() > 9 && column[3] == "0A" && inodes.contains(column[9])) {
        const std::string port = column[1].substr(column[1].rfind(':') + 1);
        ports.insert(static_cast<std::uint16_t>(std::stoul(port, nullptr, 16)));
      }
    }
  }
  return ports;
}

// Neither the daemon nor who waits in it for an engine's address looks round and round.
TEST_F(UcxPlaneTest, AnIdleDaemonUsesNoCpu) {
  ASSERT_TRUE(StartUcx());
  Engine by_ucx(daemon().UnixEndpoint(), PlaneChoice::kUcx);
  Engine by_stream(daemon().TcpEndpoint(), PlaneChoice::kStream);
  for (Engine* const engine : {&by_ucx, &by_stream}) {
    ASSERT_TRUE(engine->Open());
    ASSERT_TRUE(engine->Store(Tokens(1, 100), {64}));
    ASSERT_TRUE(engine->Load(Tokens(1, 100)));
  }
  const auto cpu = [this] {
    clockid_t clock{};
    timespec used{};
    EXPECT_EQ(clock_getcpuclockid(daemon().process().pid(), &clock), 0);
    EXPECT_EQ(clock_gettime(clock, &used), 0);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  };
  // What follows the last call: it looks for a while before it sleeps.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto before = cpu();
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const std::chrono::duration<double, std::milli> used = cpu() - before;
  std::printf("[ measured ] idle, with engines by UCX and by stream: %.2f %% of a core\n",
              used.count() / 30);
  EXPECT_LE(used.count(), 30.0) << "ms within 3 s: 1 % of a core";
}

TEST_F(UcxPlaneTest, UcxOpensNoPort) {
  ASSERT_TRUE(StartUcx());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kUcx);
  ASSERT_TRUE(engine.Open());
  EXPECT_EQ(ListeningPorts(daemon().process().pid()),
            (std::multiset<std::uint16_t>{daemon().tcp_port(), daemon().http_port()}));
}

TEST_F(UcxPlaneTest, TcpIsAllowedLoudlyAndNeverCalledSharedMemory) {
  ASSERT_TRUE(
      StartDaemon({.flags = {"--ucx=on", "--ucx-tls=tcp,self", "--ucx-allow-insecure-tcp=true"},
                   .variables = {{"UCX_NET_DEVICES", "lo"}}}));
  EXPECT_NE(daemon().Log().find("ucx_insecure_tcp"), std::string::npos) << daemon().Log();
  EXPECT_NE(daemon().Log().find("WHOEVER REACHES"), std::string::npos);
  EXPECT_GT(ListeningPorts(daemon().process().pid()).size(), 2U) << "which is why";
  Engine careful(daemon().UnixEndpoint(), PlaneChoice::kUcx);
  const Status refused = careful.client().Connect(Soon());
  ASSERT_FALSE(refused) << "an engine has to allow it for itself";
  EXPECT_NE(refused.error().message.find("tcp"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(PlaneOf("ucx").lanes().empty());
  ASSERT_EQ(setenv("CAIRN_UCX_ALLOW_INSECURE_TCP", "true", 1), 0);
  ASSERT_EQ(setenv("UCX_NET_DEVICES", "lo", 1), 0);
  {
    Engine careless(daemon().UnixEndpoint(), PlaneChoice::kUcx);
    EXPECT_TRUE(careless.Open());
    ExpectCairnctlShows(daemon(), dir_, "tcp");
  }
  unsetenv("UCX_NET_DEVICES");
  unsetenv("CAIRN_UCX_ALLOW_INSECURE_TCP");
}

TEST_F(UcxPlaneTest, StartsThatAreRefused) {
  struct Case {
    std::vector<std::string> flags;
    ChildProcess::Variables variables;
    std::string says;
  };
  const std::vector<Case> cases = {
      {{"--ucx=maybe"}, {}, "--ucx: 'maybe' is neither off, auto nor on"},
      {{"--ucx=on", "--ucx-tls=tcp"}, {}, "--ucx-tls: 'tcp' admits tcp"},
      {{"--ucx=auto", "--ucx-tls=posix,all"}, {}, "--ucx-tls: 'all' admits tcp"},
      {{"--ucx=on", "--ucx-tls=^ib"}, {}, "--ucx-tls: '^ib' takes what is not named, tcp"},
      {{"--ucx=on"}, {{"UCX_TLS", "posix,tcp"}}, "UCX_TLS, which counts without --ucx-tls: 'tcp'"},
      {{"--ucx=auto"}, {{"UCX_TLS", "all"}}, "UCX_TLS, which counts without --ucx-tls: 'all'"},
      {{"--ucx=on", "--ucx-tls=carrier_pigeon"}, {}, "'carrier_pigeon' is no transport"},
      {{"--ucx=on", "--ucx-tls=rc_mlx5"}, {}, "is one of these transports on this machine"}};
  for (const Case& one : cases) {
    std::vector<std::string> args = {"--memory=64MiB", "--listen-unix=" + (dir_ / "raw.sock"),
                                     "--listen-tcp=", "--listen-http="};
    args.insert(args.end(), one.flags.begin(), one.flags.end());
    const auto child = DaemonProcess::Raw(dir_, args, one.variables);
    const auto code = child->WaitExit(std::chrono::seconds(20));
    ASSERT_TRUE(code.has_value()) << one.says << "\n" << child->Output();
    EXPECT_NE(*code, 0);
    EXPECT_NE(child->Output().find(one.says), std::string::npos) << "wanted: " << one.says << "\n"
                                                                 << child->Output();
    std::filesystem::remove(dir_ / "raw.log");
  }
}

TEST_F(UcxPlaneTest, AUcxThatListensIsNotUsed) {
  for (const std::string ucx : {"on", "auto"}) {
    const auto child = DaemonProcess::Raw(
        dir_,
        {"--memory=64MiB", "--listen-unix=" + (dir_ / "raw.sock"), "--listen-tcp=",
         "--listen-http=", "--ucx=" + ucx, std::string("--ucx-tls=") + kUcxTransports},
        {{"LD_PRELOAD", std::string(CAIRN_BINARY_DIR) + "/tests/libucx_opens_port.so"}});
    const auto code = child->WaitExit(std::chrono::seconds(20));
    ASSERT_TRUE(code.has_value()) << child->Output();
    EXPECT_NE(*code, 0);
    const std::string output = child->Output();
    EXPECT_NE(output.find("--ucx: UCX listens on 127.0.0.1:"), std::string::npos) << output;
    EXPECT_NE(output.find("name other transports, or set --ucx off"), std::string::npos) << output;
    std::filesystem::remove(dir_ / "raw.log");
  }
}

}  // namespace
}  // namespace cairn::test
