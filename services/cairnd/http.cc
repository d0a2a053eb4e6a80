#include "services/cairnd/http.h"

#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include "libcache/transport/tls_connection.h"
#include "services/cairnd/tcp_socket.h"

namespace cairn::server {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::chrono::seconds kRequestLimit{10};
constexpr std::chrono::seconds kHandshakeLimit{5};
constexpr std::chrono::seconds kGoodbyeLimit{1};
constexpr std::uint64_t kMaxRequestBytes = 8 * 1024;
// For whoever speaks plain HTTP to a port with TLS.
constexpr std::string_view kSpeaksTls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 72\r\n"
    "Connection: close\r\n\r\n"
    "this port speaks TLS: use https, and show a certificate of its --tls-ca\n";

http::response<http::string_body> Page(const http::request<http::empty_body>& request,
                                       const HttpPages& pages) {
  http::response<http::string_body> response(http::status::ok, request.version());
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  const auto path = request.target();
  if (request.method() != http::verb::get) {
    response.result(http::status::method_not_allowed);
    response.body() = "only GET\n";
  } else if (path == "/metrics") {
    response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response.body() = pages.metrics();
  } else if (path == "/healthz") {
    response.body() = "ok\n";
  } else if (path == "/readyz") {
    const bool ready = pages.ready();
    response.result(ready ? http::status::ok : http::status::service_unavailable);
    response.body() = ready ? "ready\n" : "draining\n";
  } else {
    response.result(http::status::not_found);
    response.body() = "try /healthz, /readyz or /metrics\n";
  }
  response.keep_alive(request.keep_alive());
  response.prepare_payload();
  return response;
}

/// Requests and answers until one side has enough. `stream`: of Beast, perhaps in TLS.
template <class Stream>
asio::awaitable<void> ServePages(Stream& stream, const HttpPages& pages) {
  beast::flat_buffer buffer(kMaxRequestBytes);
  for (bool keep_alive = true; keep_alive;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kMaxRequestBytes);
    beast::get_lowest_layer(stream).expires_after(kRequestLimit);
    const auto read = co_await http::async_read(stream, buffer, parser, kAwait);
    if (std::get<0>(read)) {
      break;
    }
    const auto response = Page(parser.get(), pages);
    const auto written = co_await http::async_write(stream, response, kAwait);
    if (std::get<0>(written)) {
      break;
    }
    keep_alive = response.keep_alive();
  }
}

TlsOutcome OutcomeOf(const boost::system::error_code& error, bool crowded) {
  if (!error) {
    return TlsOutcome::kOk;
  }
  if (crowded) {
    return TlsOutcome::kCrowded;
  }
  if (error == beast::error::timeout) {
    return TlsOutcome::kTimeout;
  }
  if (error.category() != asio::error::get_ssl_category()) {
    return TlsOutcome::kClosed;
  }
  switch (TlsConnection::RefusalFor(static_cast<unsigned long>(error.value()))) {
    case TlsConnection::Refusal::kCertificate: return TlsOutcome::kCertificate;
    case TlsConnection::Refusal::kNoTls: return TlsOutcome::kNoTls;
    default: return TlsOutcome::kProtocol;
  }
}

/// Closes a stream from any thread, unless it has gone.
template <class Stream>
std::function<void()> Closer(const std::shared_ptr<Stream>& stream) {
  return [weak = std::weak_ptr(stream), executor = stream->get_executor()] {
    asio::post(executor, [weak] {
      if (const auto late = weak.lock()) {
        beast::get_lowest_layer(*late).close();
      }
    });
  };
}

asio::awaitable<void> ServeHttps(asio::ip::tcp::socket socket, const HttpPages& pages,
                                 TlsGate& gate, Crowd& crowd) {
  using Secure = beast::ssl_stream<beast::tcp_stream>;
  const std::string from = PeerAddress(socket.native_handle());
  const auto credentials = gate.credentials();
  SSL_CTX_up_ref(credentials->context());  // Asio takes one over.
  asio::ssl::context context(credentials->context());
  const auto stream = std::make_shared<Secure>(beast::tcp_stream(std::move(socket)), context);
  const auto executor = stream->get_executor();
  const Crowd::Slot place = crowd.Enter(Closer(stream));
  const auto crowded = std::make_shared<bool>(false);
  Crowd::Slot slot = gate.Enter([weak = std::weak_ptr(stream), executor, crowded] {
    asio::post(executor, [weak, crowded] {
      if (const auto late = weak.lock()) {
        *crowded = true;
        beast::get_lowest_layer(*late).close();
      }
    });
  });
  beast::get_lowest_layer(*stream).expires_after(kHandshakeLimit);
  const auto shaken = co_await stream->async_handshake(asio::ssl::stream_base::server, kAwait);
  const auto& [error] = shaken;
  slot = Crowd::Slot();
  const TlsOutcome outcome = OutcomeOf(error, *crowded);
  gate.Count(outcome, error ? "http: " + error.message() : "", from);
  if (outcome == TlsOutcome::kNoTls) {
    beast::tcp_stream& plain = beast::get_lowest_layer(*stream);
    const auto answer = asio::buffer(kSpeaksTls);
    const auto told = co_await asio::async_write(plain, answer, kAwait);
    static_cast<void>(told);
  }
  if (!error) {
    co_await ServePages(*stream, pages);
    beast::get_lowest_layer(*stream).expires_after(kGoodbyeLimit);
    const auto closed = co_await stream->async_shutdown(kAwait);
    static_cast<void>(closed);
  }
  beast::get_lowest_layer(*stream).close();
}

}  // namespace

asio::awaitable<void> ServeHttp(asio::ip::tcp::socket socket, const HttpPages& pages, TlsGate* tls,
                                Crowd& crowd) {
  if (tls != nullptr) {
    TlsGate& gate = *tls;
    co_await ServeHttps(std::move(socket), pages, gate, crowd);
    co_return;
  }
  const auto stream = std::make_shared<beast::tcp_stream>(std::move(socket));
  const Crowd::Slot place = crowd.Enter(Closer(stream));
  co_await ServePages(*stream, pages);
  beast::error_code ignored;
  stream->socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
}

}  // namespace cairn::server
