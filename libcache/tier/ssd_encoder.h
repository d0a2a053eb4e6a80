#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/codec/object_codec.h"
#include "libcache/tier/ssd_record.h"

namespace cairn {

/// Makes chunks of an object's pieces, one at a time, so that an object takes the memory of one.
/// Not thread-safe.
class SsdEncoder {
 public:
  struct Coded {
    SsdChunk sizes;
    std::span<const std::byte> stored;      ///< What goes to disk.
    std::span<const std::byte> given_back;  ///< What a read of it will give.
    bool lossy = false;                     ///< It may be other bytes than the payload.
  };
  /// Valid until the next call; `payload` has piece.bytes, and may be what is handed out. A frame
  /// that is no shorter than the payload is not used; a lossless one may then be. What a lossy
  /// codec gives back is found out by decoding. Errors: kInternal: a frame does not decode.
  Result<Coded> Encode(const ObjectPiece& piece, std::span<const std::byte> payload);

 private:
  /// False if the frame is no shorter than the payload; `coded` is then as it was.
  bool MakeFrame(const Codec& codec, const CodecShape& shape, std::span<const std::byte> payload,
                 Coded& coded);

  std::vector<std::byte> frame_;
  std::vector<std::byte> decoded_;
};

}  // namespace cairn
