#include "libcache/base/digest.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace cairn {
namespace {

std::vector<std::byte> RandomBytes(std::size_t size) {
  std::mt19937_64 random(size + 1);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) {
    b = static_cast<std::byte>(random());
  }
  return bytes;
}

// XXH3-128 of the empty input with seed 0, from the xxHash test vectors.
TEST(DigestTest, EmptyInputHasThePublishedValue) {
  EXPECT_EQ(DigestOf({}), (Digest{.low = 0x6001C324468D497FULL, .high = 0x99AA06D3014798D8ULL}));
}

// Sizes around every switch of the copy: below streaming, one piece, odd ends, odd alignments.
TEST(DigestTest, CopyAndDigestCopiesAndAgreesWithDigestOf) {
  for (const std::size_t size :
       {0U, 1U, 63U, 64U, 65U, 4096U, 131071U, 131072U, 131073U, 200000U, 1U << 20U}) {
    for (const std::size_t shift : {0U, 1U, 17U, 64U}) {
      const auto source = RandomBytes(size);
      std::vector<std::byte> target(size + shift + 64, std::byte{0xEE});
      const Digest digest = CopyAndDigest(std::span(target).subspan(shift, size), source);
      EXPECT_EQ(digest, DigestOf(source)) << size << " at " << shift;
      EXPECT_TRUE(std::equal(source.begin(), source.end(),
                             target.begin() + static_cast<std::ptrdiff_t>(shift)));
      EXPECT_EQ(target[shift + size], std::byte{0xEE}) << "wrote past the end";
    }
  }
}

TEST(DigestTest, PiecesGiveTheDigestOfTheWhole) {
  const auto bytes = RandomBytes(300'001);
  Digester digester;
  for (std::size_t done = 0; done < bytes.size();) {
    const std::size_t piece = std::min<std::size_t>(7919, bytes.size() - done);
    digester.Update(std::span(bytes).subspan(done, piece));
    done += piece;
  }
  EXPECT_EQ(digester.Finish(), DigestOf(bytes));
}

TEST(DigestTest, OneFlippedBitChangesIt) {
  auto bytes = RandomBytes(5000);
  const Digest before = DigestOf(bytes);
  bytes[4999] ^= std::byte{1};
  EXPECT_NE(before, DigestOf(bytes));
}

}  // namespace
}  // namespace cairn
