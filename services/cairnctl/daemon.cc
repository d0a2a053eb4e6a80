#include "services/cairnctl/daemon.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "libcache/base/clock.h"

namespace cairn::ctl {
namespace {

TimePoint In(std::chrono::milliseconds time) { return SteadyClock::Instance().Now() + time; }

Error Late(const Endpoint& endpoint, std::chrono::milliseconds timeout) {
  return {ErrorCode::kDeadlineExceeded,
          "the daemon at " + endpoint.Text() + " did not answer within " +
              std::to_string(timeout.count()) +
              " ms; give it more time with --timeout, or see whether its process is stopped"};
}

/// What the connector says of a failed connection, and what to do about it from a shell.
Error Advised(const Error& error, const Invocation& invocation) {
  const Endpoint& endpoint = invocation.endpoint;
  if (error.code == ErrorCode::kDeadlineExceeded) {
    return Late(endpoint, invocation.timeout);
  }
  if (error.code != ErrorCode::kUnavailable) {
    return error;
  }
  if (endpoint.kind == Endpoint::Kind::kUnix && access(endpoint.path.c_str(), W_OK) != 0 &&
      errno == EACCES) {
    return {ErrorCode::kPermissionDenied,
            "the daemon at " + endpoint.Text() +
                " belongs to another user; run cairnctl as that user or as root"};
  }
  if (!error.message.starts_with("no daemon")) {
    const bool closed = error.message.find("closed the connection") != std::string::npos;
    return {error.code, endpoint.Text() + ": " + error.message +
                            (closed && endpoint.kind == Endpoint::Kind::kTcp
                                 ? "; is that its port for engines (--listen-tcp), not for HTTP?"
                                 : "")};
  }
  // Of several daemons this one was meant.
  return invocation.members.empty() && invocation.cluster.empty()
             ? Error{error.code, error.message + ", or give --connect ENDPOINT"}
             : error;
}

v1::AdminReply::BodyCase ReplyTo(v1::AdminRequest::BodyCase request) {
  switch (request) {
    case v1::AdminRequest::kStatus: return v1::AdminReply::kStatus;
    case v1::AdminRequest::kTree: return v1::AdminReply::kTree;
    case v1::AdminRequest::kLookup: return v1::AdminReply::kLookup;
    case v1::AdminRequest::kLeases: return v1::AdminReply::kLeases;
    case v1::AdminRequest::kConfig: return v1::AdminReply::kConfig;
    case v1::AdminRequest::kPlacementShow: return v1::AdminReply::kPlacementShow;
    case v1::AdminRequest::kPlacementExplain: return v1::AdminReply::kPlacementExplain;
    case v1::AdminRequest::kPlacementExport: return v1::AdminReply::kPlacementExport;
    default: return v1::AdminReply::kCount;
  }
}

}  // namespace

Result<Daemon> Daemon::Open(const Invocation& invocation) {
  Channel::Greeting greeting;
  greeting.role = v1::ROLE_ADMIN;
  greeting.client = std::string("cairnctl ") + CAIRN_VERSION;
  greeting.tls = TlsClient::Make(invocation.tls);
  auto channel = Channel::Open(invocation.endpoint, greeting, In(invocation.timeout));
  if (!channel) {
    return Fail(Advised(channel.error(), invocation));
  }
  return Daemon(std::move(*channel), invocation.timeout);
}

Result<v1::AdminReply> Daemon::Call(const v1::AdminRequest& request) {
  v1::Request envelope;
  *envelope.mutable_admin() = request;
  auto response = channel_.Call(envelope, In(timeout_));
  if (!response) {
    return Fail(response.error().code == ErrorCode::kDeadlineExceeded
                    ? Late(channel_.endpoint(), timeout_)
                    : response.error());
  }
  if (response->admin().body_case() != ReplyTo(request.body_case())) {
    return Fail(ErrorCode::kUnsupported,
                "the daemon answered with something else; is it of another version? See cairnctl "
                "version");
  }
  return std::move(*response->mutable_admin());
}

Result<v1::StatusReply> Daemon::Status() {
  v1::AdminRequest request;
  request.mutable_status();
  auto reply = Call(request);
  if (!reply) {
    return Fail(reply.error());
  }
  return std::move(*reply->mutable_status());
}

}  // namespace cairn::ctl
