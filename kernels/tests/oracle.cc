#include "kernels/tests/oracle.h"

#include <cmath>
#include <cstddef>

namespace cairn::kernels::test {
namespace {

std::vector<double> Row(const std::vector<double>& all, std::size_t t, std::size_t width,
                        bool normalize) {
  std::vector<double> row(all.begin() + static_cast<std::ptrdiff_t>(t * width),
                          all.begin() + static_cast<std::ptrdiff_t>((t + 1) * width));
  if (normalize) {
    double sum = 1e-6;
    for (const double x : row) {
      sum += x * x;
    }
    for (double& x : row) {
      x /= std::sqrt(sum);
    }
  }
  return row;
}

}  // namespace

OracleResult Oracle(const OracleInput& in) {
  const auto dk = static_cast<std::size_t>(in.key_dim);
  const auto dv = static_cast<std::size_t>(in.value_dim);
  const std::size_t tokens = in.beta.size();
  OracleResult result;
  std::vector<double> s = in.state;
  result.states.push_back(s);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto k = Row(in.key, t, dk, in.normalize);
    const auto q = Row(in.query, t, dk, in.normalize);
    for (std::size_t j = 0; j < dv; ++j) {
      double held = 0;
      for (std::size_t i = 0; i < dk; ++i) {
        double& element = s[j * dk + i];
        element *= in.channel ? in.decay[t * dk + i] : in.decay[t];  // S' = Diag(alpha) S
        held += element * k[i];                                      // S' k
      }
      const double v = in.value[t * dv + j];
      const double u = in.beta[t] * (in.delta ? v - held : v);
      double out = in.skip * v;
      for (std::size_t i = 0; i < dk; ++i) {
        s[j * dk + i] += u * k[i];  // S = S' + u k^T
        out += in.scale * s[j * dk + i] * q[i];
      }
      result.outputs.push_back(out);
    }
    result.states.push_back(s);
  }
  return result;
}

}  // namespace cairn::kernels::test
