// SPDX-License-Identifier: Apache-2.0
#include "hici/data/json_rows.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/byte_stream.h"
#include "hici/text/utf8.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace hici::data {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Both forms: a buffer that holds the row in hand and what was read behind it.
class BufferedRows : public JsonRows {
 public:
  explicit BufferedRows(const std::filesystem::path& path) : subject_(path.string()), stream_(open_byte_stream(path)) {}
  uint64_t bytes_consumed() const override { return stream_->bytes_consumed(); }

 protected:
  // More of the file behind what is left of the buffer, which begins at begin_ = 0 then; false at the end of the file.
  bool read_more(const std::string& row) {
    buffer_.erase(0, std::exchange(begin_, 0));
    HICI_CHECK(buffer_.size() <= kMaxRowBytes, row, " is longer than ", kMaxRowBytes,
               " bytes; is this JSON, one object a line or a list of objects?");
    return append_from(*stream_, buffer_);
  }

  std::string subject_;
  std::string buffer_;
  size_t begin_ = 0;  // what stands before is done with

 private:
  std::unique_ptr<ByteStream> stream_;
};

class JsonLines : public BufferedRows {
 public:
  using BufferedRows::BufferedRows;

  bool next(JsonRow& row) override {
    while (next_line(row.text)) {
      if (row.text.find_first_not_of(kSpace) == std::string::npos) continue;
      row.subject = detail::concat(subject_, ": line ", line_number_);
      return true;
    }
    return false;
  }

 private:
  bool next_line(std::string& line) {
    size_t end = buffer_.find('\n', begin_);
    while (end == std::string::npos && !ended_) {
      const size_t searched = buffer_.size() - begin_;
      ended_ = !read_more(detail::concat(subject_, ": line ", line_number_ + 1));
      end = buffer_.find('\n', searched);
    }
    if (begin_ == buffer_.size()) return false;
    end = std::min(end, buffer_.size());
    line.assign(buffer_, begin_, end - begin_);
    begin_ = std::min(end + 1, buffer_.size());
    ++line_number_;
    return true;
  }

  uint64_t line_number_ = 0;
  bool ended_ = false;
};

// Where the elements of a list end is found by brackets and quotes alone; whoever takes a row parses it.
class JsonList : public BufferedRows {
 public:
  using BufferedRows::BufferedRows;

  bool next(JsonRow& row) override {
    if (count_ == 0) open_list();
    if (is_closed_) return false;
    if (peek() == ']') {
      HICI_CHECK(count_ == 0, element(), ": expected behind a comma, the list ends instead; the file is damaged");
      ++begin_;
      close_list();
      return false;
    }
    const size_t size = element_size();
    row.text.assign(buffer_, begin_, size);
    row.subject = element();
    begin_ += size;
    ++count_;
    const char after = peek();
    HICI_CHECK(after == ',' || after == ']', subject_, ": not JSON, unexpected '", printable(std::string(1, after)),
               "' behind element ", count_ - 1, "; the file is damaged or of another kind");
    ++begin_;
    if (after == ']') close_list();
    return true;
  }

 private:
  std::string element() const { return detail::concat(subject_, ": element ", count_); }

  // The next character that is no space, '\0' at the end of the file.
  char peek_or_end() {
    for (;;) {
      begin_ = std::min(buffer_.find_first_not_of(kSpace, begin_), buffer_.size());
      if (begin_ < buffer_.size()) return buffer_[begin_];
      if (!read_more(element())) return '\0';
    }
  }

  char peek() {
    const char c = peek_or_end();
    HICI_CHECK(c != '\0', subject_, ": ends inside its list; the file is incomplete");
    return c;
  }

  void open_list() {
    char first = peek_or_end();
    if (buffer_.compare(begin_, text::kByteOrderMark.size(), text::kByteOrderMark) == 0) {
      begin_ += text::kByteOrderMark.size();
      first = peek_or_end();
    }
    HICI_CHECK(first == '[', subject_, ": ",
               first == '\0' ? "is empty" : "begins with '" + printable({&first, 1}) + "'",
               ", expected a JSON list of objects (or use .jsonl)");
    ++begin_;
  }

  // Behind the bracket that ends the list.
  void close_list() {
    is_closed_ = true;
    const char rest = peek_or_end();
    HICI_CHECK(rest == '\0', subject_, ": not JSON, unexpected '", printable({&rest, 1}),
               "' behind its list; the file is damaged or of another kind");
  }

  // Bytes of the element at begin_, read to its end.
  size_t element_size() {
    int64_t depth = 0;
    bool in_text = false, is_escaped = false;
    for (size_t size = 0;; ++size) {
      if (begin_ + size == buffer_.size()) {
        HICI_CHECK(read_more(element()), subject_, ": ends inside element ", count_, "; the file is incomplete");
      }
      const char c = buffer_[begin_ + size];
      if (in_text) {
        if (!is_escaped && c == '"') {
          in_text = false;
          if (depth == 0) return size + 1;
        }
        is_escaped = !is_escaped && c == '\\';
        continue;
      }
      if (depth == 0 && (c == ',' || c == ']' || c == '}')) return size;
      if (c == '"') in_text = true;
      if (c == '[' || c == '{') ++depth;
      if ((c == ']' || c == '}') && --depth == 0) return size + 1;
    }
  }

  uint64_t count_ = 0;
  bool is_closed_ = false;
};

}  // namespace

std::unique_ptr<JsonRows> open_json_rows(const std::filesystem::path& path) {
  const std::string ending = format_ending(path);
  if (ending == ".jsonl") return std::make_unique<JsonLines>(path);
  HICI_CHECK(ending == ".json", path.string(), ": ending '", ending,
             "' is not known; use .jsonl or .json (also .gz, .zst)");
  return std::make_unique<JsonList>(path);
}

}  // namespace hici::data
