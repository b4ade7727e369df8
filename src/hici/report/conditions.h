// SPDX-License-Identifier: Apache-2.0
// Under which conditions a number was measured, apart from the model: on which data, and in which way. Numbers of other
// conditions never share a table.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace hici::report {

struct Conditions {
  std::string data = {};                          // name of the data for readers: a file without its folder
  std::string data_sha256 = {};                   // of what it holds; empty: not stated
  std::vector<std::string> settings = {};         // as captions say them: "a window every 256 tokens"
  std::map<std::string, std::string> asked = {};  // column of a table -> what identifies that which was asked there
  std::vector<std::string> unstated = {};         // what the file should say and does not: "the data"
  std::string source = {};                        // of several columns: the file or folder of all of them

  // May numbers under both stand in one column? The same data and settings, and in columns of both the same was asked.
  // Where something is not stated: the same is not stated.
  bool comparable_with(const Conditions& other) const;
  // ", pg19.bin, a window every 256 tokens" as the end of a caption; empty where there is nothing to say.
  std::string caption() const;
  // The settings alone, and what is not stated, as one text.
  std::string settings_text() const;
};

// Results that are comparable each with each, and what they have in common.
template <typename Result>
struct Comparison {
  std::vector<Result> results;
  std::string words;        // as Conditions::caption(), with a mark where another comparison has the same words
  std::string file_suffix;  // "-pg19" behind the name of a table's files; empty when there is one comparison
  bool is_stated = true;    // false: the files do not say enough, so that no number is the best
};

struct CommonWords {
  std::string words;
  std::string file_suffix;
};
// For groups of conditions, one group for each comparison.
std::vector<CommonWords> common_words(const std::vector<std::vector<const Conditions*>>& groups);

// The group of each, counted from 0 in the order of their first members. What has one source stays together.
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

// Data files of one name that hold something else get a mark behind the name, and those that hold the same one name.
void name_data(const std::vector<Conditions*>& all);

}  // namespace hici::report
