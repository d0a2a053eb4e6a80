#include "tests/integration/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <thread>

namespace cairn::test {
namespace {

class InterruptedTest : public ::testing::TestWithParam<int> {};

TEST_P(InterruptedTest, LeavesNoFolderAndTouchesNoOther) {
  const TempDir mine;
  WriteFile(mine / "key", "kept");
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const TempDir dir;
    WriteFile(dir / "key", "secret");
    const auto size = static_cast<ssize_t>(dir.path().size());
    if (write(ends[1], dir.path().data(), dir.path().size()) != size) {
      _exit(1);
    }
    for (;;) {
      pause();
    }
  }
  std::array<char, 256> path{};
  ASSERT_GT(read(ends[0], path.data(), path.size() - 1), 0);
  ASSERT_TRUE(std::filesystem::exists(path.data()));
  kill(child, GetParam());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == GetParam()) << status;
  for (int i = 0; i < 1'000 && std::filesystem::exists(path.data()); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_FALSE(std::filesystem::exists(path.data())) << path.data();
  EXPECT_EQ(ReadFile(mine / "key"), "kept");
  close(ends[0]);
  close(ends[1]);
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptedTest, ::testing::Values(SIGINT, SIGTERM));

}  // namespace
}  // namespace cairn::test
