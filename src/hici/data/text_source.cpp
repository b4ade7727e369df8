// SPDX-License-Identifier: Apache-2.0
#include "hici/data/text_source.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/hub_id.h"
#include "hici/base/json.h"
#include "hici/base/shown_name.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/source.h"
#include "hici/data/byte_stream.h"
#include "hici/data/json_rows.h"
#include "hici/data/token_look.h"
#include "hici/text/utf8.h"

#include <nlohmann/json.hpp>

#include <utility>

namespace hici::data {
namespace {

std::string field_text(const nlohmann::json& value, const std::string& subject, const std::string& text_field) {
  HICI_CHECK(value.is_object(), subject, ": is ", shown_json(value), ", expected an object with a field '", text_field,
             "'");
  const auto field = value.find(text_field);
  if (field == value.end()) {
    std::string names;
    for (const auto& [name, ignored] : value.items()) names.append(names.empty() ? "" : ", ").append(shown_name(name));
    fail(subject, ": has no field '", text_field, "'; `text_field` names it",
         names.empty() ? "" : ", and this one has ", names);
  }
  HICI_CHECK(field->is_string(), subject, ": field '", text_field, "' is ", shown_json(*field), ", expected text");
  return field->get<std::string>();
}

class PlainTextSource : public TextSource {
 public:
  explicit PlainTextSource(const std::filesystem::path& path)
      : subject_(path.string()), stream_(open_byte_stream(path)), total_bytes_(std::filesystem::file_size(path)) {}
  uint64_t bytes_consumed() const override { return stream_->bytes_consumed(); }
  uint64_t total_bytes() const override { return total_bytes_; }

  bool next(TextPiece& piece) override {
    if (ended_) return false;
    piece.text = std::exchange(carried_, {});
    ended_ = !append_from(*stream_, piece.text);
    piece.ends_document = ended_;
    const text::Utf8Prefix prefix = text::valid_utf8_prefix(piece.text);
    const bool whole = prefix.valid_bytes == piece.text.size() || (prefix.is_cut && !ended_);
    HICI_CHECK(whole, subject_, ": is not UTF-8 at byte ", offset_ + prefix.valid_bytes,
               "; convert it first (iconv -t UTF-8)");
    carried_ = piece.text.substr(prefix.valid_bytes);
    piece.text.resize(prefix.valid_bytes);
    if (offset_ == 0 && piece.text.starts_with(text::kByteOrderMark)) piece.text.erase(0, text::kByteOrderMark.size());
    offset_ += prefix.valid_bytes;
    return true;
  }

 private:
  std::string subject_;
  std::unique_ptr<ByteStream> stream_;
  uint64_t total_bytes_;
  std::string carried_;  // the start of a character whose rest is still to come
  uint64_t offset_ = 0;
  bool ended_ = false;
};

// One field of each row of a .jsonl or .json.
class JsonSource : public TextSource {
 public:
  JsonSource(const std::filesystem::path& path, std::string text_field)
      : text_field_(std::move(text_field)),
        rows_(open_json_rows(path)),
        total_bytes_(std::filesystem::file_size(path)) {}

  bool next(TextPiece& piece) override {
    if (!rows_->next(row_)) return false;
    piece.text = text_of_json_line(row_.text, row_.subject, text_field_);
    piece.ends_document = true;
    return true;
  }
  uint64_t bytes_consumed() const override { return rows_->bytes_consumed(); }
  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  std::string text_field_;
  std::unique_ptr<JsonRows> rows_;
  uint64_t total_bytes_;
  JsonRow row_;
};

}  // namespace

std::string text_of_json_line(std::string_view line, const std::string& subject, const std::string& text_field) {
  return field_text(parse_json(line, subject, kMaxRowBytes), subject, text_field);
}

std::unique_ptr<TextSource> open_text_source(const std::filesystem::path& path, const TextSourceOptions& options) {
  HICI_CHECK(std::filesystem::exists(path), path.string(), ": no such file or folder",
             hub_hint(path, HubKind::kDataSet));
  if (std::filesystem::is_directory(path) || is_arrow_data(path)) return open_arrow_source(path, options);
  const std::string ending = format_ending(path);
  if (ending == ".jsonl" || ending == ".json") return std::make_unique<JsonSource>(path, options.text_field);
  // Rows of a table are no documents.
  const bool is_table = ending == ".csv" || ending == ".tsv";
  if (ending == ".txt" || (!is_table && looks_like_text(path))) return std::make_unique<PlainTextSource>(path);
  fail(path.string(), ": ending '", ending,
       is_table ? "' is a table; write its rows as .jsonl, and" : "' is not known;",
       " use .txt, .jsonl or .json (also .gz, .zst), .parquet or a folder of datasets.save_to_disk");
}

}  // namespace hici::data
