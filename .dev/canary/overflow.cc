// Must fail under the asan preset: a read past a heap block, a signed overflow (.dev/canary.sh).
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

int main(int argc, char** argv) {
  const char* bug = argc > 1 ? argv[1] : "none";
  const std::vector<int> four(4, 1);
  // Through volatile, or the compiler sees the bug and leaves it out.
  volatile std::size_t index = std::strcmp(bug, "heap") == 0 ? 4 : 3;
  volatile int addend = std::strcmp(bug, "integer") == 0 ? std::numeric_limits<int>::max() : 1;
  std::printf("%d %d\n", four.data()[index], addend + four[0]);
  return 0;
}
