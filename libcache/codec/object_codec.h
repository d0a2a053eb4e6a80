#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "libcache/codec/codec.h"
#include "libcache/codec/object_shape.h"

namespace cairn {

/// Why an object does not get the lossy codec that the operator wants for it.
enum class CodecRefusal : std::uint8_t {
  kNone,
  kFidelity,  ///< Its namespace promises more than the codec keeps.
  kShape,     ///< None is declared, it is not that of the object, or does not suit the codec.
};
inline constexpr std::size_t kCodecRefusals = 3;
/// "none", "fidelity", "shape".
std::string_view CodecRefusalName(CodecRefusal refusal);

/// How one object is made smaller.
struct ObjectCodec {
  const Codec* codec = nullptr;  ///< Null: it is kept as it is.
  /// Of a lossy codec: the matrices at the object's front, one section behind the other.
  std::vector<CodecShape> sections;
  CodecRefusal refused = CodecRefusal::kNone;

  [[nodiscard]] bool lossy() const {
    return codec != nullptr && codec->fidelity() != Fidelity::kExact;
  }
};

/// What a namespace says of an object.
struct CodecTerms {
  Fidelity fidelity = Fidelity::kExact;
  const ObjectShape* shape = nullptr;  ///< As declared; not null.
  std::uint64_t bytes = 0;
  std::uint32_t tokens = 0;  ///< Of KV.
  /// Its values went through a lossy codec before. They never do twice: errors would add up.
  bool coded = false;
};

/// `wanted` where the terms permit it. A lossy codec that they do not permit gives way to the
/// lossless one. Pure.
ObjectCodec ChooseCodec(const Codec* wanted, const CodecTerms& terms);

/// A part of an object, to be coded by itself.
struct ObjectPiece {
  std::uint64_t bytes = 0;
  const Codec* codec = nullptr;  ///< Null: it is kept as it is.
  CodecShape shape;
};

/// Cuts an object of `bytes` into pieces of at most `most_bytes`, one behind the other. Matrices
/// are cut between rows only, and not where one fits; those that fit stay in pairs, since keys and
/// values of a layer are two. Pieces that do not suit a lossy codec get the lossless one; a frame
/// of the others takes at most twice its piece and 64 KiB. Fewer than 2^16 pieces for up to 4 GiB,
/// if `most_bytes` is 1 MiB.
std::vector<ObjectPiece> CutObject(const ObjectCodec& codec, std::uint64_t bytes,
                                   std::uint64_t most_bytes);

}  // namespace cairn
