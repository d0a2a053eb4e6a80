#include "libcache/model/prefix_key.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "libcache/model/namespace_text.h"

namespace cairn {
namespace {

using Tokens = std::vector<std::uint32_t>;

// Few token values and short texts, so that equal prefixes and moved characters do come up.
Tokens AnyTokens() { return *rc::gen::container<Tokens>(rc::gen::inRange<std::uint32_t>(0, 3)); }

std::string AnyText() {
  return *rc::gen::container<std::string>(rc::gen::element('a', 'b', '\0', '\1'));
}

NamespaceSpec AnySpec() {
  const auto number = [] { return *rc::gen::inRange<std::uint32_t>(0, 3); };
  const auto fidelity = static_cast<Fidelity>(number());
  const bool exact = fidelity == Fidelity::kExact;  // Then shapes are without meaning.
  return {.tenant = AnyText(),
          .model = AnyText(),
          .revision = AnyText(),
          .dtype = AnyText(),
          .layout = AnyText(),
          .kernel = AnyText(),
          .adapter = AnyText(),
          .tp_rank = number(),
          .tp_size = number(),
          .salt = AnyText(),
          .block_tokens = number(),
          .kv_bytes_per_token = number(),
          .checkpoint_bytes = number(),
          .fidelity = fidelity,
          .checkpoint_shape = exact ? "" : AnyText(),
          .kv_shape = exact ? "" : AnyText()};
}

// Two requests share key i exactly as long as they share every token of blocks 0 to i.
RC_GTEST_PROP(PrefixKeyProperty, KeysAreEqualExactlyWherePrefixesAre, ()) {
  const auto block_tokens = *rc::gen::inRange<std::uint32_t>(1, 6);
  const Tokens shared = AnyTokens();
  Tokens first = shared;
  Tokens second = shared;
  for (const std::uint32_t token : AnyTokens()) {
    first.push_back(token);
  }
  for (const std::uint32_t token : AnyTokens()) {
    second.push_back(token);
  }
  const auto first_keys = BlockKeys({}, first, block_tokens);
  const auto second_keys = BlockKeys({}, second, block_tokens);
  RC_ASSERT(first_keys.size() == first.size() / block_tokens);
  for (std::size_t i = 0; i < std::min(first_keys.size(), second_keys.size()); ++i) {
    const auto length = static_cast<std::ptrdiff_t>((i + 1) * block_tokens);
    const bool same_prefix =
        std::equal(first.begin(), first.begin() + length, second.begin(), second.begin() + length);
    RC_ASSERT((first_keys[i] == second_keys[i]) == same_prefix);
  }
}

// The key of a whole prefix does not depend on how its computation was cut into calls.
RC_GTEST_PROP(PrefixKeyProperty, ResumingTheChainGivesTheSameKeys, ()) {
  const auto block_tokens = *rc::gen::inRange<std::uint32_t>(1, 6);
  const Tokens tokens = AnyTokens();
  const auto keys = BlockKeys({}, tokens, block_tokens);
  RC_PRE(!keys.empty());
  const auto cut = *rc::gen::inRange<std::size_t>(0, keys.size());
  const auto rest =
      BlockKeys(keys[cut], std::span(tokens).subspan((cut + 1) * block_tokens), block_tokens);
  RC_ASSERT(std::equal(rest.begin(), rest.end(),
                       keys.begin() + static_cast<std::ptrdiff_t>(cut) + 1, keys.end()));
}

RC_GTEST_PROP(NamespaceProperty, EqualTextsExactlyForEqualSpecs, ()) {
  const NamespaceSpec first = AnySpec();
  // Half of the time a copy, so that both directions are tried.
  const NamespaceSpec second = *rc::gen::arbitrary<bool>() ? first : AnySpec();
  RC_ASSERT((CanonicalNamespace(first) == CanonicalNamespace(second)) == (first == second));
  RC_ASSERT((NamespaceSeed({}, first) == NamespaceSeed({}, second)) == (first == second));
}

RC_GTEST_PROP(NamespaceProperty, TextsReadBackAndDamageNeverReadsAsSomethingElse, ()) {
  NamespaceSpec spec = AnySpec();
  spec.block_tokens += 1;  // A stored namespace has blocks, and its grid is read as theirs.
  spec.grid_tokens = spec.block_tokens;
  std::string text = CanonicalNamespace(spec);
  const auto read = ParseCanonicalNamespace(text);
  RC_ASSERT(read.has_value());
  RC_ASSERT(*read == spec);
  const auto place = *rc::gen::inRange<std::size_t>(0, text.size());
  text[place] = static_cast<char>(text[place] ^ *rc::gen::inRange(1, 256));
  const auto damaged = ParseCanonicalNamespace(text);
  if (damaged) {  // RC_ASSERT overloads ||, which would evaluate both sides.
    RC_ASSERT(CanonicalNamespace(*damaged) == text);
  }
}

// The attack on a format without lengths: the same characters, cut elsewhere.
RC_GTEST_PROP(NamespaceProperty, MovingTextBetweenFieldsIsSeen, ()) {
  static constexpr std::array kTexts = {&NamespaceSpec::tenant,   &NamespaceSpec::model,
                                        &NamespaceSpec::revision, &NamespaceSpec::dtype,
                                        &NamespaceSpec::layout,   &NamespaceSpec::kernel,
                                        &NamespaceSpec::adapter};
  NamespaceSpec first = AnySpec();
  const auto field = *rc::gen::inRange<std::size_t>(0, kTexts.size() - 1);
  const std::string joined = first.*kTexts.at(field) + first.*kTexts.at(field + 1);
  const auto cut = *rc::gen::inRange<std::size_t>(0, joined.size() + 1);
  NamespaceSpec second = first;
  second.*kTexts.at(field) = joined.substr(0, cut);
  second.*kTexts.at(field + 1) = joined.substr(cut);
  RC_ASSERT((CanonicalNamespace(first) == CanonicalNamespace(second)) == (first == second));
}

RC_GTEST_PROP(PrefixKeyProperty, ATailIsNeitherABlockNorAnotherTail, ()) {
  const Tokens tokens = AnyTokens();
  RC_PRE(!tokens.empty());
  const PrefixKey tail = TailKey({}, tokens);
  RC_ASSERT(tail != NextBlockKey({}, tokens));
  const Tokens other = AnyTokens();
  RC_ASSERT((TailKey({}, other) == tail) == (other == tokens));
}

}  // namespace
}  // namespace cairn
