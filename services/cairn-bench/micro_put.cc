#include <algorithm>
#include <cstring>
#include <functional>

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

struct Figures {
  std::vector<double> put_us;
  std::vector<double> base_us;
  double daemon_cpu_us = 0;
};

/// The other side of the comparison moves `source` where the PUT `index` goes.
using Baseline = std::function<Status(std::uint32_t index, std::span<std::byte> source)>;

/// One round: as many PUTs as the working set has room for, then the daemon is emptied.
Status Round(const DaemonProcess& daemon, ObjectStore& store, const Area& source,
             std::uint32_t count, const Baseline& baseline, Figures& figures) {
  if (const Status cleared = daemon.Clear(); !cleared) {
    return cleared;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::span<std::byte> bytes = source.Part(i, store.object_bytes());
    Status status;
    figures.base_us.push_back(TimeUs([&] { status = baseline(i, bytes); }));
    if (!status) {
      return status;
    }
    const double cpu = daemon.CpuSeconds();
    figures.put_us.push_back(TimeUs([&] { status = store.Put(i, bytes, false); }));
    if (!status) {
      return status;
    }
    figures.daemon_cpu_us += (daemon.CpuSeconds() - cpu) * 1e6;
  }
  return {};
}

Result<Figures> RunSize(const MicroOptions& options, const DaemonProcess& daemon,
                        const Area& source, const Area& sink, std::uint64_t size) {
  const bool stream = options.plane == "stream";
  const auto store = ObjectStore::Open(stream ? daemon.tcp_endpoint() : daemon.endpoint(),
                                       options.plane, size, daemon.Tls());
  if (!store) {
    return Fail(store.error());
  }
  const auto count = CountOf(options, size);
  (*store)->Prepare(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    (*store)->Fill(i, source.Part(i, size));
  }
  std::unique_ptr<StreamBaseline> plain;
  Baseline baseline = [&](std::uint32_t i, std::span<std::byte> from) {
    std::memcpy(sink.Part(i, size).data(), from.data(), size);
    return Status();
  };
  if (stream) {
    auto opened = OpenBaseline(daemon, source.bytes().first(count * size), size);
    if (!opened) {
      return Fail(opened.error());
    }
    plain = std::move(*opened);
    baseline = [&](std::uint32_t i, std::span<std::byte>) {
      return plain->Get(sink.Part(i, size));
    };
  }
  Figures figures;
  std::vector<double> perftest_us;
  if (options.plane == "ucx") {
    const auto rate = UcxPerftestBytesPerSecond(size, kUcxTransports);
    if (!rate) {
      return Fail(rate.error());
    }
    perftest_us.push_back(static_cast<double>(size) / *rate * 1e6);
    baseline = [](std::uint32_t, std::span<std::byte>) { return Status(); };
  }
  if (const Status warm = Round(daemon, **store, source, count, baseline, figures); !warm) {
    return Fail(warm.error());
  }
  figures = {};  // The first round took its pages from the system.
  const TimePoint begin = SteadyClock::Instance().Now();
  for (int round = 0;; ++round) {
    const std::chrono::duration<double> spent = SteadyClock::Instance().Now() - begin;
    if (round >= kLeastRounds && spent.count() >= options.seconds) {
      break;
    }
    if (const Status done = Round(daemon, **store, source, count, baseline, figures); !done) {
      return Fail(done.error());
    }
  }
  if (!perftest_us.empty()) {
    figures.base_us = std::move(perftest_us);
  }
  figures.daemon_cpu_us /= static_cast<double>(figures.put_us.size());
  return figures;
}

MicroReport NewReport(const MicroOptions& options) {
  using enum MicroReport::Unit;
  const auto [name, title, other] =
      WordsFor(options, "put", "through shared memory against memcpy to memory of the same size");
  return MicroReport(name, title,
                     {{"object_bytes", "object", kBytes},
                      {"put_bytes_per_second", "PUT", kBytesPerSecond},
                      {"base_bytes_per_second", other, kBytesPerSecond},
                      {"ratio", "PUT/" + other, kRatio},
                      {"best_ratio", "best PUT/best", kRatio},
                      {"put_us", "PUT", kMicroseconds},
                      {"daemon_cpu_us", "daemon CPU/PUT", kMicroseconds},
                      {"puts", "PUTs", kCount}});
}

}  // namespace

int RunPut(const MicroOptions& options) {
  const std::vector<std::uint64_t> sizes = PlaneSizes(options);
  const auto daemon = StartForPlane(options, sizes);
  if (!daemon) {
    return MicroFailed("put", daemon.error());
  }
  const std::uint64_t largest = *std::max_element(sizes.begin(), sizes.end());
  const auto source = Area::Allocate(std::max(options.working_set, largest));
  const auto sink = Area::Allocate(std::max(options.working_set, largest));
  if (!source || !sink) {
    return MicroFailed("put", source ? sink.error() : source.error());
  }
  MicroReport report = NewReport(options);
  terminal::Progress progress(terminal::Progress::Unless(options.quiet));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    progress.Update(static_cast<double>(i) / static_cast<double>(sizes.size()),
                    FormatBytes(sizes[i]));
    const auto figures = RunSize(options, **daemon, *source, *sink, sizes[i]);
    if (!figures) {
      return MicroFailed("put", figures.error());
    }
    const double put = Median(figures->put_us);
    const double base = Median(figures->base_us);
    const auto rate = [&](double us) { return static_cast<double>(sizes[i]) / us * 1e6; };
    report.Add({static_cast<double>(sizes[i]), rate(put), rate(base), base / put,
                Best(figures->base_us) / Best(figures->put_us), put, figures->daemon_cpu_us,
                static_cast<double>(figures->put_us.size())});
  }
  progress.Clear();
  report.Note(
      "PUT is reserve, write and commit, with a digest at both ends: the bytes are copied "
      "to staging memory and from there to their place. By turns; medians, and best against best.");
  return report.Finish(options);
}

}  // namespace cairn::bench
