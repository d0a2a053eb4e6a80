#include "services/cairn-llama/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "services/cairn-llama/gguf_writer.h"
#include "services/cairn-llama/random_model_plan.h"

namespace cairn::llama {
namespace {

/// SplitMix64: one state word, no setup, and good enough for weights.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  /// From -1 to 1.
  float Signed() { return static_cast<float>(static_cast<std::int32_t>(Next() >> 32U)) * 0x1p-31F; }
  /// From 0 to 1.
  float Unit() { return 0.5F * (Signed() + 1); }

 private:
  std::uint64_t state_;
};

/// Each tensor has its own sequence, so that a change of one leaves the others as they are.
std::uint64_t SeedOf(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a.
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  return Random(seed).Next() ^ hash;
}

/// Uniform and not normal: many times faster to draw, and behind a matrix product of some tens of
/// terms nothing can tell the difference.
void FillUniform(Random& random, float mean, float deviation, std::span<float> values) {
  const float reach = deviation * std::sqrt(3.0F);
  for (float& value : values) {
    value = mean + reach * random.Signed();
  }
}

float LogUniform(Random& random, float low, float high) {
  return low * std::pow(high / low, random.Unit());
}

void FillTensor(const PlannedTensor& planned, std::uint64_t seed, std::span<float> values) {
  Random random(SeedOf(seed, planned.tensor.name));
  switch (planned.draw) {
    case Draw::kUniform: FillUniform(random, planned.a, planned.b, values); return;
    case Draw::kDecay:
      std::generate(values.begin(), values.end(),
                    [&] { return -LogUniform(random, planned.a, planned.b); });
      return;
    case Draw::kTimeStep:
      std::generate(values.begin(), values.end(),
                    [&] { return std::log(std::expm1(LogUniform(random, planned.a, planned.b))); });
      return;
    case Draw::kLogits: {
      const auto row = static_cast<std::size_t>(planned.tensor.shape.front());
      for (std::size_t i = 0; i * row < values.size(); ++i) {
        const bool worth = WorthGenerating(static_cast<std::uint32_t>(i));
        FillUniform(random, 0, worth ? planned.b : planned.a, values.subspan(i * row, row));
      }
      return;
    }
  }
}

void SetGeneralKeys(const RandomModelOptions& options, GgufWriter& writer) {
  const bool tiny = options.size == ModelSize::kTiny;
  writer.Set("general.architecture", options.arch);
  writer.Set("general.type", std::string("model"));
  // With the seed, since who compares models by their metadata must tell two seeds apart.
  writer.Set("general.name", "cairn-random-" + options.arch + (tiny ? "-tiny" : "-medium") +
                                 "-seed" + std::to_string(options.seed));
  writer.Set("general.description", std::string("random weights, for tests and measurements"));
  writer.Set("general.file_type", tiny ? 0U : 1U);  // All F32; matrices F16.
}

}  // namespace

std::span<const std::string_view> RandomModelArchs() {
  static const std::vector<std::string_view> names = [] {
    const auto archs = RandomArchs();
    std::vector<std::string_view> all(archs.size());
    std::transform(archs.begin(), archs.end(), all.begin(),
                   [](const RandomArch& arch) { return arch.name; });
    return all;
  }();
  return names;
}

Status WriteRandomModel(const llamacpp::Library& library, const RandomModelOptions& options) {
  const auto archs = RandomArchs();
  const auto arch = std::find_if(archs.begin(), archs.end(), [&](const RandomArch& candidate) {
    return candidate.name == options.arch;
  });
  if (arch == archs.end()) {
    std::string names;
    for (const std::string_view name : RandomModelArchs()) {
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return Fail(ErrorCode::kInvalidArgument, "there is no random model of architecture \"" +
                                                 options.arch + "\"; there is " + names);
  }
  auto writer = GgufWriter::Create(library);
  if (!writer) {
    return Fail(writer.error());
  }
  const ModelPlan plan = arch->plan(options.size);
  SetGeneralKeys(options, *writer);
  for (const auto& [key, value] : plan.keys) {
    writer->Set(key, value);
  }
  for (const auto& [key, value] : TokenizerKeys(options.size)) {
    writer->Set(key, value);
  }
  for (const PlannedTensor& planned : plan.tensors) {
    writer->AddTensor(planned.tensor);
  }
  return writer->Write(options.path, [&](std::size_t index, std::span<float> values) {
    FillTensor(plan.tensors[index], options.seed, values);
  });
}

}  // namespace cairn::llama
