// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/man_page.h"

#include "hici/base/version.h"
#include "hici/commands/option_help.h"
#include "hici/commands/options/option_groups.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace hici::commands {
namespace {

constexpr const char* kDescription =
    "Fine-tunes and evaluates Llama and Qwen3 models for long context with HiCI attention. A model is a directory of\n"
    "Hugging Face's form.\n"
    ".PP\n"
    "In the name of an option \\- and _ are the same. A boolean (BOOL) stands alone or takes True or False. A count "
    "of\n"
    "tokens (TOKENS) may be written 128K or 1M, which are 1024-based. The default stands in brackets.\n"
    ".PP\n"
    "Names of options that are accepted for users of other programs are not listed here; they are in what\n"
    ".B hici help\n"
    ".I COMMAND\n"
    "prints.\n";

constexpr const char* kEnd =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nSuccess.\n"
    ".TP\n.B 1\nA failure: bad file, full disk, non-finite loss and the like; one line says which.\n"
    ".TP\n.B 2\nWrong options.\n"
    ".TP\n.B 3\nTraining over many processes: another process failed, and this one ended because of it.\n"
    ".TP\n.B 128 + signal\nStopped by a signal; what was done is kept where a command can go on from it.\n"
    ".SH FILES\n"
    ".TP\n.I PREFIX/share/hici\nThe text of\n.BR \"hici quickstart\" .\n";

void add_man_entry(std::string& out, const std::string& head, const std::string& text) {
  out += ".TP\n" + head + "\n" + roff_text(text) + "\n";
}

std::string bold(const std::string& text) { return "\\fB" + roff_text(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + roff_text(text) + "\\fR"; }

std::string man_option_head(const CLI::Option& option) {
  if (option.get_lnames().empty()) return italic(positional_usage(option));
  const std::string value = value_text(option);
  return bold(joined_names(option)) + (value.empty() ? "" : " " + italic(value));
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// The groups of the help text but the last, which are the same for all, or of other programs.
std::string command_section(const CommandEntry& entry) {
  const BoundCommand command = bind_command(entry);
  std::string out = ".SH \"HICI " + roff_text(upper(entry.name)) + "\"\n";
  out += ".B " + roff_text(usage_line(command)) + "\n.PP\n" + roff_text(entry.summary) + ".\n";
  for (const std::string& group : option_group_names()) {
    const auto options = options_of_group(*command.app, group);
    if (options.empty() || group == option_group("help") || is_inherited(*options.front())) continue;
    out += ".SS " + roff_text(group) + "\n";
    for (const CLI::Option* option : options) add_man_entry(out, man_option_head(*option), option_meaning(*option));
  }
  return out;
}

}  // namespace

std::string roff_text(const std::string& text) {
  std::string out = text.starts_with('.') || text.starts_with('\'') ? "\\&" : "";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";  // a hyphen that stays one when it is copied
    } else if (c == '\'') {
      out += "\\(aq";
    } else if (c == '`') {
      out += "\\(ga";
    } else if (c == '^') {
      out += "\\(ha";
    } else if (c == '~') {
      out += "\\(ti";
    } else {
      out += c;
    }
  }
  return out;
}

std::string man_page() {
  // No date: the page is the same for the same program.
  std::string out = ".\\\" Written by \\(aqhici \\-\\-man\\(aq.\n.TH HICI 1 \"\" \"hici " + roff_text(kVersion) +
                    "\" \"User Commands\"\n.SH NAME\nhici \\- long\\-context fine\\-tuning with HiCI attention\n";
  out += ".SH SYNOPSIS\n.B hici\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.br\n.B hici help\n[\\fICOMMAND\\fR]\n";
  out += std::string(".SH DESCRIPTION\n") + kDescription + ".SH COMMANDS\n";
  for (const CommandEntry& entry : command_table()) add_man_entry(out, bold(entry.name), entry.summary + ".");
  out += ".SH OPTIONS\n";
  add_man_entry(out, bold("--config") + " " + italic("FILE"),
                "With every command: options from a file of 'name = value' lines; the command line wins.");
  add_man_entry(out, bold("-h, --help"), "With every command: its options.");
  add_man_entry(out, bold("-V, --version"), "Version, git revision, LibTorch and CUDA of this program.");
  add_man_entry(out, bold("--completion") + " " + italic("SHELL"), "The completion of a shell, bash or zsh.");
  add_man_entry(out, bold("--man"), "This page.");
  for (const CommandEntry& entry : command_table()) out += command_section(entry);
  return out + kEnd;
}

}  // namespace hici::commands
