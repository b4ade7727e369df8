// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"
#include "hici/base/shown_name.h"
#include "hici/data/arrow/batches.h"
#include "hici/data/arrow/plugin.h"
#include "hici/data/arrow/values.h"
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
    case arrow::Type::BINARY:  // Parquet of writers that do not say that bytes are text
      return arrow::binary();
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return arrow::large_binary();
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
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

int column_index(const arrow::Schema& schema, const std::string& column, const std::string& subject) {
  const int found = find_column(schema, column, subject);
  HICI_CHECK(found >= 0, subject, ": has no column '", shown_name(column), "'; `text_field` names it, and there are ",
             shown_columns(schema));
  const arrow::DataType& type = *schema.field(found)->type();
  HICI_CHECK(bytes_type(type), subject, ": column '", shown_name(column), "' is ", shown_name(type.ToString()),
             ", expected text (string, large_string); `text_field` names it, and there are ", shown_columns(schema));
  return found;
}

class ArrowSource : public TextSource {
 public:
  ArrowSource(std::vector<ArrowFile> files, std::string column)
      : column_(std::move(column)), batches_(std::move(files), [this](const auto& schema, const auto& subject) {
          return std::vector<int>{column_index(schema, column_, subject)};
        }) {
    batches_.open_first();
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

  uint64_t bytes_consumed() const override { return batches_.bytes_consumed(); }
  uint64_t total_bytes() const override { return batches_.total_bytes(); }

 private:
  bool next_batch() {
    row_ = 0;
    batch_.reset();
    const std::shared_ptr<arrow::RecordBatch> batch = batches_.next();
    if (!batch) return false;
    batch_ = arrow::MakeArray(as_bytes(*batch->column_data(0)));
    batches_.file().check(batch_->ValidateFull());
    return true;
  }

  std::string subject() const {
    return detail::concat(batches_.subject(), ": row ", batches_.rows_before() + row_, ": column '",
                          shown_name(column_), "' ");
  }

  std::string column_;
  ArrowBatches batches_;
  std::shared_ptr<arrow::Array> batch_;  // after batches_, whose memory it may use
  int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<TextSource> open_source_files(std::vector<ArrowFile> files, const std::string& text_field) {
  return std::make_unique<ArrowSource>(std::move(files), text_field);
}

}  // namespace hici::data
