// A stand-in for a UCX that listens where it should not: loaded before all else (LD_PRELOAD), it
// opens a port on loopback when the real one is loaded.
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

extern "C" void* dlopen(const char* file, int mode) {
  if (file != nullptr && std::strcmp(file, "libucp.so.0") == 0) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      static_cast<void>(listen(listener, 1));
    }
  }
  using Dlopen = void* (*)(const char*, int);
  static const auto real = reinterpret_cast<Dlopen>(dlsym(RTLD_NEXT, "dlopen"));
  return real(file, mode);
}
