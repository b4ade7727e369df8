// SPDX-License-Identifier: Apache-2.0
// Token ids that an Arrow data set (arrow/files.h) holds already: a column of lists of whole numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::data {

constexpr const char* kIdsColumn = "input_ids";

// The ids of row after row.
class IdRows {
 public:
  virtual ~IdRows() = default;
  // Of the next row; false at the end. Errors name file and row.
  virtual bool next(std::vector<uint32_t>& ids) = 0;
  virtual uint64_t bytes_consumed() const = 0;  // of total_bytes()
  virtual uint64_t total_bytes() const = 0;
};

// Column `text_field` where it is one of lists of whole numbers (8 to 64 bits; list, large_list, fixed_size_list), else
// kIdsColumn where there is no column `text_field`. Null: the data set holds no ids, but text; with `says_choice` a
// line says so where it holds both. An id that is negative or not below `vocab_size` is an error. So is a row in which
// a mask (attention_mask and the like), labels or position_ids say something else than that every token is learned in
// its place. Without libarrow (arrow/plugin.h) this throws an error that says so.
std::unique_ptr<IdRows> open_arrow_ids(const std::filesystem::path& path, const std::string& split,
                                       const std::string& text_field, int64_t vocab_size, bool says_choice);

}  // namespace hici::data
