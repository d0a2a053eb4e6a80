#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "services/cairnctl/command_table.h"

namespace cairn::ctl {

struct ParsedLine {
  Invocation invocation;
  /// Set when the program should print `message` and end: 0 for help, 2 for wrong usage.
  std::optional<int> exit_code;
  std::string message;
};

/// `args` without the program's name; `environment` as far as it matters: CAIRN_CONNECT,
/// CAIRN_TLS_*, XDG_RUNTIME_DIR. `is_root` decides the default socket, as in cairnd.
ParsedLine ParseLine(const std::vector<std::string>& args,
                     const std::map<std::string, std::string>& environment, bool is_root);

}  // namespace cairn::ctl
