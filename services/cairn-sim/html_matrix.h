#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "services/cairn-sim/sweep.h"

namespace cairn::sim {

/// A table with a row per strategy and a column per capacity.
struct Matrix {
  std::string caption;  ///< With the unit; markup.
  int digits = 0;
  bool bold_best = false;  ///< The greatest of a capacity; not the oracle's, which nobody can have.
  std::function<double(const Report&)> value;
  /// A row below all others, the same everywhere; none without a name.
  struct Last {
    std::string classes;
    std::string name;
    std::string value;
  } last;
};

/// `cells` are those of one trace and block: by capacity, then strategy. `classes` are how the
/// strategies' lines look, for a sample beside each name.
std::string MatrixHtml(const Matrix& matrix, std::span<const SweepCell> cells,
                       const std::vector<std::string>& classes);

}  // namespace cairn::sim
