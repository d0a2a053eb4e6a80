#include "services/cairnctl/completion.h"

#include <vector>

#include "libcache/base/check.h"
#include "services/cairnctl/command_table.h"

namespace cairn::ctl {
namespace {

/// In single quotes for a shell: 'it'\''s'.
std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return quoted + "'";
}

/// For _arguments and _describe of zsh, to which ':' and brackets mean something.
std::string ForZsh(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') {
      escaped += '\\';
    }
    escaped += c;
  }
  return escaped;
}

template <class Items, class Text>
std::string Joined(const Items& items, const std::string& separator, Text text) {
  std::string joined;
  for (const auto& item : items) {
    joined += (joined.empty() ? "" : separator) + text(item);
  }
  return joined;
}

std::string Name(const OptionSpec& option) { return std::string(option.name); }

std::string Shell(std::string_view shell) { return std::string(shell); }

/// Names of options that want a value, as alternatives of a case.
std::string ValueOptions() {
  std::vector<std::string> names;
  const auto add = [&names](std::span<const OptionSpec> options) {
    for (const OptionSpec& option : options) {
      if (option.kind != ValueKind::kNone) {
        names.emplace_back(option.name);
      }
    }
  };
  add(GlobalOptions());
  for (const CommandSpec& command : Commands()) {
    add(command.options);
  }
  return Joined(names, " | ", [](const std::string& name) { return name; });
}

std::string Bash() {
  const auto name = [](const CommandSpec& command) { return std::string(command.name); };
  const std::string commands = Joined(Commands(), " ", name);
  std::string script =
      "# Completion of cairnctl for bash. To use it: source <(cairnctl completion bash)\n"
      "_cairnctl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} command='' words='' i\n"
      "  COMPREPLY=()\n"
      "  case ${COMP_WORDS[COMP_CWORD - 1]} in\n"
      "    " +
      ValueOptions() +
      ") return ;;\n"
      "  esac\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      " +
      Joined(Commands(), " | ", name) +
      ")\n"
      "        command=${COMP_WORDS[i]}\n"
      "        break\n"
      "        ;;\n"
      "    esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') words=" +
      Quoted(commands + " --version") + " ;;\n";
  for (const CommandSpec& command : Commands()) {
    std::string words = Joined(command.options, " ", Name);
    if (command.argument == ValueKind::kShell) {
      words = Joined(Shells(), " ", Shell);
    }
    if (!words.empty()) {
      script += "    " + name(command) + ") words=" + Quoted(words) + " ;;\n";
    }
  }
  return script +
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words " +
         Joined(GlobalOptions(), " ", Name) +
         " --help\" -- \"$current\")\n"
         "}\n"
         "complete -F _cairnctl cairnctl\n";
}

std::string ZshOption(const OptionSpec& option) {
  std::string text = std::string(option.name) + "[" + ForZsh(option.help) + "]";
  if (option.kind != ValueKind::kNone) {
    text += ":" + std::string(option.value_name) + ":";
  }
  return Quoted(text);
}

std::string Zsh() {
  std::string script =
      "#compdef cairnctl\n"
      "# Completion of cairnctl for zsh. To use it: source <(cairnctl completion zsh)\n"
      "_cairnctl() {\n"
      "  local context state line\n"
      "  local -a names everywhere\n"
      "  names=(\n";
  for (const CommandSpec& command : Commands()) {
    script += "    " + Quoted(std::string(command.name) + ":" + ForZsh(command.help)) + "\n";
  }
  script += "  )\n  everywhere=(\n";
  for (const OptionSpec& option : GlobalOptions()) {
    script += "    " + ZshOption(option) + "\n";
  }
  script +=
      "    '--help[Show the help]'\n"
      "  )\n"
      "  _arguments -C $everywhere '1:command:->command' '*::argument:->argument'\n"
      "  case $state in\n"
      "    command) _describe command names ;;\n"
      "    argument)\n"
      "      case $words[1] in\n";
  for (const CommandSpec& command : Commands()) {
    std::string extra;
    for (const OptionSpec& option : command.options) {
      extra += " " + ZshOption(option);
    }
    if (command.argument == ValueKind::kShell) {
      extra += " '1:shell:(" + Joined(Shells(), " ", Shell) + ")'";
    } else if (command.argument != ValueKind::kNone) {
      extra += " " + Quoted("1:" + ForZsh(command.argument_help) + ":");
    }
    script += "        " + std::string(command.name) + ") _arguments $everywhere" + extra + " ;;\n";
  }
  return script +
         "      esac\n"
         "      ;;\n"
         "  esac\n"
         "}\n"
         "if [[ $funcstack[1] = _cairnctl ]]; then\n"
         "  _cairnctl \"$@\"\n"
         "else\n"
         "  compdef _cairnctl cairnctl\n"
         "fi\n";
}

std::string FishOption(const OptionSpec& option, const std::string& condition) {
  return "complete -c cairnctl" + condition + " -l " + std::string(option.name.substr(2)) +
         (option.kind == ValueKind::kNone ? "" : " -x") + " -d " + Quoted(option.help) + "\n";
}

std::string Fish() {
  std::string script =
      "# Completion of cairnctl for fish. To use it: cairnctl completion fish | source\n"
      "complete -c cairnctl -f\n";
  for (const OptionSpec& option : GlobalOptions()) {
    script += FishOption(option, "");
  }
  script += "complete -c cairnctl -l help -d 'Show the help'\n";
  for (const CommandSpec& command : Commands()) {
    const std::string name(command.name);
    script += "complete -c cairnctl -n __fish_use_subcommand -a " + name + " -d " +
              Quoted(command.help) + "\n";
    const std::string condition = " -n '__fish_seen_subcommand_from " + name + "'";
    for (const OptionSpec& option : command.options) {
      script += FishOption(option, condition);
    }
    if (command.argument == ValueKind::kShell) {
      script += "complete -c cairnctl" + condition + " -a '" + Joined(Shells(), " ", Shell) + "'\n";
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(std::string_view shell) {
  if (shell == "bash") {
    return Bash();
  }
  if (shell == "zsh") {
    return Zsh();
  }
  CAIRN_CHECK(shell == "fish");
  return Fish();
}

}  // namespace cairn::ctl
