#include "libcache/placement/reuse_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cairn {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// One place, from its last use to the next one after `age_s` or to old age.
void Live(ReuseModel& model, const SiteTraits& traits, double age_s) {
  const bool returns = std::isfinite(age_s);
  const std::size_t end = returns ? AgeBins::Of(age_s) : AgeBins::kCount - 1;
  for (std::size_t bin = 0; bin < end; ++bin) {
    model.Survived(traits, bin);
  }
  if (returns) {
    model.Used(traits, end);
  }
}

SiteTraits TipOf(std::uint8_t tenant) { return {.kind = SiteKind::kTip, .tenant = tenant}; }

TEST(ReuseModelTest, CountsAreBinnedByMagnitude) {
  EXPECT_EQ(SiteTraits::LogBin(0), 0);
  EXPECT_EQ(SiteTraits::LogBin(1), 1);
  EXPECT_EQ(SiteTraits::LogBin(2), 2);
  EXPECT_EQ(SiteTraits::LogBin(3), 2);
  EXPECT_EQ(SiteTraits::LogBin(4), 3);
  EXPECT_EQ(SiteTraits::LogBin((1ULL << 30U) - 1), 30);
  EXPECT_EQ(SiteTraits::LogBin(1ULL << 30U), 31);
  EXPECT_EQ(SiteTraits::LogBin(~0ULL), 31);
}

TEST(ReuseModelTest, SmallCountsAreToldApart) {
  for (std::uint64_t n = 0; n <= 8; ++n) {
    EXPECT_EQ(SiteTraits::CountBin(n), n);
  }
  EXPECT_EQ(SiteTraits::CountBin(9), 8);
  EXPECT_EQ(SiteTraits::CountBin(10), 9);
  EXPECT_EQ(SiteTraits::CountBin(16), 12);
  EXPECT_EQ(SiteTraits::CountBin(19), 12);
  EXPECT_EQ(SiteTraits::CountBin(20), 13);
  std::uint8_t last = 0;
  for (std::uint64_t n = 1; n <= 1ULL << 32U; n *= 2) {
    EXPECT_GT(SiteTraits::CountBin(n), last) << n;
    last = SiteTraits::CountBin(n);
  }
  EXPECT_EQ(SiteTraits::CountBin(1ULL << 30U), 116);
  EXPECT_EQ(SiteTraits::CountBin(~0ULL), 127);
}

// Every document gets ten questions. The one that got its tenth is done; by magnitude it looked
// like those with eight or twelve.
TEST(ReuseModelTest, KnowsWhenADocumentIsDone) {
  ReuseModel model;
  const auto after = [](std::uint64_t uses) {
    return SiteTraits{.kind = SiteKind::kJunction, .uses = SiteTraits::CountBin(uses)};
  };
  for (int document = 0; document < 100; ++document) {
    for (std::uint64_t uses = 1; uses <= 10; ++uses) {
      Live(model, after(uses), uses < 10 ? 20 : kNever);
    }
  }
  EXPECT_GT(model.ReturnProbability(after(9), 0), 0.5);
  EXPECT_LT(model.ReturnProbability(after(10), 0), 0.3);
}

TEST(ReuseModelTest, WithoutHistoryAYoungPlaceIsWorthMore) {
  const ReuseModel model;
  for (const auto kind : {SiteKind::kTip, SiteKind::kTurn, SiteKind::kJunction}) {
    const SiteTraits traits{.kind = kind};
    // The first bin is wider than the second: what is very young is told apart by nothing.
    for (std::size_t bin = 1; bin + 1 < AgeBins::kCount; ++bin) {
      EXPECT_GT(model.ReturnProbability(traits, bin), 0.0);
      EXPECT_LT(model.ReturnProbability(traits, bin), 1.0);
      EXPECT_GT(model.Density(traits, bin), model.Density(traits, bin + 1)) << "at bin " << bin;
    }
    EXPECT_GT(model.Density(traits, AgeBins::kCount - 1), 0.0);
  }
}

// The user reads for ten seconds, then asks on. Nothing happens for nine of them, and that is no
// reason to give the place up in the eighth.
TEST(ReuseModelTest, LooksPastAPause) {
  ReuseModel model;
  for (int i = 0; i < 500; ++i) {
    Live(model, TipOf(1), 9.0 + 0.004 * i);
  }
  EXPECT_GT(model.ReturnProbability(TipOf(1), 0), 0.9);
  double last = 0;
  for (std::size_t bin = 0; bin < AgeBins::Of(8); ++bin) {
    const double density = model.Density(TipOf(1), bin);
    EXPECT_GT(density, 0.05) << "at bin " << bin;
    EXPECT_GE(density, last * 0.999) << "the use comes nearer";
    last = density;
  }
  EXPECT_NEAR(model.Density(TipOf(1), 0), 0.1, 0.04);
  EXPECT_LT(model.Density(TipOf(1), AgeBins::Of(600)), 0.02) << "it is not coming back any more";
}

TEST(ReuseModelTest, LearnsThatNothingReturns) {
  ReuseModel model;
  for (int i = 0; i < 200; ++i) {
    Live(model, TipOf(1), kNever);
  }
  EXPECT_LT(model.ReturnProbability(TipOf(1), 0), 0.02);
  EXPECT_LT(model.ReturnProbability(TipOf(9), 0), 0.05) << "a new tenant is expected to be alike";
  EXPECT_GT(model.ReturnProbability({.kind = SiteKind::kJunction}, 0), 0.08)
      << "another kind is not";
}

// What had been silent for long can come back: no count may make it impossible.
TEST(ReuseModelTest, UnlearnsWhenTheTrafficChanges) {
  ReuseModel model;
  for (int i = 0; i < 3000; ++i) {
    Live(model, TipOf(1), kNever);
  }
  EXPECT_GT(model.ReturnProbability(TipOf(1), 0), 0.0);
  for (int i = 0; i < 1000; ++i) {
    Live(model, TipOf(1), 20);
  }
  EXPECT_GT(model.ReturnProbability(TipOf(1), 0), 0.5);
  EXPECT_TRUE(std::isfinite(model.Density(TipOf(1), 0)));
}

TEST(ReuseModelTest, LearnsWhichTraitReturns) {
  ReuseModel model;
  const SiteTraits session{.kind = SiteKind::kTip, .turns = 3, .segment = 8};
  const SiteTraits once{.kind = SiteKind::kTip, .turns = 0, .segment = 8};
  for (int i = 0; i < 300; ++i) {
    Live(model, session, 5 + i % 20);
    Live(model, once, kNever);
  }
  EXPECT_GT(model.ReturnProbability(session, 0), 0.8);
  EXPECT_LT(model.ReturnProbability(once, 0), 0.2);
  EXPECT_GT(model.Density(session, 0), 10 * model.Density(once, 0));
  SiteTraits longer = session;
  longer.segment = 12;  // Never seen; the turn speaks for it.
  EXPECT_GT(model.ReturnProbability(longer, 0), 0.8);
}

// Half of the places of each tenant return. One place of a new tenant did not: that says little.
TEST(ReuseModelTest, ThinHistoryShrinksToTheCommonRate) {
  ReuseModel model;
  for (int i = 0; i < 400; ++i) {
    Live(model, TipOf(static_cast<std::uint8_t>(1 + i % 4)), (i / 4) % 2 == 0 ? 30 : kNever);
  }
  const double common = model.ReturnProbability(TipOf(1), 0);
  // Odds in place of probabilities: estimates near a half come out a fifth low.
  EXPECT_NEAR(common, 0.43, 0.08);
  EXPECT_NEAR(model.ReturnProbability(TipOf(9), 0), common, 0.06);
  Live(model, TipOf(9), kNever);
  EXPECT_NEAR(model.ReturnProbability(TipOf(9), 0), common, 0.1);
  for (int i = 0; i < 200; ++i) {
    Live(model, TipOf(9), kNever);
  }
  EXPECT_LT(model.ReturnProbability(TipOf(9), 0), 0.15) << "much history speaks for itself";
  EXPECT_GT(model.ReturnProbability(TipOf(1), 0), 2 * model.ReturnProbability(TipOf(9), 0));
}

TEST(ReuseModelTest, ARhythmIsRecognisedByItsLastPause) {
  ReuseModel model;
  // Some come back every 4 s, others every 10 minutes.
  const auto of_gap = [](double gap_s) {
    return SiteTraits{.kind = SiteKind::kTurn,
                      .gap_bin = static_cast<std::uint8_t>(AgeBins::Of(gap_s))};
  };
  for (int i = 0; i < 400; ++i) {
    Live(model, of_gap(4), 4);
    Live(model, of_gap(600), 600);
  }
  EXPECT_GT(model.Density(of_gap(4), 0), 3 * model.Density(of_gap(600), 0));
}

TEST(ReuseModelTest, MergingIsHavingSeenBoth) {
  ReuseModel left;
  ReuseModel right;
  ReuseModel both;
  for (int i = 0; i < 300; ++i) {
    const double age_s = i % 3 == 0 ? kNever : 12;
    Live(left, TipOf(1), age_s);
    Live(both, TipOf(1), age_s);
    Live(right, TipOf(2), 100);
    Live(both, TipOf(2), 100);
  }
  left.Merge(right);
  for (std::uint8_t tenant = 1; tenant <= 3; ++tenant) {
    for (const double age_s : {0.0, 5.0, 50.0, 500.0}) {
      EXPECT_NEAR(left.ReturnProbability(TipOf(tenant), AgeBins::Of(age_s)),
                  both.ReturnProbability(TipOf(tenant), AgeBins::Of(age_s)), 0.2)
          << int{tenant} << " at " << age_s;
    }
  }
  ReuseModel empty;
  ReuseModel copy = both;
  copy.Merge(empty);
  EXPECT_EQ(copy.Snapshot(), both.Snapshot());
}

TEST(ReuseModelTest, SnapshotsComeBackAndDamagedOnesAreRefused) {
  ReuseModel model;
  for (int i = 0; i < 100; ++i) {
    Live(model, TipOf(1), 10);
  }
  const std::vector<double> snapshot = model.Snapshot();
  ReuseModel copy;
  ASSERT_TRUE(copy.Restore(snapshot).has_value());
  EXPECT_EQ(copy.Snapshot(), snapshot);
  EXPECT_EQ(copy.Density(TipOf(1), 0), model.Density(TipOf(1), 0));
  Live(copy, TipOf(1), 10);
  Live(model, TipOf(1), 10);
  EXPECT_EQ(copy.Snapshot(), model.Snapshot());

  ReuseModel victim = model;
  const auto refused = [&](const std::vector<double>& damaged) {
    const Status status = victim.Restore(damaged);
    return !status.has_value() && status.error().code == ErrorCode::kCorrupt &&
           victim.Snapshot() == model.Snapshot();
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused(std::vector<double>(snapshot.begin(), snapshot.end() - 1)));
  std::vector<double> longer = snapshot;
  longer.push_back(0);
  EXPECT_TRUE(refused(longer));
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), -1.0, kNever, -kNever, ReuseModel::kMemory + 1}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, snapshot.size() - 1}) {
      std::vector<double> damaged = snapshot;
      damaged[at] = bad;
      EXPECT_TRUE(refused(damaged)) << bad << " at " << at;
    }
  }
}

// A file of before an update, or of a newer daemon: no damage, and nothing to be had from it.
TEST(ReuseModelTest, AnotherVersionIsNoDamage) {
  ReuseModel model;
  Live(model, TipOf(1), 10);
  const std::vector<double> before = model.Snapshot();
  for (const double step : {-1.0, 1.0}) {
    std::vector<double> other = before;
    other[0] += step;
    other.resize(other.size() / 2);  // What follows, and how much of it, is another version's.
    const Status status = model.Restore(other);
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported) << status.error().message;
    EXPECT_EQ(model.Snapshot(), before);
  }
  std::vector<double> none = before;
  none[0] += 0.5;
  EXPECT_EQ(model.Restore(none).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace cairn
