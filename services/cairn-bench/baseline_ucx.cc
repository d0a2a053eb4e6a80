#include "services/cairn-bench/baseline_ucx.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <thread>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/base/clock.h"
#include "services/cairn-bench/daemon_process.h"

namespace cairn::bench {
namespace {

constexpr std::chrono::seconds kLimit{60};
constexpr std::chrono::milliseconds kPoll{20};
// Until the server listens; it does not say when. On a busy machine once is not enough.
constexpr std::chrono::milliseconds kServerStart{500};
constexpr int kMostTries = 10;
constexpr std::uint64_t kBytesMoved = 8 * kGiB;

/// The overall bandwidth in the last line of ucx_perftest -f -v, in MB of 2^20 bytes per second; 0
/// if there is none. Columns: iterations, three latencies, average and overall bandwidth, two
/// rates.
double OverallMegabytes(const std::string& path) {
  std::ifstream file(path);
  double found = 0;
  for (std::string line; std::getline(file, line);) {
    std::vector<double> columns;
    const char* at = line.data();
    const char* const end = line.data() + line.size();
    while (at < end) {
      if (*at == ' ') {  // Short numbers are aligned.
        ++at;
        continue;
      }
      double value = 0;
      const auto [stop, error] = std::from_chars(at, end, value);
      if (error != std::errc{}) {
        break;
      }
      columns.push_back(value);
      at = stop < end ? stop + 1 : stop;
    }
    found = columns.size() == 8 ? columns[5] : found;
  }
  return found;
}

}  // namespace

Result<double> UcxPerftestBytesPerSecond(std::uint64_t size, const std::string& transports) {
  const std::string program = FindProgram("ucx_perftest");
  if (program.empty()) {
    return Fail(ErrorCode::kNotFound,
                "ucx_perftest is not installed; on Debian: apt-get install ucx-utils");
  }
  const auto dir = TempDir::Create("");
  if (!dir) {
    return Fail(dir.error());
  }
  const std::string port = std::to_string(FreePort());
  const std::string log = (*dir)->path() + "/client.csv";
  const std::string iterations = std::to_string(std::max<std::uint64_t>(20, kBytesMoved / size));
  // env: it takes its transports from the environment, and this process keeps its own.
  const std::vector<std::string> common = {"/usr/bin/env", "UCX_TLS=" + transports, program};
  std::vector<std::string> serve = common;
  serve.insert(serve.end(), {"-p", port});
  std::vector<std::string> ask = common;
  ask.insert(ask.end(), {"127.0.0.1", "-p", port, "-t", "ucp_put_bw", "-s", std::to_string(size),
                         "-n", iterations, "-w", "10", "-f", "-v"});
  const auto server = ChildProcess::Start(serve, (*dir)->path() + "/server.log");
  if (!server) {
    return Fail(server.error());
  }
  double megabytes = 0;
  const TimePoint deadline = SteadyClock::Instance().Now() + kLimit;
  for (int i = 0; i < kMostTries && megabytes <= 0 && (*server)->Running(); ++i) {
    std::this_thread::sleep_for(kServerStart);
    const auto client = ChildProcess::Start(ask, log);
    if (!client) {
      return Fail(client.error());
    }
    while ((*client)->Running() && SteadyClock::Instance().Now() < deadline) {
      std::this_thread::sleep_for(kPoll);
    }
    megabytes = OverallMegabytes(log);
  }
  if (megabytes <= 0) {
    std::ifstream file(log);
    std::string line;
    std::getline(file, line);
    return Fail(ErrorCode::kUnavailable, "ucx_perftest measured nothing: " + line);
  }
  return megabytes * static_cast<double>(kMiB);
}

}  // namespace cairn::bench
