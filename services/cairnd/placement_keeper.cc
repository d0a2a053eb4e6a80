#include "services/cairnd/placement_keeper.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <system_error>

#include "services/cairnd/placement.h"

namespace cairn::server {

void PlacementKeeper::Load(Cache* cache, const std::string& path) {
  cache_ = cache;
  const auto loaded = LoadPlacement(*cache, path);
  if (loaded) {
    path_ = path;
    spdlog::info("placement_loaded path={} places={}", path, loaded->places);
    if (!loaded->left_out.empty()) {
      spdlog::warn("placement_models_left_out path={} reason=\"{}\" effect=\"these start anew\"",
                   path, loaded->left_out);
    }
    return;
  }
  if (loaded.error().code == ErrorCode::kNotFound) {
    path_ = path;
    spdlog::info("placement_new path={} effect=\"nothing is known yet; it will be written here\"",
                 path);
    return;
  }
  if (loaded.error().code != ErrorCode::kCorrupt &&
      loaded.error().code != ErrorCode::kUnsupported) {
    // It may be sound, so nothing is written over it.
    spdlog::error(
        "placement_not_loaded path={} reason=\"{}\" effect=\"learning starts anew, and is "
        "not saved\"",
        path, loaded.error().message);
    return;
  }
  path_ = path;
  // Kept for whoever wants to know why; the next save would write over it.
  std::error_code error;
  std::filesystem::rename(path, path + ".bad", error);
  spdlog::error("placement_not_loaded path={} reason=\"{}\" effect=\"learning starts anew; {}\"",
                path, loaded.error().message,
                error ? "the file could not be moved aside" : "the file is now beside it, as .bad");
}

void PlacementKeeper::Save() {
  const MutexLock lock(mu_);
  const Status saved = SavePlacement(*cache_, path_);
  if (!saved) {
    ++failed_saves_;
    spdlog::warn(
        "placement_not_saved path={} reason=\"{}\" effect=\"a restart forgets what was learned "
        "since the last save\"",
        path_, saved.error().message);
  } else if (last_failed_) {
    spdlog::info("placement_saved_again path={}", path_);
  }
  last_failed_ = !saved;
}

}  // namespace cairn::server
