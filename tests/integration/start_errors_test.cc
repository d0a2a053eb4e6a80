// Wrong flags, files, variables, places and ports: a message that names the flag and what to do, a
// code that is not 0, and nothing touched.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "libcache/tier/ssd_record.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;

class StartErrorsTest : public DaemonTest {
 protected:
  /// Starts with `args` and places of its own, and expects it to end at once over an option, saying
  /// all of `words`.
  void ExpectRefused(const Args& args, const std::vector<std::string>& words,
                     const ChildProcess::Variables& variables = {}) {
    ExpectEnds(2, args, words, variables);
  }
  /// The same where the options are fine, but not what they name.
  void ExpectFailed(const Args& args, const std::vector<std::string>& words) {
    ExpectEnds(1, args, words, {});
  }

  void ExpectEnds(int expected_code, Args args, const std::vector<std::string>& words,
                  const ChildProcess::Variables& variables) {
    const auto add = [&args](const std::string& flag, const std::string& value) {
      for (const std::string& arg : args) {
        if (arg.rfind(flag, 0) == 0) {
          return;
        }
      }
      args.push_back(flag + value);
    };
    add("--listen-unix=", dir_ / "refused.sock");
    add("--listen-tcp=", "");
    add("--listen-http=", "");
    std::string shown;
    for (const std::string& arg : args) {
      shown += arg + " ";
    }
    SCOPED_TRACE(shown);
    fs::remove(dir_ / "raw.log");
    const auto process = DaemonProcess::Raw(dir_, args, variables);
    const auto code = process->WaitExit(std::chrono::seconds(kSanitized ? 60 : 10));
    ASSERT_TRUE(code.has_value()) << "it started:\n" << process->Output();
    EXPECT_EQ(*code, expected_code);
    const std::string said = process->Output();
    for (const std::string& word : words) {
      EXPECT_NE(said.find(word), std::string::npos) << "no '" << word << "' in:\n" << said;
    }
    EXPECT_LE(said.size(), 1000U) << said;
    EXPECT_FALSE(fs::exists(dir_ / "refused.sock")) << "it left its socket behind";
  }

  [[nodiscard]] Args OnSsd(const std::string& path) const {
    return {"--memory=64MiB", "--ssd-path=" + path, "--ssd=64MiB", "--ssd-min-free=1MiB"};
  }
};

TEST_F(StartErrorsTest, Sizes) {
  ExpectRefused({}, {"--memory", "cairnd --memory 4GiB"});
  ExpectRefused({"--memory=1KiB"}, {"--memory", "too little", "32.0 MiB"});
  ExpectRefused({"--memory=lots"}, {"--memory", "lots"});
  ExpectRefused({"--memory=-5"}, {"--memory", "-5"});
  ExpectRefused({"--memory=99999999999999999999"}, {"--memory"});
  ExpectRefused({"--memory=64MiB", "--staging=64MiB"}, {"--memory", "--staging", "smaller"});
  ExpectRefused({"--memory=64MiB", "--index=1KiB"}, {"--index", "1MiB"});
  ExpectRefused({"--memory=64MiB", "--ssd=1GiB"}, {"--ssd-path", "--ssd"});
  ExpectRefused({"--memory=64MiB", "--ssd-path=" + (dir_ / "x")}, {"--ssd:", "x"});
  ExpectRefused({"--memory=64MiB", "--ssd-path=" + (dir_ / "x"), "--ssd=1MiB"},
                {"--ssd:", "16.0 MiB"});
  ExpectRefused(
      {"--memory=64MiB", "--ssd-path=" + (dir_ / "x"), "--ssd=1GiB", "--ssd-write-buffer=64MiB"},
      {"--ssd-write-buffer", "--memory"});
  ExpectRefused(
      {"--memory=64MiB", "--ssd-path=" + (dir_ / "x"), "--ssd=1GiB", "--ssd-write-buffer=1KiB"},
      {"--ssd-write-buffer", "1MiB"});
  EXPECT_FALSE(fs::exists(dir_ / "x")) << "nothing is made before all is checked";
}

TEST_F(StartErrorsTest, NamesAndNumbers) {
  ExpectRefused({"--memory=64MiB", "--no-such-flag=1"}, {"--no-such-flag"});
  ExpectRefused({"--memory=64MiB", "--planner=best"}, {"--planner", "best", "turn_end_demand"});
  ExpectRefused({"--memory=64MiB", "--eviction=random"}, {"--eviction", "random", "lru"});
  ExpectRefused({"--memory=64MiB", "--log-level=loud"}, {"--log-level", "loud", "debug"});
  ExpectRefused({"--memory=64MiB", "--threads=-1"}, {"--threads", "1 to 256"});
  ExpectRefused({"--memory=64MiB", "--threads=many"}, {"--threads"});
  ExpectRefused({"--memory=64MiB", "--workers=9999"}, {"--workers", "1 to 256"});
  ExpectRefused({"--memory=64MiB", "--ssd-readers=0"}, {"--ssd-readers", "1 to 64"});
  ExpectRefused({"--memory=64MiB", "--max-connections=0"}, {"--max-connections"});
  ExpectRefused({"--memory=64MiB", "--lease-ms=0"}, {"--lease-ms"});
}

TEST_F(StartErrorsTest, WhatHasNoEffectIsNoError) {
  ASSERT_TRUE(StartDaemon({.flags = {"--ucx=off", "--ucx-tls=tcp"}, .variables = {}}));
  EXPECT_NE(daemon().Log().find("setting_without_effect name=ucx-tls"), std::string::npos);
}

TEST_F(StartErrorsTest, Members) {
  const auto with = [this](const std::string& members) {
    Args args = OnSsd(dir_ / "ssd");
    args.push_back("--members=" + members);
    return args;
  };
  ExpectRefused(with("unix:"), {"--members", "path"});
  ExpectRefused(with("a=h:1,,b=h:2"), {"--members", "empty entry"});
  ExpectRefused(with("a=h:1,a=h:2"), {"--members", "two are named"});
  ExpectRefused(with("a=h:1,b=h:port"), {"--members", "port"});
  EXPECT_FALSE(fs::exists(dir_ / "ssd")) << "nothing is made before all is checked";
}

TEST_F(StartErrorsTest, Addresses) {
  ExpectRefused({"--memory=64MiB", "--listen-tcp=nonsense"}, {"--listen-tcp", "host:port"});
  ExpectRefused({"--memory=64MiB", "--listen-http=127.0.0.1:99999"}, {"--listen-http"});
  ExpectRefused({"--memory=64MiB", "--listen-tcp=0.0.0.0:0"},
                {"--listen-tcp", "other hosts", "127.0.0.1", "--allow-insecure-tcp"});
  for (const char* const host : {"127.example.com", "127.0.0.1.example.com", "localhost.example"}) {
    ExpectRefused({"--memory=64MiB", std::string("--listen-tcp=") + host + ":0"},
                  {"--listen-tcp", host, "other hosts"});
  }
  ExpectRefused({"--memory=64MiB", "--listen-http=[::]:0"},
                {"--listen-http", "--allow-insecure-tcp"});
  ExpectFailed(
      {"--memory=64MiB", "--listen-tcp=no.such.host.invalid:1", "--allow-insecure-tcp=true"},
      {"--listen-tcp", "no.such.host.invalid"});
  ExpectRefused({"--memory=64MiB", "--listen-unix=" + (dir_ / std::string(120, 'a'))},
                {"--listen-unix", "107"});
  ExpectFailed({"--memory=64MiB", "--listen-tcp=192.0.2.1:7411", "--allow-insecure-tcp=true"},
               {"--listen-tcp", "no interface of this machine has that address"});
  ExpectFailed({"--memory=64MiB", "--listen-unix=/proc/none/cairn.sock"},
               {"--listen-unix", "give a path in a folder that this user may write to"});
  DaemonProcess::Options open;
  open.flags = {"--allow-insecure-tcp=true"};
  EXPECT_TRUE(StartDaemon(open));
}

TEST_F(StartErrorsTest, ConfigFiles) {
  const std::string path = dir_ / "cairn.toml";
  ExpectRefused({"--config=" + path}, {path});
  WriteFile(path, "memory = \"64MiB\"\nmmeory = \"1GiB\"\n");
  ExpectRefused({"--config=" + path},
                {"configuration file " + path, "there is no option 'mmeory'", "--help"});
  WriteFile(path, "memory = \"64MiB\"\n[ssd]\npath = \"/x\"\n");
  ExpectRefused({"--config=" + path}, {"configuration file", "ssd", "[tables]"});
  WriteFile(path, "memory = \"lots\"\n");
  ExpectRefused({"--config=" + path}, {"memory", "lots"});
  WriteFile(path, "memory = \"64MiB\"\nthreads = \"two\"\n");
  ExpectRefused({"--config=" + path}, {"configuration file " + path + ": --threads: 'two'"});
  WriteFile(path, "memory = \"64MiB\"\ntls-admins = [\"spiffe://c/a\", \"spiffe://c/b\"]\n");
  ExpectRefused({"--config=" + path}, {path, "--tls-admins: takes one value", "\"a,b\""});
  WriteFile(path, "memory = \"64MiB\"\n");
  fs::create_directory(dir_ / "folder");
  ExpectRefused({"--config=" + (dir_ / "folder")}, {"folder", "not readable"});
  ExpectRefused({}, {"--memory", "too little"}, {{"CAIRN_MEMORY", "1KiB"}});
  ExpectRefused({"--memory=64MiB"}, {"--planner", "best"}, {{"CAIRN_PLANNER", "best"}});
}

TEST_F(StartErrorsTest, PortsInUse) {
  const int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(taken, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(taken, 1), 0);
  ASSERT_EQ(getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string where = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  for (const char* const flag : {"--listen-tcp", "--listen-http"}) {
    Args args = OnSsd(dir_ / "ssd");
    args.push_back(std::string(flag) + "=" + where);
    ExpectFailed(args, {flag, where, "in use", "Choose another port"});
  }
  EXPECT_FALSE(fs::exists(dir_ / "ssd")) << "ports come first: the directory may be another's";
  close(taken);
}

TEST_F(StartErrorsTest, SocketPaths) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-path=" + (dir_ / "ssd"), "--ssd=64MiB"};
  ASSERT_TRUE(StartDaemon(options));
  ExpectFailed({"--memory=64MiB", "--listen-unix=" + daemon().socket_path()},
               {"--listen-unix", daemon().socket_path(), "already"});
  ExpectFailed(OnSsd(dir_ / "ssd"), {"--ssd-path", "in use"});
  WriteFile(dir_ / "file", "precious");
  ExpectFailed({"--memory=64MiB", "--listen-unix=" + (dir_ / "file")},
               {"--listen-unix", "no socket", "another path"});
  EXPECT_EQ(ReadFile(dir_ / "file"), "precious");
  ExpectFailed({"--memory=64MiB", "--listen-unix=" + (dir_ / "file/cairn.sock")},
               {"--listen-unix", "file/cairn.sock"});
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  EXPECT_TRUE(engine.Open()) << "the daemon that was there first is not disturbed";
}

TEST_F(StartErrorsTest, SocketOfADeadDaemonIsTakenOver) {
  ASSERT_TRUE(StartDaemon());
  daemon().Kill();
  EXPECT_TRUE(fs::exists(daemon().socket_path()));
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  EXPECT_TRUE(engine.Open());
}

TEST_F(StartErrorsTest, DataDirectoryThatIsNotOurs) {
  WriteFile(dir_ / "file", "precious");
  ExpectFailed(OnSsd(dir_ / "file"), {"--ssd-path", "file"});
  ExpectFailed(OnSsd(dir_ / "file/below"), {"--ssd-path", "file/below"});
  EXPECT_EQ(ReadFile(dir_ / "file"), "precious");
  fs::create_directory(dir_ / "home");
  WriteFile(dir_ / "home/thesis.txt", "precious");
  ExpectFailed(OnSsd(dir_ / "home"),
               {"--ssd-path", "thesis.txt", "left untouched", "another path"});
  EXPECT_EQ(ReadFile(dir_ / "home/thesis.txt"), "precious");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "home"), {}), 1);
}

TEST_F(StartErrorsTest, DataDirectoryOfAnotherFormat) {
  DaemonProcess::Options options;
  options.flags = OnSsd(dir_ / "ssd");
  options.flags.erase(options.flags.begin());
  ASSERT_TRUE(StartDaemon(options));
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(1, 40), {32}, true));
  }
  daemon().Stop();
  const std::string ours = ReadFile(dir_ / "ssd/CAIRN_SSD");
  WriteFile(dir_ / "ssd/CAIRN_SSD", FormatStamp("cairn-ssd", 999));
  ExpectFailed(OnSsd(dir_ / "ssd"), {"--ssd-path", "format 999", "left untouched"});
  WriteFile(dir_ / "ssd/CAIRN_SSD", ours);
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto hit = engine.Load(Tokens(1, 40));
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 32U) << "nothing was lost";
}

TEST_F(StartErrorsTest, DataDirectoryThatCannotBeWritten) {
  fs::create_directory(dir_ / "mount");
  const bool mounted = unshare(CLONE_NEWNS) == 0 &&
                       mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       mount("tmpfs", (dir_ / "mount").c_str(), "tmpfs", MS_RDONLY, "size=1m") == 0;
  if (!mounted) {
    GTEST_SKIP() << "NOT TESTED: no read-only file system can be mounted here; run as root";
  }
  ExpectFailed(OnSsd(dir_ / "mount"), {"--ssd-path", "mount", "Read-only"});
  ExpectFailed(OnSsd(dir_ / "mount/below"), {"--ssd-path", "mount/below", "Read-only"});
  umount2((dir_ / "mount").c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace cairn::test
