// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/source.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/stream.h"
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
  HICI_CHECK(!found.empty(), subject, ": has no column '", column, "'; `text_field` names it, and there are ",
             columns.empty() ? "none" : printable(columns, 400));
  HICI_CHECK(found.size() == 1, subject, ": has ", found.size(), " columns '", column, "'; rename them");
  const arrow::DataType& type = *schema.field(found[0])->type();
  HICI_CHECK(bytes_type(type), subject, ": column '", column, "' is ", printable(type.ToString()),
             ", expected text (string, large_string); `text_field` names it, and there are ", printable(columns, 400));
  return found[0];
}

class ArrowSource : public TextSource {
 public:
  ArrowSource(std::vector<std::filesystem::path> files, std::string column)
      : column_(std::move(column)), total_bytes_(0), batches_(files, [this](const auto& schema, const auto& subject) {
          return std::vector<int>{column_index(schema, column_, subject)};
        }) {
    for (const std::filesystem::path& file : files) total_bytes_ += std::filesystem::file_size(file);
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
  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  bool next_batch() {
    row_ = 0;
    batch_.reset();
    const std::shared_ptr<arrow::RecordBatch> batch = batches_.next();
    if (!batch) return false;
    batch_ = arrow::MakeArray(as_bytes(*batch->column_data(0)));
    const arrow::Status status = batch_->ValidateFull();
    if (!status.ok()) fail_unreadable(batches_.subject(), status);
    return true;
  }

  std::string subject() const {
    return detail::concat(batches_.subject(), ": row ", batches_.rows_before() + row_, ": column '", column_, "' ");
  }

  std::string column_;
  uint64_t total_bytes_;
  ArrowBatches batches_;
  std::shared_ptr<arrow::Array> batch_;  // after batches_, whose memory it may use
  int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& folder, const TextSourceOptions& options) {
  return std::make_unique<ArrowSource>(arrow_files(folder, options.split), options.text_field);
}

}  // namespace hici::data
