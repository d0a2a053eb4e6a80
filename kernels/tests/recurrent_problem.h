#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cairn_kernels.h"
#include "kernels/tests/backend.h"
#include "kernels/tests/oracle.h"

namespace cairn::kernels::test {

using Bytes = std::vector<std::byte>;

/// Tokens of one sequence; the data depend on the seed and the token alone, so that the same
/// sequence can be put into other batches and be split.
struct Sequence {
  std::uint64_t seed = 1;
  int length = 0;
  int from = 0;  ///< Its tokens are those from here on.
  std::vector<std::int32_t> emit{};
  Bytes initial{};  ///< Empty: zeros, by slot -1.
};

/// A call of the recurrent advance and its data.
struct RecurrentProblem {
  int rule = CAIRN_KERNELS_GATED_DELTA;
  int gate_kind = CAIRN_KERNELS_GATE_LOG;
  bool normalize = true;
  int key_heads = 1;
  int value_heads = 2;
  int key_dim = 128;
  int value_dim = 32;
  int dtype = CAIRN_KERNELS_BF16;
  int output_dtype = CAIRN_KERNELS_F32;
  int emit_dtype = CAIRN_KERNELS_F32;
  bool outputs = true;
  bool finals = true;
  bool skip = false;
  int padding = 0;  ///< Elements between rows and between slots, which must stay as they are.
  /// Multiplies the gates: 0 never forgets, infinity forgets all.
  double gate_scale = 1;
  /// Gates of all strengths side by side: channels that never forget, that forget all now and then,
  /// and that go from nothing to everything. A decay per head forgets all now and then.
  bool mixed_gates = false;
  bool scan = false;  ///< By the chunkwise scan; `from` is then the absolute position.
  std::vector<Sequence> sequences{};
  /// A last change of the arguments before the call.
  std::function<void(cairn_kernels_recurrent&, Backend&)> change{};
  /// And of those of a scan.
  std::function<void(cairn_kernels_scan&, Backend&)> change_scan{};
};

struct RecurrentResult {
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  std::vector<Bytes> outputs;               ///< By sequence: [length][value_heads][V].
  std::vector<Bytes> finals;                ///< By sequence: [value_heads][V][K] f32.
  std::vector<std::vector<Bytes>> emitted;  ///< By sequence and position.
  bool padding_kept = true;
};
RecurrentResult Run(const RecurrentProblem& problem, Backend& backend);

/// The same by the oracle, by sequence and value head, from the inputs as rounded to their type.
OracleResult OracleOf(const RecurrentProblem& problem, const Sequence& sequence, int head);

/// |a - b| / |b| over all elements, b in double precision.
double RelativeError(const Bytes& f32, std::size_t first, const std::vector<double>& exact);

}  // namespace cairn::kernels::test
