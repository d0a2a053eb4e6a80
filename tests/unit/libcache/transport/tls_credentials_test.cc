// Certificates and keys as they come from files: what is refused, in which words, and what happens
// when the files change.
#include "libcache/transport/tls_credentials.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "libcache/base/clock.h"
#include "libcache/transport/certificates.h"
#include "libcache/transport/tls_store.h"
#include "tests/integration/test_ca.h"

namespace cairn::test {
namespace {

class TlsCredentialsTest : public ::testing::Test {
 protected:
  using Loaded = Result<std::shared_ptr<const TlsCredentials>>;
  static Loaded Load(const TlsFiles& files) {
    return TlsCredentials::Load(files, TlsNames(), TlsCredentials::Role::kServer);
  }
  static void ExpectRefused(const TlsFiles& files, const std::vector<std::string>& words,
                            ErrorCode code = ErrorCode::kInvalidArgument) {
    const Loaded loaded = Load(files);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code, code) << loaded.error().message;
    for (const std::string& word : words) {
      EXPECT_NE(loaded.error().message.find(word), std::string::npos) << word << "\n"
                                                                      << loaded.error().message;
    }
  }

  TempDir dir_;
  TestCa ca_{dir_};
};

TEST_F(TlsCredentialsTest, EveryKindOfKey) {
  using Key = CertificateRequest::Key;
  for (const Key key : {Key::kEcdsa, Key::kEd25519, Key::kRsa}) {
    const Loaded loaded = Load(ca_.Issue("daemon", {"a.example", "spiffe://c/x"}, {.key = key}));
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    EXPECT_EQ((*loaded)->identity(), "spiffe://c/x");
    EXPECT_NEAR(static_cast<double>((*loaded)->validity().not_after - UnixNow()), 86'400, 60);
    EXPECT_EQ((*loaded)->warning(), "");
  }
}

TEST_F(TlsCredentialsTest, SaysWhatIsWrongWithWhichFile) {
  const TlsFiles good = ca_.Issue("good", {"a.example"});
  const auto with = [&good](std::string TlsFiles::*field, const std::string& path) {
    TlsFiles files = good;
    files.*field = path;
    return files;
  };
  ExpectRefused(with(&TlsFiles::ca, ""), {"--tls-ca", "missing"});
  ExpectRefused(with(&TlsFiles::key, dir_ / "no.key"), {"--tls-key", "no.key", "cert dev"},
                ErrorCode::kNotFound);
  ExpectRefused(with(&TlsFiles::certificate, dir_.path()), {"--tls-cert", "directory"});
  WriteFile(dir_ / "text", "not a certificate");
  ExpectRefused(with(&TlsFiles::certificate, dir_ / "text"), {"--tls-cert", "no certificate"});
  ExpectRefused(with(&TlsFiles::ca, dir_ / "text"), {"--tls-ca", "no certificate"});
  ExpectRefused(with(&TlsFiles::key, dir_ / "text"), {"--tls-key", "no private key"});
  ExpectRefused(with(&TlsFiles::certificate, good.key), {"--tls-cert", "no certificate"});
  WriteFile(dir_ / "torn", ReadFile(good.certificate).substr(0, 200));
  ExpectRefused(with(&TlsFiles::certificate, dir_ / "torn"), {"--tls-cert", "torn"});
  WriteFile(dir_ / "large", std::string(2U << 20U, 'x'));
  ExpectRefused(with(&TlsFiles::key, dir_ / "large"), {"1 MiB"});
  const TlsFiles other = ca_.Issue("other", {"b.example"});
  ExpectRefused(with(&TlsFiles::key, other.key), {"--tls-key", "not the key of", "good.crt"});
  ExpectRefused(ca_.Issue("old", {"a.example"}, {.from_s = -7200, .to_s = -3600}),
                {"--tls-cert", "expired on", "renew"});
  ExpectRefused(ca_.Issue("new", {"a.example"}, {.from_s = 3600, .to_s = 7200}),
                {"--tls-cert", "not valid before", "clock"});
}

TEST_F(TlsCredentialsTest, SaysWhichFileMayNotBeRead) {
  const TlsFiles files = ca_.Issue("good", {"a.example"});
  ASSERT_EQ(chmod(files.key.c_str(), 0), 0);
  // Root may read everything, so that it has to be somebody else for a moment.
  constexpr uid_t kNobody = 65534;
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  ExpectRefused(files, {"--tls-key", files.key, "Permission denied", "the user of this process"},
                ErrorCode::kPermissionDenied);
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
}

// What an operator is to be told in time may end before our own certificate does. A bundle keeps
// old CAs for a while; those are no reason to worry.
TEST_F(TlsCredentialsTest, ValidityIsOfWhatEndsFirst) {
  TlsFiles files = ca_.Issue("daemon", {"a.example"}, {.from_s = -7200, .to_s = 86'400});
  const std::int64_t now = UnixNow();
  const auto expect = [&files, now](std::int64_t from_s, std::int64_t to_s) {
    const Loaded loaded = Load(files);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    EXPECT_NEAR(static_cast<double>((*loaded)->validity().not_before - now),
                static_cast<double>(from_s), 60);
    EXPECT_NEAR(static_cast<double>((*loaded)->validity().not_after - now),
                static_cast<double>(to_s), 60);
  };
  expect(-7200, 86'400);
  const auto ca_until = [now](std::int64_t to_s) {
    const auto made = IssueCertificate(
        {.common_name = "ca", .is_ca = true, .not_before = now - 36'000, .not_after = now + to_s},
        nullptr);
    return made ? made->certificate : "";
  };
  files.ca = dir_ / "bundle";
  WriteFile(files.ca, ca_until(3600));
  expect(-36'000, 3600);
  WriteFile(files.ca, ca_until(-3600) + ca_until(7200) + ca_until(3600));
  expect(-36'000, 7200);
  WriteFile(files.ca, ca_until(-3600) + ca_until(864'000));
  expect(-7200, 86'400);
}

TEST_F(TlsCredentialsTest, WarnsOfAKeyThatAllCanRead) {
  const TlsFiles files = ca_.Issue("daemon", {"a.example"});
  chmod(files.key.c_str(), 0644);
  const Loaded loaded = Load(files);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_NE((*loaded)->warning().find("chmod 600"), std::string::npos);
}

TEST_F(TlsCredentialsTest, WarnsOfACertificateOfAnotherCa) {
  TlsFiles files = ca_.Issue("daemon", {"a.example"});
  files.ca = TestCa(dir_, "other").path();
  const Loaded loaded = Load(files);
  ASSERT_TRUE(loaded.has_value()) << "engines may have another CA than the daemon";
  EXPECT_NE((*loaded)->warning().find("is not of a CA in --tls-ca"), std::string::npos)
      << (*loaded)->warning();
}

TEST_F(TlsCredentialsTest, IdentityIsTheSpiffeIdElseTheFirstName) {
  const auto identity = [this](const std::vector<std::string>& names) {
    return DescribeCertificates(ReadFile(ca_.Issue("x", names).certificate))->front().identity;
  };
  EXPECT_EQ(identity({"B.example", "a.example"}), "b.example");
  EXPECT_EQ(identity({"a.example", "spiffe://c/ns/x"}), "spiffe://c/ns/x");
  EXPECT_EQ(identity({"https://a.example/", "a.example"}), "a.example");
  EXPECT_EQ(identity({"spiffe://c/1", "spiffe://c/2"}), "") << "which of the two?";
  EXPECT_EQ(identity({"spiffe://c/\x01", "a.example"}), "") << "not the DNS name instead";
  EXPECT_EQ(identity({"spiffe://c/\x7F", "spiffe://c/2"}), "") << "not the second instead";
  EXPECT_EQ(identity({"a\x01.example", "b.example"}), "");
  EXPECT_EQ(identity({"spiffe://c/1", "a\x01.example"}), "");
  EXPECT_EQ(identity({"127.0.0.1"}), "");
  EXPECT_EQ(identity({}), "");
}

TEST_F(TlsCredentialsTest, DevCertificatesAreGoodAndNeverOverwritten) {
  const DevCertificates::Options options{
      .directory = dir_ / "dev", .names = {"localhost", "::1"}, .tenant = "acme"};
  const auto made = DevCertificates::Write(options);
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_EQ(made->engine_identity, "spiffe://cairn.dev/ns/acme/engine");
  for (const char* const name : {"daemon", "engine", "admin"}) {
    const std::string base = options.directory + "/" + name;
    EXPECT_TRUE(Load(
        {.ca = options.directory + "/ca.crt", .certificate = base + ".crt", .key = base + ".key"}));
    struct stat info {};
    ASSERT_EQ(stat((base + ".key").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
  }
  const std::string before = ReadFile(made->files[1]);
  const auto again = DevCertificates::Write(options);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kExists);
  EXPECT_EQ(ReadFile(made->files[1]), before);
  DevCertificates::Options force = options;
  force.overwrite = true;
  EXPECT_TRUE(DevCertificates::Write(force));
  EXPECT_NE(ReadFile(made->files[1]), before);
  force.names = {"not a name"};
  EXPECT_FALSE(DevCertificates::Write(force));
}

// A second tenant, and certificates renewed, while whoever trusts the CA goes on.
TEST_F(TlsCredentialsTest, DevCertificatesOfACaThatIsThere) {
  const std::string home = dir_ / "dev";
  const DevCertificates::Options first{.directory = home, .names = {"localhost"}};
  ASSERT_TRUE(DevCertificates::Write(first));
  const std::string ca = ReadFile(home + "/ca.crt");
  DevCertificates::Options beta = first;
  beta.directory = dir_ / "beta";
  beta.tenant = "beta";
  beta.ca_directory = home;
  const auto made = DevCertificates::Write(beta);
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_EQ(made->engine_identity, "spiffe://cairn.dev/ns/beta/engine");
  EXPECT_EQ(ReadFile(beta.directory + "/ca.crt"), ca);
  EXPECT_NE(access((beta.directory + "/ca.key").c_str(), F_OK), 0) << "once is enough";
  const Loaded loaded = Load({.ca = home + "/ca.crt",
                              .certificate = beta.directory + "/engine.crt",
                              .key = beta.directory + "/engine.key"});
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ((*loaded)->warning(), "");

  DevCertificates::Options renewed = first;
  renewed.ca_directory = home;
  renewed.days = 3650;
  EXPECT_FALSE(DevCertificates::Write(renewed)) << "files are there";
  renewed.overwrite = true;
  const std::string before = ReadFile(home + "/daemon.crt");
  ASSERT_TRUE(DevCertificates::Write(renewed));
  EXPECT_EQ(ReadFile(home + "/ca.crt"), ca);
  EXPECT_NE(ReadFile(home + "/daemon.crt"), before);
  const auto ends = [](const std::string& file) {
    return DescribeCertificates(ReadFile(file))->front().not_after;
  };
  EXPECT_EQ(ends(home + "/daemon.crt"), ends(home + "/ca.crt")) << "no longer than its CA";

  renewed.ca_directory = dir_ / "nowhere";
  EXPECT_EQ(DevCertificates::Write(renewed).error().code, ErrorCode::kNotFound);
  WriteFile(beta.directory + "/ca.key", ReadFile(beta.directory + "/engine.key"));
  renewed.ca_directory = beta.directory;
  EXPECT_NE(DevCertificates::Write(renewed).error().message.find("not a CA and its key"),
            std::string::npos);
}

class TlsStoreTest : public TlsCredentialsTest {
 protected:
  TlsStore MakeStore(const TlsFiles& files) {
    return TlsStore({.files = files, .names = TlsNames()}, clock_);
  }
  ManualClock clock_;
};

TEST_F(TlsStoreTest, TakesUpNewFilesAndKeepsTheOldOverBadOnes) {
  const TlsFiles files = ca_.Issue("x", {"a.example"});
  TlsStore store = MakeStore(files);
  EXPECT_EQ(store.Current(), nullptr);
  ASSERT_TRUE(store.Get());
  const auto first = store.Current();
  ca_.Issue("x", {"b.example"});
  EXPECT_EQ(*store.Get(), first) << "looked at within the second";
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(store.Get());
  EXPECT_EQ(store.Current()->identity(), "b.example");
  EXPECT_EQ(first->identity(), "a.example") << "who has it keeps it";

  WriteFile(files.key, "half a fi");
  const auto broken = store.Refresh();
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(store.Current()->identity(), "b.example");
  const auto again = store.Refresh();
  ASSERT_TRUE(again.has_value()) << "told once, " << again.error().message;
  EXPECT_EQ(*again, TlsStore::Change::kNone);
  std::filesystem::remove(files.certificate);
  EXPECT_FALSE(store.Refresh());
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_TRUE(store.Get()) << "the old ones do";

  ca_.Issue("x", {"c.example"});
  EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNew);
  EXPECT_EQ(store.Current()->identity(), "c.example");
}

// A renewal that comes before its time, from a CA whose clock is ahead.
TEST_F(TlsStoreTest, TakesUpFilesOnceTheirTimeHasCome) {
  const TlsFiles files = ca_.Issue("x", {"a.example"});
  TlsStore store = MakeStore(files);
  ASSERT_TRUE(store.Get());
  ca_.Issue("x", {"b.example"}, {.from_s = 2});
  const auto early = store.Refresh();
  ASSERT_FALSE(early.has_value());
  EXPECT_NE(early.error().message.find("not valid before"), std::string::npos);
  const TimePoint until = SteadyClock::Instance().Now() + std::chrono::seconds(20);
  while (store.Current()->identity() != "b.example" && SteadyClock::Instance().Now() < until) {
    const auto again = store.Refresh();
    ASSERT_TRUE(again.has_value()) << "told once: " << again.error().message;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(store.Current()->identity(), "b.example") << "the files are as they were";
  EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNone);
}

// Other bytes in the same file, of the same size and with the same date: somebody keeps dates.
TEST_F(TlsStoreTest, SeesAChangeThatKeepsSizeAndDate) {
  namespace fs = std::filesystem;
  const TlsFiles files = ca_.Issue("x", {"a.example"});
  const auto pad = [](const std::string& path) {
    std::string text = ReadFile(path);
    text.resize(8192, '\n');
    WriteFile(path, text);
  };
  pad(files.certificate);
  pad(files.key);
  const auto certificate_date = fs::last_write_time(files.certificate);
  const auto key_date = fs::last_write_time(files.key);
  TlsStore store = MakeStore(files);
  ASSERT_TRUE(store.Get());
  ca_.Issue("x", {"b.example"});
  pad(files.certificate);
  pad(files.key);
  fs::last_write_time(files.certificate, certificate_date);
  fs::last_write_time(files.key, key_date);
  EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNew);
  EXPECT_EQ(store.Current()->identity(), "b.example");
}

// A thread that takes long to read what was there puts nothing old over what another read since.
TEST_F(TlsStoreTest, WhoIsLateWithOlderFilesChangesNothing) {
  namespace fs = std::filesystem;
  const TlsFiles files = ca_.Issue("x", {"a.example"});
  TlsStore store = MakeStore(files);
  ASSERT_TRUE(store.Get());
  ca_.Issue("x", {"b.example"});
  const std::string second_key = ReadFile(files.key);
  const std::string slow = dir_ / "slow.key";
  ASSERT_EQ(mkfifo(slow.c_str(), 0600), 0);
  fs::remove(files.key);
  fs::create_hard_link(slow, files.key);
  std::thread late([&store] { EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNone); });
  // Opened for writing once it is read: the certificate was read before.
  int writer = -1;
  while ((writer = open(slow.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
    ASSERT_EQ(errno, ENXIO);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  fs::remove(files.key);
  ca_.Issue("x", {"c.example"});
  EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNew);
  ASSERT_EQ(write(writer, second_key.data(), second_key.size()),
            static_cast<ssize_t>(second_key.size()));
  close(writer);
  late.join();
  EXPECT_EQ(store.Current()->identity(), "c.example");
  EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNone);
}

TEST_F(TlsStoreTest, TriesAgainWhereThereNeverWereGoodFiles) {
  TlsFiles files = ca_.Issue("x", {"a.example"});
  const std::string key = ReadFile(files.key);
  std::filesystem::remove(files.key);
  TlsStore store = MakeStore(files);
  EXPECT_FALSE(store.Get());
  EXPECT_FALSE(store.Get());
  WriteFile(files.key, key);
  EXPECT_TRUE(store.Get());
}

// Secrets in Kubernetes: files are links into a directory that is itself a link, swapped as a
// whole.
TEST_F(TlsStoreTest, SeesThroughLinks) {
  namespace fs = std::filesystem;
  const TlsFiles one = ca_.Issue("one", {"a.example"});
  const TlsFiles two = ca_.Issue("two", {"b.example"});
  for (const auto& [files, name] : {std::pair{one, "v1"}, std::pair{two, "v2"}}) {
    fs::create_directory(dir_ / name);
    fs::rename(files.certificate, dir_ / (std::string(name) + "/tls.crt"));
    fs::rename(files.key, dir_ / (std::string(name) + "/tls.key"));
  }
  fs::create_directory_symlink("v1", dir_ / "data");
  fs::create_symlink("data/tls.crt", dir_ / "tls.crt");
  fs::create_symlink("data/tls.key", dir_ / "tls.key");
  TlsStore store =
      MakeStore({.ca = ca_.path(), .certificate = dir_ / "tls.crt", .key = dir_ / "tls.key"});
  ASSERT_TRUE(store.Get());
  fs::create_directory_symlink("v2", dir_ / "next");
  fs::rename(dir_ / "next", dir_ / "data");
  EXPECT_EQ(*store.Refresh(), TlsStore::Change::kNew);
  EXPECT_EQ(store.Current()->identity(), "b.example");
}

}  // namespace
}  // namespace cairn::test
