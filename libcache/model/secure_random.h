#pragma once

#include <cstddef>
#include <span>

namespace cairn {

/// Fills `target` with bytes nobody can guess (OpenSSL's generator). Stops the process if the
/// system has no randomness: a guessable token is worse than none. Thread-safe.
void FillRandom(std::span<std::byte> target);

}  // namespace cairn
