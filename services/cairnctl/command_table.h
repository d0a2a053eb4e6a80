#pragma once

#include <chrono>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/cluster/membership.h"
#include "libcache/transport/endpoint.h"
#include "libcache/transport/tls_client.h"

namespace cairn::ctl {

/// What a value on the command line must look like.
enum class ValueKind {
  kNone,  ///< A switch; for an argument: there is none.
  kText,
  kKey,    ///< 1 to 64 hex digits, the first of a prefix key; becomes lower case.
  kCount,  ///< 1 to OptionSpec::most.
  kShell,  ///< A name of Shells().
  kFile,
};

struct OptionSpec {
  std::string_view name;        ///< "--prefix".
  std::string_view value_name;  ///< "HEX"; empty for a switch.
  ValueKind kind = ValueKind::kNone;
  std::string_view help;
  unsigned most = 0;  ///< kCount.
};

/// One call of cairnctl, checked.
struct Invocation {
  std::string command;
  std::string argument;
  std::map<std::string, std::string, std::less<>> values;  ///< By option name, dashes included.
  std::set<std::string, std::less<>> switches;
  Endpoint endpoint;
  TlsClientOptions tls;
  /// What --connect names if that is several daemons, until one is chosen: a list, or "dns:...".
  std::string cluster;
  std::vector<Member> members;  ///< Those, for a command of all; empty with one daemon.
  std::chrono::milliseconds timeout{5'000};
  bool json = false;

  [[nodiscard]] bool Has(std::string_view name) const { return switches.contains(name); }
  [[nodiscard]] std::string Value(std::string_view name, std::string_view otherwise = "") const {
    const auto found = values.find(name);
    return found == values.end() ? std::string(otherwise) : found->second;
  }
};

/// Does the work and returns what to print on standard output.
using Handler = Result<std::string> (*)(const Invocation& invocation);

/// The one definition of a command: the parser, the help, the dispatch and the completion scripts
/// are made from it.
struct CommandSpec {
  std::string_view name;  ///< Two words for a command of a group: "placement show".
  Handler run = nullptr;
  std::string_view help;
  std::span<const OptionSpec> options = {};
  ValueKind argument = ValueKind::kNone;
  std::string_view argument_name = {};
  std::string_view argument_help = {};
  /// Answers for several daemons too; the others want --member then.
  bool of_all = false;
  /// Does its work without a daemon too, so that with several none has to be chosen.
  bool works_alone = false;
  /// Not empty: destructive, so it wants --yes, or on a terminal an answer to this question.
  std::string_view question = {};
};

std::span<const CommandSpec> Commands();
/// Nullptr if there is no such command.
const CommandSpec* FindCommand(std::string_view name);
/// First words of the commands that have two, and what they are about.
struct GroupSpec {
  std::string_view name;
  std::string_view help;
};
std::span<const GroupSpec> Groups();
/// Options of every command.
std::span<const OptionSpec> GlobalOptions();
std::span<const std::string_view> Shells();

}  // namespace cairn::ctl
