// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"
#include "hici/base/shown_name.h"
#include "hici/data/arrow/batches.h"
#include "hici/data/arrow/plugin.h"
#include "hici/data/arrow/values.h"
#include "hici/data/sft/columns.h"

#include <arrow/array.h>

#include <set>
#include <vector>

namespace hici::data {
namespace {

class ArrowRows : public JsonRows {
 public:
  explicit ArrowRows(std::vector<ArrowFile> files)
      : cursor_(std::move(files), [this](const auto& schema, const auto& subject) { return choose(schema, subject); }) {
  }

  bool next(JsonRow& row) override {
    if (!cursor_.advance()) return false;
    row.subject = cursor_.subject();
    const arrow::RecordBatch& batch = cursor_.batch();
    auto object = nlohmann::ordered_json::object();
    for (int i = 0; i < batch.num_columns(); ++i) {
      nlohmann::ordered_json value =
          arrow_to_json(*batch.column(i), cursor_.row(), row.subject + ": column '" + batch.column_name(i) + "'");
      if (!value.is_null()) object[batch.column_name(i)] = std::move(value);
    }
    row.text = object.dump();
    return true;
  }
  uint64_t bytes_consumed() const override { return cursor_.batches().bytes_consumed(); }
  std::vector<std::string> left_out() const override { return {left_out_.begin(), left_out_.end()}; }

 private:
  std::vector<int> choose(const arrow::Schema& schema, const std::string& subject) {
    std::vector<int> columns;
    for (int i = 0; i < schema.num_fields(); ++i) {
      const std::string& name = schema.field(i)->name();
      if (!is_sft_column(name)) {
        left_out_.insert(name);
        continue;
      }
      find_column(schema, name, subject);
      columns.push_back(i);
    }
    HICI_CHECK(!columns.empty(), subject, ": has no column ", kSftForms, "; there are ", shown_columns(schema));
    return columns;
  }

  std::set<std::string> left_out_;
  ArrowRowCursor cursor_;
};

}  // namespace

std::unique_ptr<JsonRows> open_rows_files(std::vector<ArrowFile> files) {
  return std::make_unique<ArrowRows>(std::move(files));
}

}  // namespace hici::data
