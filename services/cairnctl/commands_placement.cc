// What the learned placement knows: shown, explained, written to a file and added from one.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "services/cairnctl/commands.h"
#include "services/cairnctl/daemon.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/json.h"
#include "services/cairnctl/text.h"
#include "services/placement_file/placement_file.h"

namespace cairn::ctl {
namespace {

// A message stays within a frame.
constexpr int kPlacesPerMessage = 4096;

Result<v1::PlacementStatistics> Learned(Daemon& daemon) {
  v1::PlacementStatistics whole;
  v1::AdminRequest request;
  do {
    request.mutable_placement_export();
    auto page = daemon.Call(request);
    if (!page) {
      return Fail(page.error());
    }
    whole.MergeFrom(page->placement_export().part());
    request.mutable_placement_export()->set_from(page->placement_export().next());
  } while (request.placement_export().from() != 0);
  return whole;
}

/// The whole file or none: what is there under the name was written to its end.
Status WriteWhole(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    // It tells how many prompts there were, how long, and when they came back.
    std::error_code ignored;
    std::filesystem::permissions(
        temporary, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
        ignored);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) {
      const int why = errno;
      std::filesystem::remove(temporary, ignored);
      return Fail(why == ENOSPC || why == EDQUOT ? ErrorCode::kNoSpace : ErrorCode::kIo,
                  path + " could not be written: " + std::generic_category().message(why));
    }
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    return Fail(ErrorCode::kIo, path + " could not be written: " + error.message());
  }
  return {};
}

/// A part of `whole` that fits a message; the first has the models too.
v1::AdminRequest ImportRequest(const v1::PlacementStatistics& whole, int from) {
  v1::AdminRequest request;
  v1::PlacementStatistics& part = *request.mutable_placement_import()->mutable_part();
  part.set_version(whole.version());
  part.set_saved_at_unix_s(whole.saved_at_unix_s());
  if (from == 0) {
    *part.mutable_reuse() = whole.reuse();
    *part.mutable_distance() = whole.distance();
  }
  for (int i = from; i < std::min(from + kPlacesPerMessage, whole.places_size()); ++i) {
    *part.add_places() = whole.places(i);
  }
  request.mutable_placement_import()->set_more(from + kPlacesPerMessage < whole.places_size());
  return request;
}

}  // namespace

Result<std::string> RunPlacementShow(const Invocation& invocation) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  v1::AdminRequest request;
  request.mutable_placement_show()->set_max_places(
      static_cast<std::uint32_t>(std::stoul(invocation.Value("--max", "0"))));
  const auto reply = daemon->Call(request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? PlacementShowJson(reply->placement_show())
                         : PlacementShowText(reply->placement_show(), invocation.Has("--full"),
                                             Style::Of(stdout));
}

Result<std::string> RunPlacementExplain(const Invocation& invocation) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  v1::AdminRequest request;
  request.mutable_placement_explain()->set_key(invocation.argument);
  const auto reply = daemon->Call(request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? PlacementExplainJson(reply->placement_explain())
                         : PlacementExplainText(reply->placement_explain(), Style::Of(stdout));
}

Result<std::string> RunPlacementExport(const Invocation& invocation) {
  if (invocation.argument.empty() || invocation.argument == "-") {
    return Fail(ErrorCode::kInvalidArgument, "placement export needs the name of a file to write");
  }
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  std::error_code ignored;
  if (std::filesystem::exists(invocation.argument, ignored)) {
    return Fail(ErrorCode::kExists, invocation.argument + " is there already; give another name");
  }
  const auto learned = Learned(*daemon);
  if (!learned) {
    return Fail(learned.error());
  }
  const auto bytes = EncodePlacement(*learned);
  if (!bytes) {
    return Fail(bytes.error());
  }
  if (const Status written = WriteWhole(invocation.argument, *bytes); !written) {
    return Fail(written.error());
  }
  const auto places = static_cast<std::uint64_t>(learned->places_size());
  return invocation.json ? PlacementFileJson(invocation.argument, places, places)
                         : "wrote " + FormatCount(places, "place") + " to " + invocation.argument +
                               "; cairnctl placement import adds them to another daemon\n";
}

Result<std::string> RunPlacementImport(const Invocation& invocation) {
  auto learned = ReadPlacementFile(invocation.argument);
  if (!learned) {
    return Fail(learned.error());
  }
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  // A place comes after the one above it, also where they travel in different messages.
  std::sort(learned->mutable_places()->begin(), learned->mutable_places()->end(),
            [](const v1::PlaceStatistics& a, const v1::PlaceStatistics& b) {
              return a.position() < b.position();
            });
  std::uint64_t taken = 0;
  std::string left_out;
  int from = 0;
  do {
    const auto reply = daemon->Call(ImportRequest(*learned, from));
    if (!reply) {
      return Fail(reply.error());
    }
    taken += reply->count().objects();
    left_out += reply->count().left_out();  // The first part has the models.
    from += kPlacesPerMessage;
  } while (from < learned->places_size());
  const auto all = static_cast<std::uint64_t>(learned->places_size());
  if (invocation.json) {
    return PlacementImportJson(invocation.argument, taken, all, left_out);
  }
  return "added " + FormatCount(taken) + " of " + FormatCount(all, "place") +
         (left_out.empty() ? " and how soon and where prompts return" : "") +
         (taken == all ? "" : "; the others lie between places that it knows") +
         (left_out.empty() ? "\n" : "; left out: " + left_out + "\n");
}

}  // namespace cairn::ctl
