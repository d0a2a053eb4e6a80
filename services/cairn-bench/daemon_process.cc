#include "services/cairn-bench/daemon_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "libcache/base/errno_text.h"
#include "libcache/transport/dev_certificates.h"
#include "services/cairn-bench/admin_client.h"
#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

constexpr std::chrono::seconds kStartLimit{20};
constexpr std::chrono::seconds kStopLimit{15};
constexpr std::chrono::milliseconds kPoll{10};
constexpr std::size_t kLogTail = 800;

struct TempDirs {
  Mutex mu;
  std::set<std::string> paths CAIRN_GUARDED_BY(mu);
};
TempDirs& AllTempDirs() {
  static TempDirs all;
  return all;
}

sigset_t EndingSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    sigaddset(&set, signal);
  }
  return set;
}

/// Between fork and exec: only calls that are safe there.
[[noreturn]] void BecomeChild(char* const* argv, char* const* environment, const char* log) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  const sigset_t ending = EndingSignals();
  pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);
  const int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out >= 0) {
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
  }
  execve(argv[0], argv, environment);
  _exit(127);
}

std::string TailOf(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.substr(all.size() - std::min(all.size(), kLogTail));
}

}  // namespace

Result<std::unique_ptr<TempDir>> TempDir::Create(const std::string& below) {
  std::error_code error;
  const std::string parent =
      below.empty() ? std::filesystem::temp_directory_path(error).string() : below;
  std::string pattern = parent + "/cairn-bench.XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    return Fail(ErrorCode::kIo, "cannot make a directory below " + parent + ": " + ErrnoText());
  }
  return std::unique_ptr<TempDir>(new TempDir(std::move(pattern)));
}

TempDir::TempDir(std::string path) : path_(std::move(path)) {
  TempDirs& all = AllTempDirs();
  const MutexLock lock(all.mu);
  all.paths.insert(path_);
}

void TempDir::RemoveAll() {
  TempDirs& all = AllTempDirs();
  const MutexLock lock(all.mu);
  for (const std::string& path : all.paths) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
}

TempDir::~TempDir() {
  {
    TempDirs& all = AllTempDirs();
    const MutexLock lock(all.mu);
    all.paths.erase(path_);
  }
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Start(const std::vector<std::string>& command,
                                                          const std::string& log) {
  std::vector<std::string> words = command;
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  std::vector<char*> variables;  // CAIRN_* would configure a daemon of ours.
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::string_view(*entry).substr(0, 6) != "CAIRN_") {
      variables.push_back(*entry);
    }
  }
  variables.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) {
    return Fail(ErrorCode::kIo, "cannot start " + command[0] + ": " + ErrnoText());
  }
  if (pid == 0) {
    BecomeChild(argv.data(), variables.data(), log.c_str());
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid));
}

ChildProcess::~ChildProcess() { Stop(); }

bool ChildProcess::Running() {
  if (!ended_) {
    ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  }
  return !ended_;
}

bool ChildProcess::WaitUntil(TimePoint deadline) {
  while (Running() && SteadyClock::Instance().Now() < deadline) {
    std::this_thread::sleep_for(kPoll);
  }
  return ended_;
}

bool ChildProcess::Stop() {
  if (Running()) {
    kill(pid_, SIGTERM);
    if (!WaitUntil(SteadyClock::Instance().Now() + kStopLimit)) {
      kill(pid_, SIGKILL);
      waitpid(pid_, &status_, 0);
      ended_ = true;
    }
  }
  return WIFEXITED(status_) && WEXITSTATUS(status_) == 0;
}

double ChildProcess::CpuSeconds() const {
  // schedstat counts nanoseconds; stat would round to clock ticks.
  double seconds = 0;
  std::error_code error;
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::ifstream file(task.path() / "schedstat");
    double nanoseconds = 0;
    if (file >> nanoseconds) {
      seconds += nanoseconds / 1e9;
    }
  }
  return seconds;
}

DaemonProcess::DaemonProcess(Config config, std::unique_ptr<TempDir> dir)
    : config_(std::move(config)), dir_(std::move(dir)) {
  // From here on a signal reaches the watcher alone, which tidies up before it ends the program.
  const sigset_t ending = EndingSignals();
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  watcher_ = std::thread([this] { WatchSignals(); });
}

DaemonProcess::~DaemonProcess() {
  ending_ = true;
  watcher_.join();
  child_.reset();
}

void DaemonProcess::WatchSignals() {
  const sigset_t ending = EndingSignals();
  const timespec pause{.tv_sec = 0, .tv_nsec = 50'000'000};
  while (!ending_) {
    const int signal = sigtimedwait(&ending, nullptr, &pause);
    if (signal <= 0) {
      continue;
    }
    TellInterrupted();
    const MutexLock lock(mu_);
    child_.reset();
    TempDir::RemoveAll();
    _exit(128 + signal);
  }
}

Result<std::unique_ptr<DaemonProcess>> DaemonProcess::Start(const Config& config) {
  auto dir = TempDir::Create(config.below);
  if (!dir) {
    return Fail(dir.error());
  }
  std::unique_ptr<DaemonProcess> daemon(new DaemonProcess(config, std::move(*dir)));
  if (const Status launched = daemon->Launch(); !launched) {
    return Fail(launched.error());
  }
  return daemon;
}

Status DaemonProcess::Launch() {
  const std::string program = FindProgram("cairnd");
  if (program.empty()) {
    return Fail(ErrorCode::kNotFound, "there is no cairnd beside cairn-bench; build it first");
  }
  std::vector<std::string> command = {program, "--memory=" + std::to_string(config_.memory_bytes),
                                      "--listen-unix=" + dir_->path() + "/cairn.sock",
                                      "--listen-http=", "--log-level=warn"};
  tcp_endpoint_ = config_.tcp ? "127.0.0.1:" + std::to_string(FreePort()) : "";
  command.push_back("--listen-tcp=" + tcp_endpoint_);
  if (config_.ssd_bytes != 0) {
    command.push_back("--ssd=" + std::to_string(config_.ssd_bytes));
    command.push_back("--ssd-path=" + dir_->path() + "/ssd");
  }
  command.insert(command.end(), config_.more_flags.begin(), config_.more_flags.end());
  if (config_.tls) {
    const auto made = DevCertificates::Write(
        {.directory = dir_->path() + "/tls", .names = {"127.0.0.1"}, .overwrite = true});
    if (!made) {
      return Fail(made.error());
    }
    const TlsFiles files = TlsServerFiles();
    command.insert(command.end(), {"--tls-cert=" + files.certificate, "--tls-key=" + files.key,
                                   "--tls-ca=" + files.ca});
  }
  const std::string log = dir_->path() + "/cairnd.log";
  {
    const MutexLock lock(mu_);
    auto child = ChildProcess::Start(command, log);
    if (!child) {
      return Fail(child.error());
    }
    child_ = std::move(*child);
  }
  const TimePoint deadline = SteadyClock::Instance().Now() + kStartLimit;
  while (child_->Running() && SteadyClock::Instance().Now() < deadline) {
    if (AdminClient::Connect(endpoint(), deadline)) {
      return {};
    }
    std::this_thread::sleep_for(kPoll);
  }
  return Fail(ErrorCode::kUnavailable, program + " did not start: " + TailOf(log));
}

TlsFiles DaemonProcess::TlsServerFiles() const {
  const std::string tls = dir_->path() + "/tls/";
  return {.ca = tls + "ca.crt", .certificate = tls + "daemon.crt", .key = tls + "daemon.key"};
}

TlsClientOptions DaemonProcess::Tls() const {
  const std::string tls = dir_->path() + "/tls/";
  return config_.tls ? TlsClientOptions{.ca = tls + "ca.crt",
                                        .certificate = tls + "engine.crt",
                                        .key = tls + "engine.key"}
                     : TlsClientOptions{};
}

Status DaemonProcess::Restart() {
  {
    const MutexLock lock(mu_);
    if (!child_->Stop()) {
      return Fail(ErrorCode::kUnavailable,
                  "cairnd did not stop well: " + TailOf(dir_->path() + "/cairnd.log"));
    }
  }
  return Launch();
}

Status DaemonProcess::Clear() const {
  const TimePoint deadline = SteadyClock::Instance().Now() + kStartLimit;
  auto admin = AdminClient::Connect(endpoint(), deadline);
  if (!admin) {
    return Fail(admin.error());
  }
  return admin->Clear(deadline);
}

Result<v1::StatusReply> DaemonProcess::Ask() const {
  const TimePoint deadline = SteadyClock::Instance().Now() + kStartLimit;
  auto admin = AdminClient::Connect(endpoint(), deadline);
  if (!admin) {
    return Fail(admin.error());
  }
  return admin->Status(deadline);
}

std::uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  std::uint16_t port = 0;
  if (fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(fd);
  return port;
}

std::string FindProgram(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  std::string beside = (self.parent_path() / name).string();
  if (!error && access(beside.c_str(), X_OK) == 0) {
    return beside;
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment.
  const char* const path = std::getenv("PATH");
  std::stringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    folder += "/" + name;
    if (access(folder.c_str(), X_OK) == 0) {
      return folder;
    }
  }
  return "";
}

}  // namespace cairn::bench
