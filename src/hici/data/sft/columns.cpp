// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/columns.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/shown_name.h"

#include <algorithm>
#include <array>

namespace hici::data {
namespace {

bool is_in(const auto& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_refused_column(std::string_view name) {
  return std::any_of(kRefusedSftColumns.begin(), kRefusedSftColumns.end(),
                     [&](const RefusedColumn& column) { return column.name == name; });
}

bool says_nothing(const nlohmann::json& value, std::string_view name) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_null() || (value.is_structured() && value.empty())) return true;
  if (name == "train" || name == "loss") return value != false;  // a loss may be one that was measured
  return name.ends_with("weight") && value.is_number() && value == 1;
}

}  // namespace

bool is_sft_column(std::string_view name) { return is_in(kSftColumns, name) || is_refused_column(name); }

bool is_neutral_in_message(std::string_view key) {
  constexpr std::array<std::string_view, 4> kElsewhere{"role", "content", "tool_calls", "tool_call_id"};
  return is_in(kElsewhere, key) || is_in(kNeutralSftColumns, key);
}

void check_no_refused_column(const nlohmann::json& row, const std::string& subject) {
  for (const auto& [name, why] : kRefusedSftColumns) {
    const auto found = row.find(std::string(name));
    HICI_CHECK(found == row.end() || says_nothing(*found, name), subject, ": '", name, "' is ", shown_json(*found),
               ", ", why);
  }
}

std::string columns_without_effect(const std::set<std::string>& names) {
  std::string known, unknown;
  for (const std::string& name : names) {
    // A refused one stands here where it says nothing.
    std::string& list = is_refused_column(name) || is_in(kNeutralSftColumns, name) ? known : unknown;
    if (list.size() > 400) continue;
    list.append(list.empty() ? "" : ", ").append(shown_name(name));
  }
  if (unknown.empty()) return known;
  return known.append(known.empty() ? "" : "; ").append("not known here: ").append(unknown);
}

}  // namespace hici::data
