// SPDX-License-Identifier: Apache-2.0
// The keys of a JSON file of others, one list for each file: what of it is read, what changes no number here, what is
// refused. A key in no list may change the numbers: an error, or a line where files carry much that nobody reads.
#pragma once

#include "hici/base/json.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hici {

enum class KeyUse { kRead, kNeutral, kRefused };

struct KnownKey {
  std::string_view name;
  KeyUse use = KeyUse::kNeutral;
  std::string_view note = {};  // for the tables in docs/formats.md; of a refused one also for the message
};

// nullptr: none of that name.
const KnownKey* find_key(std::span<const KnownKey> keys, std::string_view name);

// "keys that hici does not know are not used: a, b"; empty when every key of `object` that has a value is in the list.
std::string note_of_unknown_keys(const JsonObject& object, std::span<const KnownKey> keys);

// A table of key and use; the keys without a note stand together, at the end.
std::string keys_markdown(std::span<const KnownKey> keys);

}  // namespace hici
