#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <utility>

#include "libcache/model/model_spec.h"

namespace cairn {
namespace {

struct Row {
  std::string_view id;
  std::string_view name;
  RecurrentLayers recurrent;
  AttentionLayers attention;
};

// All of these models convolve over four tokens, except LFM2 (three).
constexpr std::uint32_t kConvWidth = 4;

/// Qwen's Gated DeltaNet: always 16 key heads, and heads of 128.
constexpr RecurrentLayers GatedDelta(std::uint32_t count, std::uint32_t value_heads) {
  return {.kind = RecurrentKind::kGatedDeltaNet,
          .count = count,
          .conv_width = kConvWidth,
          .key_heads = 16,
          .value_heads = value_heads,
          .key_dim = 128,
          .value_dim = 128};
}

constexpr RecurrentLayers KimiDelta(std::uint32_t count, std::uint32_t heads, std::uint32_t dim) {
  return {.kind = RecurrentKind::kKimiDelta,
          .count = count,
          .conv_width = kConvWidth,
          .key_heads = heads,
          .value_heads = heads,
          .key_dim = dim,
          .value_dim = dim};
}

struct Mamba2Shape {
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t groups = 1;
  std::uint32_t state = 128;
};

constexpr RecurrentLayers Mamba2(std::uint32_t count, Mamba2Shape shape) {
  return {.kind = RecurrentKind::kMamba2,
          .count = count,
          .conv_width = kConvWidth,
          .key_heads = shape.groups,
          .value_heads = shape.heads,
          .key_dim = shape.state,
          .value_dim = shape.head_dim};
}

constexpr RecurrentLayers Mamba1(std::uint32_t count, std::uint32_t inner_dim) {
  return {.kind = RecurrentKind::kMamba1,
          .count = count,
          .conv_width = kConvWidth,
          .key_dim = 16,
          .value_dim = 1,
          .inner_dim = inner_dim};
}

constexpr RecurrentLayers Lightning(std::uint32_t count, std::uint32_t heads, std::uint32_t dim) {
  return {.kind = RecurrentKind::kLightning,
          .count = count,
          .key_heads = heads,
          .value_heads = heads,
          .key_dim = dim,
          .value_dim = dim};
}

constexpr RecurrentLayers ShortConv(std::uint32_t count, std::uint32_t model_dim) {
  return {.kind = RecurrentKind::kShortConv,
          .count = count,
          .conv_width = 3,
          .value_dim = 1,
          .inner_dim = model_dim};
}

constexpr AttentionLayers Kv(std::uint32_t count, std::uint32_t kv_heads, std::uint32_t head_dim) {
  return {.count = count, .kv_heads = kv_heads, .head_dim = head_dim};
}

constexpr AttentionLayers Latent(std::uint32_t count, std::uint32_t dim) {
  return {.count = count, .kv_heads = 1, .head_dim = dim, .latent = true};
}

// In Falcon-H1 and Zamba2 a layer may be both, recurrent and attention; it is then counted in both.
// context_tokens stays 0: the longest prompt is a setting of the engine, not of the architecture.
constexpr std::array kRows = std::to_array<Row>({
    {"bamba-9b", "Bamba-9B", Mamba2(29, {.heads = 128, .head_dim = 64}), Kv(3, 8, 128)},
    {"falcon-h1-0.5b", "Falcon-H1-0.5B", Mamba2(36, {.heads = 24, .head_dim = 64}), Kv(36, 2, 64)},
    {"falcon-h1-1.5b", "Falcon-H1-1.5B", Mamba2(24, {.heads = 48, .head_dim = 64, .state = 256}),
     Kv(24, 2, 128)},
    {"falcon-h1-34b", "Falcon-H1-34B",
     Mamba2(72, {.heads = 32, .head_dim = 128, .groups = 2, .state = 256}), Kv(72, 4, 128)},
    {"falcon-h1-7b", "Falcon-H1-7B", Mamba2(44, {.heads = 24, .head_dim = 128, .state = 256}),
     Kv(44, 2, 128)},
    {"granite-4.0-h-1b", "Granite-4.0-H-1B", Mamba2(36, {.heads = 48, .head_dim = 64}),
     Kv(4, 4, 128)},
    {"granite-4.0-h-micro", "Granite-4.0-H-Micro", Mamba2(36, {.heads = 64, .head_dim = 64}),
     Kv(4, 8, 64)},
    {"granite-4.0-h-small", "Granite-4.0-H-Small", Mamba2(36, {.heads = 128, .head_dim = 64}),
     Kv(4, 8, 128)},
    {"granite-4.0-h-tiny", "Granite-4.0-H-Tiny", Mamba2(36, {.heads = 48, .head_dim = 64}),
     Kv(4, 4, 128)},
    {"jamba-large", "Jamba-Large", Mamba1(63, 16384), Kv(9, 8, 128)},
    {"jamba-mini", "Jamba-Mini", Mamba1(28, 8192), Kv(4, 8, 128)},
    {"jamba-v0.1", "Jamba-v0.1", Mamba1(28, 8192), Kv(4, 8, 128)},
    // 576 = 512 latent + 64 rope dimensions.
    {"kimi-linear-48b-a3b", "Kimi-Linear-48B-A3B", KimiDelta(20, 32, 128), Latent(7, 576)},
    {"lfm2-1.2b", "LFM2-1.2B", ShortConv(10, 2048), Kv(6, 8, 64)},
    {"lfm2-2.6b", "LFM2-2.6B", ShortConv(22, 2048), Kv(8, 8, 64)},
    {"lfm2-8b-a1b", "LFM2-8B-A1B", ShortConv(18, 2048), Kv(6, 8, 64)},
    {"minimax-m1", "MiniMax-M1", Lightning(70, 64, 128), Kv(10, 8, 128)},
    {"minimax-text-01", "MiniMax-Text-01", Lightning(70, 64, 128), Kv(10, 8, 128)},
    {"nemotron-3-nano-30b-a3b", "Nemotron-3-Nano-30B-A3B",
     Mamba2(23, {.heads = 64, .head_dim = 64, .groups = 8}), Kv(6, 2, 128)},
    {"nemotron-3-super-120b-a12b", "Nemotron-3-Super-120B-A12B",
     Mamba2(40, {.heads = 128, .head_dim = 64, .groups = 8}), Kv(8, 2, 128)},
    {"nemotron-h-8b", "Nemotron-H-8B", Mamba2(24, {.heads = 128, .head_dim = 64, .groups = 8}),
     Kv(4, 8, 128)},
    {"nemotron-nano-9b-v2", "Nemotron-Nano-9B-v2",
     Mamba2(27, {.heads = 128, .head_dim = 80, .groups = 8}), Kv(4, 8, 128)},
    {"qwen3-coder-next", "Qwen3-Coder-Next", GatedDelta(36, 32), Kv(12, 2, 256)},
    {"qwen3-next-80b-a3b", "Qwen3-Next-80B-A3B", GatedDelta(36, 32), Kv(12, 2, 256)},
    {"qwen3.5-0.8b", "Qwen3.5-0.8B", GatedDelta(18, 16), Kv(6, 2, 256)},
    {"qwen3.5-122b-a10b", "Qwen3.5-122B-A10B", GatedDelta(36, 64), Kv(12, 2, 256)},
    {"qwen3.5-27b", "Qwen3.5-27B", GatedDelta(48, 48), Kv(16, 4, 256)},
    {"qwen3.5-2b", "Qwen3.5-2B", GatedDelta(18, 16), Kv(6, 2, 256)},
    {"qwen3.5-35b-a3b", "Qwen3.5-35B-A3B", GatedDelta(30, 32), Kv(10, 2, 256)},
    {"qwen3.5-397b-a17b", "Qwen3.5-397B-A17B", GatedDelta(45, 64), Kv(15, 2, 256)},
    {"qwen3.5-4b", "Qwen3.5-4B", GatedDelta(24, 32), Kv(8, 4, 256)},
    {"qwen3.5-9b", "Qwen3.5-9B", GatedDelta(24, 32), Kv(8, 4, 256)},
    {"qwen3.6-35b-a3b", "Qwen3.6-35B-A3B", GatedDelta(30, 32), Kv(10, 2, 256)},
    {"zamba2-2.7b", "Zamba2-2.7B", Mamba2(54, {.heads = 80, .head_dim = 64, .state = 64}),
     Kv(9, 32, 160)},
    {"zamba2-7b", "Zamba2-7B", Mamba2(81, {.heads = 112, .head_dim = 64, .groups = 2, .state = 64}),
     Kv(13, 32, 224)},
});
static_assert(std::is_sorted(kRows.begin(), kRows.end(),
                             [](const Row& a, const Row& b) { return a.id < b.id; }));

/// What people paste is often a hub name: "Qwen/Qwen3.5-27B" reads as "qwen3.5-27b".
std::string Normalize(std::string_view text) {
  if (const auto slash = text.rfind('/'); slash != std::string_view::npos) {
    text.remove_prefix(slash + 1);
  }
  std::string id;
  for (const char c : text) {
    id.push_back(c == '_' || c == ' '
                     ? '-'
                     : static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return id;
}

/// Levenshtein distance.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0U);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replace, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

/// Up to three ids, nearest first: those that contain `text`, else misspellings of it.
std::vector<std::string_view> NearestIds(std::string_view text) {
  constexpr std::size_t kMost = 3;
  constexpr std::size_t kLongest = 64;  // No id is near to a longer text, and the cost is bounded.
  if (text.size() < 2 || text.size() > kLongest) {
    return {};
  }
  const std::size_t farthest = std::max<std::size_t>(2, text.size() / 3);
  std::vector<std::pair<std::size_t, std::string_view>> near;
  for (const Row& row : kRows) {
    const std::size_t distance = EditDistance(text, row.id);
    const bool contains = row.id.find(text) != std::string_view::npos;
    if (contains || distance <= farthest) {
      near.emplace_back(contains ? 0 : distance, row.id);
    }
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string_view> ids;
  for (const auto& [distance, id] : near) {
    // Next to a good guess, worse ones only distract.
    const std::size_t best = near.front().first;
    if (ids.size() < kMost && distance <= (best == 0 ? 0 : best + 1)) {
      ids.push_back(id);
    }
  }
  return ids;
}

}  // namespace

std::span<const ModelSpec> ModelPresets() {
  static const std::vector<ModelSpec> presets = [] {
    std::vector<ModelSpec> specs;
    specs.reserve(kRows.size());
    for (const Row& row : kRows) {
      specs.push_back({.id = std::string(row.id),
                       .name = std::string(row.name),
                       .recurrent = {row.recurrent},
                       .attention = {row.attention}});
    }
    return specs;
  }();
  return presets;
}

Result<ModelSpec> FindModelPreset(std::string_view id) {
  for (const ModelSpec& preset : ModelPresets()) {
    if (preset.id == id) {
      return preset;
    }
  }
  std::string message = "no model preset '" + std::string(id) + "'";
  const auto near = NearestIds(Normalize(id));
  if (near.empty()) {
    message += "; give a preset id (docs/models.md lists them) or the path of a .json file";
    return Fail(ErrorCode::kNotFound, std::move(message));
  }
  for (std::size_t i = 0; i < near.size(); ++i) {
    message += i == 0 ? ": did you mean " : i + 1 == near.size() ? " or " : ", ";
    message += near[i];
  }
  return Fail(ErrorCode::kNotFound, message + "?");
}

}  // namespace cairn
