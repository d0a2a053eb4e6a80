#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libcache/connector/llamacpp/state_layout.h"
#include "tests/unit/libcache/connector/llamacpp/fake_llama.h"

namespace cairn::llamacpp {

/// One of each way in which llama.cpp keeps a state.
struct Kind {
  std::string name;
  fake::Config config;
  friend void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }
};

inline std::vector<Kind> AllKinds() {
  std::vector<Kind> kinds = {{"Attention", fake::AttentionOnly()},
                             {"Recurrent", fake::RecurrentOnly()},
                             {"Hybrid", fake::Hybrid()},
                             {"Windows", fake::Windows()},
                             {"HybridWindows", fake::HybridWindows()},
                             {"Mla", fake::Mla()},
                             {"Transposed", fake::Transposed()},
                             {"Mrope", fake::Mrope()},
                             {"WindowsAlone", fake::Windows()},
                             {"NoSRows", fake::Hybrid()},
                             {"Streams", fake::HybridWindows()},
                             {"Unified", fake::HybridWindows()}};
  for (Kind& kind : kinds) {
    if (kind.name == "WindowsAlone") {
      kind.config.attention.layers = 0;
    } else if (kind.name == "NoSRows") {
      kind.config.recurrent.s_bytes = 0;
    } else if (kind.name == "Streams" || kind.name == "Unified") {
      kind.config.n_seq_max = 4;
      kind.config.kv_unified = kind.name == "Unified";
    }
  }
  return kinds;
}

inline std::string KindName(const ::testing::TestParamInfo<Kind>& info) { return info.param.name; }

inline MemoryKind MemoryOf(const fake::Config& config) {
  const bool attention = config.attention.layers != 0 || config.window.layers != 0;
  return {.recurrent = config.recurrent.layers != 0 && !attention,
          .hybrid = config.recurrent.layers != 0 && attention,
          .window_tokens = config.window.window_tokens};
}

/// The blobs of two tokens from which a layout is learned.
struct LearnBlobs {
  fake::Bytes whole;
  fake::Bytes partial;
};
inline LearnBlobs BlobsOfTwo(const fake::Config& config) {
  fake::FakeContext context(config);
  fake::Prefill(context, 0, std::vector<Token>{0, 1}, 2);
  return {.whole = context.Save(0, kWholeState).blob,
          .partial = context.Save(0, kPartialState).blob};
}

inline Result<StateLayout> Learn(const fake::Config& config, const LearnBlobs& blobs) {
  return LearnLayout(blobs.whole, blobs.partial, 2, MemoryOf(config));
}
inline StateLayout Learned(const fake::Config& config) {
  const auto layout = Learn(config, BlobsOfTwo(config));
  EXPECT_TRUE(layout.has_value()) << ToString(layout.error());
  return layout.value_or(StateLayout{});
}

}  // namespace cairn::llamacpp
