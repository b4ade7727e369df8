// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/parquet_folder.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/shown_name.h"
#include "hici/data/byte_stream.h"

#include <algorithm>
#include <fnmatch.h>

#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace hici::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 100'000;
constexpr int kMaxDepth = 8;
constexpr size_t kMaxCardBytes = size_t{4} << 20;

bool is_parquet_name(const fs::path& path) { return format_ending(path) == ".parquet"; }

// Folders whose names begin with '.' or '_' hold caches and logs.
bool is_skipped(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".") || name.starts_with("_");
}

// The Parquet files of `folder` and, with a `depth`, of the folders in it, until `take` says that it has enough.
template <typename Take>
bool walk(const fs::path& folder, int depth, const Take& take) {
  for (const fs::directory_entry& entry :
       fs::directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    if (is_skipped(entry.path())) continue;
    const bool is_folder = entry.is_directory();
    if (is_folder && depth > 0 && walk(entry.path(), depth - 1, take)) return true;
    if (!is_folder && is_parquet_name(entry.path()) && take(entry.path())) return true;
  }
  return false;
}

std::vector<fs::path> all_files(const fs::path& folder) {
  std::vector<fs::path> files;
  walk(folder, kMaxDepth, [&](const fs::path& file) {
    HICI_CHECK(files.size() < kMaxFiles, folder.string(), ": has more than ", kMaxFiles, " Parquet files");
    files.push_back(file);
    return false;
  });
  std::sort(files.begin(), files.end());
  return files;
}

struct Shard {
  std::string split;
  size_t number, count;
};

std::optional<size_t> number_of(std::string_view digits) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  if (digits.size() < 5 || digits.size() > 9 || !std::all_of(digits.begin(), digits.end(), is_digit))
    return std::nullopt;
  return std::stoul(std::string(digits));
}

// "train-00000-of-00002" as datasets writes it.
std::optional<Shard> shard_of(const fs::path& file) {
  constexpr std::string_view kOf = "-of-";
  const std::string stem = file.stem().string();
  const size_t of = stem.rfind(kOf), dash = of == std::string::npos || of == 0 ? of : stem.rfind('-', of - 1);
  if (of == std::string::npos || dash == std::string::npos || dash == 0) return std::nullopt;
  const auto number = number_of(std::string_view(stem).substr(dash + 1, of - dash - 1));
  const auto count = number_of(std::string_view(stem).substr(of + kOf.size()));
  if (!number || !count) return std::nullopt;
  return Shard{stem.substr(0, dash), *number, *count};
}

// The split that a word of a name stands for; empty: none.
std::string split_of_word(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kWords{{{"train", "train"},
                                                                                  {"training", "train"},
                                                                                  {"validation", "validation"},
                                                                                  {"valid", "validation"},
                                                                                  {"dev", "validation"},
                                                                                  {"val", "validation"},
                                                                                  {"test", "test"},
                                                                                  {"testing", "test"},
                                                                                  {"eval", "test"},
                                                                                  {"evaluation", "test"}}};
  const auto* const found =
      std::find_if(kWords.begin(), kWords.end(), [&](const auto& known) { return known.first == word; });
  return found == kWords.end() ? "" : std::string(found->second);
}

std::string split_of_name(const std::string& name) {
  std::string split, word;
  for (const char c : name + " ") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += c;
      continue;
    }
    if (split.empty()) split = split_of_word(word);
    word.clear();
  }
  return split;
}

std::string split_of(const fs::path& folder, const fs::path& file) {
  if (const auto shard = shard_of(file)) return shard->split;
  std::string split = split_of_name(file.stem().string());
  for (fs::path in = file.parent_path(); split.empty() && in != folder; in = in.parent_path())
    split = split_of_name(in.filename().string());
  return split;
}

// Every shard once: a file that was not fetched must not be a smaller data set.
void check_shards(const fs::path& folder, const std::vector<fs::path>& files) {
  std::map<std::pair<fs::path, size_t>, std::set<size_t>> sets;
  for (const fs::path& file : files)
    if (const auto shard = shard_of(file)) sets[{file.parent_path(), shard->count}].insert(shard->number);
  for (const auto& [set, numbers] : sets)
    for (size_t number = 0; number < set.second && number <= numbers.size(); ++number)
      HICI_CHECK(numbers.contains(number), set.first.string(), ": Parquet file ", number, " of ", set.second,
                 " is not there (counted from 0); fetch it, or give the files one by one");
  HICI_CHECK(sets.size() <= 1, folder.string(), ": has ", sets.size(),
             " sets of Parquet files of one split, the first in ", files.front().parent_path().string(),
             "; give a folder with one");
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r-\"'";
  const size_t begin = text.find_first_not_of(kBlank);
  return begin == std::string_view::npos ? ""
                                         : std::string(text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin));
}

struct CardFiles {
  std::string split, pattern;
};

// The lines `split:` and `path:` under `configs:` in the front matter of a data set's card, as the Hub's tools write
// them. What stands there in another form comes out as a pattern that matches no file.
std::vector<CardFiles> files_of_card(const std::string& card) {
  std::vector<CardFiles> all;
  std::istringstream lines(card);
  std::string line, split;
  bool is_inside = std::getline(lines, line) && trimmed(line).empty() && line.starts_with("---"), in_configs = false;
  while (is_inside && std::getline(lines, line) && !line.starts_with("---")) {
    if (!line.empty() && line[0] != ' ' && line[0] != '-') in_configs = line.starts_with("configs:");
    if (!in_configs) continue;
    const size_t colon = line.find(':');
    const std::string key = trimmed(line.substr(0, colon)),
                      value = colon == std::string::npos ? "" : trimmed(line.substr(colon + 1));
    if (key == "split") split = value;
    if (key == "path" || key == "data_files" || colon == std::string::npos) {
      const std::string pattern = colon == std::string::npos ? key : value;
      if (!pattern.empty()) all.push_back({key == "data_files" || split.empty() ? "train" : split, pattern});
    }
  }
  return all;
}

// Where the card says which files are which split, it must say what the names say: nobody reads YAML here.
void check_card(const fs::path& folder, const std::vector<fs::path>& files) {
  const fs::path file = folder / "README.md";
  if (!is_there(file)) return;
  const std::vector<CardFiles> card = files_of_card(read_file(file, kMaxCardBytes, Links::kCompanion));
  if (card.empty()) return;
  for (const fs::path& path : files) {
    const std::string name = path.lexically_relative(folder).generic_string();
    const std::string split = split_of(folder, path);
    const auto is_said = [&](const CardFiles& said) {
      return fnmatch(said.pattern.c_str(), name.c_str(), 0) == 0 && said.split == (split.empty() ? "train" : split);
    };
    HICI_CHECK(std::any_of(card.begin(), card.end(), is_said), file.string(),
               ": says under configs which files are which split, and ", name,
               " is not as its name says; give the split's files one by one, or a folder with them alone");
  }
}

}  // namespace

bool is_parquet_folder(const fs::path& folder) {
  std::error_code problem;
  if (!fs::is_directory(folder, problem)) return false;
  return walk(folder, kMaxDepth, [](const fs::path&) { return true; });
}

std::vector<fs::path> parquet_files(const fs::path& folder, const std::string& split) {
  const std::vector<fs::path> files = all_files(folder);
  std::map<std::string, std::vector<fs::path>> splits;
  for (const fs::path& file : files) splits[split_of(folder, file)].push_back(file);
  if (splits.size() == 1 && splits.begin()->first.empty()) {
    auto all = splits.extract("");
    all.key() = "train";
    splits.insert(std::move(all));
  }
  const auto unnamed = splits.find("");
  HICI_CHECK(unnamed == splits.end(), folder.string(), ": has Parquet files of splits, and ",
             unnamed->second.front().string(), ", which names none; move it, or give one file");
  std::string names;
  for (const auto& [name, ignored] : splits) names.append(names.empty() ? "" : ", ").append(shown_name(name));
  const auto found = splits.find(split);
  HICI_CHECK(found != splits.end(), folder.string(), ": has no split '", shown_name(split), "'; `split` takes one of ",
             names);
  check_card(folder, files);
  check_shards(folder, found->second);
  return found->second;
}

}  // namespace hici::data
