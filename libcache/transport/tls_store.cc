#include "libcache/transport/tls_store.h"

#include <sys/stat.h>

#include <chrono>
#include <utility>

namespace cairn {
namespace {

constexpr std::chrono::seconds kLookEvery{1};

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
                  info.st_size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
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
    if (current_ != nullptr && state == seen_) {
      return Change::kNone;
    }
    seen_ = state;
  }
  auto loaded =
      TlsCredentials::Load(options_.files, options_.names, options_.role, options_.kernel_tls);
  if (!loaded) {
    return Fail(loaded.error());
  }
  const MutexLock lock(mu_);
  current_ = std::move(*loaded);
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
