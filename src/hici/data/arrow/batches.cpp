// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/batches.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/shown_name.h"
#include "hici/data/arrow/parquet.h"
#include "hici/data/arrow/stream.h"

namespace hici::data {

void BatchReader::fail_unreadable(const std::string& reason) const {
  fail(subject_, ": cannot be read as ", kind_, ": ", printable(reason, 200),
       "; it was cut or damaged, save the data set again");
}

std::shared_ptr<arrow::RecordBatch> ArrowBatches::next() {
  while (reader_ || open_next_file()) {
    rows_before_ += std::exchange(rows_handed_out_, 0);
    const std::shared_ptr<arrow::RecordBatch> batch = reader_->next();
    if (batch) {
      rows_handed_out_ = batch->num_rows();
      return batch;
    }
    closed_bytes_ += reader_->position();
    reader_.reset();
  }
  return nullptr;
}

uint64_t ArrowBatches::total_bytes() const {
  uint64_t bytes = 0;
  for (const ArrowFile& file : files_) bytes += std::filesystem::file_size(file.path);
  return bytes;
}

void ArrowBatches::open_first() {
  if (next_file_ == 0) open_next_file();
}

bool ArrowBatches::open_next_file() {
  rows_before_ = 0;
  if (next_file_ == files_.size()) return false;
  const ArrowFile& file = files_[next_file_++];
  const auto choose = [&](const arrow::Schema& schema) { return choose_(schema, file.path.string()); };
  reader_ = file.is_parquet ? open_parquet(file.path, choose) : open_arrow_stream(file.path, choose);
  return true;
}

bool ArrowRowCursor::advance() {
  if (batch_ && ++row_ < batch_->num_rows()) return true;
  do {
    row_ = 0;
    batch_.reset();
    batch_ = batches_.next();
    if (!batch_) return false;
    batches_.file().check(batch_->ValidateFull());
  } while (batch_->num_rows() == 0);
  return true;
}

std::string ArrowRowCursor::subject() const {
  return detail::concat(batches_.subject(), ": row ", batches_.rows_before() + row_);
}

std::string shown_columns(const arrow::Schema& schema) {
  std::string columns;
  for (const auto& field : schema.fields()) {
    if (!columns.empty()) columns.append(", ");
    columns.append(shown_name(field->name())).append(" (").append(shown_name(field->type()->ToString())).append(")");
  }
  return columns.empty() ? "none" : shown_name(columns, 800);
}

int find_column(const arrow::Schema& schema, const std::string& name, const std::string& subject) {
  const std::vector<int> found = schema.GetAllFieldIndices(name);
  HICI_CHECK(found.size() <= 1, subject, ": has ", found.size(), " columns '", shown_name(name), "'; rename them");
  return found.empty() ? -1 : found[0];
}

}  // namespace hici::data
