// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/ids.h"

#include "hici/base/error.h"
#include "hici/base/shown_name.h"
#include "hici/data/arrow/batches.h"
#include "hici/data/arrow/plugin.h"

#include <arrow/array.h>
#include <arrow/type.h>

#include <algorithm>
#include <array>

namespace hici::data {
namespace {

using Numbers = std::vector<int64_t>;

constexpr std::array<const char*, 4> kMasks{"attention_mask", "completion_mask", "assistant_masks", "loss_mask"};
constexpr const char *kLabels = "labels", *kPositions = "position_ids";

bool is_list_of_numbers(const arrow::DataType& type) {
  const bool is_list = type.id() == arrow::Type::LIST || type.id() == arrow::Type::LARGE_LIST ||
                       type.id() == arrow::Type::LIST_VIEW || type.id() == arrow::Type::LARGE_LIST_VIEW ||
                       type.id() == arrow::Type::FIXED_SIZE_LIST;
  if (!is_list) return false;
  const arrow::Type::type values = static_cast<const arrow::BaseListType&>(type).value_type()->id();
  return arrow::is_integer(values) || values == arrow::Type::BOOL;
}

template <typename Array>
void append(const arrow::Array& values, int64_t begin, int64_t count, Numbers& out) {
  const auto& numbers = static_cast<const Array&>(values);
  for (int64_t i = begin; i < begin + count; ++i) out.push_back(static_cast<int64_t>(numbers.Value(i)));
}

void append_values(const arrow::Array& values, int64_t begin, int64_t count, Numbers& out) {
  switch (values.type_id()) {
    case arrow::Type::BOOL:
      return append<arrow::BooleanArray>(values, begin, count, out);
    case arrow::Type::INT8:
      return append<arrow::Int8Array>(values, begin, count, out);
    case arrow::Type::INT16:
      return append<arrow::Int16Array>(values, begin, count, out);
    case arrow::Type::INT32:
      return append<arrow::Int32Array>(values, begin, count, out);
    case arrow::Type::INT64:
      return append<arrow::Int64Array>(values, begin, count, out);
    case arrow::Type::UINT8:
      return append<arrow::UInt8Array>(values, begin, count, out);
    case arrow::Type::UINT16:
      return append<arrow::UInt16Array>(values, begin, count, out);
    case arrow::Type::UINT32:
      return append<arrow::UInt32Array>(values, begin, count, out);
    default:  // above 2^63 a number becomes negative, which no id is
      return append<arrow::UInt64Array>(values, begin, count, out);
  }
}

template <typename List>
const arrow::Array& list_values(const arrow::Array& array, int64_t row, int64_t& begin, int64_t& count) {
  const auto& list = static_cast<const List&>(array);
  begin = list.value_offset(row);
  count = list.value_length(row);
  return *list.values();
}

const arrow::Array& list_values(const arrow::Array& array, int64_t row, int64_t& begin, int64_t& count) {
  switch (array.type_id()) {
    case arrow::Type::LIST:
      return list_values<arrow::ListArray>(array, row, begin, count);
    case arrow::Type::LARGE_LIST:
      return list_values<arrow::LargeListArray>(array, row, begin, count);
    case arrow::Type::LIST_VIEW:
      return list_values<arrow::ListViewArray>(array, row, begin, count);
    case arrow::Type::LARGE_LIST_VIEW:
      return list_values<arrow::LargeListViewArray>(array, row, begin, count);
    default:
      return list_values<arrow::FixedSizeListArray>(array, row, begin, count);
  }
}

// The numbers of one row of a list column.
void read_row(const arrow::Array& array, int64_t row, const std::string& subject, Numbers& out) {
  HICI_CHECK(!array.IsNull(row), subject, " is null, expected a list of numbers");
  int64_t begin = 0, count = 0;
  const arrow::Array& values = list_values(array, row, begin, count);
  out.clear();
  for (int64_t i = begin; values.null_count() > 0 && i < begin + count; ++i) {
    HICI_CHECK(!values.IsNull(i), subject, " holds null at ", i - begin, ", expected numbers");
  }
  append_values(values, begin, count, out);
}

bool is_looked_at(const std::string& name) {
  return name == kLabels || name == kPositions || std::find(kMasks.begin(), kMasks.end(), name) != kMasks.end();
}

class ArrowIds : public IdRows {
 public:
  ArrowIds(std::vector<ArrowFile> files, std::string column, int64_t vocab_size)
      : column_(std::move(column)),
        vocab_size_(vocab_size),
        cursor_(std::move(files), [this](const auto& schema, const auto& subject) { return choose(schema, subject); }) {
    cursor_.batches().open_first();
  }

  bool next(std::vector<uint32_t>& ids) override {
    if (!cursor_.advance()) return false;
    const arrow::RecordBatch& batch = cursor_.batch();
    read_row(*batch.GetColumnByName(column_), cursor_.row(), subject(column_), numbers_);
    ids.resize(numbers_.size());
    for (size_t i = 0; i < numbers_.size(); ++i) {
      HICI_CHECK(numbers_[i] >= 0 && numbers_[i] < vocab_size_, subject(column_), " has ", numbers_[i], " at ", i,
                 ", expected token ids below the vocabulary's ", vocab_size_,
                 "; they were made with another tokenizer, or padded");
      ids[i] = static_cast<uint32_t>(numbers_[i]);
    }
    for (int i = 0; i < batch.num_columns(); ++i) check_beside(batch.column_name(i), *batch.column(i));
    return true;
  }
  uint64_t bytes_consumed() const override { return cursor_.batches().bytes_consumed(); }
  uint64_t total_bytes() const override { return cursor_.batches().total_bytes(); }

 private:
  std::vector<int> choose(const arrow::Schema& schema, const std::string& subject) const {
    const int ids = find_column(schema, column_, subject);
    HICI_CHECK(ids >= 0 && is_list_of_numbers(*schema.field(ids)->type()), subject, ": has no column '",
               shown_name(column_), "' of lists of token ids; there are ", shown_columns(schema));
    std::vector<int> columns{ids};
    for (int i = 0; i < schema.num_fields(); ++i) {
      if (i == ids || !is_looked_at(schema.field(i)->name())) continue;
      HICI_CHECK(is_list_of_numbers(*schema.field(i)->type()), subject, ": column '", schema.field(i)->name(), "' is ",
                 shown_name(schema.field(i)->type()->ToString()), ", expected lists of numbers; take it out");
      columns.push_back(i);
    }
    return columns;
  }

  // A column beside the ids must say nothing that training on every token in its place would not do.
  void check_beside(const std::string& name, const arrow::Array& column) {
    if (name == column_) return;
    read_row(column, cursor_.row(), subject(name), beside_);
    for (size_t i = 0; i < std::max(beside_.size(), numbers_.size()); ++i) {
      const bool is_there = i < beside_.size() && i < numbers_.size();
      const int64_t wanted = name == kPositions            ? static_cast<int64_t>(i)
                             : name == kLabels && is_there ? numbers_[i]
                                                           : 1;
      HICI_CHECK(is_there && beside_[i] == wanted, subject(name), is_there ? " is " : " ends or goes on",
                 is_there ? detail::concat(beside_[i]) : "", " at ", i,
                 "; every token is learned here, in its place: take padding and masked tokens out of the rows, or the "
                 "column out of the data set");
    }
  }

  std::string subject(const std::string& column) const {
    return detail::concat(cursor_.subject(), ": column '", shown_name(column), "'");
  }

  std::string column_;
  int64_t vocab_size_;
  ArrowRowCursor cursor_;
  Numbers numbers_, beside_;
};

// The column of ids by the schema of the first file; empty: none.
std::string ids_column(const std::vector<ArrowFile>& files, const std::string& text_field, std::string& hint) {
  std::string column;
  ArrowBatches batches({files.front()}, [&](const arrow::Schema& schema, const std::string& subject) {
    const int named = find_column(schema, text_field, subject), usual = find_column(schema, kIdsColumn, subject);
    if (named >= 0 && is_list_of_numbers(*schema.field(named)->type())) column = text_field;
    if (named < 0 && usual >= 0) column = kIdsColumn;
    if (column.empty() && usual >= 0)
      hint = detail::concat(subject, ": has columns '", shown_name(text_field), "' and '", kIdsColumn,
                            "'; the text is tokenized here, `text_field` ", kIdsColumn, " takes the ids");
    return std::vector<int>{};
  });
  batches.open_first();
  return column;
}

}  // namespace

std::unique_ptr<IdRows> open_ids_files(std::vector<ArrowFile> files, const std::string& text_field, int64_t vocab_size,
                                       std::string& hint) {
  std::string column = ids_column(files, text_field, hint);
  return column.empty() ? nullptr : std::make_unique<ArrowIds>(std::move(files), std::move(column), vocab_size);
}

}  // namespace hici::data
