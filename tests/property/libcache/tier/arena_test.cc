#include "libcache/tier/arena.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <random>
#include <vector>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

constexpr std::uint64_t kHeaderBytes = sizeof(SlotHeader);

struct Shadow {
  std::uint64_t bytes;
  std::byte fill;
};

/// The arena beside a map of what must be in it.
class Model {
 public:
  explicit Model(std::uint64_t capacity_bytes)
      : arena(std::move(Arena::Create({.capacity_bytes = capacity_bytes})).value()) {}

  void Allocate(std::uint64_t bytes, std::uint32_t owner) {
    const auto offset = arena->Allocate(bytes, owner);
    if (!offset) {
      // The refusal must be true: no gap between the slots is long enough.
      RC_ASSERT(offset.error().code == ErrorCode::kNoSpace);
      RC_ASSERT(LongestGap() < Arena::SlotBytes(bytes));
      return;
    }
    RC_ASSERT(*offset % 64 == 0U);
    RC_ASSERT(arena->Header(*offset).owner == owner);
    const auto fill = static_cast<std::byte>(owner % 251 + 1);
    std::memset(arena->Payload(*offset).data(), static_cast<int>(fill), bytes);
    RC_ASSERT(slots.emplace(*offset, Shadow{bytes, fill}).second);
    if (owner % 2 == 0) {
      arena->Publish(*offset);
    }
  }
  void Free(std::size_t index) {
    if (slots.empty()) {
      return;
    }
    const auto slot = std::next(slots.begin(), static_cast<std::ptrdiff_t>(index % slots.size()));
    arena->Free(slot->first);
    slots.erase(slot);
  }
  std::uint64_t LongestGap() const {
    std::uint64_t longest = 0;
    std::uint64_t end = 0;
    for (const auto& [offset, slot] : slots) {
      longest = std::max(longest, offset - kHeaderBytes - end);
      end = offset - kHeaderBytes + Arena::SlotBytes(slot.bytes);
    }
    return std::max(longest, arena->capacity_bytes() - end);
  }
  void Verify() const {
    std::uint64_t end = 0;
    std::uint64_t used = 0;
    std::uint64_t payload = 0;
    for (const auto& [offset, slot] : slots) {
      RC_ASSERT(offset >= end + kHeaderBytes);
      end = offset - kHeaderBytes + Arena::SlotBytes(slot.bytes);
      RC_ASSERT(end <= arena->capacity_bytes());
      used += Arena::SlotBytes(slot.bytes);
      payload += slot.bytes;
      const auto bytes = arena->Payload(offset);
      RC_ASSERT(bytes.size() == slot.bytes);
      RC_ASSERT(std::all_of(bytes.begin(), bytes.end(),
                            [fill = slot.fill](std::byte b) { return b == fill; }));
    }
    RC_ASSERT(arena->used_bytes() == used);
    RC_ASSERT(arena->payload_bytes() == payload);
    RC_ASSERT(used <= arena->capacity_bytes());
  }

  std::unique_ptr<Arena> arena;
  std::map<std::uint64_t, Shadow> slots;
};

/// Uniform from the first case on: inRange alone grows its range with the case number, so that the
/// upper choices would hardly ever be drawn.
template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

std::uint64_t AnySize() {
  switch (Draw(0, 4)) {
    case 0: return Draw<std::uint64_t>(1, 300);
    case 1: return Draw<std::uint64_t>(1, 20'000);
    case 2: return Draw<std::uint64_t>(1, 700'000);
    default: return 262'080 + Draw<std::uint64_t>(0, 2) * 8;  // At the step from small to large.
  }
}

RC_GTEST_PROP(ArenaProperty, SlotsAreDisjointCountedAndUntouched, ()) {
  Model model(2 * kMiB);
  const int steps = *rc::gen::inRange(1, 120);
  for (int i = 0; i < steps; ++i) {
    if (Draw(0, 5) < 3) {
      model.Allocate(AnySize(), static_cast<std::uint32_t>(i));
    } else {
      model.Free(Draw<std::size_t>(0, 1000));
    }
    if (i % 16 == 0) {
      model.Verify();
    }
  }
  model.Verify();
  // Whatever the order of release, everything merges again.
  while (!model.slots.empty()) {
    model.Free(Draw<std::size_t>(0, 1000));
  }
  RC_ASSERT(model.arena->used_bytes() == 0U);
  RC_ASSERT(model.arena->Allocate(2 * kMiB - kHeaderBytes, 0).has_value());
}

/// A slot or a gap.
struct Span {
  std::uint64_t bytes;
  double cost;
};

RC_GTEST_PROP(ArenaProperty, CheapestWindowIsCheapestAndMakesRoom, ()) {
  Model model(2 * kMiB);
  const int steps = *rc::gen::inRange(1, 80);
  for (int i = 0; i < steps; ++i) {
    if (Draw(0, 5) < 4) {
      model.Allocate(AnySize(), static_cast<std::uint32_t>(i));
    } else {
      model.Free(Draw<std::size_t>(0, 1000));
    }
  }
  std::vector<double> costs(static_cast<std::size_t>(steps));
  for (auto& cost : costs) {
    const int drawn = Draw(0, 12);
    cost = drawn == 11 ? std::numeric_limits<double>::infinity() : drawn;
  }
  std::vector<Span> pieces;
  std::uint64_t end = 0;
  for (const auto& [offset, slot] : model.slots) {
    if (offset - kHeaderBytes > end) {
      pieces.push_back({offset - kHeaderBytes - end, 0});
    }
    const std::uint32_t owner = model.arena->Header(offset).owner;
    pieces.push_back({Arena::SlotBytes(slot.bytes), costs[owner]});
    end = offset - kHeaderBytes + Arena::SlotBytes(slot.bytes);
  }
  if (end < model.arena->capacity_bytes()) {
    pieces.push_back({model.arena->capacity_bytes() - end, 0});
  }

  const std::uint64_t bytes = AnySize();
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t first = 0; first < pieces.size(); ++first) {
    std::uint64_t span = 0;
    double cost = 0;
    for (std::size_t last = first; last < pieces.size(); ++last) {
      span += pieces[last].bytes;
      cost += pieces[last].cost;
      if (span >= Arena::SlotBytes(bytes)) {
        best = std::min(best, cost);
        break;
      }
    }
  }
  const auto window =
      model.arena->CheapestWindow(bytes, [&](std::uint32_t owner) { return costs[owner]; });
  RC_ASSERT(window.has_value() == (best < std::numeric_limits<double>::infinity()));
  if (!window) {
    return;
  }
  double cost = 0;
  for (const std::uint32_t owner : window->owners) {
    cost += costs[owner];
    const auto slot = std::find_if(model.slots.begin(), model.slots.end(), [&](const auto& entry) {
      return model.arena->Header(entry.first).owner == owner;
    });
    RC_ASSERT(slot != model.slots.end());
    model.arena->Free(slot->first);
    model.slots.erase(slot);
  }
  RC_ASSERT(cost == best);
  RC_ASSERT(model.arena->Allocate(bytes, 0).has_value());
  RC_ASSERT(best == 0 || !window->owners.empty());
}

/// Fills an arena with a mix of object sizes under least-recently-used eviction and returns the
/// mean share of it that holds payload, measured once it has been full.
class Churn {
 public:
  Churn(std::uint64_t capacity_bytes, std::vector<std::pair<std::uint64_t, double>> mix)
      : arena_(std::move(Arena::Create({.capacity_bytes = capacity_bytes, .huge_pages = false}))
                   .value()),
        mix_(std::move(mix)) {}

  double Utilisation(std::uint32_t rounds) {
    std::vector<double> weights;
    for (const auto& kind : mix_) {
      weights.push_back(kind.second);
    }
    std::discrete_distribution<std::size_t> draw(weights.begin(), weights.end());
    double sum = 0;
    for (clock_ = 0; clock_ < rounds; ++clock_) {
      Place(mix_[draw(random_)].first);
      // Some objects are used again, so age order and address order part.
      if (!lru_.empty() && random_() % 2 == 0) {
        const auto lucky = std::next(
            lru_.begin(),
            static_cast<std::ptrdiff_t>(random_() % std::min<std::size_t>(lru_.size(), 64)));
        lru_.splice(lru_.end(), lru_, lucky);
        used_at_[*lucky] = clock_;
      }
      if (clock_ >= rounds / 2) {
        sum += static_cast<double>(arena_->payload_bytes()) /
               static_cast<double>(arena_->capacity_bytes());
      }
    }
    return sum / (rounds - rounds / 2);
  }
  [[nodiscard]] std::uint32_t windows() const { return windows_; }
  /// Where in the order of use the evicted stood: 0 is the oldest, 1 the newest.
  [[nodiscard]] double MeanWindowRank() const {
    return window_evictions_ == 0 ? 0 : rank_sum_ / window_evictions_;
  }

 private:
  void Place(std::uint64_t bytes) {
    auto offset = arena_->Allocate(bytes, clock_);
    while (!offset) {
      const std::uint64_t free = arena_->capacity_bytes() - arena_->used_bytes();
      if (free >= Arena::SlotBytes(bytes) + Arena::SlotBytes(bytes) / 4) {
        // Scattered. The recently used are dear, and so are large ones.
        const auto window = arena_->CheapestWindow(bytes, [&](std::uint32_t owner) {
          return static_cast<double>(arena_->Header(offsets_[owner]).slot_bytes) /
                 (1.0 + clock_ - used_at_[owner]);
        });
        ++windows_;
        for (const std::uint32_t owner : window->owners) {
          const auto rank = static_cast<double>(std::distance(lru_.begin(), place_[owner]));
          rank_sum_ += rank / static_cast<double>(lru_.size());
          ++window_evictions_;
          Evict(owner);
        }
      } else {
        Evict(lru_.front());
      }
      offset = arena_->Allocate(bytes, clock_);
    }
    offsets_[clock_] = *offset;
    used_at_[clock_] = clock_;
    place_[clock_] = lru_.insert(lru_.end(), clock_);
  }
  void Evict(std::uint32_t owner) {
    arena_->Free(offsets_[owner]);
    lru_.erase(place_[owner]);
    offsets_.erase(owner);
    used_at_.erase(owner);
    place_.erase(owner);
  }

  std::unique_ptr<Arena> arena_;
  std::vector<std::pair<std::uint64_t, double>> mix_;
  std::mt19937_64 random_{1};
  std::uint32_t clock_ = 0;
  std::uint32_t windows_ = 0;
  std::uint32_t window_evictions_ = 0;
  double rank_sum_ = 0;
  std::list<std::uint32_t> lru_;
  std::map<std::uint32_t, std::uint64_t> offsets_;
  std::map<std::uint32_t, std::uint32_t> used_at_;
  std::map<std::uint32_t, std::list<std::uint32_t>::iterator> place_;
};

// Sizes of published models: Qwen3.5-27B states beside KV blocks of 512 tokens; the same with tail
// KV of any length; a small model beside a large one. The memory is only mapped, hardly touched.
TEST(ArenaFragmentation, ChurnKeepsMostOfTheArenaInUse) {
  constexpr std::uint32_t kRounds = 8'000;
  constexpr std::uint64_t kState = 153'944'064;
  constexpr std::uint64_t kSmallState = 19'300'352;
  struct Case {
    const char* name;
    std::uint64_t capacity_bytes;
    std::vector<std::pair<std::uint64_t, double>> mix;
  };
  std::vector<Case> cases = {
      {"states and KV blocks", 16 * kGiB, {{kState, 1}, {32 * kMiB, 6}}},
      {"two models", 16 * kGiB, {{kState, 1}, {32 * kMiB, 6}, {kSmallState, 4}, {kMiB, 24}}},
      {"states and KV pages", 512 * kMiB, {{kSmallState, 1}, {64 * kKiB, 64}}},
      {"states, KV, tails", 16 * kGiB, {{kState, 1}, {32 * kMiB, 6}}},
  };
  std::mt19937_64 random(7);
  for (int i = 0; i < 200; ++i) {
    cases.back().mix.emplace_back(random() % (32 * kMiB) + 1, 0.01);
  }
  for (const auto& [name, capacity_bytes, mix] : cases) {
    Churn churn(capacity_bytes, mix);
    const double utilisation = churn.Utilisation(kRounds);
    std::printf("%-21s utilisation %.3f, windows %u of %u, mean rank of their units %.3f\n", name,
                utilisation, churn.windows(), kRounds, churn.MeanWindowRank());
    EXPECT_GE(utilisation, 0.9) << name;
    EXPECT_LE(churn.MeanWindowRank(), 0.15) << name << ": windows must take what is old anyway";
  }
}

}  // namespace
}  // namespace cairn
