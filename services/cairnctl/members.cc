#include "services/cairnctl/members.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>
#include <utility>

#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/transport/resolve.h"
#include "libcache/transport/socket.h"
#include "services/cairnctl/daemon.h"
#include "services/cairnctl/format.h"

namespace cairn::ctl {
namespace {

Result<std::vector<Member>> MembersOf(const std::string& text) {
  if (!text.starts_with(kDnsPrefix)) {
    return ParseMembers(text);
  }
  const auto name = ParseDnsName(text);
  if (!name) {
    return Fail(name.error());
  }
  const auto endpoints = ResolveHost(name->host, name->port);
  if (!endpoints || endpoints->empty()) {
    return Fail(ErrorCode::kUnavailable,
                "dns: '" + name->host + "' " +
                    (endpoints ? "answers nothing" : "gives none: " + endpoints.error().message) +
                    "; is that the headless service's name, and are its pods ready?");
  }
  std::vector<Member> members;
  for (const std::string& endpoint : *endpoints) {
    members.push_back({.name = endpoint, .endpoint = endpoint, .server = name->host});
  }
  return members;
}

Result<Endpoint> EndpointOf(const Member& member) {
  auto endpoint = ParseEndpoint(member.endpoint);
  if (endpoint) {
    endpoint->server = member.server;
  }
  return endpoint;
}

constexpr std::size_t kMostAtOnce = 64;

/// Connects and asks. Of one that failed it looks whether anybody is there at all.
MemberStatus Ask(Invocation invocation, const Member& member) {
  invocation.endpoint = *EndpointOf(member);
  auto daemon = Daemon::Open(invocation);
  auto reply = daemon ? daemon->Status() : Fail(daemon.error());
  if (reply) {
    return {.member = member, .status = std::move(*reply)};
  }
  const TimePoint until = SteadyClock::Instance().Now() + invocation.timeout;
  const ErrorCode code = reply.error().code;
  const bool refuses = code == ErrorCode::kPermissionDenied ||
                       (code != ErrorCode::kDeadlineExceeded &&
                        Socket::Connect(invocation.endpoint, until).has_value());
  return {.member = member, .status = Fail(reply.error()), .refuses = refuses};
}

/// Says after a while, once, whom one waits for.
class Waiting {
 public:
  explicit Waiting(const std::vector<MemberStatus>& all) : done_(all.size()) {}
  void Done(std::size_t at) CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    done_[at] = true;
    changed_.NotifyAll();
  }
  void Watch(const std::vector<MemberStatus>& all) CAIRN_EXCLUDES(mu_) {
    const std::string names = AwaitAll(all, SteadyClock::Instance().Now() + kSilence);
    if (!names.empty()) {
      std::fprintf(stderr, "waiting for %s\n", Printable(names).c_str());
    }
  }

 private:
  static constexpr std::chrono::seconds kSilence{2};
  /// Who is not done by `until`.
  std::string AwaitAll(const std::vector<MemberStatus>& all, TimePoint until) CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    std::string names;
    while (std::find(done_.begin(), done_.end(), false) != done_.end() &&
           changed_.WaitUntil(mu_, until)) {
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      names += done_[i] ? "" : (names.empty() ? "" : ", ") + all[i].member.name;
    }
    return names;
  }

  Mutex mu_;
  CondVar changed_;
  std::vector<bool> done_ CAIRN_GUARDED_BY(mu_);
};

/// Fills in what all say but the known one.
void AskSideBySide(const Invocation& invocation, const std::optional<MemberStatus>& known,
                   std::vector<MemberStatus>& asked) {
  const std::vector<MemberStatus> members = asked;  // To be read while the others are written.
  Waiting waiting(members);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < members.size(); i = next++) {
      if (!known || known->member.name != members[i].member.name) {
        asked[i] = Ask(invocation, members[i].member);
      }
      waiting.Done(i);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(members.size(), kMostAtOnce); ++i) {
    threads.emplace_back(work);
  }
  if (!invocation.json) {
    waiting.Watch(members);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

/// Why each does not tell; those of one reason together.
std::string Whys(const std::vector<MemberStatus>& asked) {
  std::vector<std::pair<std::string, std::string>> whys;  // Reason; "state (names".
  for (const MemberStatus& one : asked) {
    const std::string& why = one.status.error().message;
    const auto same = std::find_if(whys.begin(), whys.end(),
                                   [&why](const auto& other) { return other.first == why; });
    if (same == whys.end()) {
      whys.emplace_back(why, one.State() + " (" + one.member.name);
    } else {
      same->second += ", " + one.member.name;
    }
  }
  std::string text;
  for (const auto& [why, who] : whys) {
    text += (text.empty() ? "" : "; ") + who + "): " + why;
  }
  return text;
}

std::string Names(const std::vector<Member>& members) {
  std::string names;
  for (const Member& member : members) {
    names += (names.empty() ? "" : ", ") + member.name;
  }
  return names;
}

/// The one named `wanted`. Errors: kInvalidArgument, with the names there are.
Result<Member> Find(const std::vector<Member>& members, const std::string& wanted) {
  for (const Member& member : members) {
    if (member.name == wanted) {
      return member;
    }
  }
  return Fail(ErrorCode::kInvalidArgument,
              "--member: there is no '" + wanted + "'; there are " + Names(members));
}

Status Choose(Invocation& invocation, const std::vector<Member>& members,
              const std::string& wanted) {
  const auto found = Find(members, wanted);
  if (!found) {
    return Fail(found.error());
  }
  const auto endpoint = EndpointOf(*found);
  if (!endpoint) {
    return Fail(endpoint.error());
  }
  invocation.endpoint = *endpoint;
  return {};
}

/// One of those that the daemon of --connect knows, which may be itself: it is asked the way it
/// was.
Status ChooseFellow(Invocation& invocation, const std::string& wanted) {
  const auto fellows = AskForFellows(invocation);
  if (!fellows) {
    return Fail(fellows.error().code, "--member: " + fellows.error().message);
  }
  if (fellows->self && fellows->self->member.name == wanted) {
    return {};
  }
  return Choose(invocation, fellows->members, wanted);
}

}  // namespace

Status CheckCluster(const std::string& text) {
  const auto members = NamedMembers(text);
  if (!members) {
    return Fail(members.error());
  }
  for (const Member& member : *members) {
    if (const auto endpoint = EndpointOf(member); !endpoint) {
      return Fail(endpoint.error());
    }
  }
  return {};
}

Status ChooseMember(Invocation& invocation) {
  const std::string wanted = invocation.Value("--member");
  const CommandSpec& command = *FindCommand(invocation.command);
  if (invocation.cluster.empty()) {
    return wanted.empty() || command.works_alone ? Status() : ChooseFellow(invocation, wanted);
  }
  if (command.works_alone && wanted.empty()) {
    return {};
  }
  auto members = MembersOf(invocation.cluster);
  if (!members) {
    return Fail(members.error());
  }
  if (wanted.empty()) {
    if (!command.of_all) {
      return Fail(
          ErrorCode::kInvalidArgument,
          invocation.command + " is for one daemon; say which with --member: " + Names(*members));
    }
    invocation.members = *std::move(members);
    return {};
  }
  return Choose(invocation, *members, wanted);
}

Result<Fellows> AskForFellows(const Invocation& invocation) {
  auto daemon = Daemon::Open(invocation);
  const auto reply = daemon ? daemon->Status() : Fail(daemon.error());
  if (!reply) {
    return Fail(reply.error());
  }
  const v1::StatusReply& status = *reply;
  std::string list;
  for (const std::string& member : status.members()) {
    list += (list.empty() ? "" : ",") + member;
  }
  if (list.empty()) {
    return Fail(ErrorCode::kUnavailable,
                status.members_problem().empty()
                    ? "the daemon at " + invocation.endpoint.Text() + " knows no members"
                    : status.members_problem());
  }
  auto members = ParseMembers(list);
  if (!members) {
    return Fail(members.error());
  }
  Fellows fellows;
  for (Member& member : *members) {
    member.server = status.members_server();
    if (member.name == status.member_self()) {
      fellows.self = MemberStatus{.member = member, .status = status};
    }
  }
  fellows.members = *std::move(members);
  return fellows;
}

std::string MemberStatus::State() const {
  return status ? status->state() : refuses ? "refuses" : "no answer";
}

Result<std::vector<MemberStatus>> AskMembers(const Invocation& invocation,
                                             const std::optional<MemberStatus>& known) {
  std::vector<MemberStatus> asked;
  for (const Member& member : invocation.members) {
    if (const auto endpoint = EndpointOf(member); !endpoint) {
      return Fail(endpoint.error());
    }
    asked.push_back({.member = member, .status = v1::StatusReply()});
    if (known && known->member.name == member.name) {
      asked.back() = *known;
    }
  }
  AskSideBySide(invocation, known, asked);
  const bool any = std::any_of(asked.begin(), asked.end(),
                               [](const MemberStatus& one) { return one.status.has_value(); });
  if (!any && !asked.empty()) {
    return Fail(asked.front().status.error().code,
                (asked.size() == 1 ? std::string("the only daemon")
                                   : "none of " + std::to_string(asked.size()) + " daemons") +
                    (asked.size() == 1 ? " tells nothing: " : " tells anything: ") + Whys(asked));
  }
  return asked;
}

}  // namespace cairn::ctl
