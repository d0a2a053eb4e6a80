// Finding, checking and opening the directory; what happens when the store will not open.
#include "libcache/tier/ssd_tier.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/errno_text.h"
#include "libcache/tier/ssd_database.h"
#include "libcache/tier/ssd_files.h"
#include "libcache/tier/ssd_record.h"
#include "libcache/tier/ssd_store.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMinCapacityBytes = 16 * kMiB;

/// A store that opened and whose own records are in order.
struct CheckedStore {
  std::unique_ptr<SsdDatabase> database;
  std::uint64_t epoch = 0;
};

std::optional<std::uint64_t> ParseNumber(const std::string& text) {
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

Result<SsdConfig> FillDefaults(SsdConfig config) {
  const auto bad = [](const std::string& why) { return Fail(ErrorCode::kInvalidArgument, why); };
  if (config.path.empty()) {
    return bad("the SSD path is empty");
  }
  if (config.capacity_bytes < kMinCapacityBytes) {
    return bad("the SSD capacity of " + FormatBytes(config.capacity_bytes) + " is below " +
               FormatBytes(kMinCapacityBytes));
  }
  if (config.segment_bytes == 0) {
    config.segment_bytes = std::clamp(config.capacity_bytes / 32, 4 * kMiB, kGiB);
  }
  if (config.segment_bytes < kMiB || config.segment_bytes > config.capacity_bytes / 4) {
    return bad("SSD segments of " + FormatBytes(config.segment_bytes) +
               " are not between 1 MiB and a quarter of the capacity");
  }
  if (config.write_buffer_bytes == 0) {
    config.write_buffer_bytes = 16 * kMiB;
  }
  if (config.write_buffer_bytes < kMiB || config.write_buffer_bytes > kGiB) {
    return bad("an SSD write buffer of " + FormatBytes(config.write_buffer_bytes) +
               " is not between 1 MiB and 1 GiB");
  }
  if (config.read_threads < 0 || config.read_threads > 64) {
    return bad("the number of SSD read threads is not between 0 and 64");
  }
  return config;
}

/// Puts the marker into a new directory, and checks it in one that has it. Errors: kUnsupported.
Status ClaimDirectory(const std::string& path) {
  const std::string advice =
      "; it was left untouched: give another path for the SSD tier, or move it away";
  const auto text = ReadSmallFile(path + "/" + kSsdMarkerName);
  if (text) {
    const auto format = ParseStamp(kSsdMarkerStamp, *text);
    if (format && *format != kSsdFormat) {
      return Fail(ErrorCode::kUnsupported,
                  path + " holds an SSD store of format " + std::to_string(*format) +
                      ", this program knows format " + std::to_string(kSsdFormat) + advice);
    }
    if (format) {
      return {};
    }
    // The name says that it is ours. The store has the format too and is asked next.
    return WriteFileDurably(path, kSsdMarkerName, FormatStamp(kSsdMarkerStamp, kSsdFormat));
  }
  if (text.error().code != ErrorCode::kNotFound) {
    return Fail(text.error());
  }
  const auto names = ListDirectory(path);
  if (!names) {
    return Fail(names.error());
  }
  for (const std::string& name : *names) {
    // A fresh file system has the first; the others are ours from a start that was cut short.
    if (name != "lost+found" && name != std::string(kSsdMarkerName) + ".tmp" &&
        name != kSsdDurableName && name != std::string(kSsdDurableName) + ".tmp") {
      return Fail(ErrorCode::kUnsupported, path + " is not empty (it has '" + name +
                                               "') and is not an SSD store of ours" + advice);
    }
  }
  // The epoch file comes first: a store without one is known to be damaged.
  auto written = WriteFileDurably(path, kSsdDurableName, FormatStamp(kSsdDurableStamp, 0));
  if (written) {
    written = WriteFileDurably(path, kSsdMarkerName, FormatStamp(kSsdMarkerStamp, kSsdFormat));
  }
  return written;
}

/// Renames the store and returns its new name. One quarantine is kept: its bytes count against
/// the cap, and it is the first to go when room is needed.
Result<std::string> Quarantine(const std::string& path) {
  const auto names = ListDirectory(path);
  if (!names) {
    return Fail(names.error());
  }
  const std::string prefix = kSsdQuarantinePrefix;
  std::uint64_t last = 0;
  for (const std::string& name : *names) {
    if (name.starts_with(prefix)) {
      last = std::max(last, ParseNumber(name.substr(prefix.size())).value_or(0));
    }
  }
  const std::string target = prefix + std::to_string(last + 1);
  if (auto renamed = RenameDurably(path, kSsdStoreName, target); !renamed) {
    return Fail(renamed.error());
  }
  for (const std::string& name : *names) {
    if (name.starts_with(prefix)) {
      if (auto removed = RemoveTree(path + "/" + name); !removed) {
        return Fail(removed.error());
      }
    }
  }
  return path + "/" + target;
}

/// Marks a store without payload as ours and makes that durable.
Result<CheckedStore> Initialise(std::unique_ptr<SsdDatabase> database) {
  auto status = database->PutMeta(kSsdFormatKey, std::to_string(kSsdFormat));
  if (status) {
    status = database->FlushAll();
  }
  if (!status) {
    return Fail(status.error());
  }
  return CheckedStore{.database = std::move(database), .epoch = 0};
}

/// Errors: kUnsupported for a newer format; all others mean that the store is of no use.
Result<CheckedStore> OpenStore(const SsdConfig& config) {
  auto database = SsdDatabase::Open({.path = config.path + "/" + kSsdStoreName,
                                     .capacity_bytes = config.capacity_bytes,
                                     .write_buffer_bytes = config.write_buffer_bytes,
                                     .direct_io = config.direct_io});
  if (!database) {
    return Fail(database.error());
  }
  if (auto verified = (*database)->VerifySmallTables(); !verified) {
    return Fail(verified.error());
  }
  const auto format = (*database)->GetMeta(kSsdFormatKey);
  if (!format) {
    if (format.error().code == ErrorCode::kNotFound && (*database)->StoredSegments().empty()) {
      return Initialise(std::move(*database));
    }
    return Fail(ErrorCode::kCorrupt, "the store has payload but no format record");
  }
  const auto number = ParseNumber(*format);
  if (number && *number > kSsdFormat) {
    return Fail(ErrorCode::kUnsupported,
                config.path + " holds an SSD store of the newer format " + *format +
                    "; give another path for the SSD tier, or move it away");
  }
  if (number != kSsdFormat) {
    return Fail(ErrorCode::kCorrupt, "the format record of the store is damaged");
  }
  std::uint64_t epoch = 0;
  if (const auto text = (*database)->GetMeta(kSsdEpochKey)) {
    const auto parsed = ParseNumber(*text);
    if (!parsed) {
      return Fail(ErrorCode::kCorrupt, "the epoch record of the store is damaged");
    }
    epoch = *parsed;
  } else if (text.error().code != ErrorCode::kNotFound) {
    return Fail(text.error());
  }
  return CheckedStore{.database = std::move(*database), .epoch = epoch};
}

/// Failures that say nothing about the store: another start may well succeed with it.
bool BlamesTheStore(const Error& error) {
  if (error.code == ErrorCode::kUnsupported || error.code == ErrorCode::kNoSpace) {
    return false;
  }
  const auto mentions = [&](int number) {
    return error.message.find(ErrnoText(number)) != std::string::npos;
  };
  return !(mentions(EACCES) || mentions(EPERM) || mentions(EROFS) || mentions(EMFILE) ||
           mentions(ENFILE) || mentions(ENOMEM));
}

/// Compares the epochs of store and file, and brings them in step again. Returns the epochs lost:
/// at least 1 when the file itself is damaged, for then nobody can tell.
Result<std::uint64_t> SettleEpoch(const std::string& path, CheckedStore& store) {
  const auto text = ReadSmallFile(path + "/" + kSsdDurableName);
  const auto durable = text ? ParseStamp(kSsdDurableStamp, *text) : std::nullopt;
  if (durable && store.epoch >= *durable) {
    return 0;
  }
  const std::uint64_t lost = durable ? *durable - store.epoch : 1;
  store.epoch = std::max(store.epoch, durable.value_or(0));
  auto status = store.database->PutMeta(kSsdEpochKey, std::to_string(store.epoch));
  if (status) {
    status = store.database->FlushAll();
  }
  if (status) {
    status = WriteFileDurably(path, kSsdDurableName, FormatStamp(kSsdDurableStamp, store.epoch));
  }
  if (!status) {
    return Fail(status.error());
  }
  return lost;
}

/// Errors of the directory itself, in the words of OpenSsdTier's contract.
tl::unexpected<Error> DirectoryError(Error error) {
  if (error.code == ErrorCode::kNotFound) {
    error.code = ErrorCode::kIo;
  }
  return Fail(std::move(error));
}

}  // namespace

Result<OpenedSsd> OpenSsdTier(const SsdConfig& given) {
  auto config = FillDefaults(given);
  if (!config) {
    return Fail(config.error());
  }
  const std::string& path = config->path;
  if (auto made = MakeDirectory(path); !made) {
    return DirectoryError(made.error());
  }
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return Fail(ErrorCode::kPermissionDenied, "cannot read and write " + path + ": " + ErrnoText());
  }
  auto lock = DirectoryLock::Take(path);
  if (!lock) {
    return DirectoryError(lock.error());
  }
  if (auto claimed = ClaimDirectory(path); !claimed) {
    return DirectoryError(claimed.error());
  }
  config->direct_io = config->direct_io && SupportsDirectIo(path);

  OpenedSsd opened;
  auto store = OpenStore(*config);
  if (!store && BlamesTheStore(store.error())) {
    opened.quarantine_reason = ToString(store.error());
    const auto moved = Quarantine(path);
    if (!moved) {
      return DirectoryError(moved.error());
    }
    opened.quarantined_to = *moved;
    store = OpenStore(*config);
  }
  if (!store) {
    return DirectoryError(store.error());
  }
  const auto lost = SettleEpoch(path, *store);
  if (!lost) {
    return DirectoryError(lost.error());
  }
  opened.tier = std::make_unique<SsdStore>(SsdStore::Parts{.config = std::move(*config),
                                                           .lock = std::move(*lock),
                                                           .database = std::move(store->database),
                                                           .epoch = store->epoch,
                                                           .lost_epochs = *lost});
  return opened;
}

}  // namespace cairn
