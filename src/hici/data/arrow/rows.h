// SPDX-License-Identifier: Apache-2.0
// Rows of a folder that datasets.save_to_disk wrote, in the form of JSON that fine-tuning takes (sft/row.h).
#pragma once

#include "hici/data/json_rows.h"

#include <filesystem>
#include <memory>
#include <string>

namespace hici::data {

// Of each row the columns instruction, input, output, messages and conversations, as far as there are such: text,
// numbers, and lists and structs of them. Members of structs that are null are left out: that is how Arrow fills up
// messages that lack a key which others have. Rows in messages are counted from 0 within their file.
// In a binary built without libarrow this throws an error that says so.
std::unique_ptr<JsonRows> open_arrow_rows(const std::filesystem::path& folder, const std::string& split);

}  // namespace hici::data
