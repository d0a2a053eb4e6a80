#pragma once

#include "kernels/recurrent/advance_head.h"
#include "kernels/recurrent/cpu.h"

// The functions of one instruction set. Included once by the file compiled for it.
namespace cairn::kernels {
namespace {  // See advance_head.h.

template <class Vec, int K, bool kDelta, bool kChannel>
void AdvanceOne(const cairn_kernels_recurrent& args, int sequence, int head) {
  // Where the state rests between blocks of tokens if nobody wants its end.
  float rest[K * 256];
  HeadAdvance<Vec, K, kDelta, kChannel>(args, sequence, head).Run(rest);
}

template <class Vec, int K>
AdvanceHead AdvanceOfRule(int rule) {
  const RuleTraits traits = TraitsOf(rule);
  if (traits.delta) {
    return traits.channel ? AdvanceOne<Vec, K, true, true> : AdvanceOne<Vec, K, true, false>;
  }
  return traits.channel ? AdvanceOne<Vec, K, false, true> : AdvanceOne<Vec, K, false, false>;
}

template <class Vec>
AdvanceHead AdvanceOf(int key_dim, int rule) {
  switch (key_dim) {
    case 64: return AdvanceOfRule<Vec, 64>(rule);
    case 128: return AdvanceOfRule<Vec, 128>(rule);
    case 256: return AdvanceOfRule<Vec, 256>(rule);
    default: return nullptr;
  }
}

}  // namespace
}  // namespace cairn::kernels
