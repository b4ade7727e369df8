// SPDX-License-Identifier: Apache-2.0
#include "hici/base/hub_id.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <system_error>

namespace hici {
namespace {

constexpr size_t kMaxLength = 96;  // of owner and name, as on the Hub

bool is_hub_name(std::string_view name) {
  const auto is_alnum = [](unsigned char c) { return c < 128 && std::isalnum(c) != 0; };
  return !name.empty() && name.size() <= kMaxLength && is_alnum(static_cast<unsigned char>(name.front())) &&
         is_alnum(static_cast<unsigned char>(name.back())) &&
         std::all_of(name.begin(), name.end(),
                     [&](unsigned char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

}  // namespace

std::string hub_hint(const std::filesystem::path& path, HubKind kind) {
  const std::string id = path.string();
  const size_t slash = id.find('/');
  if (slash == std::string::npos || !is_hub_name(id.substr(0, slash)) || !is_hub_name(id.substr(slash + 1))) return "";
  std::error_code ignored;
  // Where the first part is a folder here, it is the second that was mistyped.
  if (std::filesystem::exists(path.parent_path(), ignored)) return "";
  const std::string name = id.substr(slash + 1);
  return "; 'hf download " + id + (kind == HubKind::kDataSet ? " --repo-type dataset" : "") + " --local-dir " + name +
         "' fetches it where that is a name of the Hugging Face Hub, then give " + name;
}

}  // namespace hici
