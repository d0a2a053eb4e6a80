#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include "libcache/base/detached_thread.h"
#include "libcache/base/mutex.h"
#include "libcache/cluster/membership.h"

namespace cairn {
namespace {

/// Owned by the membership and by the thread that looks up, whoever is last: a look-up takes as
/// long as the system's resolver likes and cannot be ended.
struct Shared {
  Shared(std::string host_name, std::uint16_t port_number, DnsOptions how)
      : host(std::move(host_name)), port(port_number), options(std::move(how)) {}

  const std::string host;
  const std::uint16_t port;
  const DnsOptions options;

  mutable Mutex mu;
  mutable CondVar changed;
  bool stop CAIRN_GUARDED_BY(mu) = false;
  bool looking CAIRN_GUARDED_BY(mu) = false;
  bool answered CAIRN_GUARDED_BY(mu) = false;
  std::uint64_t version CAIRN_GUARDED_BY(mu) = 0;
  std::vector<Member> members CAIRN_GUARDED_BY(mu);
  Status problem CAIRN_GUARDED_BY(mu);

  void Run() {
    while (Begin()) {
      auto found = options.resolve(host, port);
      if (!Take(std::move(found))) {
        return;
      }
    }
  }

 private:
  /// False when nobody wants to know any more.
  bool Begin() CAIRN_EXCLUDES(mu) {
    const MutexLock lock(mu);
    looking = !stop;
    return looking;
  }

  /// Keeps what was found and waits for the next time. False: nobody wants to know any more.
  bool Take(Result<std::vector<std::string>> found) CAIRN_EXCLUDES(mu) {
    const MutexLock lock(mu);
    looking = false;
    if (stop) {
      return false;  // Nobody waits for this thread: the program may be at its end.
    }
    answered = true;
    const bool good = found && !found->empty();
    if (good) {
      Adopt(*std::move(found));
    } else {
      problem = Fail(ErrorCode::kUnavailable, Why(found));
    }
    changed.NotifyAll();
    const TimePoint until =
        SteadyClock::Instance().Now() + (good ? options.every : options.every / 4);
    while (!stop && changed.WaitUntil(mu, until)) {
    }
    return !stop;
  }

  void Adopt(std::vector<std::string> endpoints) CAIRN_REQUIRES(mu) {
    // Resolvers give addresses in any order, and some twice.
    std::sort(endpoints.begin(), endpoints.end());
    endpoints.erase(std::unique(endpoints.begin(), endpoints.end()), endpoints.end());
    std::vector<Member> now;
    now.reserve(endpoints.size());
    for (std::string& endpoint : endpoints) {
      now.push_back({.name = endpoint, .endpoint = endpoint, .server = host});
    }
    problem = {};
    if (now != members) {
      members = std::move(now);
      ++version;
    }
  }

  [[nodiscard]] std::string Why(const Result<std::vector<std::string>>& found) const
      CAIRN_REQUIRES(mu) {
    const bool nothing = found || found.error().code == ErrorCode::kNotFound;
    std::string why = "dns: '" + host + "' ";
    why += nothing ? "answers nothing: is that the headless service's name, and are its pods ready?"
                   : "cannot be looked up: " + found.error().message;
    return members.empty()
               ? why
               : why + "; the last " + std::to_string(members.size()) + " members stay in force";
  }
};

class DnsMembership final : public Membership {
 public:
  DnsMembership(std::shared_ptr<Shared> shared, std::thread thread)
      : shared_(std::move(shared)), thread_(std::move(thread)) {}
  ~DnsMembership() override {
    bool looking = false;
    {
      const MutexLock lock(shared_->mu);
      shared_->stop = true;
      looking = shared_->looking;
      shared_->changed.NotifyAll();
    }
    if (looking) {
      thread_.detach();  // It ends with its look-up.
    } else {
      thread_.join();
    }
  }
  DnsMembership(const DnsMembership&) = delete;
  DnsMembership& operator=(const DnsMembership&) = delete;

  [[nodiscard]] std::string_view Source() const override { return "dns"; }
  [[nodiscard]] std::vector<Member> Members() const override {
    const MutexLock lock(shared_->mu);
    return shared_->members;
  }
  [[nodiscard]] std::uint64_t Version() const override {
    const MutexLock lock(shared_->mu);
    return shared_->version;
  }
  [[nodiscard]] Status Problem() const override {
    const MutexLock lock(shared_->mu);
    if (!shared_->answered) {
      return Fail(ErrorCode::kUnavailable,
                  "dns: '" + shared_->host + "' is being looked up for the first time");
    }
    return shared_->problem;
  }
  void AwaitAnswer(TimePoint deadline) const override {
    const MutexLock lock(shared_->mu);
    while (!shared_->answered && shared_->changed.WaitUntil(shared_->mu, deadline)) {
    }
  }

 private:
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;  // Runs shared_.
};

}  // namespace

Result<DnsName> ParseDnsName(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const std::size_t start = kDnsPrefix.size();
  const bool parts = text.starts_with(kDnsPrefix) && colon != std::string::npos && colon > start;
  DnsName name;
  const char* const end = text.data() + text.size();
  if (!parts || std::from_chars(text.data() + colon + 1, end, name.port).ptr != end ||
      name.port == 0 || text.find_first_of(",= ") != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + text + "' is not dns:NAME:PORT, as in dns:cairn.default.svc:7411");
  }
  name.host = text.substr(start, colon - start);
  return name;
}

Result<std::unique_ptr<Membership>> MakeDnsMembership(const std::string& text, DnsOptions options) {
  auto name = ParseDnsName(text);
  if (!name) {
    return Fail(name.error());
  }
  auto shared = std::make_shared<Shared>(std::move(name->host), name->port, std::move(options));
  auto thread = StartThread([shared] { shared->Run(); });
  if (!thread) {
    return Fail(thread.error());
  }
  return std::make_unique<DnsMembership>(std::move(shared), *std::move(thread));
}

}  // namespace cairn
