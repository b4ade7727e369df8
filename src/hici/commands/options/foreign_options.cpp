// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/foreign_options.h"

#include "hici/base/error.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/lower_case.h"
#include "hici/base/parse_number.h"
#include "hici/commands/command.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>

namespace hici::commands {
namespace {

constexpr const char* kRefused = "Refused: ";

bool says_true(const std::string& text) { return text == "true" || text == "1" || text == "yes" || text == "on"; }

// "0.0" is 0, and "no" is false where false is meant.
bool means(const std::string& typed, const std::string& value) {
  if (typed == value) return true;
  if (value == "true" || value == "false") return is_truth_value(typed) && says_true(typed) == says_true(value);
  const auto number = parse_number<double>(typed), wanted = parse_number<double>(value);
  return number && wanted && *number == *wanted;
}

// "none, ''".
std::string shown_values(std::vector<std::string> values) {
  std::replace(values.begin(), values.end(), std::string(), std::string("''"));
  return joined(values);
}

// The option that add_inherited() declares, with another text and a look at the value before its line.
void add_checked(CLI::App& app, const std::string& name, const std::string& reason, const std::string& text,
                 const std::function<void(const std::string&)>& check) {
  add_inherited(app, name, reason);
  app.get_option("--" + name)->description(text)->check([check](const std::string& typed) {
    check(typed);
    return std::string();
  });
}

}  // namespace

void add_inherited_value(CLI::App& app, const std::string& name, const std::string& reason) {
  add_inherited(app, name, reason);
  app.get_option("--" + name)->expected(1);
}

void add_one_meaning(CLI::App& app, const OneMeaning& option) {
  const auto check = [option](const std::string& typed) {
    const std::string value = in_lower_case(typed);
    const bool is_neutral = std::any_of(option.values.begin(), option.values.end(),
                                        [&](const std::string& each) { return means(value, each); });
    HICI_CHECK_USAGE(is_neutral, "--", option.name, ": ", typed.empty() ? "''" : printable(typed),
                     " is not supported; supported: ", shown_values(option.values), "; ", option.otherwise);
  };
  add_checked(app, option.name, option.reason,
              detail::concat("Only ", shown_values(option.values), ", without effect: ", option.reason,
                             "; for others: ", option.otherwise),
              check);
  const bool may_stand_alone = is_truth_value(option.values.front()) && !parse_number<double>(option.values.front());
  if (!may_stand_alone) app.get_option(std::string("--").append(option.name))->expected(1);
}

void add_refused(CLI::App& app, const std::string& name, const std::string& why, const std::string& way_out) {
  const std::string told = why + "; " + way_out;
  add_checked(app, name, why, kRefused + told,
              [name, told](const std::string&) { detail::throw_usage_error("--" + name + ": " + told); });
}

bool is_refused(const CLI::Option& option) { return option.get_description().starts_with(kRefused); }

}  // namespace hici::commands
