#pragma once

#include <chrono>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>

#include "tests/integration/raw_peer.h"

namespace cairn::test {

struct HttpReply {
  int status = 0;  ///< 0: the server closed without an answer.
  std::string head;
  std::string body;
};

/// Sends `request` as it stands and reads until the server closes.
inline HttpReply HttpExchange(std::uint16_t port, const std::string& request,
                              std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  RawPeer peer("127.0.0.1:" + std::to_string(port));
  static_cast<void>(peer.Send(request));
  const std::string answer = peer.ReadToEnd(limit);
  HttpReply reply;
  const std::size_t end = answer.find("\r\n\r\n");
  if (answer.rfind("HTTP/1.", 0) == 0 && end != std::string::npos) {
    reply.status = std::atoi(answer.c_str() + 9);
    reply.head = answer.substr(0, end);
    reply.body = answer.substr(end + 4);
  }
  return reply;
}

inline HttpReply HttpGet(std::uint16_t port, const std::string& path) {
  return HttpExchange(port, "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
}

/// Samples of a Prometheus text by name and labels, as they stand: "cairn_leases{kind=\"read\"}".
inline std::map<std::string, double> ParseMetrics(const std::string& text) {
  std::map<std::string, double> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.rfind(' ');
    if (line.empty() || line[0] == '#' || space == std::string::npos) {
      continue;
    }
    samples[line.substr(0, space)] = std::strtod(line.c_str() + space + 1, nullptr);
  }
  return samples;
}

}  // namespace cairn::test
