// SPDX-License-Identifier: Apache-2.0
// The conditions of a measurement other than the model: data and settings. Numbers with different conditions are never
// in one table.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace hici::report {

struct Conditions {
  std::string data = {};                          // name of the data for readers: a file without its folder
  std::string data_sha256 = {};                   // of its contents; empty: not stated
  std::vector<std::string> settings = {};         // as in captions: "a window every 256 tokens"
  std::map<std::string, std::string> asked = {};  // column of a table -> identity of the questions in it
  std::string remark = {};                        // of `asked`, as in captions; by itself it parts no tables
  std::vector<std::string> unstated = {};         // facts that the file does not state: "the data"
  std::string source = {};                        // of several columns: the file or folder of all of them

  // Whether numbers with both conditions may be in one column: the same data and settings, the same questions in common
  // columns, and the same unstated facts.
  bool comparable_with(const Conditions& other) const;
  // ", pg19.bin, a window every 256 tokens" as the end of a caption; may be empty.
  std::string caption() const;
  // The settings and the unstated facts as one text.
  std::string settings_text() const;
};

// Results that are all comparable with each other, and their common conditions.
template <typename Result>
struct Comparison {
  std::vector<Result> results;
  std::string words;        // Conditions::caption(), with a mark if another comparison has the same caption
  std::string file_suffix;  // "-pg19", in the names of a table's files; empty for a single comparison
  bool is_stated = true;    // false: some condition is unknown, so no number is marked as best
};

struct CommonWords {
  std::string words;
  std::string file_suffix;
};
// For groups of conditions, one group per comparison.
std::vector<CommonWords> common_words(const std::vector<std::vector<const Conditions*>>& groups);

// The group of each, numbered from 0 in the order of first members. Conditions with the same source are in one group.
std::vector<size_t> groups_of(const std::vector<const Conditions*>& all);

// In the order of their first results.
template <typename Result>
std::vector<Comparison<Result>> comparisons_of(const std::vector<Result>& results) {
  std::vector<const Conditions*> all;
  for (const Result& result : results) all.push_back(&result.conditions);
  const std::vector<size_t> numbers = groups_of(all);
  std::vector<std::vector<const Conditions*>> groups;
  std::vector<Comparison<Result>> comparisons;
  for (size_t i = 0; i < results.size(); ++i) {
    if (numbers[i] == groups.size()) {
      groups.emplace_back();
      comparisons.emplace_back().is_stated = all[i]->unstated.empty();
    }
    groups[numbers[i]].push_back(all[i]);
    comparisons[numbers[i]].results.push_back(results[i]);
  }
  const std::vector<CommonWords> words = common_words(groups);
  for (size_t g = 0; g < groups.size(); ++g) {
    comparisons[g].words = words[g].words;
    comparisons[g].file_suffix = words[g].file_suffix;
  }
  return comparisons;
}

// The first 8 digits of a hash, for readers.
std::string short_hash(const std::string& sha256);

// Different data with the same name get a mark after the name; equal data get the same name.
void name_data(const std::vector<Conditions*>& all);

}  // namespace hici::report
