#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

namespace cairn {

/// A file in the temporary directory that goes with the object. Its name has the test's and the
/// process's, so that tests may run side by side.
class TempFile {
 public:
  explicit TempFile(std::string_view suffix) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = testing::TempDir() + "cairn-" + std::to_string(getpid()) + "-" +
            (test != nullptr ? test->name() : "property") + std::string(suffix);
  }
  TempFile(std::string_view suffix, std::string_view content) : TempFile(suffix) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TempFile() { std::remove(path_.c_str()); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace cairn
