// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow_source.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/arrow_stream.h"
#include "hici/text/utf8.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <optional>
#include <string_view>
#include <utility>

namespace hici::data {
namespace {

// The type with bytes in place of text, so that validation leaves UTF-8 to us, who can name the row; null when the type
// holds no text.
std::shared_ptr<arrow::DataType> bytes_type(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::STRING:
      return arrow::binary();
    case arrow::Type::LARGE_STRING:
      return arrow::large_binary();
    case arrow::Type::STRING_VIEW:
      return arrow::binary_view();
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryType&>(type);
      const std::shared_ptr<arrow::DataType> values = bytes_type(*dictionary.value_type());
      return values ? arrow::dictionary(dictionary.index_type(), values) : nullptr;
    }
    default:
      return nullptr;
  }
}

std::shared_ptr<arrow::ArrayData> as_bytes(const arrow::ArrayData& data) {
  std::shared_ptr<arrow::ArrayData> bytes = data.Copy();
  bytes->type = bytes_type(*data.type);
  if (data.dictionary) bytes->dictionary = as_bytes(*data.dictionary);
  return bytes;
}

// Nothing for null.
std::optional<std::string_view> bytes_at(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::BINARY:
      return static_cast<const arrow::BinaryArray&>(array).GetView(row);
    case arrow::Type::LARGE_BINARY:
      return static_cast<const arrow::LargeBinaryArray&>(array).GetView(row);
    case arrow::Type::BINARY_VIEW:
      return static_cast<const arrow::BinaryViewArray&>(array).GetView(row);
    default: {
      const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
      return bytes_at(*encoded.dictionary(), encoded.GetValueIndex(row));
    }
  }
}

int column_index(const arrow::Schema& schema, const std::string& column, const std::string& subject) {
  const std::vector<int> found = schema.GetAllFieldIndices(column);
  std::string columns;
  for (const auto& field : schema.fields()) {
    columns += (columns.empty() ? "" : ", ") + printable(field->name(), 40) + " (" + field->type()->ToString() + ")";
  }
  HICI_CHECK(!found.empty(), subject, ": has no column '", column, "'; --text_field names it, and there are ",
             columns.empty() ? "none" : printable(columns, 400));
  HICI_CHECK(found.size() == 1, subject, ": has ", found.size(), " columns '", column, "'; rename them");
  const arrow::DataType& type = *schema.field(found[0])->type();
  HICI_CHECK(bytes_type(type), subject, ": column '", column, "' is ", printable(type.ToString()),
             ", expected text (string, large_string); --text_field names it, and there are ", printable(columns, 400));
  return found[0];
}

// One column of one file, batch by batch.
class ColumnReader {
 public:
  ColumnReader(const std::filesystem::path& path, const std::string& column)
      : stream_(path, [&](const arrow::Schema& schema) {
          return std::vector<int>{column_index(schema, column, path.string())};
        }) {}

  // The next batch, null at the end of the file.
  std::shared_ptr<arrow::Array> next() {
    const std::shared_ptr<arrow::RecordBatch> batch = stream_.next();
    if (!batch) return nullptr;
    const std::shared_ptr<arrow::Array> bytes = arrow::MakeArray(as_bytes(*batch->column_data(0)));
    const arrow::Status status = bytes->ValidateFull();
    if (!status.ok()) fail_unreadable(subject(), status);
    return bytes;
  }

  uint64_t position() const { return stream_.position(); }
  const std::string& subject() const { return stream_.subject(); }

 private:
  ArrowStream stream_;
};

class ArrowSource : public TextSource {
 public:
  ArrowSource(std::vector<std::filesystem::path> files, std::string column)
      : files_(std::move(files)), column_(std::move(column)) {
    for (const std::filesystem::path& file : files_) total_bytes_ += std::filesystem::file_size(file);
    open_next_file();
  }

  bool next(TextPiece& piece) override {
    while (!batch_ || row_ == batch_->length()) {
      if (!next_batch()) return false;
    }
    const std::optional<std::string_view> bytes = bytes_at(*batch_, row_);
    HICI_CHECK(bytes, subject(), "is null, expected text");
    const size_t valid = text::valid_utf8_prefix(*bytes).valid_bytes;
    HICI_CHECK(valid == bytes->size(), subject(), "is not UTF-8 at byte ", valid);
    piece.text = *bytes;
    piece.ends_document = true;
    ++row_;
    return true;
  }

  uint64_t bytes_consumed() const override { return closed_bytes_ + (reader_ ? reader_->position() : 0); }
  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  bool next_batch() {
    if (!reader_) return false;
    rows_before_ += batch_ ? batch_->length() : 0;
    row_ = 0;
    batch_.reset();  // before the next one is read: only one is ever in memory
    batch_ = reader_->next();
    return batch_ || open_next_file();
  }

  bool open_next_file() {
    closed_bytes_ += reader_ ? reader_->position() : 0;
    reader_.reset();
    rows_before_ = 0;
    if (next_file_ == files_.size()) return false;
    reader_ = std::make_unique<ColumnReader>(files_[next_file_++], column_);
    return true;
  }

  std::string subject() const {
    return detail::concat(reader_->subject(), ": row ", rows_before_ + row_, ": column '", column_, "' ");
  }

  std::vector<std::filesystem::path> files_;
  std::string column_;
  uint64_t total_bytes_ = 0;
  size_t next_file_ = 0;
  uint64_t closed_bytes_ = 0;
  std::unique_ptr<ColumnReader> reader_;
  std::shared_ptr<arrow::Array> batch_;  // after reader_, whose memory it may use
  int64_t rows_before_ = 0;              // of the file, in earlier batches
  int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& folder, const TextSourceOptions& options) {
  return std::make_unique<ArrowSource>(arrow_files(folder, options.split), options.text_field);
}

}  // namespace hici::data
