#include "libcache/connector/peer.h"

#include <utility>

namespace cairn {
namespace {

// Long enough that a network which carries no UCX costs next to nothing, short enough that one
// which does again is not left unused for long.
constexpr std::chrono::minutes kWithoutUcx{3};

/// Of an attempt to connect: as if nobody were there. A daemon that does not let us in is none, and
/// so it is while files of ours are no good; asking again costs a connection each time.
Error AsUnavailable(const Error& error) {
  switch (error.code) {
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kNotFound:
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kCorrupt:  // It speaks something else.
    case ErrorCode::kIo: return {ErrorCode::kUnavailable, error.message};
    default: return error;
  }
}

}  // namespace

std::string_view MemberStateName(MemberView::State state) {
  switch (state) {
    case MemberView::State::kIdle: return "idle";
    case MemberView::State::kConnected: return "connected";
    case MemberView::State::kDown: return "down";
    case MemberView::State::kLeftOut: return "left out";
  }
  return "unknown";
}

Result<Backend*> Peer::Ready(const std::shared_ptr<DevicePort>& port, TimePoint deadline) {
  const TimePoint now = SteadyClock::Instance().Now();
  if (BreakerOpen()) {
    if (now < probe_at_) {
      return Fail(ErrorCode::kUnavailable, "the daemon failed " + std::to_string(failures_) +
                                               " times in a row; trying again soon");
    }
    probe_at_ = now + options_.probe_every;  // This call is the probe.
  }
  if (Backend* const connected = Connected(); connected != nullptr) {
    return connected;
  }
  if (backend_ != nullptr && backend_->PlaneName() == "ucx" && backend_->UcxFailed()) {
    ucx_again_at_ = now + kWithoutUcx;
  }
  backend_.reset();
  changed_ = true;
  if (options_.cache != nullptr) {
    backend_ = EmbeddedBackend(options_.cache);
  } else {
    auto endpoint = ParseEndpoint(options_.member.endpoint);
    if (!endpoint) {
      return Fail(endpoint.error());
    }
    endpoint->server = options_.member.server;
    auto connected = ConnectBackend(*endpoint,
                                    {.plane = options_.plane,
                                     .client = options_.client,
                                     .device = port,
                                     .tls = options_.tls,
                                     .without_ucx = now < ucx_again_at_},
                                    deadline);
    if (!connected) {
      Note(AsUnavailable(connected.error()));
      return Fail(connected.error());
    }
    backend_ = std::move(*connected);
    if (backend_->UcxFailed()) {
      ucx_again_at_ = now + kWithoutUcx;
    }
  }
  ++epoch_;
  return backend_.get();
}

Result<Backend*> Peer::ReadyFor(const SpaceRef& space, const std::shared_ptr<DevicePort>& port,
                                TimePoint deadline) {
  auto backend = Ready(port, deadline);
  if (!backend) {
    return backend;
  }
  if (OpenHere(space.handle)) {
    return backend;
  }
  const auto opened = Noted((*backend)->OpenNamespace(*space.spec, deadline));
  if (!opened) {
    return Fail(opened.error());
  }
  if (!(opened->seed == *space.seed)) {
    // Another daemon with another tenant key: prompts made before have other names there.
    return Fail(ErrorCode::kUnsupported, "the daemon has another tenant key; open it again");
  }
  SetId(space.handle, opened->id);
  return backend;
}

void Peer::SetId(std::uint32_t handle, std::uint32_t id) {
  if (remote_ids_.size() <= handle) {
    remote_ids_.resize(handle + std::size_t{1});
  }
  remote_ids_[handle] = {.id = id, .epoch = epoch_};
}

void Peer::Note(const Error& error) {
  if (error.code != ErrorCode::kDeadlineExceeded && error.code != ErrorCode::kUnavailable) {
    NoteSuccess();  // It answered.
    return;
  }
  if (++failures_ == options_.breaker_failures) {
    probe_at_ = SteadyClock::Instance().Now() + options_.probe_every;
  }
  problem_ = error.message;
  changed_ = true;  // The connection may be lost.
}

void Peer::NoteSuccess() {
  if (failures_ != 0 || left_out_ || !problem_.empty()) {
    failures_ = 0;
    left_out_ = false;
    problem_.clear();
    changed_ = true;
  }
}

void Peer::LeaveOut(const Error& why) {
  left_out_ = true;
  problem_ = why.message;
  probe_at_ = SteadyClock::Instance().Now() + options_.probe_every;
  changed_ = true;
}

bool Peer::MayAsk(TimePoint now) const { return now >= probe_at_ || !(left_out_ || BreakerOpen()); }

MemberView Peer::View() const {
  MemberView view{
      .member = options_.member, .state = MemberView::State::kIdle, .problem = problem_};
  if (left_out_) {
    view.state = MemberView::State::kLeftOut;
  } else if (failures_ > 0) {
    view.state = MemberView::State::kDown;
  } else if (Connected() != nullptr) {
    view.state = MemberView::State::kConnected;
  }
  return view;
}

}  // namespace cairn
