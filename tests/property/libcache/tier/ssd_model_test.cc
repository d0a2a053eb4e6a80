// Any sequence of writes, reads, drops, flushes and restarts agrees with a map: what the map has,
// the tier gives back bit for bit, unless it said that it evicted it.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

struct Step {
  int action;
  std::uint32_t number;
};

struct Stored {
  ColdLocation location;
  std::size_t size;
};

class Model {
 public:
  explicit Model(std::string path) : path_(std::move(path)) { Open(); }

  void Run(const Step& step) {
    switch (step.action) {
      case 0:
      case 1:
      case 2: Write(step.number); break;
      case 3: Read(step.number); break;
      case 4: Drop(step.number); break;
      case 5: RC_ASSERT(opened_.tier->Flush().has_value()); break;
      default: Restart(); break;
    }
    RC_ASSERT(opened_.tier->Stats().objects == objects_.size());
    RC_ASSERT(DiskUse(path_) <= kCapacityBytes);
  }

  void ReadAll() {
    for (const auto& [id, stored] : objects_) {
      RC_ASSERT(ReadsBack(*opened_.tier, stored.location, MakeObject(id, stored.size)));
    }
  }

 private:
  static constexpr std::uint64_t kCapacityBytes = 16 * kMiB;

  void Open() {
    opened_ = MustOpen({.path = path_,
                        .capacity_bytes = kCapacityBytes,
                        .segment_bytes = 2 * kMiB,
                        .write_buffer_bytes = kMiB});
    RC_ASSERT(opened_.quarantined_to.empty());
    opened_.tier->SetGoneListener([this](auto gone) {
      for (const ColdGone& one : gone) {
        RC_ASSERT(objects_.erase(one.cookie) == 1U);
      }
    });
  }

  void Write(std::uint32_t number) {
    const std::uint32_t id = next_++;
    const std::size_t size = number % 5 == 0 ? 1 + number % 100 : 1 + number * 7919 % 2'500'000;
    const auto object = MakeObject(id, size);
    const auto location = opened_.tier->Write(object.record, object.bytes, id);
    RC_ASSERT(location.has_value());
    objects_[id] = {.location = *location, .size = size};
  }

  void Read(std::uint32_t number) {
    if (!objects_.empty()) {
      const auto it = std::next(objects_.begin(), number % objects_.size());
      RC_ASSERT(
          ReadsBack(*opened_.tier, it->second.location, MakeObject(it->first, it->second.size)));
    }
  }

  void Drop(std::uint32_t number) {
    if (!objects_.empty()) {
      const auto it = std::next(objects_.begin(), number % objects_.size());
      opened_.tier->Drop(it->second.location);
      RC_ASSERT(
          !ReadsBack(*opened_.tier, it->second.location, MakeObject(it->first, it->second.size)));
      objects_.erase(it);
    }
  }

  // A clean stop keeps everything.
  void Restart() {
    opened_.tier.reset();
    Open();
    const Found found = RecoverAll(*opened_.tier);
    RC_ASSERT(found.size() == objects_.size());
    for (const auto& [record, location] : found) {
      const auto it = objects_.find(static_cast<std::uint32_t>(IdOf(record)));
      RC_ASSERT(it != objects_.end());
      RC_ASSERT(it->second.location == location);
    }
  }

  const std::string path_;
  OpenedSsd opened_;
  std::uint32_t next_ = 0;
  std::map<std::uint32_t, Stored> objects_;
};

RC_GTEST_PROP(SsdModelTest, AgreesWithAMap, ()) {
  const auto steps = *rc::gen::container<std::vector<std::pair<int, std::uint32_t>>>(
      60, rc::gen::pair(rc::gen::inRange(0, 7), rc::gen::inRange<std::uint32_t>(0, 1'000'000)));
  const ScratchDirectory scratch;
  Model model(scratch.path());
  for (const auto& [action, number] : steps) {
    model.Run({.action = action, .number = number});
  }
  model.ReadAll();
}

}  // namespace
}  // namespace cairn

// A case is a store with several restarts, each of which parses RocksDB's options: a hundred, the
// default, would take minutes.
int main(int argc, char** argv) {
#ifdef CAIRN_SANITIZED
  ::setenv("RC_PARAMS", "max_success=3", /*overwrite=*/0);
#else
  ::setenv("RC_PARAMS", "max_success=10", /*overwrite=*/0);
#endif
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
