#include "libcache/transport/tls_store.h"

#include <sys/stat.h>

#include <chrono>
#include <utility>

namespace cairn {
namespace {

constexpr std::chrono::seconds kLookEvery{1};

std::int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

TlsStore::TlsStore(Options options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {}

TlsStore::State TlsStore::Look() const {
  State state{};
  std::size_t i = 0;
  for (const std::string* path :
       {&options_.files.ca, &options_.files.certificate, &options_.files.key}) {
    struct stat info {};
    if (stat(path->c_str(), &info) == 0) {  // Through links: secrets are mounted behind some.
      state[i] = {static_cast<std::int64_t>(info.st_dev), static_cast<std::int64_t>(info.st_ino),
                  info.st_size, Nanoseconds(info.st_mtim), Nanoseconds(info.st_ctim)};
    }
    ++i;
  }
  return state;
}

Result<TlsStore::Change> TlsStore::Refresh() {
  const State state = Look();
  {
    const MutexLock lock(mu_);
    looked_ = clock_.Now();
    seen_ = state;
    if (current_ != nullptr && state == loaded_) {
      told_.reset();
      return Change::kNone;
    }
  }
  auto loaded =
      TlsCredentials::Load(options_.files, options_.names, options_.role, options_.kernel_tls);
  const MutexLock lock(mu_);
  if (!loaded) {
    const bool known = current_ != nullptr && told_ == state;
    told_ = state;
    return known ? Result<Change>(Change::kNone) : Fail(loaded.error());
  }
  if (current_ != nullptr && !(seen_ == state)) {
    return Change::kNone;  // Another call has seen newer files since, and may be done with them.
  }
  current_ = std::move(*loaded);
  loaded_ = state;
  told_.reset();
  return Change::kNew;
}

Result<TlsStore::Credentials> TlsStore::Get() {
  bool look = false;
  {
    const MutexLock lock(mu_);
    look = current_ == nullptr || clock_.Now() - looked_ >= kLookEvery;
  }
  if (look) {
    const auto refreshed = Refresh();
    if (!refreshed && Current() == nullptr) {
      return Fail(refreshed.error());
    }
  }
  return Current();
}

TlsStore::Credentials TlsStore::Current() const {
  const MutexLock lock(mu_);
  return current_;
}

}  // namespace cairn
