#include "services/cairn-bench/admin_client.h"

#include <utility>

#include "libcache/transport/endpoint.h"

namespace cairn::bench {

Result<AdminClient> AdminClient::Connect(const std::string& endpoint, TimePoint deadline,
                                         const TlsClientOptions& tls) {
  const auto parsed = ParseEndpoint(endpoint);
  if (!parsed) {
    return Fail(parsed.error());
  }
  Channel::Greeting greeting;
  greeting.client = "cairn-bench";
  greeting.tls = TlsClient::Make(tls);
  auto channel = Channel::Open(*parsed, greeting, deadline);
  if (!channel) {
    return Fail(channel.error());
  }
  return AdminClient(std::move(*channel));
}

Result<v1::AdminReply> AdminClient::Ask(v1::Request& request, TimePoint deadline) {
  auto response = channel_.Call(request, deadline);
  if (!response) {
    return Fail(response.error());
  }
  return std::move(*response->mutable_admin());
}

Result<v1::StatusReply> AdminClient::Status(TimePoint deadline) {
  v1::Request request;
  request.mutable_admin()->mutable_status();
  auto reply = Ask(request, deadline);
  if (!reply) {
    return Fail(reply.error());
  }
  return std::move(*reply->mutable_status());
}

Result<std::map<std::string, std::string>> AdminClient::Config(TimePoint deadline) {
  v1::Request request;
  request.mutable_admin()->mutable_config();
  const auto reply = Ask(request, deadline);
  if (!reply) {
    return Fail(reply.error());
  }
  const auto& values = reply->config().values();
  return std::map<std::string, std::string>(values.begin(), values.end());
}

cairn::Status AdminClient::Clear(TimePoint deadline) {
  v1::Request request;
  request.mutable_admin()->mutable_clear();
  if (const auto reply = Ask(request, deadline); !reply) {
    return Fail(reply.error());
  }
  return {};
}

}  // namespace cairn::bench
