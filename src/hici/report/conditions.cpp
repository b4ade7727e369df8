// SPDX-License-Identifier: Apache-2.0
#include "hici/report/conditions.h"

#include "hici/base/error.h"
#include "hici/base/joined.h"
#include "hici/base/sha256.h"

#include <algorithm>
#include <set>

namespace hici::report {
namespace {

constexpr size_t kShortHash = 8;

// A few hex digits for all that was asked under these conditions.
std::string mark_of(const std::vector<const Conditions*>& group) {
  std::map<std::string, std::string> asked;
  for (const Conditions* conditions : group) asked.insert(conditions->asked.begin(), conditions->asked.end());
  std::string text;
  for (const auto& [column, identity] : asked) text += column + "=" + identity + "\n";
  return short_hash(sha256_hex(text));
}

bool all_comparable(const std::vector<const Conditions*>& some, const std::vector<const Conditions*>& others) {
  for (const Conditions* one : some) {
    for (const Conditions* other : others) {
      if (!one->comparable_with(*other)) return false;
    }
  }
  return true;
}

// "pg19 test.bin" -> "-pg19-test": what a file's name may hold everywhere.
std::string suffix_of(const std::string& data) {
  constexpr size_t kMaxLength = 40;
  std::string suffix;
  for (const char c : data.ends_with(".bin") ? data.substr(0, data.size() - 4) : data) {
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!is_plain && (suffix.empty() || suffix.back() == '-')) continue;
    suffix += is_plain ? c : '-';
  }
  suffix = suffix.substr(0, kMaxLength);
  while (suffix.ends_with('-')) suffix.pop_back();
  return suffix.empty() ? "" : hici::detail::concat("-", suffix);
}

std::string in_words(const std::vector<std::string>& settings, const std::vector<std::string>& unstated) {
  std::string text = joined(settings, ", ");
  if (unstated.empty()) return text;
  return hici::detail::concat(text, text.empty() ? "" : "; ", "the files do not say ", joined(unstated, " and "));
}

// A group's caption is that of its first member that has a remark, else of its first.
std::string caption_of(const std::vector<const Conditions*>& group) {
  const auto found = std::find_if(group.begin(), group.end(), [](const auto* c) { return !c->remark.empty(); });
  return (found == group.end() ? group.front() : *found)->caption();
}

}  // namespace

bool Conditions::comparable_with(const Conditions& other) const {
  if (data_sha256 != other.data_sha256 || settings != other.settings || unstated != other.unstated) return false;
  if (data_sha256.empty() && data != other.data) return false;
  return std::all_of(asked.begin(), asked.end(), [&](const auto& column) {
    const auto found = other.asked.find(column.first);
    return found == other.asked.end() || found->second == column.second;
  });
}

std::string Conditions::settings_text() const { return in_words(settings, unstated); }

std::string Conditions::caption() const {
  std::vector<std::string> words = settings;
  if (!remark.empty()) words.insert(words.begin(), remark);
  const std::string text = in_words(words, unstated);
  const char* joint = text.empty() ? "" : words.empty() ? "; " : ", ";
  return hici::detail::concat(data.empty() ? "" : ", ", data, joint, text);
}

std::string short_hash(const std::string& sha256) { return sha256.substr(0, kShortHash); }

void name_data(const std::vector<Conditions*>& all) {
  std::map<std::string, std::string> names;  // by hash: the first name
  for (const Conditions* conditions : all) {
    if (!conditions->data_sha256.empty()) names.try_emplace(conditions->data_sha256, conditions->data);
  }
  std::map<std::string, std::set<std::string>> hashes;  // by name
  for (const auto& [hash, name] : names) hashes[name].insert(hash);
  for (Conditions* conditions : all) {
    if (conditions->data_sha256.empty()) continue;
    const std::string& name = names[conditions->data_sha256];
    conditions->data =
        hashes[name].size() == 1 ? name : hici::detail::concat(name, " (", short_hash(conditions->data_sha256), ")");
  }
}

std::vector<size_t> groups_of(const std::vector<const Conditions*>& all) {
  using Unit = std::vector<const Conditions*>;
  std::vector<Unit> units;
  std::vector<size_t> unit_of;
  std::map<std::string, size_t> by_source;
  for (const Conditions* conditions : all) {
    const std::string source =
        conditions->source.empty() ? "" : hici::detail::concat(conditions->source, "\n", conditions->settings_text());
    const size_t unit = source.empty() ? units.size() : by_source.try_emplace(source, units.size()).first->second;
    const bool fits = unit < units.size() && all_comparable(units[unit], {conditions});
    unit_of.push_back(fits ? unit : units.size());
    if (!fits) units.emplace_back();
    units[unit_of.back()].push_back(conditions);
  }
  std::vector<Unit> groups;
  std::vector<size_t> group_of_unit;
  for (const Unit& unit : units) {
    size_t g = 0;
    while (g < groups.size() && !all_comparable(groups[g], unit)) ++g;
    if (g == groups.size()) groups.emplace_back();
    groups[g].insert(groups[g].end(), unit.begin(), unit.end());
    group_of_unit.push_back(g);
  }
  std::vector<size_t> numbers;
  for (const size_t unit : unit_of) numbers.push_back(group_of_unit[unit]);
  return numbers;
}

std::vector<CommonWords> common_words(const std::vector<std::vector<const Conditions*>>& groups) {
  std::map<std::string, int> num_with_words, num_with_suffix;
  for (const auto& group : groups) ++num_with_words[caption_of(group)];
  std::vector<CommonWords> all;
  for (const auto& group : groups) {
    CommonWords common{.words = caption_of(group), .file_suffix = {}};
    if (num_with_words[common.words] > 1) common.words.append(", cases ").append(mark_of(group));
    if (groups.size() > 1) common.file_suffix = suffix_of(group.front()->data);
    const int number = ++num_with_suffix[common.file_suffix];
    if (number > 1) common.file_suffix.append("-").append(std::to_string(number));
    all.push_back(std::move(common));
  }
  return all;
}

}  // namespace hici::report
