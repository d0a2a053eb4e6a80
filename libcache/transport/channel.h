#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/transport/socket.h"
#include "libcache/transport/tls_client.h"

namespace cairn {

/// One control or data connection from the connector's side: requests out, responses in, in order.
/// Once a call failed by deadline or connection the stream is out of step and the channel is
/// broken; the owner makes a new one. Not thread-safe.
class Channel {
 public:
  struct Greeting {
    v1::Role role = v1::ROLE_CONTROL;
    std::string session_token;  ///< For v1::ROLE_DATA.
    std::string client = "libcairn";
    std::shared_ptr<TlsClient> tls = {};  ///< Over TCP; null: plain text.
  };
  /// Connects and says Hello. Errors: kUnavailable, kDeadlineExceeded, kUnsupported,
  /// kPermissionDenied (the daemon knows no tenant for our certificate), those of TlsClient.
  static Result<Channel> Open(const Endpoint& endpoint, const Greeting& greeting,
                              TimePoint deadline);

  /// Sends `request` (its id and deadline are filled in) and waits for its response.
  /// Errors: those the daemon answered with, and those of Socket.
  Result<v1::Response> Call(v1::Request& request, TimePoint deadline);
  /// As Call; descriptors sent with the response are appended to `fds`.
  Result<v1::Response> CallWithFds(v1::Request& request, std::vector<UniqueFd>& fds,
                                   TimePoint deadline);

  /// Sends `request` and leaves its response to be skipped by the next call, with whatever error it
  /// brings: for what the daemon should know and the caller need not wait for. What of it the
  /// daemon has not taken in by the deadline goes before whatever is sent next. Not between a Send
  /// and its Receive. Errors: as Send; and kDeadlineExceeded with a channel that is as before,
  /// where nothing was sent since what was posted before is not taken in, or not answered.
  Status Post(v1::Request& request, TimePoint deadline);
  /// Whether the last Post was not taken in, or not whole: the next one may have to wait.
  [[nodiscard]] bool Behind() const { return behind_; }

  /// The two halves of Call, for requests in flight one behind the other. `payload` follows the
  /// frame (stream plane).
  Status Send(v1::Request& request, std::span<const std::byte> payload, TimePoint deadline);
  Result<v1::Response> Receive(TimePoint deadline);
  /// The peer does not keep to the protocol: no call succeeds any more.
  void Abandon() { broken_ = true; }
  /// Raw bytes that follow a response (stream plane).
  Status ReceiveRaw(std::span<std::byte> target, TimePoint deadline);

  [[nodiscard]] const v1::HelloReply& hello() const { return hello_; }
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] const std::shared_ptr<TlsClient>& tls() const { return tls_; }
  /// To wait for an answer beside other things: readable when bytes of one come, unless
  /// AnswerBuffered, which is to be asked before each wait.
  [[nodiscard]] int fd() const { return socket_.fd(); }
  /// Whether bytes of an answer have come that fd() does not tell of any more.
  [[nodiscard]] bool AnswerBuffered() const { return socket_.Buffered(); }
  /// Whether the next answer to come belongs to Post. Receive would skip it, and then wait.
  [[nodiscard]] bool OwesPosted() const { return next_reply_ < posted_until_; }
  /// Takes an answer that belongs to Post. Errors: as Receive, and the channel is broken.
  Status SkipPosted(TimePoint deadline);

 private:
  Channel(Socket socket, Endpoint endpoint)
      : socket_(std::move(socket)), endpoint_(std::move(endpoint)) {}
  /// The next response that somebody waits for: those to what was posted are passed over.
  Result<v1::Response> ReceiveFrame(std::vector<UniqueFd>* fds, TimePoint deadline);
  Result<v1::Response> ReceiveOne(std::vector<UniqueFd>* fds, TimePoint deadline);
  /// Fills in the request's number and deadline and makes a frame of it, in out_.
  Status Frame(v1::Request& request, TimePoint deadline);
  /// Sends what of a posted frame is not sent yet, as far as that goes by the deadline.
  Status SendLeft(TimePoint deadline);
  template <class T>
  T Broken(T result);

  Socket socket_;
  Endpoint endpoint_;
  std::shared_ptr<TlsClient> tls_;
  v1::HelloReply hello_;
  std::string out_;
  std::string left_;  // Of a posted frame, to be sent before anything else.
  std::vector<std::byte> in_;
  std::uint64_t next_id_ = 1;
  std::uint64_t next_reply_ = 1;
  std::uint64_t posted_until_ = 1;  // Responses below this id belong to Post.
  bool behind_ = false;
  bool broken_ = false;
};

}  // namespace cairn
