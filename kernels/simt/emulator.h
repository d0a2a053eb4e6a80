#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

// Runs device code on the CPU, so that it can be tested, by sanitizers too, where there is no GPU.
// Every thread of a block is a fiber; one runs until it must wait for others. Blocks run one after
// the other. One OS thread at a time may use this.
namespace cairn::kernels {

int ThreadIndex();
int BlockX();
int BlockY();
int BlockZ();
int GridX();
void SyncBlock();
float ShuffleXor(float value, int mask);
std::uint32_t Shuffle(std::uint32_t value, int lane);
std::uint32_t Ballot(bool mine);
inline int CountBits(std::uint32_t bits) { return __builtin_popcount(bits); }
unsigned char* Shared();
// What simt/device.h says of them.
void Mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
void LoadMatrices(std::uint32_t (&r)[4], const void* row);
void LoadMatricesTransposed(std::uint32_t (&r)[4], const void* row);
void CopyAsync(void* shared, const void* global);
void CopyCommit();
/// Copies happen here, not before, so that nobody reads early unseen.
void CopyWait(int left);
template <int kLeft>
void CopyWait() {
  CopyWait(kLeft);
}

struct EmulatedGrid {
  int x = 1;
  int y = 1;
  int z = 1;
  int threads = 32;  ///< In a block; a multiple of 32.
  std::size_t shared_bytes = 0;
  /// The order in which the threads of a block take turns: results that depend on it are races.
  unsigned order_seed = 0;
};

/// Shared memory is filled with NaNs before each block. Aborts if the threads of a block wait for
/// each other for ever.
void Emulate(const EmulatedGrid& grid, const std::function<void()>& kernel);

}  // namespace cairn::kernels
