// Engines agree on who has a prompt without talking to each other, and a daemon that comes or goes
// moves no more prompts than it must.
#include "libcache/cluster/routing.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "libcache/trace/mix.h"

namespace cairn {
namespace {

constexpr std::size_t kFamilies = 4000;

PrefixKey KeyOf(std::uint64_t number) {
  PrefixKey key;
  for (std::size_t i = 0; i < PrefixKey::kBytes; ++i) {
    number = Mix(number + kGoldenRatio);
    key.bytes[i] = static_cast<std::byte>(number);
  }
  return key;
}

std::vector<std::string> Names(std::size_t count, std::uint64_t salt) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    names.push_back("cairn-" + std::to_string(salt) + "-" + std::to_string(i));
  }
  return names;
}

std::vector<std::uint8_t> All(std::size_t count) { return std::vector<std::uint8_t>(count, 1); }

RC_GTEST_PROP(Routing, TheOrderOfMembersDoesNotMatter, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 20);
  const auto salt = *rc::gen::arbitrary<std::uint32_t>();
  const std::vector<std::string> names = Names(count, salt);
  std::vector<std::string> other = names;
  std::rotate(other.begin(),
              other.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, 20) % std::ptrdiff_t(count),
              other.end());
  const Ring one(names);
  const Ring two(other);
  for (std::uint64_t i = 0; i < 50; ++i) {
    const auto a = one.Pick(KeyOf(i), KeyOf(i / 3), All(count));
    const auto b = two.Pick(KeyOf(i), KeyOf(i / 3), All(count));
    RC_ASSERT(names[a.first] == other[b.first]);
    RC_ASSERT(names[a.second] == other[b.second]);
    RC_ASSERT((a.first != a.second) == (count > 1));
  }
}

/// Half of the families lie at their first candidate, half at their second.
std::size_t HolderOf(const Ring::Candidates& both, std::uint64_t family) {
  return family % 2 == 0 ? both.first : both.second;
}

bool Has(const Ring::Candidates& both, std::size_t member) {
  return both.first == member || both.second == member;
}

RC_GTEST_PROP(Routing, OneMoreOrLessOfSoManyMovesItsShare, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(2, 12);
  const Ring ring(Names(count, *rc::gen::arbitrary<std::uint32_t>()));
  const auto changing = *rc::gen::inRange<std::size_t>(0, count);
  std::vector<std::uint8_t> without = All(count);
  without[changing] = 0;
  std::size_t homes = 0;
  std::size_t lost_by_leaving = 0;
  std::size_t lost_by_joining = 0;
  for (std::uint64_t i = 0; i < kFamilies; ++i) {
    const auto with_it = ring.Pick(KeyOf(i), KeyOf(i / 2), All(count));
    const auto without_it = ring.Pick(KeyOf(i), KeyOf(i / 2), without);
    homes += with_it.first != without_it.first ? 1 : 0;
    RC_ASSERT(with_it.first == changing || with_it.first == without_it.first);
    const bool left = !Has(without_it, HolderOf(with_it, i));
    RC_ASSERT(!left || HolderOf(with_it, i) == changing);
    lost_by_leaving += left ? 1 : 0;
    lost_by_joining += Has(with_it, HolderOf(without_it, i)) ? 0 : 1;
  }
  const double most = (1.0 / static_cast<double>(count) + 0.05) * kFamilies;
  RC_ASSERT(static_cast<double>(homes) <= most);
  RC_ASSERT(static_cast<double>(lost_by_leaving) <= most);
  RC_ASSERT(static_cast<double>(lost_by_joining) <= most);
}

RC_GTEST_PROP(Routing, FamiliesSpreadEvenly, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(2, 9);
  const Ring ring(Names(count, *rc::gen::arbitrary<std::uint32_t>()));
  std::vector<std::size_t> first(count);
  std::vector<std::size_t> second(count);
  for (std::uint64_t i = 0; i < kFamilies; ++i) {
    const auto both = ring.Pick(KeyOf(i), KeyOf(i), All(count));
    ++first[both.first];
    ++second[both.second];
  }
  const double mean = static_cast<double>(kFamilies) / static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i) {
    RC_ASSERT(static_cast<double>(first[i]) > 0.75 * mean);
    RC_ASSERT(static_cast<double>(first[i]) < 1.25 * mean);
    RC_ASSERT(static_cast<double>(second[i]) > 0.75 * mean);
    RC_ASSERT(static_cast<double>(second[i]) < 1.25 * mean);
  }
}

// A prompt and whatever continues it share their home, once it is as long as a home's name.
RC_GTEST_PROP(Routing, ExtensionsMeetTheirPrefix, ()) {
  RoutingRule rule;
  rule.home_tokens = *rc::gen::inRange<std::uint32_t>(1, 3000);
  const auto block = *rc::gen::element<std::uint32_t>(16, 64, 512);
  const std::size_t home = RouteBlocksOf(rule, 1'000'000, block).home;
  const auto blocks = *rc::gen::inRange<std::size_t>(0, 400);
  const RouteBlocks route = RouteBlocksOf(rule, blocks, block);
  RC_ASSERT(route.home <= blocks);
  RC_ASSERT(route.spread <= blocks);
  RC_ASSERT(route.spread >= route.home);
  RC_ASSERT(route.home == (blocks < home ? std::min<std::size_t>(blocks, 1) : home));
}

// Where it lies, not only how many blocks say so.
RC_GTEST_PROP(Routing, AGrowingPromptKeepsItsHome, ()) {
  const RoutingRule rule;
  const std::uint32_t block = 64;
  const auto members = *rc::gen::inRange<std::size_t>(2, 9);
  const Ring ring(Names(members, *rc::gen::arbitrary<std::uint32_t>()));
  const std::vector<std::uint8_t> usable = All(members);
  const auto salt = *rc::gen::arbitrary<std::uint32_t>();
  std::vector<PrefixKey> keys;
  for (std::uint64_t i = 0; i < 200; ++i) {
    keys.push_back(KeyOf(salt * 1000ULL + i));
  }
  const auto pick = [&](std::size_t blocks) {
    const RouteBlocks route = RouteBlocksOf(rule, blocks, block);
    return ring.Pick(keys[route.home - 1], keys[route.spread - 1], usable);
  };
  // Three lives of a prompt: see docs/decisions/0013-several-daemons.md.
  const std::size_t home = rule.home_tokens / block;
  const std::size_t spread = rule.spread_tokens.front() / block;
  const auto young = *rc::gen::inRange<std::size_t>(1, home);
  RC_ASSERT(pick(young) == pick(1));
  const auto grown = *rc::gen::inRange(home, spread);
  RC_ASSERT(pick(grown) == pick(home));
  const auto old = *rc::gen::inRange(spread, keys.size());
  RC_ASSERT(pick(old) == pick(spread));
  RC_ASSERT(pick(old).first == pick(grown).first);
}

}  // namespace
}  // namespace cairn
