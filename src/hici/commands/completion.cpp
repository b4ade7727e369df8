// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/completion.h"

#include "hici/commands/bound_command.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

namespace hici::commands {
namespace {

// What both shells read alike. The caller has the variables `names`, `values` and `kind`: the options of the command,
// the words to offer, and, where these are no words, "files", "folders" or "none".
constexpr const char* kFind = R"script(
# $1: what is typed of the word; then the whole words between hici and it.
_hici_find() {
  local typed=$1 begin='help --help --version --completion --man' command='' last='' word=''
  shift
  if [[ $# -gt 0 && $1 == help ]]; then
    begin=''
    shift
  fi
  _hici_table '' ''
  if [[ $# -eq 0 ]]; then
    values="$values $begin"
    return
  fi
  command=$1
  [[ $command == -* ]] || command=${command//_/-}
  _hici_table "$command" ''
  if [[ -n $values ]]; then # a group of commands
    [[ $# -gt 1 ]] || return 0
    command="$command ${2//_/-}"
  fi
  for word in "$@"; do
    last=$word
    if [[ $word == -- ]]; then
      kind=files
      return
    fi
  done
  if [[ $last == --* ]]; then
    last=${last#--}
    last=--${last//-/_}
  fi
  _hici_table "$command" "$last"
  if [[ -z $begin ]]; then # of help
    values='' kind=none
  elif [[ $typed == -* || ( -z $values && -z $kind && -z $typed ) ]]; then
    values=$names kind=''
  elif [[ -z $values && -z $kind ]]; then
    kind=files
  fi
}
)script";

constexpr const char* kBash = R"script(
_hici() {
  local names='' values='' kind='' typed=${COMP_WORDS[COMP_CWORD]}
  local before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
  local count=${#before[@]}
  # --name=value is three words here.
  if [[ $typed == = ]]; then
    typed=''
  elif [[ $count -gt 0 && ${before[count-1]} == = ]]; then
    unset 'before[count-1]'
  fi
  if [[ $typed == --* ]]; then # in names of options - is _
    typed=${typed#--}
    typed=--${typed//-/_}
  fi
  _hici_find "$typed" "${before[@]}"
  COMPREPLY=()
  case $kind in
    files) mapfile -t COMPREPLY < <(compgen -f -- "$typed") ;;
    folders) mapfile -t COMPREPLY < <(compgen -d -- "$typed") ;;
    none) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$typed") ;;
  esac
  # Outside of a completion, as in tests, there is nothing to set.
  if [[ $kind == files || $kind == folders ]]; then
    compopt -o filenames 2>/dev/null
  fi
  return 0
}
complete -F _hici hici
)script";

constexpr const char* kZsh = R"script(
_hici() {
  local names='' values='' kind='' typed=${words[CURRENT]}
  local -a before
  [[ $CURRENT -gt 2 ]] && before=("${(@)words[2,CURRENT-1]}")
  if [[ $typed == --*=* ]]; then
    before+=("${typed%%=*}")
    typed=${typed#*=}
    compset -P '*='
  fi
  _hici_find "$typed" "${(@)before}"
  case $kind in
    files) _files ;;
    folders) _files -/ ;;
    none) ;;
    *) compadd -M 'm:-=_' -- ${=values} ;;
  esac
}
# Sourced it is declared; from a folder of $fpath it is the function itself.
if [[ ${funcstack[1]} == _hici ]]; then
  _hici
else
  compdef _hici hici
fi
)script";

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : between) + word;
  return all;
}

// First words of a command line: "train", "eval".
std::vector<std::string> first_words() {
  std::vector<std::string> words;
  for (const CommandEntry& entry : command_table()) {
    const std::string word = entry.name.substr(0, entry.name.find(' '));
    if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

// What the table sets behind the option: its words, or where they come from.
std::string answer_for(const CLI::Option& option) {
  const std::vector<std::string> choices = choices_of(option);
  if (!choices.empty()) return "values='" + joined(choices, " ") + "'";
  if (option.get_expected_max() == 0) return "";  // nothing follows
  const std::string type = value_type(option);
  const bool is_number = type == "INT" || type == "FLOAT" || type == "TOKENS" || type == "BYTES";
  if (is_number) return "kind=none";
  return main_name(option).ends_with("_dir") ? "kind=folders" : "kind=files";
}

// The case of one command. Names of other programs are accepted, and not offered.
std::string command_case(const CommandEntry& entry) {
  const BoundCommand command = bind_command(entry);
  std::vector<std::string> names;
  std::map<std::string, std::vector<std::string>> by_answer;
  for (const CLI::Option* option : command.app->get_options()) {
    if (is_inherited(*option) || option->get_lnames().empty()) continue;
    names.push_back("--" + option->get_lnames().front());
    const std::string answer = answer_for(*option);
    if (answer.empty()) continue;
    for (const std::string& name : option->get_lnames()) by_answer[answer].push_back("--" + name);
    for (const std::string& name : option->get_snames()) by_answer[answer].push_back("-" + name);
  }
  std::string out = "    '" + entry.name + "')\n      names='" + joined(names, " ") + "'\n      case $2 in\n";
  for (const auto& [answer, options] : by_answer) out += "        " + joined(options, "|") + ") " + answer + " ;;\n";
  return out + "      esac ;;\n";
}

// $1: a command, a group of commands or ''; $2: the word before.
std::string table() {
  std::string out = "_hici_table() {\n  names='' values='' kind=''\n  case $1 in\n";
  out += "    '') values='" + joined(first_words(), " ") + "' ;;\n    --completion) values='bash zsh' ;;\n";
  for (const std::string& word : first_words()) {
    const std::vector<std::string> names = commands_of_group(word);
    if (!names.empty()) out += "    " + word + ") values='" + joined(names, " ") + "' ;;\n";
  }
  for (const CommandEntry& entry : command_table()) out += command_case(entry);
  return out + "  esac\n}\n";
}

}  // namespace

std::string bash_completion() {
  return "# Completion of hici for bash, written by 'hici --completion bash'.\n" + table() + kFind + kBash;
}

std::string zsh_completion() {
  return "#compdef hici\n# Completion of hici for zsh, written by 'hici --completion zsh'.\n" + table() + kFind + kZsh;
}

}  // namespace hici::commands
