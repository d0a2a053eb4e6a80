#pragma once

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

namespace cairn::test {

/// The folders of this process, so that they go as well when SIGINT or SIGTERM ends it: among them
/// are keys. What kill -9 ends leaves its folders.
///
/// Thread-safe. What is forked from here has none of them.
class Leftovers {
 public:
  /// Beyond kMost folders at once, or with a path too long, a folder is left out.
  static void Add(const std::string& path) {
    static const bool watching = Watch();
    for (Slot& slot : slots_) {
      pid_t nobody = 0;
      if (watching && path.size() < slot.path.size() &&
          slot.owner.compare_exchange_strong(nobody, kBeingWritten)) {
        std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
        slot.owner = getpid();
        return;
      }
    }
  }
  static void Remove(const std::string& path) {
    for (Slot& slot : slots_) {
      if (slot.owner == getpid() && path == slot.path.data()) {
        slot.owner = 0;
        return;
      }
    }
  }

 private:
  static constexpr std::size_t kMost = 64;
  static constexpr pid_t kBeingWritten = -1;
  struct Slot {
    std::atomic<pid_t> owner;  // 0, as what is static begins: free.
    std::array<char, 256> path;
  };
  inline static std::array<Slot, kMost> slots_;

  static bool Watch() {
    for (const int signal : {SIGINT, SIGTERM}) {
      struct sigaction before {};
      sigaction(signal, nullptr, &before);
      if (before.sa_handler == SIG_DFL) {  // Not where whoever started it wants it ignored.
        struct sigaction action {};
        action.sa_handler = &Leftovers::End;
        action.sa_flags = static_cast<int>(SA_RESETHAND);
        sigaction(signal, &action, nullptr);
      }
    }
    return true;
  }

  /// In a signal handler: only calls that are safe there, to which _Fork belongs.
  static void End(int signal) {
    std::array<const char*, kMost + 4> command{"rm", "-rf", "--"};
    std::size_t words = 3;
    const pid_t self = getpid();
    for (const Slot& slot : slots_) {
      if (slot.owner == self) {
        command[words++] = slot.path.data();
      }
    }
    if (words > 3 && _Fork() == 0) {
      setsid();
      // Programs that the test has started write there until the kernel kills them with it.
      constexpr timespec kAWhile{.tv_sec = 0, .tv_nsec = 50'000'000};
      do {
        nanosleep(&kAWhile, nullptr);
      } while (getppid() == self);
      execv("/bin/rm", const_cast<char* const*>(command.data()));
      _exit(127);
    }
    kill(self, signal);
  }
};

}  // namespace cairn::test
