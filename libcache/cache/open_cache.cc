#include "libcache/cache/open_cache.h"

#include <utility>

#include "libcache/tier/ssd_tier.h"

namespace cairn {

Result<OpenedCache> OpenCacheWithSsd(const Cache::Config& config, const std::string& ssd_path,
                                     std::uint64_t ssd_bytes) {
  if (ssd_path.empty() != (ssd_bytes == 0)) {
    return Fail(ErrorCode::kInvalidArgument,
                ssd_path.empty() ? "ssd_path: must not be empty where ssd_bytes is given"
                                 : "ssd_bytes: must not be 0 where ssd_path is given");
  }
  if (const Status valid = config.Validate(); !valid) {
    return Fail(valid.error());  // Before the directory is touched.
  }
  OpenedCache opened;
  std::unique_ptr<ColdTier> cold;
  if (!ssd_path.empty()) {
    SsdConfig ssd_config;
    ssd_config.path = ssd_path;
    ssd_config.capacity_bytes = ssd_bytes;
    ssd_config.read_threads = config.cold_read_threads;
    auto ssd = OpenSsdTier(ssd_config);
    if (!ssd) {
      return Fail(ssd.error());
    }
    cold = std::move(ssd->tier);
    if (!ssd->quarantined_to.empty()) {
      opened.notice = "the store in " + ssd_path + " would not open (" + ssd->quarantine_reason +
                      ") and is now in " + ssd->quarantined_to;
    }
  }
  auto cache = Cache::Open(config, std::move(cold));
  if (!cache) {
    return Fail(cache.error());
  }
  opened.cache = std::move(*cache);
  return opened;
}

}  // namespace cairn
