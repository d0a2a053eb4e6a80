// Which transports UCX may use, and what the lanes of an endpoint are called: no UCX is needed.
#include "libcache/ucx/transports.h"

#include <gtest/gtest.h>

namespace cairn::ucx {
namespace {

TEST(TransportsTest, WhatNamesNoTcpIsTaken) {
  for (const std::string_view list :
       {kSafeTransports, std::string_view("posix"), std::string_view("rc,ud,self,sysv,cma"),
        std::string_view("rc_mlx5,cuda_ipc"), std::string_view("shm")}) {
    EXPECT_TRUE(CheckTransports(list, false)) << list;
  }
}

TEST(TransportsTest, WhatAdmitsTcpIsRefusedAndSaysWhy) {
  for (const std::string_view list :
       {"tcp", "posix,tcp", "all", "*", "^ib", "posix,^tcp", "tcp:aux", "sockcm"}) {
    const Status refused = CheckTransports(list, false);
    ASSERT_FALSE(refused) << list;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    const std::string why =
        list.find('^') == std::string_view::npos ? "admits tcp" : "takes what is not named, tcp";
    EXPECT_NE(refused.error().message.find(why), std::string::npos) << refused.error().message;
    EXPECT_NE(refused.error().message.find("posix,sysv"), std::string::npos) << "what to write";
  }
}

TEST(TransportsTest, TcpIsAllowedByNameOnly) {
  EXPECT_TRUE(CheckTransports("posix,tcp", true));
  EXPECT_FALSE(CheckTransports("all", true));
  EXPECT_FALSE(CheckTransports("^tcp", true));
}

TEST(TransportsTest, EmptyAndUnknownAreRefused) {
  for (const std::string_view list :
       {"", ",", "posix,", "posix,,cma", "posix cma", "rdma_future"}) {
    EXPECT_FALSE(CheckTransports(list, false)) << "'" << list << "'";
  }
}

TEST(TransportsTest, LanesAreReadFromWhatUcxPrints) {
  // UCX 1.13.1.
  const auto lanes = LanesIn(
      "#\n# UCP endpoint \n#\n#               peer: <no debug data>\n"
      "#                 lane[0]:  2:sysv/memory.0 md[2]      -> md[2]/sysv/sysdev[255] am "
      "am_bw#0\n"
      "#                 lane[1]:  1:posix/memory.0 md[1]     -> md[1]/posix/sysdev[255] \n"
      "#                 lane[2]:  0:rc_mlx5/mlx5_0:1.0 md[4] -> md[4]/ib/sysdev[0] rma_bw#1\n#\n");
  EXPECT_EQ(lanes, (std::vector<std::string>{"sysv", "posix", "rc_mlx5"}));
  EXPECT_TRUE(LanesIn("# nothing of the kind\n").empty());
}

TEST(TransportsTest, ALaneThatCannotBeReadIsNoSharedMemory) {
  const auto lanes = LanesIn("# lane[0]: sysv\n# lane[1]:  1:posix/memory.0\n");
  EXPECT_EQ(lanes, (std::vector<std::string>{"unknown", "posix"}));
  EXPECT_NE(WireOf(lanes), "shm");
}

TEST(TransportsTest, OneTcpLaneMakesItTcp) {
  using Lanes = std::vector<std::string>;
  EXPECT_EQ(WireOf(Lanes{"tcp", "sysv"}), "tcp");
  EXPECT_EQ(WireOf(Lanes{"sysv", "posix", "tcp"}), "tcp");
  EXPECT_EQ(WireOf(Lanes{"sysv", "cma"}), "shm");
  EXPECT_EQ(WireOf(Lanes{"sysv", "rc_mlx5"}), "rdma");
  EXPECT_EQ(WireOf(Lanes{}), "none");
}

}  // namespace
}  // namespace cairn::ucx
