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

/// What can stand first: commands of one word, and groups.
struct FirstWord {
  std::string name;
  std::string_view help;
};
std::vector<FirstWord> FirstWords() {
  std::vector<FirstWord> words;
  for (const CommandSpec& command : Commands()) {
    if (command.name.find(' ') == std::string_view::npos) {
      words.push_back({std::string(command.name), command.help});
    }
  }
  for (const GroupSpec& group : Groups()) {
    words.push_back({std::string(group.name), group.help});
  }
  return words;
}

/// The commands whose first word this is.
std::vector<CommandSpec> CommandsOf(const std::string& first) {
  std::vector<CommandSpec> commands;
  for (const CommandSpec& command : Commands()) {
    if (command.name == first || command.name.starts_with(first + " ")) {
      commands.push_back(command);
    }
  }
  return commands;
}

/// The second word of a command of a group; empty for others.
std::string SecondWord(const CommandSpec& command) {
  const std::size_t space = command.name.find(' ');
  return space == std::string_view::npos ? "" : std::string(command.name.substr(space + 1));
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
  const auto name = [](const FirstWord& word) { return word.name; };
  const std::vector<FirstWord> first = FirstWords();
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
      Joined(first, " | ", name) +
      ")\n"
      "        command=${COMP_WORDS[i]}\n"
      "        break\n"
      "        ;;\n"
      "    esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') words=" +
      Quoted(Joined(first, " ", name) + " --version") + " ;;\n";
  for (const FirstWord& word : first) {
    std::string words;
    for (const CommandSpec& command : CommandsOf(word.name)) {
      for (const std::string& more :
           {SecondWord(command), Joined(command.options, " ", Name),
            command.argument == ValueKind::kShell ? Joined(Shells(), " ", Shell) : ""}) {
        words += (words.empty() || more.empty() ? "" : " ") + more;
      }
    }
    if (!words.empty()) {
      script += "    " + word.name + ") words=" + Quoted(words) + " ;;\n";
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
  for (const FirstWord& word : FirstWords()) {
    script += "    " + Quoted(word.name + ":" + ForZsh(word.help)) + "\n";
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
  for (const FirstWord& word : FirstWords()) {
    std::string extra;
    std::string actions;
    for (const CommandSpec& command : CommandsOf(word.name)) {
      actions += (actions.empty() ? "" : " ") + SecondWord(command);
      for (const OptionSpec& option : command.options) {
        extra += " " + ZshOption(option);
      }
      if (command.argument == ValueKind::kShell) {
        extra += " '1:shell:(" + Joined(Shells(), " ", Shell) + ")'";
      } else if (command.argument != ValueKind::kNone && SecondWord(command).empty()) {
        extra += " " + Quoted("1:" + ForZsh(command.argument_help) + ":");
      }
    }
    if (!actions.empty()) {
      extra += " '1:action:(" + actions + ")' '2:argument:_files'";
    }
    script += "        " + word.name + ") _arguments $everywhere" + extra + " ;;\n";
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
  for (const FirstWord& word : FirstWords()) {
    script += "complete -c cairnctl -n __fish_use_subcommand -a " + word.name + " -d " +
              Quoted(word.help) + "\n";
    const std::string condition = " -n '__fish_seen_subcommand_from " + word.name + "'";
    for (const CommandSpec& command : CommandsOf(word.name)) {
      if (const std::string action = SecondWord(command); !action.empty()) {
        script += "complete -c cairnctl" + condition + " -a " + action + " -d " +
                  Quoted(command.help) + "\n";
      }
      for (const OptionSpec& option : command.options) {
        script += FishOption(option, condition);
      }
      if (command.argument == ValueKind::kShell) {
        script +=
            "complete -c cairnctl" + condition + " -a '" + Joined(Shells(), " ", Shell) + "'\n";
      }
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
