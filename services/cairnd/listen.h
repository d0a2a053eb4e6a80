#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <string>

#include "libcache/base/result.h"
#include "services/cairnd/async.h"

namespace cairn::server {

/// Listens at a path, for the daemon's user and group. Errors: those of PrepareSocketPath;
/// kUnavailable.
Result<asio::local::stream_protocol::acceptor> ListenUnix(asio::io_context& io,
                                                          const std::string& path);
/// Listens at `text`, "host:port". Errors: kUnavailable, naming the `flag` it came by.
Result<asio::ip::tcp::acceptor> ListenTcp(asio::io_context& io, const std::string& flag,
                                          const std::string& text);

}  // namespace cairn::server
