// Must fail under the tsan preset: two threads write one variable without a lock (.dev/canary.sh).
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

namespace {

int counter = 0;
std::mutex counter_mutex;

void Count(bool locked) {
  for (int i = 0; i < 10'000; ++i) {
    if (locked) {
      const std::lock_guard<std::mutex> lock(counter_mutex);
      ++counter;
    } else {
      ++counter;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool locked = argc < 2 || std::strcmp(argv[1], "race") != 0;
  std::thread other(Count, locked);
  Count(locked);
  other.join();
  std::printf("%d\n", counter);
  return 0;
}
