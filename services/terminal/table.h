#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::terminal {

/// A table for people: columns as wide as they need to be, the first one left-aligned, the others
/// right-aligned.
class Table {
 public:
  /// Without a header there is no line below it either.
  explicit Table(std::vector<std::string> header = {});
  void Add(std::vector<std::string> row);
  [[nodiscard]] std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  bool has_header_;
};

/// "1,234,567".
std::string Grouped(std::uint64_t count);
/// "12.3 %".
std::string Percent(double share);
/// The same; "-" of nothing.
std::string Percent(double part, double whole);
/// With that many digits behind the point.
std::string Fixed(double value, int digits);
/// As short as it can be and still be read back as the same number.
std::string Shortest(double value);

}  // namespace cairn::terminal
