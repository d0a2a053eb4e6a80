#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

// Test cases and checks for machines that have a compiler and nothing else.
namespace cairn::kernels::test {

struct TestCase {
  const char* name;
  void (*run)();
};
inline std::vector<TestCase>& Cases() {
  static std::vector<TestCase> cases;
  return cases;
}
struct Registration {
  Registration(const char* name, void (*run)()) { Cases().push_back({name, run}); }
};

inline int failures = 0;
/// What is being tested, for the message of a failure.
inline std::string context;

inline void Failed(const char* file, int line, const std::string& what) {
  std::printf("%s:%d: %s%s%s\n", file, line, what.c_str(), context.empty() ? "" : "\n  with ",
              context.c_str());
  ++failures;
}
template <class T>
std::string Text(const T& value) {
  std::ostringstream text;
  text.precision(9);
  text << value;
  return text.str();
}

/// Runs all cases, or those whose name contains the first argument. 77, ctest's "skipped", if none
/// was there to run.
inline int RunCases(int argc, char** argv) {
  const char* wanted = argc > 1 ? argv[1] : "";
  int ran = 0;
  for (const TestCase& test : Cases()) {
    if (std::strstr(test.name, wanted) == nullptr) {
      continue;
    }
    const int before = failures;
    context.clear();
    test.run();
    std::printf("%s %s\n", failures == before ? "[ok]    " : "[FAILED]", test.name);
    std::fflush(stdout);
    ++ran;
  }
  std::printf("%d cases, %d failed checks\n", ran, failures);
  if (failures > 0) {
    return 1;
  }
  return ran > 0 ? 0 : 77;
}

}  // namespace cairn::kernels::test

#define CASE(name)                                                                    \
  static void name();                                                                 \
  static const ::cairn::kernels::test::Registration name##_registration(#name, name); \
  static void name()
#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      ::cairn::kernels::test::Failed(__FILE__, __LINE__, "not true: " #condition); \
    }                                                                              \
  } while (false)
#define CHECK_EQ(a, b)                                                                            \
  do {                                                                                            \
    const auto& check_a = (a);                                                                    \
    const auto& check_b = (b);                                                                    \
    if (!(check_a == check_b)) {                                                                  \
      ::cairn::kernels::test::Failed(__FILE__, __LINE__,                                          \
                                     "not equal: " #a " is " +                                    \
                                         ::cairn::kernels::test::Text(check_a) + ", " #b " is " + \
                                         ::cairn::kernels::test::Text(check_b));                  \
    }                                                                                             \
  } while (false)
#define CHECK_LE(a, b)                                                                   \
  do {                                                                                   \
    const auto& check_a = (a);                                                           \
    const auto& check_b = (b);                                                           \
    if (!(check_a <= check_b)) {                                                         \
      ::cairn::kernels::test::Failed(__FILE__, __LINE__,                                 \
                                     #a " is " + ::cairn::kernels::test::Text(check_a) + \
                                         ", more than " #b ", which is " +               \
                                         ::cairn::kernels::test::Text(check_b));         \
    }                                                                                    \
  } while (false)
