// SPDX-License-Identifier: Apache-2.0
// Values of Arrow columns as JSON. Included by the .cpp files that link to libarrow only.
#pragma once

#include <arrow/array.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hici::data {

// Bytes of text or binary, also behind a dictionary; nothing for null. `array` must have been validated in full.
std::optional<std::string_view> bytes_at(const arrow::Array& array, int64_t row);

// What Python gets from datasets for the value, as far as JSON can say it: text, numbers, truth values, lists, structs
// and `Json` (the text of its storage, parsed). Dates, times and decimals are what Python's str() makes of them; bytes
// must be UTF-8. Members of structs that are null are left out: that is how Arrow fills up what one row lacks and
// another has. The exception is `content` beside `role`, which messages with tool calls have as null.
// What has no form is an error that begins with `subject`.
nlohmann::ordered_json arrow_to_json(const arrow::Array& array, int64_t row, const std::string& subject);

}  // namespace hici::data
