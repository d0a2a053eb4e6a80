#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "libcache/base/bytes.h"
#include "libcache/base/errno_text.h"
#include "services/cairn-bench/daemon_process.h"
#include "services/cairn-bench/latency.h"
#include "services/cairn-bench/micro.h"
#include "services/cairn-bench/micro_objects.h"
#include "services/cairn-bench/micro_report.h"
#include "services/cairn-bench/report.h"
#include "services/terminal/progress.h"

namespace cairn::bench {
namespace {

constexpr std::uint64_t kGroupBytes = 64 * kMiB;
constexpr std::uint64_t kLeastMemory = 128 * kMiB;
constexpr std::uint64_t kMostMemory = 1 * kGiB;
constexpr std::uint64_t kLeastSsd = 256 * kMiB;
constexpr std::uint64_t kDirectIoBytes = 4 * kKiB;  ///< O_DIRECT writes whole pages.
constexpr std::uint64_t kSizes[] = {kMiB, 4 * kMiB, 16 * kMiB, 64 * kMiB};
constexpr std::uint64_t kSpare = 2;  ///< The SSD tier may use this many times what is stored.

/// A file read past the page cache, as a plain program would.
class PlainFile {
 public:
  static Result<std::unique_ptr<PlainFile>> Create(const std::string& path, const Area& source) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0) {
      return Fail(ErrorCode::kIo, path + ": " + ErrnoText());
    }
    auto file = std::make_unique<PlainFile>(fd);
    for (std::uint64_t at = 0; at < source.bytes().size();) {
      const auto rest = source.bytes().subspan(at, std::min(source.bytes().size() - at, 16 * kMiB));
      const ssize_t wrote = pwrite(fd, rest.data(), rest.size(), static_cast<off_t>(at));
      if (wrote <= 0) {
        return Fail(ErrorCode::kIo, path + ": " + ErrnoText());
      }
      at += static_cast<std::uint64_t>(wrote);
    }
    return fsync(fd) == 0 ? Result<std::unique_ptr<PlainFile>>(std::move(file))
                          : Fail(ErrorCode::kIo, path + ": " + ErrnoText());
  }
  explicit PlainFile(int fd) : fd_(fd) {}
  ~PlainFile() { close(fd_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  Status Read(std::uint64_t offset, std::span<std::byte> target) const {
    for (std::uint64_t done = 0; done < target.size();) {
      const ssize_t got =
          pread(fd_, target.data() + done, target.size() - done, static_cast<off_t>(offset + done));
      if (got <= 0) {
        return Fail(ErrorCode::kIo, std::string("plain file: ") + ErrnoText());
      }
      done += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  int fd_;
};

struct Figures {
  std::vector<double> get_us;
  std::vector<double> base_us;
  std::uint64_t from_ssd = 0;
};

Status StoreAll(const DaemonProcess& daemon, const Area& source, std::uint64_t size,
                std::uint32_t count) {
  const auto store = ObjectStore::Open(daemon.endpoint(), "shm", size);
  if (!store) {
    return Fail(store.error());
  }
  (*store)->Prepare(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    (*store)->Fill(i, source.Part(i, size));
    // Written in groups, as in service, and never more than the queue of the daemon holds.
    const bool durable = (i + 1) * size % kGroupBytes == 0 || i + 1 == count;
    if (Status put = (*store)->Put(i, source.Part(i, size), durable); !put) {
      return put;
    }
  }
  return {};
}

/// One read brings an object to host memory, so each is read once.
Result<Figures> ReadAll(const DaemonProcess& daemon, const PlainFile& file, std::uint64_t size,
                        std::uint32_t count) {
  const auto store = ObjectStore::Open(daemon.endpoint(), "shm", size);
  const auto target = Area::Allocate(size);
  if (!store || !target) {
    return Fail(store ? target.error() : store.error());
  }
  (*store)->Prepare(count);
  Figures figures;
  for (std::uint32_t i = 0; i < count; ++i) {
    Status plain;
    figures.base_us.push_back(TimeUs([&] { plain = file.Read(i * size, target->bytes()); }));
    if (!plain) {
      return Fail(plain.error());
    }
    Result<ObjectStore::Got> got = ObjectStore::Got{};
    figures.get_us.push_back(TimeUs([&] { got = (*store)->Get(i, target->bytes()); }));
    if (!got) {
      return Fail(got.error());
    }
    figures.from_ssd += got->tier == TierKind::kSsd ? 1 : 0;
    if (!(*store)->IsRight(i, target->bytes())) {
      return Fail(ErrorCode::kCorrupt, "object " + std::to_string(i) +
                                           " came back with wrong bytes; please report this");
    }
  }
  return figures;
}

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum;
}

/// Of the daemon. It queues less than a quarter of that for the SSD, and must never refuse to.
std::uint64_t MemoryFor(std::uint64_t bytes_per_size) {
  return std::clamp(8 * bytes_per_size, kLeastMemory, kMostMemory);
}

Status Run(const MicroOptions& options, const std::vector<std::uint64_t>& sizes,
           MicroReport& report) {
  const std::uint64_t largest = *std::max_element(sizes.begin(), sizes.end());
  const std::uint64_t per_size = RoundUp(std::max(options.working_set, largest), kDirectIoBytes);
  const auto daemon =
      DaemonProcess::Start({.memory_bytes = MemoryFor(per_size),
                            .ssd_bytes = std::max(kLeastSsd, kSpare * sizes.size() * per_size),
                            .below = options.dir});
  if (!daemon) {
    return Fail(daemon.error());
  }
  const auto source = Area::Allocate(per_size);
  if (!source) {
    return Fail(source.error());
  }
  terminal::Progress progress(terminal::Progress::Unless(options.quiet));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    progress.Update(0.7 * static_cast<double>(i) / static_cast<double>(sizes.size()), "writing");
    if (Status stored = StoreAll(**daemon, *source, sizes[i], CountOf(options, sizes[i]));
        !stored) {
      return stored;
    }
  }
  const auto written = (*daemon)->Ask();
  const auto file = PlainFile::Create((*daemon)->dir() + "/plain", *source);
  if (!file || !written) {
    return Fail(file ? written.error() : file.error());
  }
  // Nothing may be left in host memory.
  if (Status restarted = (*daemon)->Restart(); !restarted) {
    return restarted;
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    progress.Update(0.7 + 0.3 * static_cast<double>(i) / static_cast<double>(sizes.size()),
                    "reading");
    const auto figures = ReadAll(**daemon, **file, sizes[i], CountOf(options, sizes[i]));
    if (!figures) {
      return Fail(figures.error());
    }
    const double bytes = static_cast<double>(sizes[i] * figures->get_us.size());
    const double get = bytes / Sum(figures->get_us) * 1e6;
    const double base = bytes / Sum(figures->base_us) * 1e6;
    report.Add({static_cast<double>(sizes[i]), get, base, get / base, Median(figures->get_us),
                Median(figures->base_us), static_cast<double>(figures->from_ssd),
                static_cast<double>(figures->get_us.size())});
  }
  const auto count = [&](const char* name) {
    return static_cast<double>(written->counters().at(name));
  };
  report.Note("Write amplification of what was stored: " +
              Fixed(count("ssd_device_written_bytes") / count("ssd_written_bytes"), 3));
  return {};
}

}  // namespace

int RunSsd(const MicroOptions& options) {
  using enum MicroReport::Unit;
  MicroReport report("ssd",
                     "GET from the SSD tier after a restart against reading a plain file with "
                     "O_DIRECT in the same directory",
                     {{"object_bytes", "object", kBytes},
                      {"get_bytes_per_second", "GET", kBytesPerSecond},
                      {"base_bytes_per_second", "plain file", kBytesPerSecond},
                      {"ratio", "GET/file", kRatio},
                      {"get_us", "GET, median", kMicroseconds},
                      {"base_us", "file, median", kMicroseconds},
                      {"from_ssd", "from SSD", kCount},
                      {"gets", "GETs", kCount}});
  const std::vector<std::uint64_t> sizes = SizesOf(options, kSizes);
  if (const Status done = Run(options, sizes, report); !done) {
    return MicroFailed("ssd", done.error());
  }
  report.Note("All objects of a size, one after another, each read once; by turns with the file.");
  return report.Finish(options);
}

}  // namespace cairn::bench
