#include "libcache/solver/trie_solver.h"

#include "libcache/solver/trie_sweep.h"

namespace cairn {
namespace {

template <bool Joint>
Result<TriePlan> Solve(internal::TrieSweep<Joint>& sweep, const TrieInstance& trie,
                       double price_per_byte) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  if (auto status = ValidatePrice(price_per_byte); !status) {
    return Fail(std::move(status).error());
  }
  return sweep.Solve(trie, price_per_byte);
}

}  // namespace

struct TrieSolver::Parts {
  internal::TrieSweep<false> states;
  internal::TrieSweep<true> joint;
};

TrieSolver::TrieSolver() : parts_(std::make_unique<Parts>()) {}
TrieSolver::~TrieSolver() = default;
TrieSolver::TrieSolver(TrieSolver&&) noexcept = default;
TrieSolver& TrieSolver::operator=(TrieSolver&&) noexcept = default;

Result<TriePlan> TrieSolver::SolveTrie(const TrieInstance& trie, double price_per_byte) {
  return Solve(parts_->states, trie, price_per_byte);
}

Result<TriePlan> TrieSolver::SolveJoint(const TrieInstance& trie, double price_per_byte) {
  return Solve(parts_->joint, trie, price_per_byte);
}

std::size_t TrieSolver::memory_bytes() const {
  return parts_->states.memory_bytes() + parts_->joint.memory_bytes();
}

Result<TriePlan> SolveTrie(const TrieInstance& trie, double price_per_byte) {
  return TrieSolver().SolveTrie(trie, price_per_byte);
}

Result<TriePlan> SolveJoint(const TrieInstance& trie, double price_per_byte) {
  return TrieSolver().SolveJoint(trie, price_per_byte);
}

}  // namespace cairn
