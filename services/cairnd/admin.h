#pragma once

#include <memory>
#include <string>

#include "cairn/v1/admin.pb.h"
#include "libcache/cache/cache.h"
#include "libcache/cluster/membership.h"
#include "services/cairnd/config.h"
#include "services/cairnd/own_member.h"

namespace cairn::server {

class TlsGate;

/// What the admin requests work on. Outlives every request.
struct AdminContext {
  Cache* cache = nullptr;
  const DaemonConfig* config = nullptr;
  const Membership* membership = nullptr;
  const TlsGate* tls = nullptr;  ///< Null: the TCP ports speak plain text.
  TcpListener tcp;
  TimePoint started;
  const struct SessionContext* sessions = nullptr;
  std::string without_ssd = "off";  ///< What to say of an SSD tier that is not there.
  std::string without_ucx = "off";  ///< The same of the UCX plane.
  std::function<void()> drain;      ///< Begins the shutdown; may be called from any thread.
};

/// Answers one admin request. Thread-safe.
Result<v1::AdminReply> HandleAdminRequest(const AdminContext& context,
                                          const v1::AdminRequest& request);

}  // namespace cairn::server
