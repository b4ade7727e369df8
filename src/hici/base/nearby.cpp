// SPDX-License-Identifier: Apache-2.0
#include "hici/base/nearby.h"

#include "hici/base/json.h"

#include <algorithm>
#include <system_error>
#include <vector>

namespace hici {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFolders = 10'000;
constexpr size_t kMaxNamed = 3;

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code problem;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end && out.size() < kMaxFolders;
       at.increment(problem))
    if (at->is_directory(problem)) out.push_back(at->path());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::string found_nearby(const fs::path& folder, const std::function<bool(const fs::path&)>& holds_it) {
  std::vector<fs::path> found;
  const auto look = [&](const fs::path& inner) {
    if (holds_it(inner)) found.push_back(inner);
  };
  for (const fs::path& inner : folders_in(folder)) {
    look(inner);
    if (inner.filename() == "snapshots") std::ranges::for_each(folders_in(inner), look);
    if (inner.filename().string().starts_with("models--")) std::ranges::for_each(folders_in(inner / "snapshots"), look);
  }
  std::string out;
  for (size_t i = 0; i < std::min(found.size(), kMaxNamed); ++i)
    out.append(out.empty() ? "; " : ", ").append(printable(found[i].string(), 1000));
  if (found.size() > kMaxNamed) out.append(", ...");
  if (!found.empty()) out.append(found.size() == 1 ? " holds one, give that" : " hold one each, give one of them");
  return out;
}

}  // namespace hici
