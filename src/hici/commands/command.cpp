// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/command.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/commands/bound_command.h"
#include "hici/commands/flag_text.h"
#include "hici/commands/help.h"
#include "hici/commands/options/parse_options.h"

#include <algorithm>
#include <numeric>

namespace hici::commands {
namespace {

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::vector<std::string> words_of(int argc, const char* const* argv) {
  return argc > 1 ? std::vector<std::string>(argv + 1, argv + argc) : std::vector<std::string>{};
}

void check_is_command(const NamedCommand& named, const std::vector<std::string>& words) {
  if (named.entry != nullptr) return;
  HICI_CHECK_USAGE(words[0].empty() || words[0][0] != '-', "'", printable(words[0]),
                   "' stands before the command; write 'hici COMMAND' first, 'hici --help' lists the commands");
  const bool names_one = words.size() > 1 && words[1].rfind("-", 0) != 0;
  if (named.name.empty() || names_one) fail_unknown_command(words);
  std::string all;
  for (const std::string& name : commands_of_group(named.name)) all += (all.empty() ? "" : ", ") + name;
  detail::throw_usage_error("which one? use " + all + "; 'hici help " + named.name + "' says what each does");
}

}  // namespace

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  int best_distance = std::max(2, static_cast<int>(name.size()) / 3) + 1;
  for (const std::string& candidate : known) {
    const int distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!best.empty() || name.size() < 3) return best;
  // The beginning of one name alone: "model_name" of "model_name_or_path".
  const auto begins = [&](const std::string& candidate) { return candidate.starts_with(std::string(name) + '_'); };
  if (std::count_if(known.begin(), known.end(), begins) != 1) return "";
  return *std::find_if(known.begin(), known.end(), begins);
}

std::string program_name(int argc, const char* const* argv) {
  const std::string name = find_command(words_of(argc, argv)).name;
  return name.empty() ? "hici" : "hici " + name;
}

int run_command_line(int argc, const char* const* argv) { return run_words(words_of(argc, argv)); }

int run_words(const std::vector<std::string>& words) {
  if (const std::optional<std::string> text = help_answer(words)) {
    write_stdout(*text);
    return 0;
  }
  const NamedCommand named = find_command(words);
  check_is_command(named, words);
  const BoundCommand command = bind_command(*named.entry);
  name_fields_as_options_of(*command.app);
  parse_options(*command.app, named.name, {words.begin() + static_cast<std::ptrdiff_t>(named.num_words), words.end()});
  return command.run();
}

}  // namespace hici::commands
