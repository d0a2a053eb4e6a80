#include "services/cairnd/listen.h"

#include <sys/stat.h>

#include "libcache/transport/endpoint.h"
#include "services/cairnd/unix_socket.h"

namespace cairn::server {

using asio::ip::tcp;

Result<asio::local::stream_protocol::acceptor> ListenUnix(asio::io_context& io,
                                                          const std::string& path) {
  if (const Status prepared = PrepareSocketPath(path); !prepared) {
    return Fail(prepared.error());
  }
  boost::system::error_code error;
  asio::local::stream_protocol::acceptor acceptor(io);
  acceptor.open(asio::local::stream_protocol(), error);
  // Between bind and chmod nobody else may connect.
  const mode_t before = umask(0117);
  if (!error) {
    acceptor.bind(asio::local::stream_protocol::endpoint(path), error);
  }
  umask(before);
  if (!error) {
    acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return Fail(
        ErrorCode::kUnavailable,
        "--listen-unix: cannot listen on " + path + ": " + error.message() +
            "; give a path in a folder that this user may write to, as --listen-unix "
            "/tmp/cairn.sock, and the same one to cairnctl: --connect unix:/tmp/cairn.sock");
  }
  return acceptor;
}

Result<tcp::acceptor> ListenTcp(asio::io_context& io, const std::string& flag,
                                const std::string& text) {
  const auto endpoint = ParseEndpoint(text);
  boost::system::error_code error;
  tcp::resolver resolver(io);
  const auto addresses =
      resolver.resolve(endpoint->host, std::to_string(endpoint->port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  tcp::acceptor acceptor(io);
  if (!error) {
    const tcp::endpoint address = addresses.begin()->endpoint();
    acceptor.open(address.protocol(), error);
    if (!error) {
      acceptor.set_option(tcp::acceptor::reuse_address(true), error);
      acceptor.bind(address, error);
    }
    if (!error) {
      acceptor.listen(asio::socket_base::max_listen_connections, error);
    }
  }
  if (error) {
    const bool taken = error == boost::system::errc::address_in_use;
    const bool absent = error == boost::system::errc::address_not_available;
    return Fail(ErrorCode::kUnavailable,
                flag + ": cannot listen on " + text + ": " + error.message() +
                    (taken    ? "; is another daemon running? Choose another port"
                     : absent ? "; no interface of this machine has that address: see ip address"
                              : ""));
  }
  return acceptor;
}

}  // namespace cairn::server
