#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"
#include "kernels/launch/sequences.h"

// What the CPU and the GPU share of the conv windows: one channel of one sequence.
namespace cairn::kernels {

/// Channel `c` of a sequence: its emissions, then its end. `T` has the size of an element.
template <class T>
class ConvChannel {
 public:
  CAIRN_BOTH_MEMBER ConvChannel(const cairn_kernels_conv& args, const SequenceLists& sequence,
                                int c)
      : args_(args), sequence_(sequence), c_(c) {}

  CAIRN_BOTH_MEMBER void Run() const {
    for (std::int32_t e = sequence_.emit; e < sequence_.emit_end; ++e) {
      const std::int64_t slot = args_.emit_slots == nullptr ? e : args_.emit_slots[e];
      Write(args_.emit, slot, args_.emit_positions[e]);
    }
    if (sequence_.final >= 0) {
      Write(args_.window, sequence_.final, sequence_.length);
    }
  }

 private:
  static constexpr int kMostRows = 7;

  CAIRN_BOTH_MEMBER T* Entry(const cairn_kernels_windows& windows, std::int64_t slot,
                             int row) const {
    return static_cast<T*>(windows.data) + slot * windows.slot_stride + c_ * windows.dim_stride +
           row * windows.row_stride;
  }
  /// The input `row` tokens from the sequence's first, W - 1 before it at most.
  CAIRN_BOTH_MEMBER T Input(std::int32_t row) const {
    if (row >= 0) {
      return static_cast<const T*>(
          args_.rows.data)[(sequence_.begin + row) * args_.rows.token_stride + c_];
    }
    return sequence_.initial < 0 ? T{0}
                                 : *Entry(args_.window, sequence_.initial, args_.width - 1 + row);
  }
  CAIRN_BOTH_MEMBER void Write(const cairn_kernels_windows& to, std::int64_t slot,
                               std::int32_t position) const {
    // All are read before one is written: a window that is updated in place moves along itself.
    T inputs[kMostRows] = {};
    for (int row = 0; row < kMostRows; ++row) {
      if (row < args_.width - 1) {
        inputs[row] = Input(position - (args_.width - 1) + row);
      }
    }
    for (int row = 0; row < kMostRows; ++row) {
      if (row < args_.width - 1) {
        *Entry(to, slot, row) = inputs[row];
      }
    }
  }

  const cairn_kernels_conv& args_;
  const SequenceLists& sequence_;
  const std::int64_t c_;
};

}  // namespace cairn::kernels
