// One-sided transfers between two workers of this process, where there is UCX.
#include "libcache/ucx/ucx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "libcache/ucx/transports.h"

namespace cairn::ucx {
namespace {

class UcxTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef CAIRN_SANITIZED
    const std::string why = "UCX is not instrumented";
#else
    auto opened = Context::Open("posix,sysv,self");
    const std::string why = opened ? "" : opened.error().message;
    context_ = opened ? std::move(*opened) : nullptr;
#endif
    if (context_ == nullptr) {
      std::fprintf(stderr, "NOT TESTED: UCX: %s\n", why.c_str());
      GTEST_SKIP() << why;
    }
  }
  static bool Finish(Worker& mine, Worker& other, const Transfer& transfer) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!transfer.done() && std::chrono::steady_clock::now() < until) {
      mine.Progress();
      other.Progress();
    }
    return transfer.done();
  }

  std::shared_ptr<Context> context_;
};

TEST_F(UcxTest, PutsAndGetsArriveWithTheirWord) {
  auto worker = context_->OpenWorker();
  auto peer = context_->OpenWorker();
  ASSERT_TRUE(worker && peer);
  auto theirs = context_->Allocate(1 << 20);
  ASSERT_TRUE(theirs);
  ASSERT_GE((*theirs)->memory().size(), 1U << 20U);
  EXPECT_EQ(std::count((*theirs)->memory().begin(), (*theirs)->memory().end(), std::byte{0}),
            static_cast<std::ptrdiff_t>((*theirs)->memory().size()));
  std::vector<std::byte> memory(1 << 20, std::byte{7});
  auto mine = context_->Register(memory);
  ASSERT_TRUE(mine);
  auto endpoint = (*worker)->Connect(*(*peer)->Address(), *(*theirs)->RemoteKey());
  ASSERT_TRUE(endpoint) << endpoint.error().message;
  EXPECT_EQ(WireOf((*endpoint)->lanes()), "shm");
  const auto address = reinterpret_cast<std::uint64_t>((*theirs)->memory().data());

  const auto held = std::make_shared<int>(1);
  const auto put =
      (*endpoint)->Put(std::span(memory).first(500'000), **mine, address + 64, 42, address);
  put->Hold(held);
  ASSERT_TRUE(Finish(**worker, **peer, *put));
  ASSERT_TRUE(put->status()) << put->status().error().message;
  EXPECT_EQ(held.use_count(), 1) << "let go once it is done";
  std::uint64_t word = 0;
  std::memcpy(&word, (*theirs)->memory().data(), sizeof(word));
  EXPECT_EQ(word, 42U);
  const auto arrived = (*theirs)->memory().subspan(64, 500'000);
  EXPECT_TRUE(std::equal(arrived.begin(), arrived.end(), memory.begin()));
  EXPECT_EQ((*theirs)->memory()[64 + 500'000], std::byte{0}) << "and no byte more";

  std::fill((*theirs)->memory().begin(), (*theirs)->memory().end(), std::byte{9});
  const auto get = (*endpoint)->Get(std::span(memory).subspan(10, 300'000), **mine, address);
  ASSERT_TRUE(Finish(**worker, **peer, *get));
  ASSERT_TRUE(get->status());
  EXPECT_EQ(memory[9], std::byte{7});
  EXPECT_EQ(std::count(memory.begin(), memory.end(), std::byte{9}), 300'000);

  (*endpoint)->Close();
  EXPECT_TRUE((*endpoint)->failed());
  const auto late = (*endpoint)->Put(std::span(memory).first(8), **mine, address, 1, address);
  ASSERT_TRUE(late->done());
  EXPECT_FALSE(late->status()) << "nothing goes to a peer that was given up";
}

TEST_F(UcxTest, CrashesStayTheProgramsBusiness) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGHUP}) {
    struct sigaction now {};
    ASSERT_EQ(sigaction(signal, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, SIG_DFL) << "signal " << signal;
  }
}

TEST_F(UcxTest, TransportsThatAreNotHereAreAnError) {
  const auto none = Context::Open("rc_mlx5,cuda_ipc");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(none.error().message.find("rc_mlx5"), std::string::npos) << none.error().message;
}

}  // namespace
}  // namespace cairn::ucx
