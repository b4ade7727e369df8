// SPDX-License-Identifier: Apache-2.0
// Rows of JSON: the lines of a .jsonl, or the elements of the list that a .json is, each also as .gz and .zst. One row
// is in memory at a time, whatever the size of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::data {

constexpr size_t kMaxRowBytes = size_t{256} << 20;

struct JsonRow {
  std::string text;     // not parsed yet
  std::string subject;  // "FILE: line 3" or "FILE: element 2", for messages
};

class JsonRows {
 public:
  virtual ~JsonRows() = default;
  // The next row, false at the end. Empty lines are passed over; elements count from 0, lines from 1.
  virtual bool next(JsonRow& row) = 0;
  // Bytes of the file read so far.
  virtual uint64_t bytes_consumed() const = 0;
  // Columns of the file that the rows do not have, since nobody looks at them; known at the end.
  virtual std::vector<std::string> left_out() const { return {}; }
};

// By the ending, .jsonl or .json (and .gz, .zst behind it); another is an error.
std::unique_ptr<JsonRows> open_json_rows(const std::filesystem::path& path);

}  // namespace hici::data
