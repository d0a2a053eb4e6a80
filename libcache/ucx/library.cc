#ifdef CAIRN_WITH_UCX

#include "libcache/ucx/library.h"

#include <dlfcn.h>

#include <array>
#include <csignal>
#include <type_traits>

namespace cairn::ucx {
namespace {

/// Puts back what the process does on signals that UCX takes over when it is loaded: a crash is our
/// business or the engine's, and UCX's own report of one would hide it.
class SignalsKept {
 public:
  SignalsKept() {
    for (int signal = 1; signal < kSignals; ++signal) {
      known_[static_cast<std::size_t>(signal)] =
          sigaction(signal, nullptr, &before_[static_cast<std::size_t>(signal)]) == 0;
    }
  }
  ~SignalsKept() {
    for (int signal = 1; signal < kSignals; ++signal) {
      if (known_[static_cast<std::size_t>(signal)]) {
        sigaction(signal, &before_[static_cast<std::size_t>(signal)], nullptr);
      }
    }
  }
  SignalsKept(const SignalsKept&) = delete;
  SignalsKept& operator=(const SignalsKept&) = delete;

 private:
  static constexpr int kSignals = 32;
  std::array<struct sigaction, kSignals> before_{};
  std::array<bool, kSignals> known_{};
};

Result<Library> Open() {
  const SignalsKept signals;
  // RTLD_LOCAL: libucs has functions named signal and sigaction, which are not for this program.
  void* const handle = dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Fail(ErrorCode::kUnsupported,
                "UCX is not on this machine (libucp.so.0); on Debian: apt-get install libucx0");
  }
  Library library;
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle, name));
    missing = function == nullptr ? name : missing;
  };
#define CAIRN_FIND(name) find(library.name##_, #name);
  CAIRN_UCX_FUNCTIONS(CAIRN_FIND)
#undef CAIRN_FIND
  if (!missing.empty()) {
    return Fail(ErrorCode::kUnsupported,
                "the UCX on this machine has no " + missing + "; 1.13 or newer is needed");
  }
  return library;
}

}  // namespace

Result<const Library*> Load() {
  static const Result<Library> library = Open();
  if (!library) {
    return Fail(library.error());
  }
  return &*library;
}

Error Library::ErrorOf(const char* call, ucs_status_t status) const {
  return {ErrorCode::kUnavailable, std::string(call) + ": " + ucs_status_string_(status)};
}

}  // namespace cairn::ucx

#endif
