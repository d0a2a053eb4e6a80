#pragma once

#include <cstdint>

#include "kernels/copy/piece.h"
#include "kernels/simt/warp.h"

// The copy as device code: a warp for each piece, every lane eight times 16 bytes on their way
// before the first is stored. A grid of any size walks over all pieces, so that the caller says how
// many multiprocessors this may take.
//
// Floor: the wire. 16 pieces are 16 warps with 64 KiB under way, more than PCIe 5 (some 50 GB/s and
// 1 us) holds; so a few blocks keep it full.
namespace cairn::kernels {

constexpr int kCopyThreads = 256;
constexpr int kCopyWarps = kCopyThreads / 32;

CAIRN_DEVICE void CopyBytes(const unsigned char* from, unsigned char* to, std::int64_t bytes,
                            int lane) {
  for (std::int64_t i = lane; i < bytes; i += 32) {
    to[i] = from[i];
  }
}

CAIRN_DEVICE void CopyWords(const unsigned char* from, unsigned char* to, std::int64_t words,
                            int lane) {
  for (std::int64_t i = lane; i < words; i += 32) {
    StoreWordOnce(to + 4 * i, LoadWordOnce(from + 4 * i));
  }
}

/// Units of 16 bytes.
CAIRN_DEVICE void CopyWide(const unsigned char* from, unsigned char* to, std::int64_t units,
                           int lane) {
  constexpr int kUnder = 8;
  std::int64_t at = lane;
  for (; at - lane + 32 * kUnder <= units; at += 32 * kUnder) {
    Words4 unit[kUnder];
    CAIRN_UNROLL
    for (int j = 0; j < kUnder; ++j) {
      unit[j] = LoadOnce(from + 16 * (at + 32 * j));
    }
    CAIRN_UNROLL
    for (int j = 0; j < kUnder; ++j) {
      StoreOnce(to + 16 * (at + 32 * j), unit[j]);
    }
  }
  for (; at < units; at += 32) {
    StoreOnce(to + 16 * at, LoadOnce(from + 16 * at));
  }
}

/// All lanes with the same piece, which has bytes.
CAIRN_DEVICE void CopyPiece(const cairn_kernels_piece& piece, int lane) {
  const auto* from = static_cast<const unsigned char*>(piece.source);
  auto* to = static_cast<unsigned char*>(piece.target);
  const auto from_at = reinterpret_cast<std::uintptr_t>(from);
  const auto apart = from_at ^ reinterpret_cast<std::uintptr_t>(to);
  const int width = apart % 16 == 0 ? 16 : (apart % 4 == 0 ? 4 : 1);
  const std::int64_t to_edge =
      static_cast<std::int64_t>((0 - from_at) % static_cast<unsigned>(width));
  const std::int64_t head = to_edge < piece.bytes ? to_edge : piece.bytes;
  CopyBytes(from, to, head, lane);
  const std::int64_t units = (piece.bytes - head) / width;
  if (width == 16) {
    CopyWide(from + head, to + head, units, lane);
  } else if (width == 4) {
    CopyWords(from + head, to + head, units, lane);
  } else {
    CopyBytes(from + head, to + head, units, lane);
  }
  const std::int64_t done = head + units * width;
  CopyBytes(from + done, to + done, piece.bytes - done, lane);
}

CAIRN_DEVICE void CopyBlock(const cairn_kernels_copy& args) {
  const int lane = ThreadIndex() % 32;
  const std::int64_t step = std::int64_t{GridX()} * kCopyWarps;
  for (std::int64_t i = std::int64_t{BlockX()} * kCopyWarps + ThreadIndex() / 32; i < args.count;
       i += step) {
    cairn_kernels_piece piece;
    const int error = ReadPiece(args, i, piece);
    if (error == CAIRN_KERNELS_OK) {
      CopyPiece(piece, lane);
    } else if (args.device_error != nullptr) {
      *args.device_error = error;
    }
  }
}

/// How many blocks a call takes; at least one.
CAIRN_BOTH int CopyBlocks(const cairn_kernels_copy& args) {
  const int all = (args.count - 1) / kCopyWarps + 1;
  return args.max_blocks > 0 && args.max_blocks < all ? args.max_blocks : all;
}

}  // namespace cairn::kernels
