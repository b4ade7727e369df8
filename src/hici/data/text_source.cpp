// SPDX-License-Identifier: Apache-2.0
#include "hici/data/text_source.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/data/arrow_source.h"
#include "hici/data/byte_stream.h"
#include "hici/text/utf8.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace hici::data {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;
constexpr size_t kMaxJsonListBytes = size_t{512} << 20;  // parsed as a whole, at several times its size

std::string field_text(const nlohmann::json& value, const std::string& subject, const std::string& text_field) {
  HICI_CHECK(value.is_object(), subject, ": is ", shown_json(value), ", expected an object with a field '", text_field,
             "'");
  const auto field = value.find(text_field);
  if (field == value.end()) {
    std::string names;
    for (const auto& [name, ignored] : value.items()) names += (names.empty() ? "" : ", ") + shown_json(name);
    fail(subject, ": has no field '", text_field, "'; --text_field names it",
         names.empty() ? "" : ", and this one has ", names);
  }
  HICI_CHECK(field->is_string(), subject, ": field '", text_field, "' is ", shown_json(*field), ", expected text");
  return field->get<std::string>();
}

class FileSource : public TextSource {
 public:
  explicit FileSource(const std::filesystem::path& path)
      : subject_(path.string()), stream_(open_byte_stream(path)), total_bytes_(std::filesystem::file_size(path)) {}
  uint64_t bytes_consumed() const override { return stream_->bytes_consumed(); }
  uint64_t total_bytes() const override { return total_bytes_; }

 protected:
  // Appends up to kReadBytes to `buffer`; false at the end of the file.
  bool read_more(std::string& buffer) {
    const size_t before = buffer.size();
    buffer.resize(before + kReadBytes);
    const size_t got = stream_->read(buffer.data() + before, kReadBytes);
    buffer.resize(before + got);
    return got > 0;
  }

  std::string subject_;

 private:
  std::unique_ptr<ByteStream> stream_;
  uint64_t total_bytes_;
};

class PlainTextSource : public FileSource {
 public:
  using FileSource::FileSource;

  bool next(TextPiece& piece) override {
    if (ended_) return false;
    piece.text = std::exchange(carried_, {});
    ended_ = !read_more(piece.text);
    piece.ends_document = ended_;
    const text::Utf8Prefix prefix = text::valid_utf8_prefix(piece.text);
    const bool whole = prefix.valid_bytes == piece.text.size() || (prefix.is_cut && !ended_);
    HICI_CHECK(whole, subject_, ": is not UTF-8 at byte ", offset_ + prefix.valid_bytes,
               "; convert it first (iconv -t UTF-8)");
    carried_ = piece.text.substr(prefix.valid_bytes);
    piece.text.resize(prefix.valid_bytes);
    offset_ += prefix.valid_bytes;
    return true;
  }

 private:
  std::string carried_;  // the start of a character whose rest is still to come
  uint64_t offset_ = 0;
  bool ended_ = false;
};

class JsonLinesSource : public FileSource {
 public:
  JsonLinesSource(const std::filesystem::path& path, std::string text_field)
      : FileSource(path), text_field_(std::move(text_field)) {}

  bool next(TextPiece& piece) override {
    std::string_view line;
    while (next_line(line)) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      piece.text = text_of_json_line(line, detail::concat(subject_, ": line ", line_number_), text_field_);
      piece.ends_document = true;
      return true;
    }
    return false;
  }

 private:
  // The line stays valid until the next call.
  bool next_line(std::string_view& line) {
    size_t searched = begin_;
    size_t end = buffer_.find('\n', searched);
    while (end == std::string::npos && !ended_) {
      searched = buffer_.size() - begin_;
      buffer_.erase(0, std::exchange(begin_, 0));
      HICI_CHECK(buffer_.size() <= kMaxLineBytes, subject_, ": line ", line_number_ + 1, " is longer than ",
                 kMaxLineBytes, " bytes; is this JSON lines, one object on each?");
      ended_ = !read_more(buffer_);
      end = buffer_.find('\n', searched);
    }
    if (begin_ == buffer_.size()) return false;
    end = std::min(end, buffer_.size());
    line = std::string_view(buffer_).substr(begin_, end - begin_);
    begin_ = std::min(end + 1, buffer_.size());
    ++line_number_;
    return true;
  }

  std::string text_field_;
  std::string buffer_;
  size_t begin_ = 0;
  uint64_t line_number_ = 0;
  bool ended_ = false;
};

// A JSON list of objects (LongAlpaca's form).
class JsonListSource : public FileSource {
 public:
  JsonListSource(const std::filesystem::path& path, std::string text_field)
      : FileSource(path), text_field_(std::move(text_field)) {}

  bool next(TextPiece& piece) override {
    if (list_.is_null()) read_list();
    if (at_ == list_.size()) return false;
    piece.text = field_text(list_[at_], detail::concat(subject_, ": element ", at_), text_field_);
    piece.ends_document = true;
    list_[at_++] = nullptr;
    return true;
  }

 private:
  void read_list() {
    std::string text;
    while (read_more(text)) {
      HICI_CHECK(text.size() <= kMaxJsonListBytes, subject_, ": holds more than ", kMaxJsonListBytes,
                 " bytes of JSON; a list must be read whole: convert it to .jsonl, which is read line by line");
    }
    list_ = parse_json(text, subject_, kMaxJsonListBytes);
    HICI_CHECK(list_.is_array(), subject_, ": is ", shown_json(list_),
               ", expected a JSON list of objects (or use .jsonl)");
  }

  std::string text_field_;
  nlohmann::json list_;
  size_t at_ = 0;
};

}  // namespace

std::string text_of_json_line(std::string_view line, const std::string& subject, const std::string& text_field) {
  return field_text(parse_json(line, subject, kMaxLineBytes), subject, text_field);
}

std::unique_ptr<TextSource> open_text_source(const std::filesystem::path& path, const TextSourceOptions& options) {
  HICI_CHECK(std::filesystem::exists(path), path.string(), ": no such file or folder");
  if (std::filesystem::is_directory(path)) return open_arrow_source(path, options);
  const std::string ending = format_ending(path);
  if (ending == ".txt") return std::make_unique<PlainTextSource>(path);
  if (ending == ".jsonl") return std::make_unique<JsonLinesSource>(path, options.text_field);
  if (ending == ".json") return std::make_unique<JsonListSource>(path, options.text_field);
  fail(path.string(), ": ending '", ending,
       "' is not known; use .txt, .jsonl or .json (also .gz, .zst) or a folder of "
       "datasets.save_to_disk");
}

}  // namespace hici::data
