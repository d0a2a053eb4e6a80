// The scan of inputs that are not finite: nothing before such a token depends on it, though
// products of matrices take in a whole chunk at once, and from it on all is NaN.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/tests/check.h"
#include "kernels/tests/recurrent_problem.h"

namespace cairn::kernels::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int kLength = 80;
constexpr int kRules[] = {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA, CAIRN_KERNELS_GLA,
                          CAIRN_KERNELS_SSD, CAIRN_KERNELS_LIGHTNING};

/// One element of one token that is replaced, in the first of the heads.
struct Spoilt {
  const char* what;
  cairn_kernels_rows cairn_kernels_recurrent::*rows;
  float value;
  int gate_kind = CAIRN_KERNELS_GATE_LOG;
};
using Args = cairn_kernels_recurrent;
const Spoilt kSpoilt[] = {
    {"a value of infinity", &Args::value, kInfinity},
    {"a value of NaN", &Args::value, kNan},
    {"a value that is infinity in bf16", &Args::value, 3.4e38F},
    {"a key of minus infinity", &Args::key, -kInfinity},
    {"a key of NaN", &Args::key, kNan},
    {"a beta of infinity", &Args::beta, kInfinity},
    {"a beta of NaN", &Args::beta, kNan},
    {"a log gate of infinity", &Args::gate, kInfinity},
    {"a log gate of NaN", &Args::gate, kNan},
    {"a decay of infinity", &Args::gate, kInfinity, CAIRN_KERNELS_GATE_FACTOR},
    {"a decay of NaN", &Args::gate, kNan, CAIRN_KERNELS_GATE_FACTOR},
};

RecurrentProblem Problem(int rule, int gate_kind) {
  RecurrentProblem p;
  p.rule = rule;
  p.gate_kind = gate_kind;
  p.normalize = rule == CAIRN_KERNELS_GATED_DELTA || rule == CAIRN_KERNELS_KDA;
  p.skip = rule == CAIRN_KERNELS_SSD;
  p.scan = true;
  p.dtype = CAIRN_KERNELS_F32;
  p.sequences = {{.seed = 5, .length = kLength}};
  return p;
}
/// With `spoilt` at `token`, whose element is its third, or its only one.
RecurrentResult RunSpoilt(RecurrentProblem p, const Spoilt& spoilt, int token, Backend& backend) {
  p.change = [&](Args& args, Backend& to) {
    cairn_kernels_rows& rows = args.*spoilt.rows;
    std::vector<float> data(static_cast<std::size_t>(args.tokens * rows.token_stride));
    to.Get(data, rows.data);
    const std::int64_t element = rows.head_stride > 1 ? 2 : 0;
    data[static_cast<std::size_t>(token * rows.token_stride + element)] = spoilt.value;
    rows.data = to.Put(data);
  };
  return Run(p, backend);
}

/// Of `parts` equal parts of `bytes` those of `head`: a state's, or of each token.
std::vector<float> OfHead(const Bytes& bytes, std::size_t parts, std::size_t head) {
  constexpr std::size_t kHeads = 2;
  const std::size_t each = bytes.size() / sizeof(float) / parts / kHeads;
  std::vector<float> all;
  for (std::size_t part = 0; part < parts; ++part) {
    for (std::size_t i = 0; i < each; ++i) {
      float x = 0;
      std::memcpy(&x, bytes.data() + ((part * kHeads + head) * each + i) * sizeof(float), 4);
      all.push_back(x);
    }
  }
  return all;
}
bool AllNan(const std::vector<float>& values) {
  return !values.empty() &&
         std::all_of(values.begin(), values.end(), [](float x) { return std::isnan(x); });
}
bool Same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}
std::vector<float> Tokens(const std::vector<float>& outputs, int first, int last) {
  const auto each = static_cast<std::ptrdiff_t>(outputs.size()) / kLength;
  return {outputs.begin() + first * each, outputs.begin() + last * each};
}

/// `spoilt` at `token`, against the run of sound inputs.
void CheckSpoilt(const RecurrentProblem& p, const RecurrentResult& sound, const Spoilt& spoilt,
                 int token, Backend& backend) {
  const RecurrentResult result = RunSpoilt(p, spoilt, token, backend);
  CHECK_EQ(result.status, CAIRN_KERNELS_OK);
  for (const std::size_t head : {0U, 1U}) {
    // Both heads have the one head of keys; all else is a head's own.
    const bool hit = head == 0 || spoilt.rows == &Args::key;
    const auto out = OfHead(result.outputs[0], kLength, head);
    const auto good = OfHead(sound.outputs[0], kLength, head);
    CHECK(Same(Tokens(out, 0, token), Tokens(good, 0, token)));
    CHECK(hit ? AllNan(Tokens(out, token, kLength))
              : Same(Tokens(out, token, kLength), Tokens(good, token, kLength)));
    for (std::size_t e = 0; e < p.sequences[0].emit.size(); ++e) {
      const auto state = OfHead(result.emitted[0][e], 1, head);
      CHECK(hit && p.sequences[0].emit[e] > token
                ? AllNan(state)
                : Same(state, OfHead(sound.emitted[0][e], 1, head)));
    }
    const auto state = OfHead(result.finals[0], 1, head);
    CHECK(hit ? AllNan(state) : Same(state, OfHead(sound.finals[0], 1, head)));
  }
}

CASE(WhatComesBeforeDoesNotDependOnIt) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      for (const int gate_kind : {CAIRN_KERNELS_GATE_LOG, CAIRN_KERNELS_GATE_FACTOR}) {
        RecurrentProblem p = Problem(rule, gate_kind);
        p.sequences[0].emit = {0, 20, 39, 40, 64, kLength};
        const RecurrentResult sound = Run(p, *backend);
        for (const Spoilt& spoilt : kSpoilt) {
          if (spoilt.gate_kind == gate_kind) {
            context = std::string(spoilt.what) + ", rule " + std::to_string(rule) + " on " +
                      backend->name();
            CheckSpoilt(p, sound, spoilt, 39, *backend);
          }
        }
      }
    }
  }
}

CASE(AtTheEdgesOfChunks) {
  for (const int rule : {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA}) {
    for (const auto& backend : Backends()) {
      RecurrentProblem p = Problem(rule, CAIRN_KERNELS_GATE_LOG);
      p.sequences[0].emit = {0, 1, 63, 64, 65, kLength};
      const RecurrentResult sound = Run(p, *backend);
      for (const int token : {0, 63, 64, kLength - 1}) {
        context = "token " + std::to_string(token) + ", rule " + std::to_string(rule) + " on " +
                  backend->name();
        CheckSpoilt(p, sound, kSpoilt[0], token, *backend);
      }
    }
  }
}

// Nothing but its own output has a query.
CASE(AQueryIsItsOwnOutputsAlone) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      for (const float value : {kInfinity, kNan}) {
        context = "rule " + std::to_string(rule) + " on " + backend->name();
        RecurrentProblem p = Problem(rule, CAIRN_KERNELS_GATE_LOG);
        p.sequences[0].emit = {39, 40};
        const RecurrentResult sound = Run(p, *backend);
        const RecurrentResult result = RunSpoilt(p, {"a query", &Args::query, value}, 39, *backend);
        CHECK(result.finals == sound.finals);
        CHECK(result.emitted == sound.emitted);
        for (const std::size_t head : {0U, 1U}) {
          const auto out = OfHead(result.outputs[0], kLength, head);
          const auto good = OfHead(sound.outputs[0], kLength, head);
          CHECK(Same(Tokens(out, 0, 39), Tokens(good, 0, 39)));
          CHECK(Same(Tokens(out, 40, kLength), Tokens(good, 40, kLength)));
          const auto own = Tokens(out, 39, 40);
          CHECK(std::none_of(own.begin(), own.end(), [](float x) { return std::isfinite(x); }));
        }
      }
    }
  }
}

}  // namespace
}  // namespace cairn::kernels::test
