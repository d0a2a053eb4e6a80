#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/solver/trie_instance.h"

namespace cairn::sim {

/// A problem as a file has it: a trie, or a histogram of where overlaps end.
struct Instance {
  std::string name;
  bool histogram = false;
  bool joint = false;  ///< A trie with kv_bytes.

  std::vector<std::uint32_t> parent;
  std::vector<double> potential;
  std::vector<double> weight;  ///< Per node, or per position of a histogram.
  std::vector<std::uint64_t> state_bytes;
  std::vector<std::uint64_t> kv_bytes;
  std::vector<std::uint8_t> allowed;
  std::vector<double> fetch;

  std::vector<double> prices;
  std::optional<std::uint64_t> budget;  ///< Bytes; for a histogram checkpoints.
  std::vector<std::string> unknown;     ///< Fields that were left out.

  [[nodiscard]] TrieInstance View() const;
};

struct InstanceFile {
  std::vector<Instance> instances;
  bool alone = false;  ///< One object, not a list.
};

/// Reads the shapes that docs/cairn-sim.md describes. Errors: kNotFound and kIo, naming the file;
/// kInvalidArgument "FILE: NAME: FIELD: what was expected".
Result<InstanceFile> ReadInstances(const std::string& path);

}  // namespace cairn::sim
