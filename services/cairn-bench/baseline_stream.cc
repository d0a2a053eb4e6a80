#include "services/cairn-bench/baseline_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "libcache/base/clock.h"
#include "libcache/base/errno_text.h"
#include "services/cairn-bench/daemon_process.h"
#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

constexpr std::chrono::seconds kIperfLimit{15};
constexpr std::chrono::milliseconds kPoll{50};

bool SendAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

bool ReceiveAll(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace

std::pair<int, int> LoopbackPair() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  int server = -1;
  if (bind(listener, generic, size) == 0 && listen(listener, 1) == 0 &&
      getsockname(listener, generic, &size) == 0 && connect(client, generic, size) == 0) {
    server = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  }
  close(listener);
  if (server < 0) {
    close(client);
    return {-1, -1};
  }
  const int on = 1;
  for (const int fd : {client, server}) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  return {client, server};
}

PlainStream::PlainStream(int client, int server, std::span<const std::byte> source,
                         std::uint64_t chunk)
    : client_(client), server_(server), thread_([this, source, chunk] { Serve(source, chunk); }) {}

PlainStream::~PlainStream() {
  shutdown(client_, SHUT_RDWR);
  thread_.join();
  close(client_);
  close(server_);
}

Result<std::unique_ptr<PlainStream>> PlainStream::Open(std::span<const std::byte> source,
                                                       std::uint64_t chunk) {
  const auto [client, server] = LoopbackPair();
  if (server < 0) {
    return Fail(ErrorCode::kIo, "no loopback TCP connection: " + ErrnoText());
  }
  return std::unique_ptr<PlainStream>(new PlainStream(client, server, source, chunk));
}

void PlainStream::Serve(std::span<const std::byte> source, std::uint64_t chunk) const {
  std::byte ask{};
  for (std::uint64_t at = 0; ReceiveAll(server_, std::span(&ask, 1));) {
    if (!SendAll(server_, source.subspan(at, chunk))) {
      return;
    }
    at = at + 2 * chunk <= source.size() ? at + chunk : 0;
  }
}

Status PlainStream::Get(std::span<std::byte> target) {
  const std::byte ask{};
  if (!SendAll(client_, std::span(&ask, 1)) || !ReceiveAll(client_, target)) {
    return Fail(ErrorCode::kIo, std::string("plain stream: ") + ErrnoText());
  }
  return {};
}

double Iperf3BytesPerSecond() {
  const std::string program = FindProgram("iperf3");
  const auto dir = TempDir::Create("");
  if (program.empty() || !dir) {
    return 0;
  }
  const std::string port = std::to_string(FreePort());
  const std::string out = (*dir)->path() + "/client.json";
  const auto server = ChildProcess::Start({program, "-s", "-1", "-B", "127.0.0.1", "-p", port},
                                          (*dir)->path() + "/server.log");
  std::this_thread::sleep_for(10 * kPoll);
  const auto client =
      ChildProcess::Start({program, "-c", "127.0.0.1", "-p", port, "-t", "2", "-J"}, out);
  if (!server || !client) {
    return 0;
  }
  const TimePoint deadline = SteadyClock::Instance().Now() + kIperfLimit;
  while ((*client)->Running() && SteadyClock::Instance().Now() < deadline) {
    std::this_thread::sleep_for(kPoll);
  }
  std::ifstream file(out);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  const nlohmann::json::json_pointer rate("/end/sum_received/bits_per_second");
  if (json.is_discarded() || !json.contains(rate) || !json.at(rate).is_number()) {
    return 0;
  }
  return json.at(rate).get<double>() / 8;
}

}  // namespace cairn::bench
