// Commands that work without a daemon.
#include "services/cairnctl/commands.h"
#include "services/cairnctl/completion.h"
#include "services/cairnctl/daemon.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/json.h"

namespace cairn::ctl {

Result<std::string> RunVersion(const Invocation& invocation) {
  const bool several = !invocation.cluster.empty() && invocation.Value("--member").empty();
  const auto daemon =
      several ? Result<Daemon>(Fail(ErrorCode::kInvalidArgument,
                                    "--connect names several daemons; say which with --member"))
              : Daemon::Open(invocation);
  const std::string endpoint = several ? invocation.cluster : invocation.endpoint.Text();
  const std::string version = daemon ? daemon->version() : "";
  if (invocation.json) {
    return VersionJson(endpoint, version, daemon ? Error{} : daemon.error());
  }
  const std::string first = std::string("cairnctl ") + CAIRN_VERSION + "\n";
  return daemon ? first + "cairnd " + Printable(version) + " at " + Printable(endpoint) + "\n"
                : first + "cairnd not reached: " + Printable(daemon.error().message) + "\n";
}

Result<std::string> RunCompletion(const Invocation& invocation) {
  const std::string script = CompletionScript(invocation.argument);
  return invocation.json ? CompletionJson(invocation.argument, script) : script;
}

}  // namespace cairn::ctl
