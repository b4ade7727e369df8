// SPDX-License-Identifier: Apache-2.0
// Rows of an Arrow data set (arrow/files.h), in the form of JSON that fine-tuning takes (sft/row.h).
#pragma once

#include "hici/data/json_rows.h"

#include <filesystem>
#include <memory>
#include <string>

namespace hici::data {

// Of each row the columns that fine-tuning looks at (sft/columns.h), as far as there are such; arrow/values.h says what
// they hold. left_out() names the other columns. Rows in messages are counted from 0 within their file.
// Without libarrow (arrow/plugin.h) this throws an error that says so.
std::unique_ptr<JsonRows> open_arrow_rows(const std::filesystem::path& path, const std::string& split);

}  // namespace hici::data
