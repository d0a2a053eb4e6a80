#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "libcache/base/bytes.h"
#include "services/cairn-bench/baseline_stream.h"
#include "services/cairn-bench/baseline_tls.h"
#include "services/cairn-bench/baseline_ucx.h"
#include "services/cairn-bench/daemon_process.h"
#include "services/cairn-bench/latency.h"
#include "services/cairn-bench/micro.h"
#include "services/cairn-bench/micro_objects.h"
#include "services/cairn-bench/micro_planes.h"
#include "services/cairn-bench/micro_report.h"
#include "services/cairn-bench/report.h"
#include "services/terminal/progress.h"

namespace cairn::bench {
namespace {

constexpr int kLeastRounds = 3;
/// GETs behind each figure of daemon CPU, at least.
constexpr std::uint32_t kCpuGets = 200;
/// Where one load brings several objects: at most so many, with so many bytes together.
constexpr std::uint64_t kMostTogether = 16;
constexpr std::uint64_t kTogetherBytes = 8 * kMiB;

/// What one row is about.
struct Case {
  std::uint64_t object_bytes = 0;
  std::uint32_t together = 1;  ///< Objects to a GET.
  std::uint64_t working_set = 0;

  [[nodiscard]] std::uint64_t GetBytes() const { return object_bytes * together; }
  [[nodiscard]] std::uint32_t Gets() const {
    return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, working_set / GetBytes()));
  }
};

struct Figures {
  std::vector<double> get_us;
  std::vector<double> load_us;
  std::vector<double> base_us;
  double daemon_cpu_us = 0;
};

/// The other side of the comparison, by turns with the GETs: `index` is that of the source.
using Baseline = std::function<Status(std::uint32_t index, std::span<std::byte> target)>;

Status CheckAndWarm(ObjectStore& store, std::uint32_t count, std::span<std::byte> target) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto got = store.Get(i, target);
    if (!got) {
      return Fail(got.error());
    }
    if (!store.IsRight(i, target)) {
      return Fail(ErrorCode::kCorrupt, "object " + std::to_string(i) +
                                           " came back with wrong bytes; please report this");
    }
  }
  return {};
}

Status MeasureSize(const MicroOptions& options, ObjectStore& store, std::uint32_t count,
                   std::span<std::byte> target, const Baseline& baseline, Figures& figures) {
  const TimePoint begin = SteadyClock::Instance().Now();
  const auto enough = [&](int rounds) {
    const std::chrono::duration<double> spent = SteadyClock::Instance().Now() - begin;
    return rounds >= kLeastRounds && spent.count() >= options.seconds;
  };
  for (int round = 0; !enough(round); ++round) {
    for (std::uint32_t i = 0; i < count; ++i) {
      Status base;
      figures.base_us.push_back(TimeUs([&] { base = baseline(i, target); }));
      if (!base) {
        return base;
      }
      Result<ObjectStore::Got> got = ObjectStore::Got{};
      figures.get_us.push_back(TimeUs([&] { got = store.Get(i, target); }));
      if (!got) {
        return Fail(got.error());
      }
      figures.load_us.push_back(got->load_us);
    }
  }
  return {};
}

Status MeasureCpu(const DaemonProcess& daemon, ObjectStore& store, std::uint32_t count,
                  std::span<std::byte> target, Figures& figures) {
  const double before = daemon.CpuSeconds();
  for (std::uint32_t i = 0; i < kCpuGets; ++i) {
    if (const auto got = store.Get(i % count, target); !got) {
      return Fail(got.error());
    }
  }
  figures.daemon_cpu_us = (daemon.CpuSeconds() - before) * 1e6 / kCpuGets;
  return {};
}

/// Another program cannot take turns with single GETs: it runs before them and after them.
Result<Figures> RunUcxCase(const MicroOptions& options, const Case& row,
                           const DaemonProcess& daemon, ObjectStore& store,
                           std::span<std::byte> target) {
  Figures figures;
  Status status;
  for (const bool before : {true, false}) {
    const auto rate = UcxPerftestBytesPerSecond(row.object_bytes, kUcxTransports);
    if (!rate) {
      return Fail(rate.error());
    }
    figures.base_us.push_back(static_cast<double>(target.size()) / *rate * 1e6);
    if (before) {
      const Baseline none = [](std::uint32_t, std::span<std::byte>) { return Status(); };
      Figures gets;
      status = MeasureSize(options, store, row.Gets(), target, none, gets);
      status = status ? MeasureCpu(daemon, store, row.Gets(), target, gets) : status;
      gets.base_us = std::move(figures.base_us);
      figures = std::move(gets);
    }
    if (!status) {
      return Fail(status.error());
    }
  }
  return figures;
}

/// The share of a core that the daemon takes while an engine is attached and asks for nothing.
Result<double> IdleShare(const MicroOptions& options, const DaemonProcess& daemon) {
  const auto store = ObjectStore::Open(daemon.endpoint(), options.plane, kMiB);
  if (!store) {
    return Fail(store.error());
  }
  const auto time = std::chrono::duration<double>(std::min(10.0, 10 * options.seconds));
  const double before = daemon.CpuSeconds();
  std::this_thread::sleep_for(time);
  return (daemon.CpuSeconds() - before) / time.count();
}

/// Stores the objects of one row, the same bytes as the source area has, and measures.
Result<Figures> RunCase(const MicroOptions& options, const DaemonProcess& daemon,
                        const Area& source, const Case& row) {
  if (const Status cleared = daemon.Clear(); !cleared) {
    return Fail(cleared.error());
  }
  const bool stream = options.plane == "stream";
  const auto store = ObjectStore::Open(stream ? daemon.tcp_endpoint() : daemon.endpoint(),
                                       options.plane, row.object_bytes, daemon.Tls(), row.together);
  if (!store) {
    return Fail(store.error());
  }
  const std::uint64_t size = row.GetBytes();
  const std::uint32_t count = row.Gets();
  const auto target = Area::Allocate(size);
  if (!target) {
    return Fail(target.error());
  }
  (*store)->Prepare(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    (*store)->Fill(i, source.Part(i, size));
    if (const Status put = (*store)->Put(i, source.Part(i, size), false); !put) {
      return Fail(put.error());
    }
  }
  if (const Status right = CheckAndWarm(**store, count, target->bytes()); !right) {
    return Fail(right.error());
  }
  std::unique_ptr<StreamBaseline> plain;
  Baseline baseline = [&](std::uint32_t i, std::span<std::byte> to) {
    std::memcpy(to.data(), source.Part(i, size).data(), size);
    return Status();
  };
  if (stream) {
    auto opened = OpenBaseline(daemon, source.bytes().first(count * size), size);
    if (!opened) {
      return Fail(opened.error());
    }
    plain = std::move(*opened);
    baseline = [&](std::uint32_t, std::span<std::byte> to) { return plain->Get(to); };
  }
  Figures figures;
  if (options.plane == "ucx") {
    return RunUcxCase(options, row, daemon, **store, target->bytes());
  }
  Status status = MeasureSize(options, **store, count, target->bytes(), baseline, figures);
  if (status) {
    status = MeasureCpu(daemon, **store, count, target->bytes(), figures);
  }
  return status ? Result<Figures>(std::move(figures)) : Result<Figures>(Fail(status.error()));
}

MicroReport NewReport(const MicroOptions& options) {
  using enum MicroReport::Unit;
  const auto [name, title, other] =
      WordsFor(options, "get", "through shared memory against memcpy from memory of the same size");
  std::vector<MicroReport::Column> columns = {{"object_bytes", "object", kBytes}};
  if (options.plane == "ucx") {
    columns.push_back({"together", "a GET", kCount});
    columns.push_back({"working_set_bytes", "of", kBytes});
  }
  columns.insert(columns.end(), {{"get_bytes_per_second", "GET", kBytesPerSecond},
                                 {"load_bytes_per_second", "load alone", kBytesPerSecond},
                                 {"base_bytes_per_second", other, kBytesPerSecond},
                                 {"ratio", "GET/" + other, kRatio},
                                 {"load_ratio", "load/" + other, kRatio},
                                 {"best_ratio", "best GET/best", kRatio},
                                 {"get_us", "GET", kMicroseconds},
                                 {"daemon_cpu_us", "daemon CPU/GET", kMicroseconds},
                                 {"gets", "GETs", kCount}});
  return MicroReport(name, title, std::move(columns));
}

/// UCX: also what a load of several objects gets, and the same where ucx_perftest is: over one
/// object again and again, which stays in the caches.
std::vector<Case> CasesOf(const MicroOptions& options, std::span<const std::uint64_t> sizes) {
  std::vector<Case> cases;
  for (const std::uint64_t size : sizes) {
    cases.push_back({.object_bytes = size, .together = 1, .working_set = options.working_set});
    if (options.plane != "ucx") {
      continue;
    }
    const auto several = static_cast<std::uint32_t>(std::min(kMostTogether, kTogetherBytes / size));
    if (several > 1 && size % kBlockTokens == 0) {
      cases.push_back(
          {.object_bytes = size, .together = several, .working_set = options.working_set});
    }
    cases.push_back({.object_bytes = size, .together = 1, .working_set = size});
  }
  return cases;
}

}  // namespace

int RunGet(const MicroOptions& options) {
  const std::vector<std::uint64_t> sizes = PlaneSizes(options);
  const bool ucx = options.plane == "ucx";
  const auto daemon = StartForPlane(options, sizes);
  if (!daemon) {
    return MicroFailed("get", daemon.error());
  }
  const std::uint64_t largest = *std::max_element(sizes.begin(), sizes.end());
  const auto source = Area::Allocate(std::max(options.working_set, largest));
  if (!source) {
    return MicroFailed("get", source.error());
  }
  MicroReport report = NewReport(options);
  terminal::Progress progress(terminal::Progress::Unless(options.quiet));
  const std::vector<Case> cases = CasesOf(options, sizes);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& row = cases[i];
    progress.Update(static_cast<double>(i) / static_cast<double>(cases.size()),
                    FormatBytes(row.object_bytes));
    const auto figures = RunCase(options, **daemon, *source, row);
    if (!figures) {
      return MicroFailed("get", figures.error());
    }
    const double get = Median(figures->get_us);
    const double load = Median(figures->load_us);
    const double base = Median(figures->base_us);
    const auto rate = [&](double us) { return static_cast<double>(row.GetBytes()) / us * 1e6; };
    std::vector<double> figure = {static_cast<double>(row.object_bytes)};
    if (ucx) {
      figure.push_back(row.together);
      figure.push_back(static_cast<double>(row.Gets() * row.GetBytes()));
    }
    figure.insert(figure.end(),
                  {rate(get), rate(load), rate(base), base / get, base / load,
                   Best(figures->base_us) / Best(figures->get_us), get, figures->daemon_cpu_us,
                   static_cast<double>(figures->get_us.size())});
    report.Add(std::move(figure));
  }
  progress.Clear();
  report.Note(
      std::string("GET is match, load and release, with the digest checked; load alone is the "
                  "engine's copy once the match is known. ") +
      (ucx ? "ucx_perftest before and after; medians, and best against best."
           : "By turns; medians, and best against best."));
  if (ucx) {
    const auto idle = IdleShare(options, **daemon);
    if (!idle) {
      return MicroFailed("get", idle.error());
    }
    report.Note("The daemon with an engine attached that asks for nothing: " +
                Fixed(*idle * 100, 2) + " % of a core.");
    report.Note(
        "ucx_perftest moves one message over and over, which up to some MiB stays in the caches, "
        "and verifies nothing; so do the GETs of one object over and over, but for the digest. "
        "\"a GET\" is how many objects one GET brings, \"of\" how many bytes GETs go round.");
  }
  if (options.plane == "stream") {
    const double iperf = Iperf3BytesPerSecond();
    report.Note(iperf > 0 ? "iperf3 over loopback in the same run: " + GigabytesPerSecond(iperf)
                          : "iperf3 is not installed");
  }
  return report.Finish(options);
}

}  // namespace cairn::bench
