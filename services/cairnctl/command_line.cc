#include "services/cairnctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "services/cairnctl/format.h"
#include "services/cairnctl/members.h"
#include "services/terminal/usage.h"

namespace cairn::ctl {
namespace {

constexpr std::size_t kKeyDigits = 64;

/// Checks and, for keys, normalises; CLI11 shows what it returns after the option's name.
CLI::Validator CheckFor(ValueKind kind, unsigned most) {
  const auto check = [kind, most](std::string& value) -> std::string {
    switch (kind) {
      case ValueKind::kKey:
        for (char& c : value) {
          c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        if (value.empty() || value.size() > kKeyDigits ||
            value.find_first_not_of("0123456789abcdef") != std::string::npos) {
          return "'" + Printable(value) +
                 "' is no key; give 1 to 64 hex digits, as cairnctl tree shows them";
        }
        return "";
      case ValueKind::kCount: {
        const bool number = !value.empty() && value.size() <= 9 &&
                            value.find_first_not_of("0123456789") == std::string::npos;
        const unsigned long count = number ? std::stoul(value) : 0;
        return count >= 1 && count <= most
                   ? ""
                   : "'" + Printable(value) + "' is no number from 1 to " + std::to_string(most);
      }
      case ValueKind::kShell: {
        const auto shells = Shells();
        const bool known = std::find(shells.begin(), shells.end(), value) != shells.end();
        return known ? "" : "'" + Printable(value) + "' is not one of bash, zsh, fish";
      }
      default: return "";
    }
  };
  return CLI::Validator(check, "");
}

void AddOption(CLI::App& app, const OptionSpec& spec, Invocation& to) {
  const std::string name(spec.name);
  if (spec.kind == ValueKind::kNone) {
    app.add_flag_callback(
        name, [&to, name] { to.switches.insert(name); }, std::string(spec.help));
    return;
  }
  app.add_option_function<std::string>(
         name, [&to, name](const std::string& value) { to.values[name] = value; },
         std::string(spec.help))
      ->transform(CheckFor(spec.kind, spec.most))
      ->type_name(std::string(spec.value_name));
}

std::string GlobalNames() {
  std::string names;
  for (const OptionSpec& option : GlobalOptions()) {
    names += (names.empty() ? "" : ", ") + std::string(option.name);
  }
  return names;
}

void AddGroup(CLI::App& app, const GroupSpec& spec) {
  CLI::App* const group = app.add_subcommand(std::string(spec.name), std::string(spec.help));
  group->fallthrough();
  group->require_subcommand(1);
  group->footer("Also the options of every command: " + GlobalNames());
}

void AddCommand(CLI::App& app, const CommandSpec& spec, Invocation& to) {
  const std::size_t space = spec.name.find(' ');
  CLI::App* const parent = space == std::string_view::npos
                               ? &app
                               : app.get_subcommand(std::string(spec.name.substr(0, space)));
  CLI::App* const command = parent->add_subcommand(
      std::string(space == std::string_view::npos ? spec.name : spec.name.substr(space + 1)),
      std::string(spec.help));
  command->fallthrough();  // Global options may follow the command.
  command->footer("Also the options of every command: " + GlobalNames());
  for (const OptionSpec& option : spec.options) {
    AddOption(*command, option, to);
  }
  if (spec.argument != ValueKind::kNone) {
    command
        ->add_option(std::string(spec.argument_name), to.argument, std::string(spec.argument_help))
        ->required()
        ->transform(CheckFor(spec.argument, 0))
        ->type_name("");
  }
  command->callback([&to, name = std::string(spec.name)] { to.command = name; });
}

std::string DefaultSocket(const std::map<std::string, std::string>& environment, bool is_root) {
  const auto runtime = environment.find("XDG_RUNTIME_DIR");
  return "unix:" + DefaultSocketPath(
                       is_root, runtime == environment.end() ? nullptr : runtime->second.c_str());
}

ParsedLine WrongUsage(const std::string& what, const std::string& command) {
  ParsedLine parsed;
  parsed.exit_code = 2;
  parsed.message =
      what + "; see cairnctl " + (command.empty() ? command : command + " ") + "--help";
  return parsed;
}

/// The word that should have been a command, if that is what is wrong.
std::string UnknownCommand(const std::vector<std::string>& args) {
  const auto global = GlobalOptions();
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (std::any_of(global.begin(), global.end(), [&](const OptionSpec& option) {
          return option.kind != ValueKind::kNone && option.name == args[i];
        })) {
      ++i;
    } else if (args[i].empty() || args[i][0] != '-') {
      const auto groups = Groups();
      const bool is_group = std::any_of(groups.begin(), groups.end(), [&](const GroupSpec& group) {
        return group.name == args[i];
      });
      return is_group || FindCommand(args[i]) != nullptr ? "" : args[i];
    }
  }
  return "";
}

ParsedLine ChooseEndpoint(ParsedLine parsed, const std::map<std::string, std::string>& environment,
                          bool is_root) {
  const auto variable = environment.find("CAIRN_CONNECT");
  const bool from_variable = variable != environment.end() && !variable->second.empty();
  const std::string otherwise =
      from_variable ? variable->second : DefaultSocket(environment, is_root);
  Invocation& invocation = parsed.invocation;
  const bool given = invocation.values.contains("--connect");
  const std::string text = invocation.Value("--connect", otherwise);
  const auto wrong = [&](const Error& error) {
    return WrongUsage((given ? "--connect: " : "CAIRN_CONNECT: ") + error.message,
                      invocation.command);
  };
  if (!IsOneEndpoint(text)) {
    if (const Status cluster = CheckCluster(text); !cluster) {
      return wrong(cluster.error());
    }
    invocation.cluster = text;
    return parsed;
  }
  const auto endpoint = ParseEndpoint(text);
  if (!endpoint) {
    return wrong(endpoint.error());
  }
  invocation.endpoint = *endpoint;
  return parsed;
}

TlsClientOptions ChooseTls(const Invocation& invocation,
                           const std::map<std::string, std::string>& environment) {
  const auto choose = [&](const char* option, const char* variable) {
    const auto found = environment.find(variable);
    return invocation.Value(option, found == environment.end() ? "" : found->second);
  };
  return {.ca = choose("--tls-ca", "CAIRN_TLS_CA"),
          .certificate = choose("--tls-cert", "CAIRN_TLS_CERT"),
          .key = choose("--tls-key", "CAIRN_TLS_KEY"),
          .server = choose("--tls-server", "CAIRN_TLS_SERVER")};
}

}  // namespace

ParsedLine ParseLine(const std::vector<std::string>& args,
                     const std::map<std::string, std::string>& environment, bool is_root) {
  ParsedLine parsed;
  Invocation& invocation = parsed.invocation;
  CLI::App app("cairnctl: looks after a running cairnd", "cairnctl");
  app.set_version_flag("--version", std::string("cairnctl ") + CAIRN_VERSION);
  app.require_subcommand(1);
  for (const OptionSpec& option : GlobalOptions()) {
    AddOption(app, option, invocation);
  }
  for (const GroupSpec& group : Groups()) {
    AddGroup(app, group);
  }
  for (const CommandSpec& command : Commands()) {
    AddCommand(app, command, invocation);
  }
  app.footer(
      "Exit status: 0 done; 1 the daemon refused, does not know it or cannot be reached; "
      "2 wrong usage.");
  // CLI11 takes its arguments last to first.
  std::vector<std::string> reversed(args.rbegin(), args.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream out;
      app.exit(error, out, out);
      parsed.exit_code = 0;
      parsed.message = out.str();
      return parsed;
    }
    if (const std::string word = UnknownCommand(args); !word.empty()) {
      return WrongUsage("there is no command '" + Printable(word) + "'", "");
    }
    const auto used = app.get_subcommands();
    const bool no_command = used.empty() && dynamic_cast<const CLI::RequiredError*>(&error);
    return WrongUsage(no_command ? "which command?" : Printable(terminal::UsageProblem(app, error)),
                      used.empty() ? "" : used.front()->get_name());
  }
  invocation.timeout = std::chrono::milliseconds(std::stoul(invocation.Value("--timeout", "5000")));
  invocation.json = invocation.Has("--json");
  invocation.tls = ChooseTls(invocation, environment);
  return ChooseEndpoint(std::move(parsed), environment, is_root);
}

}  // namespace cairn::ctl
