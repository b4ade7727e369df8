// SPDX-License-Identifier: Apache-2.0
#include "hici/base/known_keys.h"

#include "hici/base/joined.h"

#include <algorithm>

namespace hici {
namespace {

std::string_view shown_use(KeyUse use) {
  if (use == KeyUse::kRead) return "read";
  return use == KeyUse::kNeutral ? "changes no number" : "refused";
}

std::string row_of_keys_without_note(std::span<const KnownKey> keys, KeyUse use) {
  std::vector<std::string> names;
  for (const KnownKey& key : keys)
    if (key.use == use && key.note.empty()) names.push_back(std::string("`").append(key.name).append("`"));
  if (names.empty()) return "";
  return std::string("| ").append(joined(names)).append(" | ").append(shown_use(use)).append(" |\n");
}

}  // namespace

const KnownKey* find_key(std::span<const KnownKey> keys, std::string_view name) {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const KnownKey& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

std::string note_of_unknown_keys(const JsonObject& object, std::span<const KnownKey> keys) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : object.value().items())
    if (!value.is_null() && find_key(keys, name) == nullptr) unknown.push_back(printable(name));
  return unknown.empty() ? "" : "keys that hici does not know are not used: " + joined(unknown);
}

std::string keys_markdown(std::span<const KnownKey> keys) {
  std::string out = "| key | |\n|---|---|\n";
  for (const KnownKey& key : keys) {
    if (key.note.empty()) continue;
    out.append("| `").append(key.name).append("` | ").append(shown_use(key.use)).append(": ").append(key.note);
    out.append(" |\n");
  }
  for (const KeyUse use : {KeyUse::kRead, KeyUse::kNeutral, KeyUse::kRefused})
    out += row_of_keys_without_note(keys, use);
  return out;
}

}  // namespace hici
