// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/rows.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/stream.h"

#include <arrow/array.h>

#include <array>
#include <vector>

namespace hici::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 5> kColumns{"instruction", "input", "output", "messages", "conversations"};

Json to_json(const arrow::Array& array, int64_t row, const std::string& subject);

template <typename List>
Json list_to_json(const arrow::Array& array, int64_t row, const std::string& subject) {
  const auto& list = static_cast<const List&>(array);
  Json out = Json::array();
  for (int64_t i = list.value_offset(row); i < list.value_offset(row) + list.value_length(row); ++i) {
    out.push_back(to_json(*list.values(), i, subject));
  }
  return out;
}

Json struct_to_json(const arrow::StructArray& array, int64_t row, const std::string& subject) {
  Json out = Json::object();
  for (int i = 0; i < array.num_fields(); ++i) {
    Json member = to_json(*array.field(i), row, subject);
    if (!member.is_null()) out[array.type()->field(i)->name()] = std::move(member);
  }
  return out;
}

template <typename Array>
Json value_of(const arrow::Array& array, int64_t row) {
  return static_cast<const Array&>(array).Value(row);
}

Json to_json(const arrow::Array& array, int64_t row, const std::string& subject) {
  if (array.IsNull(row)) return nullptr;
  switch (array.type_id()) {
    case arrow::Type::STRING:
      return static_cast<const arrow::StringArray&>(array).GetString(row);
    case arrow::Type::LARGE_STRING:
      return static_cast<const arrow::LargeStringArray&>(array).GetString(row);
    case arrow::Type::BOOL:
      return value_of<arrow::BooleanArray>(array, row);
    case arrow::Type::INT32:
      return value_of<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return value_of<arrow::Int64Array>(array, row);
    case arrow::Type::DOUBLE:
      return value_of<arrow::DoubleArray>(array, row);
    case arrow::Type::LIST:
      return list_to_json<arrow::ListArray>(array, row, subject);
    case arrow::Type::LARGE_LIST:
      return list_to_json<arrow::LargeListArray>(array, row, subject);
    case arrow::Type::STRUCT:
      return struct_to_json(static_cast<const arrow::StructArray&>(array), row, subject);
    default:
      fail(subject, ": holds ", printable(array.type()->ToString(), 80),
           ", which has no form here; expected text, numbers, and lists and structs of them");
  }
}

std::vector<int> wanted_columns(const arrow::Schema& schema, const std::string& subject) {
  std::vector<int> columns;
  std::string there;
  for (const char* name : kColumns) {
    const std::vector<int> found = schema.GetAllFieldIndices(name);
    HICI_CHECK(found.size() <= 1, subject, ": has ", found.size(), " columns '", name, "'; rename them");
    columns.insert(columns.end(), found.begin(), found.end());
  }
  for (const auto& field : schema.fields()) there += (there.empty() ? "" : ", ") + printable(field->name(), 40);
  HICI_CHECK(!columns.empty(), subject, ": has no column instruction, messages or conversations; there are ",
             printable(there, 400));
  return columns;
}

class ArrowRows : public JsonRows {
 public:
  explicit ArrowRows(std::vector<std::filesystem::path> files) : batches_(std::move(files), wanted_columns) {}

  bool next(JsonRow& row) override {
    while (!batch_ || row_ == batch_->num_rows()) {
      if (!next_batch()) return false;
    }
    row.subject = detail::concat(batches_.subject(), ": row ", batches_.rows_before() + row_);
    Json object = Json::object();
    for (int i = 0; i < batch_->num_columns(); ++i) {
      Json value = to_json(*batch_->column(i), row_, row.subject + ": column '" + batch_->column_name(i) + "'");
      if (!value.is_null()) object[batch_->column_name(i)] = std::move(value);
    }
    row.text = object.dump();
    ++row_;
    return true;
  }
  uint64_t bytes_consumed() const override { return batches_.bytes_consumed(); }

 private:
  bool next_batch() {
    row_ = 0;
    batch_.reset();
    batch_ = batches_.next();
    if (!batch_) return false;
    const arrow::Status status = batch_->ValidateFull();
    if (!status.ok()) fail_unreadable(batches_.subject(), status);
    return true;
  }

  ArrowBatches batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;  // after batches_, whose memory it may use
  int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<JsonRows> open_arrow_rows(const std::filesystem::path& folder, const std::string& split) {
  return std::make_unique<ArrowRows>(arrow_files(folder, split));
}

}  // namespace hici::data
