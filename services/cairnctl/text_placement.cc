#include <array>
#include <cstdio>

#include "libcache/base/bytes.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/text.h"

namespace cairn::ctl {
namespace {

constexpr double kHourSeconds = 3600;
constexpr double kGibibyte = static_cast<double>(kGiB);

std::string Fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

/// Prefill seconds per byte and second, as what a GiB saves in an hour.
std::string PerGibHour(double value_per_byte_s) {
  return Fixed(value_per_byte_s * kGibibyte * kHourSeconds, 1) + " s";
}

std::string Time(double seconds) {
  return seconds < 1 ? Fixed(1000 * seconds, 1) + " ms" : Fixed(seconds, 1) + " s";
}

Table PlacesTable() {
  return Table({{"POSITION", Align::kRight},
                {"KIND"},
                {"USES", Align::kRight},
                {"MASS", Align::kRight},
                {"EXPECTED/H", Align::kRight},
                {"IDLE", Align::kRight},
                {"PATHS", Align::kRight},
                {"MODEL"},
                {"TENANT"},
                {"KEY"}});
}

void AddPlace(Table& table, const v1::PlaceStatus& place, bool full) {
  table.AddRow({FormatCount(place.position()), place.kind(), FormatCount(place.uses()),
                Fixed(place.mass(), 2), Fixed(place.uses_per_s() * kHourSeconds, 2),
                FormatSeconds(place.idle_s()), FormatCount(place.children()), place.model(),
                place.tenant(), place.key().empty() ? "-" : ShortKey(place.key(), full)});
}

void AddCheckpoint(Table& table, const v1::CheckpointStatus& c, const std::string& state) {
  table.AddRow({FormatCount(c.position()), state, Fixed(c.uses_per_s() * kHourSeconds, 2),
                Time(c.saved_s()),
                FormatBytes(static_cast<std::uint64_t>(c.bytes() < 0 ? 0 : c.bytes())),
                PerGibHour(c.value_per_byte_s())});
}

}  // namespace

std::string PlacementShowText(const v1::PlacementShowReply& shown, bool full, const Style& style) {
  const auto line = [&style](const std::string& name, const std::string& value) {
    return "  " + style.Bold(name) + std::string(18 - name.size(), ' ') + value + "\n";
  };
  std::string text =
      line("places", FormatCount(shown.places()) + " of " + FormatCount(shown.most_places()) +
                         " in " + FormatBytes(shown.memory_bytes())) +
      line("checkpoints", FormatCount(shown.checkpoints()) + " in memory, valued by their place; " +
                              FormatCount(shown.other_boundaries()) + " other boundaries") +
      line("price",
           PerGibHour(shown.price_per_byte_s()) +
               " of prefill per GiB and hour: what memory was worth to the last requests") +
      line("asked for", FormatBytes(static_cast<std::uint64_t>(shown.planned_bytes())) + "; " +
                            FormatBytes(shown.engine_written_bytes()) +
                            " by a state at every prompt's end and divergence (turn_end_demand)") +
      line("that would serve", FormatCount(shown.engine_served_tokens()) +
                                   " tokens in as much memory and SSD, longest unused out");
  if (shown.waiting_places() != 0) {
    text += line("remembered", FormatCount(shown.waiting_places()) +
                                   " places of before, whose prefix has not come by again");
  }
  Table table = PlacesTable();
  for (const v1::PlaceStatus& place : shown.top()) {
    AddPlace(table, place, full);
  }
  return text + (table.empty() ? "" : "\n" + table.Text(style));
}

std::string PlacementExplainText(const v1::PlacementExplainReply& path, const Style& style) {
  if (path.places().empty()) {
    return "nothing is known of this prefix: no prompt ended on its path or parted from it\n";
  }
  Table places = PlacesTable();
  for (const v1::PlaceStatus& place : path.places()) {
    AddPlace(places, place, false);
  }
  Table checkpoints({{"CHECKPOINT", Align::kRight},
                     {"STATE"},
                     {"USES/H", Align::kRight},
                     {"SAVES", Align::kRight},
                     {"BYTES", Align::kRight},
                     {"PER GIB AND HOUR", Align::kRight}});
  for (const v1::CheckpointStatus& kept : path.kept()) {
    AddCheckpoint(checkpoints, kept, "kept");
  }
  if (path.has_next()) {
    AddCheckpoint(checkpoints, path.next(), "next");
  }
  std::string text = places.Text(style) + "\n";
  if (!checkpoints.empty()) {
    text += checkpoints.Text(style) + "\n";
  }
  text += "memory costs " + PerGibHour(path.price_per_byte_s()) + " of prefill per GiB and hour" +
          (path.price_per_byte_s() > 0 ? "" : ": nothing had to be evicted lately") + "\n";
  if (path.has_next()) {
    const bool pays = path.next().value_per_byte_s() > path.price_per_byte_s();
    text += "a checkpoint at " + FormatCount(path.next().position()) + " would save " +
            Time(path.next().uses_per_s() * kHourSeconds * path.next().saved_s()) +
            " of prefill an hour and take " +
            FormatBytes(static_cast<std::uint64_t>(path.next().bytes())) +
            (pays ? ", more than the memory costs\n" : ", less than the memory costs\n");
  }
  return text;
}

}  // namespace cairn::ctl
