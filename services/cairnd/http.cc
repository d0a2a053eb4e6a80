#include "services/cairnd/http.h"

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <utility>

namespace cairn::server {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::chrono::seconds kRequestLimit{10};
constexpr std::uint64_t kMaxRequestBytes = 8 * 1024;

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

}  // namespace

asio::awaitable<void> ServeHttp(asio::ip::tcp::socket socket, const HttpPages& pages) {
  beast::tcp_stream stream(std::move(socket));
  beast::flat_buffer buffer(kMaxRequestBytes);
  for (bool keep_alive = true; keep_alive;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kMaxRequestBytes);
    stream.expires_after(kRequestLimit);
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
  beast::error_code ignored;
  stream.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
}

}  // namespace cairn::server
