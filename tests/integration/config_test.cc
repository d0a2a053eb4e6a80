// Where options come from: each is a flag, a variable and a key of the file; flag beats variable
// beats file.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/test_ca.h"

namespace cairn::test {
namespace {

class ConfigTest : public DaemonTest {
 protected:
  void SetUp() override { tls_ = TestCa(dir_).Issue("daemon", {"localhost"}); }

  TlsFiles tls_;
  std::map<std::string, std::string> Config() {
    v1::AdminRequest request;
    request.mutable_config();
    const auto reply = daemon().Admin(request);
    EXPECT_TRUE(reply.has_value()) << Why(reply);
    std::map<std::string, std::string> values;
    if (reply) {
      values.insert(reply->config().values().begin(), reply->config().values().end());
    }
    return values;
  }

  /// Every option that DaemonProcess does not set, with a value that is not the default.
  [[nodiscard]] std::map<std::string, std::string> Unusual() const {
    return {{"index", "33554432"},
            {"staging", "2097152"},
            {"ssd-path", dir_ / "ssd"},
            {"ssd", "134217728"},
            {"ssd-write-buffer", "5242880"},
            {"ssd-min-free", "1048576"},
            {"ssd-queue", "7340032"},
            {"ssd-codec", "none,llama=checkpoint:int8_column+kv:fp8_kv"},
            {"ssd-direct-io", "false"},
            {"ssd-readers", "3"},
            {"ssd-flush-ms", "777"},
            {"gpu", "off"},
            {"gpu-memory", "16777216"},
            {"gpu-device", "3"},
            {"allow-insecure-tcp", "true"},
            {"tls-cert", tls_.certificate},
            {"tls-key", tls_.key},
            {"tls-ca", tls_.ca},
            {"tls-tenants", "spiffe://c/ns/acme/*=acme,a.example=b"},
            {"tls-admins", "spiffe://c/admin,b.example"},
            {"tls-handshakes", "17"},
            {"tls-kernel", "true"},
            {"ucx", kSanitized ? "off" : "auto"},  // UCX itself is not instrumented.
            {"ucx-tls", "posix,self"},
            {"ucx-allow-insecure-tcp", "true"},
            {"planner", "block:64"},
            {"eviction", "lru"},
            {"placement-memory", "8388608"},
            {"placement-file", dir_ / "learned"},
            {"placement-save-ms", "4321"},
            {"members", "unix:" + (dir_ / "cairn.sock") + ",10.0.0.1:7411"},
            {"threads", "2"},
            {"workers", "3"},
            {"max-connections", "77"},
            {"lease-ms", "12345"},
            {"drain-ms", "4321"},
            {"log-level", "debug"}};
  }
  void ExpectUnusual() {
    const auto config = Config();
    for (const auto& [key, value] : Unusual()) {
      const auto it = config.find(key);
      ASSERT_NE(it, config.end()) << key;
      EXPECT_EQ(it->second, value) << key;
    }
    // What is not set here is set by the test's own flags: together that is all there is.
    const std::map<std::string, std::string> unusual = Unusual();
    for (const auto& [key, value] : config) {
      const bool placed = key == "memory" || key == "arena" || key == "staging-pool" ||
                          key == "huge-pages" || key == "prefault" || key.rfind("listen-", 0) == 0;
      EXPECT_TRUE(placed || unusual.contains(key)) << key << " is not tested";
    }
  }
  static bool IsText(const std::string& value) {
    return value.find_first_not_of("0123456789") != std::string::npos && value != "true" &&
           value != "false";
  }
};

TEST_F(ConfigTest, EveryKeyInTheFile) {
  std::string toml;
  for (const auto& [key, value] : Unusual()) {
    toml += key + " = " + (IsText(value) ? "\"" + value + "\"" : value) + "\n";
  }
  WriteFile(dir_ / "cairn.toml", "# a comment\n" + toml);
  DaemonProcess::Options options;
  options.flags = {"--config=" + (dir_ / "cairn.toml")};
  ASSERT_TRUE(StartDaemon(options));
  ExpectUnusual();
}

TEST_F(ConfigTest, EveryKeyAsVariable) {
  DaemonProcess::Options options;
  for (const auto& [key, value] : Unusual()) {
    std::string name = "CAIRN_" + key;
    for (char& c : name) {
      c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    options.variables.emplace_back(name, value);
  }
  ASSERT_TRUE(StartDaemon(options));
  ExpectUnusual();
}

TEST_F(ConfigTest, EveryKeyAsFlag) {
  DaemonProcess::Options options;
  for (const auto& [key, value] : Unusual()) {
    options.flags.push_back("--" + key);  // The other way to write it; the rest use "=".
    options.flags.push_back(value);
  }
  ASSERT_TRUE(StartDaemon(options));
  ExpectUnusual();
}

TEST_F(ConfigTest, FlagBeatsVariableBeatsFile) {
  WriteFile(dir_ / "cairn.toml",
            "planner = \"none\"\neviction = \"lfu\"\nlease-ms = 1001\nindex = \"16MiB\"\n");
  DaemonProcess::Options options;
  options.flags = {"--planner=block:64"};
  options.variables = {{"CAIRN_CONFIG", dir_ / "cairn.toml"},
                       {"CAIRN_PLANNER", "turn_end"},
                       {"CAIRN_EVICTION", "lru"},
                       {"CAIRN_LEASE_MS", "2002"}};
  ASSERT_TRUE(StartDaemon(options));
  const auto config = Config();
  EXPECT_EQ(config.at("planner"), "block:64");
  EXPECT_EQ(config.at("eviction"), "lru");
  EXPECT_EQ(config.at("lease-ms"), "2002");
  EXPECT_EQ(config.at("index"), "16777216");
}

TEST_F(ConfigTest, EmptySwitchesAListenerOffWhereverItIsWritten) {
  DaemonProcess::Options options;
  options.tcp = false;  // "--listen-tcp=", followed by other flags.
  ASSERT_TRUE(StartDaemon(options));
  EXPECT_EQ(daemon().tcp_port(), 0);
  EXPECT_NE(daemon().http_port(), 0);
  EXPECT_EQ(HttpGet(daemon().http_port(), "/healthz").status, 200);
}

TEST_F(ConfigTest, EmptyVariableSwitchesAListenerOff) {
  WriteFile(dir_ / "cairn.toml", "listen-http = \"\"\n");
  const auto process =
      DaemonProcess::Raw(dir_,
                         {"--memory=64MiB", "--huge-pages=false", "--listen-unix=" + (dir_ / "s"),
                          "--config=" + (dir_ / "cairn.toml")},
                         {{"CAIRN_LISTEN_TCP", ""}});
  for (int i = 0; i < 1000 && process->Output().find("serving") == std::string::npos; ++i) {
    ASSERT_FALSE(process->WaitExit(std::chrono::milliseconds(10)).has_value()) << process->Output();
  }
  EXPECT_NE(process->Output().find("tcp_port=0 http_port=0"), std::string::npos)
      << process->Output();
  process->Signal(SIGTERM);
  EXPECT_EQ(process->WaitExit(std::chrono::seconds(30)).value_or(-1), 0);
}

TEST_F(ConfigTest, MisspeltVariablesAreNamed) {
  DaemonProcess::Options options;
  options.variables = {{"CAIRN_MEMROY", "1"},
                       {"CAIRN_LEASE_MS", "12345"},
                       {"CAIRN_CONNECT", "unix:/elsewhere"},
                       {"CAIRN_TRACES", "/traces"}};
  ASSERT_TRUE(StartDaemon(options));
  const std::string log = daemon().Log();
  EXPECT_NE(log.find("warning unknown_variable name=CAIRN_MEMROY"), std::string::npos) << log;
  EXPECT_EQ(log.find("unknown_variable"), log.rfind("unknown_variable")) << log;
  // Where the option it was meant for is missing, the error stands beside it.
  const auto failed = DaemonProcess::Raw(dir_, {}, {{"CAIRN_MEMROY", "4GiB"}});
  EXPECT_EQ(failed->WaitExit(std::chrono::seconds(20)).value_or(-1), 2);
  EXPECT_NE(failed->Output().find("CAIRN_MEMROY"), std::string::npos) << failed->Output();
  EXPECT_NE(failed->Output().find("--memory"), std::string::npos) << failed->Output();
}

TEST_F(ConfigTest, SettingsOfATierThatIsOffAreNamed) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-codec=lossless", "--ssd-readers=2", "--gpu-device=1", "--gpu=auto"};
  ASSERT_TRUE(StartDaemon(options));
  const std::string log = daemon().Log();
  EXPECT_NE(log.find("warning setting_without_effect name=ssd-codec reason=\"no SSD tier: "
                     "--ssd-path and --ssd are not given\""),
            std::string::npos)
      << log;
  EXPECT_NE(log.find("warning setting_without_effect name=gpu-device reason=\"no GPU tier: "
                     "--gpu-memory is not given\""),
            std::string::npos)
      << log;
  EXPECT_EQ(log.find("name=ssd-readers"), std::string::npos) << "the default, which asks nothing";
}

TEST_F(ConfigTest, SettingsOfATierThatIsOnAreNot) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-path=" + (dir_ / "ssd"),
                   "--ssd=128MiB",
                   "--ssd-codec=lossless",
                   "--ssd-readers=3",
                   "--gpu=fake",
                   "--gpu-memory=16MiB"};
  ASSERT_TRUE(StartDaemon(options));
  EXPECT_EQ(daemon().Log().find("setting_without_effect"), std::string::npos) << daemon().Log();
}

TEST_F(ConfigTest, ValuesOfAnotherKindAreToldWithWhatToWrite) {
  for (const auto& [flag, message] :
       {std::pair{"--threads=abc", "cairnd: --threads: 'abc' is not a whole number"},
        std::pair{"--lease-ms=-1", "cairnd: --lease-ms: '-1' is not a whole number"},
        std::pair{"--prefault=maybe", "cairnd: --prefault: 'maybe' is not true or false"},
        std::pair{"--memory=much", "cairnd: --memory: 'much' is not a size"},
        std::pair{"--nothing", "cairnd: The following argument was not expected: --nothing"}}) {
    const auto failed = DaemonProcess::Raw(dir_, {flag});
    EXPECT_EQ(failed->WaitExit(std::chrono::seconds(20)).value_or(-1), 2);
    EXPECT_NE(failed->Output().find(message), std::string::npos) << failed->Output();
    EXPECT_NE(failed->Output().find("; see cairnd --help\n"), std::string::npos)
        << failed->Output();
  }
}

TEST_F(ConfigTest, HelpAndVersionSayWhatTheyShould) {
  auto help = DaemonProcess::Raw(dir_, {"--help"});
  EXPECT_EQ(help->WaitExit(std::chrono::seconds(20)).value_or(-1), 0);
  for (const auto& [key, value] : Unusual()) {
    EXPECT_NE(help->Output().find("--" + key), std::string::npos) << key;
  }
  for (const char* const part : {"turn_end_demand, branch_end", "w_tinylfu", "name=endpoint",
                                 "127.0.0.1:7411", "64.0 MiB", "30000"}) {
    EXPECT_NE(help->Output().find(part), std::string::npos) << part << " in\n" << help->Output();
  }
  auto version = DaemonProcess::Raw(dir_, {"--version"});
  EXPECT_EQ(version->WaitExit(std::chrono::seconds(20)).value_or(-1), 0);
  EXPECT_NE(version->Output().find("cairnd "), std::string::npos);
}

}  // namespace
}  // namespace cairn::test
