#include "libcache/base/read_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/integration/temp_dir.h"

namespace cairn {
namespace {

TEST(ReadFile, GivesAllBytesOrAsManyAsAreWanted) {
  const test::TempDir dir;
  for (const std::size_t size : {0UL, 1UL, 65536UL, 200'000UL}) {
    std::string written(size, 'x');
    for (std::size_t i = 0; i < size; ++i) {
      written[i] = static_cast<char>(i * 7);
    }
    std::ofstream(dir / "file", std::ios::binary) << written;
    EXPECT_EQ(ReadFile(dir / "file"), written);
    for (const std::size_t most : {0UL, 1UL, 65536UL, 65537UL}) {
      EXPECT_EQ(ReadFile(dir / "file", most), written.substr(0, most));
    }
  }
}

TEST(ReadFile, SaysWhyNot) {
  const test::TempDir dir;
  const auto absent = ReadFile(dir / "absent");
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(absent.error().message,
            "cannot read " + (dir / "absent") + ": No such file or directory");
  const auto folder = ReadFile(dir / "");
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);
  EXPECT_NE(folder.error().message.find("Is a directory"), std::string::npos);
}

}  // namespace
}  // namespace cairn
