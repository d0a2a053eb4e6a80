#include "services/cairnctl/command_table.h"

#include <array>

#include "services/cairnctl/commands.h"

namespace cairn::ctl {
namespace {

// As the daemon limits its answer, so that it stays within a frame.
constexpr unsigned kMostTreeNodes = 10'000;
constexpr unsigned kMostTimeoutMs = 3'600'000;
constexpr unsigned kMostCertDays = 3'650;

constexpr std::array<OptionSpec, 8> kGlobalOptions = {{
    {.name = "--connect",
     .value_name = "ENDPOINT",
     .kind = ValueKind::kText,
     .help = "Daemon to ask, as unix:/path or host:port (default: $CAIRN_CONNECT, else "
             "unix:/run/cairn/cairn.sock as root, else unix:$XDG_RUNTIME_DIR/cairn.sock). Of "
             "several daemons a list, NAME=ENDPOINT,NAME=ENDPOINT, or dns:NAME:PORT"},
    {.name = "--member",
     .value_name = "NAME",
     .kind = ValueKind::kText,
     .help = "Which of several daemons: of the list, else of those that the daemon knows. With a "
             "list status, tiers and members show all without it"},
    {.name = "--timeout",
     .value_name = "MS",
     .kind = ValueKind::kCount,
     .help = "Wait at most this many milliseconds for each answer (default: 5000)",
     .most = kMostTimeoutMs},
    {.name = "--json", .value_name = "", .help = "Print JSON instead of text; errors too"},
    {.name = "--tls-ca",
     .value_name = "FILE",
     .kind = ValueKind::kFile,
     .help = "TLS to host:port: PEM file of the CA of the daemon's certificate (default: "
             "$CAIRN_TLS_CA)"},
    {.name = "--tls-cert",
     .value_name = "FILE",
     .kind = ValueKind::kFile,
     .help = "PEM file of our certificate (default: $CAIRN_TLS_CERT)"},
    {.name = "--tls-key",
     .value_name = "FILE",
     .kind = ValueKind::kFile,
     .help = "PEM file of its key (default: $CAIRN_TLS_KEY)"},
    {.name = "--tls-server",
     .value_name = "NAME",
     .kind = ValueKind::kText,
     .help = "Whom the daemon's certificate must be for (default: $CAIRN_TLS_SERVER, else the "
             "host)"},
}};

constexpr std::array<OptionSpec, 3> kTreeOptions = {{
    {.name = "--prefix",
     .value_name = "HEX",
     .kind = ValueKind::kKey,
     .help = "Only prefixes whose key starts with these digits, and what is below them"},
    {.name = "--max",
     .value_name = "N",
     .kind = ValueKind::kCount,
     .help = "Show at most N prefixes (default: 1000)",
     .most = kMostTreeNodes},
    {.name = "--full", .value_name = "", .help = "Show all 64 digits of each key"},
}};
constexpr std::array<OptionSpec, 2> kPlacementShowOptions = {{
    {.name = "--max",
     .value_name = "N",
     .kind = ValueKind::kCount,
     .help = "Show at most N places (default: 20)",
     .most = kMostTreeNodes},
    {.name = "--full", .value_name = "", .help = "Show all 64 digits of each key"},
}};
constexpr std::array<OptionSpec, 3> kEvictOptions = {{
    {.name = "--host-only", .value_name = "", .help = "Keep the copies on SSD"},
    {.name = "--kv-only", .value_name = "", .help = "Keep checkpoints"},
    {.name = "--checkpoints-only", .value_name = "", .help = "Keep KV"},
}};
constexpr std::array<OptionSpec, 1> kClearOptions = {{
    {.name = "--yes", .value_name = "", .help = "Do not ask"},
}};
constexpr std::array<OptionSpec, 1> kDrainOptions = {{
    {.name = "--wait", .value_name = "", .help = "Return when the daemon has ended"},
}};

constexpr std::array<OptionSpec, 6> kCertDevOptions = {{
    {.name = "--out",
     .value_name = "DIR",
     .kind = ValueKind::kFile,
     .help = "Directory for the files; made if it is not there (default: cairn-certs)"},
    {.name = "--name",
     .value_name = "NAMES",
     .kind = ValueKind::kText,
     .help = "Host names and addresses of the daemon, separated by commas (default: localhost, "
             "127.0.0.1, ::1 and this machine's name)"},
    {.name = "--tenant",
     .value_name = "TENANT",
     .kind = ValueKind::kText,
     .help = "Tenant of the engine's certificate (default: default)"},
    {.name = "--ca",
     .value_name = "DIR",
     .kind = ValueKind::kFile,
     .help = "Directory with ca.crt and ca.key that shall sign, instead of a new CA: for another "
             "tenant, or with --out DIR --force to renew"},
    {.name = "--days",
     .value_name = "N",
     .kind = ValueKind::kCount,
     .help = "Valid for N days, at most 3650 (default: 365)",
     .most = kMostCertDays},
    {.name = "--force", .value_name = "", .help = "Replace files that are there"},
}};

constexpr std::string_view kKeyHelp = "Prefix key in hex; its first digits, if they fit only one";
constexpr std::array<std::string_view, 3> kShells = {"bash", "zsh", "fish"};

constexpr std::array<GroupSpec, 2> kGroups = {{
    {.name = "placement",
     .help = "Show, explain, save and merge what the planner trie has learned"},
    {.name = "cert", .help = "Make certificates to try TLS with, and look at certificates"},
}};

constexpr std::array<CommandSpec, 20> kCommands = {{
    {.name = "status",
     .run = RunStatus,
     .help = "Show how the daemon is and what it did",
     .of_all = true},
    {.name = "tiers",
     .run = RunTiers,
     .help = "Show each tier: its state, size and content",
     .of_all = true},
    {.name = "members",
     .run = RunMembers,
     .help = "Show the daemons of the cluster and how each is",
     .of_all = true},
    {.name = "tree",
     .run = RunTree,
     .help = "Show the tree of cached prefixes",
     .options = kTreeOptions},
    {.name = "lookup",
     .run = RunLookup,
     .help = "Show one prefix and whether a request could resume there",
     .argument = ValueKind::kKey,
     .argument_name = "KEY",
     .argument_help = kKeyHelp},
    {.name = "leases", .run = RunLeases, .help = "Show leases, reservations and pins"},
    {.name = "pin",
     .run = RunPin,
     .help = "Keep a restorable boundary until it is unpinned or the daemon ends",
     .argument = ValueKind::kKey,
     .argument_name = "KEY",
     .argument_help = kKeyHelp},
    {.name = "unpin",
     .run = RunUnpin,
     .help = "Undo pin",
     .argument = ValueKind::kKey,
     .argument_name = "KEY",
     .argument_help = kKeyHelp},
    {.name = "evict",
     .run = RunEvict,
     .help = "Drop a prefix and all below it; what is pinned or in use stays",
     .options = kEvictOptions,
     .argument = ValueKind::kKey,
     .argument_name = "KEY",
     .argument_help = kKeyHelp},
    {.name = "clear",
     .run = RunClear,
     .help = "Drop everything that is not pinned or in use, from all tiers",
     .options = kClearOptions,
     .question = "Drop everything this daemon has cached, from all tiers?"},
    {.name = "placement show",
     .run = RunPlacementShow,
     .help = "Show what is learned in all, and the places that are used most",
     .options = kPlacementShowOptions},
    {.name = "placement explain",
     .run = RunPlacementExplain,
     .help = "Show for a prefix which checkpoints are kept, what they are worth, and the next one",
     .argument = ValueKind::kKey,
     .argument_name = "KEY",
     .argument_help = kKeyHelp},
    {.name = "placement export",
     .run = RunPlacementExport,
     .help = "Write what is learned to a file",
     .argument = ValueKind::kFile,
     .argument_name = "FILE",
     .argument_help = "File to write, for placement import"},
    {.name = "placement import",
     .run = RunPlacementImport,
     .help = "Add what another daemon has learned",
     .argument = ValueKind::kFile,
     .argument_name = "FILE",
     .argument_help = "File of placement export"},
    {.name = "cert dev",
     .run = RunCertDev,
     .help = "Make a CA and certificates of it for a daemon, an engine and an administrator",
     .options = kCertDevOptions,
     .works_alone = true},
    {.name = "cert show",
     .run = RunCertShow,
     .help = "Show what the certificates in a file say",
     .argument = ValueKind::kFile,
     .argument_name = "FILE",
     .argument_help = "PEM file",
     .works_alone = true},
    {.name = "drain",
     .run = RunDrain,
     .help = "Stop the daemon once the requests under way are done",
     .options = kDrainOptions},
    {.name = "config", .run = RunConfig, .help = "Show the settings the daemon runs with"},
    {.name = "version",
     .run = RunVersion,
     .help = "Show the versions of cairnctl and the daemon",
     .works_alone = true},
    {.name = "completion",
     .run = RunCompletion,
     .help = "Print the completion script of a shell",
     .argument = ValueKind::kShell,
     .argument_name = "SHELL",
     .argument_help = "bash, zsh or fish",
     .works_alone = true},
}};

}  // namespace

std::span<const CommandSpec> Commands() { return kCommands; }

std::span<const GroupSpec> Groups() { return kGroups; }

const CommandSpec* FindCommand(std::string_view name) {
  for (const CommandSpec& command : kCommands) {
    if (command.name == name) {
      return &command;
    }
  }
  return nullptr;
}

std::span<const OptionSpec> GlobalOptions() { return kGlobalOptions; }

std::span<const std::string_view> Shells() { return kShells; }

}  // namespace cairn::ctl
