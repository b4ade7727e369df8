// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/numbered_files.h"

#include <algorithm>
#include <string>
#include <tuple>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

void collect(const fs::path& folder, std::string_view name_end, int levels, std::vector<fs::path>& files) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && levels > 0) collect(entry.path(), name_end, levels - 1, files);
    if (entry.is_regular_file() && entry.path().filename().string().ends_with(name_end)) files.push_back(entry.path());
  }
}

auto sort_key(const fs::path& file) {
  const std::string name = file.filename().string();
  const std::string digits = name.substr(0, std::min(name.find_first_not_of("0123456789"), name.size()));
  const std::string number(digits.empty() ? "" : without_leading_zeros(digits));
  return std::tuple(file.parent_path().string(), number.size(), number, name);
}

}  // namespace

std::string_view without_leading_zeros(std::string_view digits) {
  const size_t first = digits.find_first_not_of('0');
  return digits.substr(first == std::string_view::npos ? digits.size() - 1 : first);
}

std::vector<fs::path> find_numbered_files(const fs::path& folder, std::string_view name_end) {
  std::vector<fs::path> files;
  collect(folder, name_end, 2, files);
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return sort_key(a) < sort_key(b); });
  return files;
}

}  // namespace hici::eval
