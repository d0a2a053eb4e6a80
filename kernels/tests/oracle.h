#pragma once

#include <vector>

namespace cairn::kernels::test {

/// One head of one sequence in double precision, as the papers write it (notes at each step in
/// oracle.cc). Row-major: key, query [T][K], value [T][V], gate [T] or [T][K] as a factor.
struct OracleInput {
  int key_dim = 0;
  int value_dim = 0;
  bool delta = false;
  bool channel = false;
  bool normalize = false;
  double scale = 1;
  double skip = 0;
  std::vector<double> key, query, value, decay, beta;
  std::vector<double> state;  ///< [V][K], where it begins.
};
struct OracleResult {
  std::vector<double> outputs;              ///< [T][V]
  std::vector<std::vector<double>> states;  ///< After 0 .. T tokens.
};
OracleResult Oracle(const OracleInput& input);

}  // namespace cairn::kernels::test
