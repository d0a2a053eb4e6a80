#include "libcache/solver/price_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "libcache/base/check.h"

namespace cairn {

double CrossingPrice(const PricedCost& more, const PricedCost& less) {
  CAIRN_CHECK(more.bytes > less.bytes);
  return std::max(less.recompute - more.recompute, 0.0) /
         static_cast<double>(more.bytes - less.bytes);
}

PriceSearch::PriceSearch(const PricedCost& over, const PricedCost& fits, std::uint64_t budget_bytes)
    : over_(over), fits_(fits), budget_bytes_(budget_bytes) {
  CAIRN_CHECK(over.bytes > budget_bytes && fits.bytes <= budget_bytes);
  CAIRN_CHECK(over.price_per_byte < fits.price_per_byte);
}

bool PriceSearch::Done() const {
  return found_ || step_ >= kMaxSteps ||
         fits_.price_per_byte - over_.price_per_byte <= kTolerance * fits_.price_per_byte ||
         // Two that recompute as little as possible, and one of them fits.
         CrossingPrice(over_, fits_) <= 0;
}

// Crossings end the search exactly and are sure where plans are few. Where they are many,
// interpolation comes close at once: first to one side, then, aimed just beyond, to the other. When
// three steps together brought little, the ratio of the prices is halved.
double PriceSearch::NextPrice() {
  if (step_ % 3 == 0) {
    const double log_ratio = LogRatio();
    stuck_ = step_ > 0 && log_ratio > log_ratio_ / 8;
    log_ratio_ = log_ratio;
  }
  crossing_ = step_ % 3 == 0;
  if (crossing_) {
    asked_ = CrossingPrice(over_, fits_) * (1 + nudge_);
  } else if (over_.price_per_byte <= 0) {
    asked_ = fits_.price_per_byte / 256;
  } else if (stuck_ || fits_.bytes == 0) {
    asked_ = std::sqrt(over_.price_per_byte) * std::sqrt(fits_.price_per_byte);
  } else {
    asked_ = Interpolated(step_ % 3 == 2);
  }
  ++step_;
  asked_ = std::clamp(asked_, over_.price_per_byte, fits_.price_per_byte);
  return asked_;
}

bool PriceSearch::Learn(double recompute, std::uint64_t bytes) {
  const PricedCost cost{asked_, recompute, bytes};
  if (bytes <= budget_bytes_) {
    // At the crossing the known plans are still the best, so nothing lies between them.
    found_ = crossing_ && bytes == fits_.bytes;
    fits_ = cost;
    return true;
  }
  // The known plans meet here, but the crossing was rounded to the wrong side.
  if (crossing_ && bytes == over_.bytes) {
    nudge_ = std::min(std::max(2 * nudge_, 0x1p-44), 0x1p-31);
  }
  over_ = cost;
  return false;
}

double PriceSearch::LogRatio() const {
  return over_.price_per_byte > 0 ? std::log(fits_.price_per_byte / over_.price_per_byte)
                                  : std::numeric_limits<double>::infinity();
}

/// Where bytes would meet the budget if they fell by a power of the price, as they roughly do; or
/// as far beyond as the nearer side is off, twice.
double PriceSearch::Interpolated(bool beyond) const {
  const double budget = std::log(static_cast<double>(budget_bytes_));
  const double above = std::log(static_cast<double>(over_.bytes)) - budget;
  const double below = budget - std::log(static_cast<double>(fits_.bytes));
  double part = above / (above + below);
  if (beyond) {
    part += (above < below ? 2 * above : -2 * below) / (above + below);
  }
  return over_.price_per_byte * std::exp(std::clamp(part, 0.01, 0.99) * LogRatio());
}

}  // namespace cairn
