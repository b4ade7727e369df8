// SPDX-License-Identifier: Apache-2.0
// Documents out of files, in bounded memory and in order: .txt (a file is a document), .jsonl and .json (one field of
// each object), each also as .gz and .zst; Arrow data sets (arrow/files.h): folders that datasets.save_to_disk wrote,
// .arrow and Parquet files. A file of another ending is a document if its bytes are text (token_look.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace hici::data {

// A document comes in one piece or, when it is a long file, in several; all but the last leave ends_document false.
// The text is UTF-8 and a piece never ends inside a character.
struct TextPiece {
  std::string text;
  bool ends_document = true;
};

class TextSource {
 public:
  virtual ~TextSource() = default;
  // The next piece, false at the end. Errors name file and line (or row).
  virtual bool next(TextPiece& piece) = 0;
  // Bytes of the files read so far, of total_bytes().
  virtual uint64_t bytes_consumed() const = 0;
  virtual uint64_t total_bytes() const = 0;
};

struct TextSourceOptions {
  std::string text_field = "text";  // of .jsonl and .json objects, and the column of an Arrow data set
  std::string split = "train";      // of a data set with several
};

std::unique_ptr<TextSource> open_text_source(const std::filesystem::path& path, const TextSourceOptions& options);

// The text of one .jsonl line. `subject` names file and line in messages. Fuzzed.
std::string text_of_json_line(std::string_view line, const std::string& subject, const std::string& text_field);

}  // namespace hici::data
