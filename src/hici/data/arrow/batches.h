// SPDX-License-Identifier: Apache-2.0
// Files of Arrow data, batch by batch: IPC streams and Parquet. Included by the .cpp files that link to libarrow only.
//
// Files are untrusted: a length cannot request more memory than the size of the file, or kMaxUnpackedBytes. A caller
// must validate an array in full before it reads a row of it.
#pragma once

#include "hici/data/arrow/plugin.h"

#include <arrow/record_batch.h>
#include <arrow/result.h>
#include <arrow/status.h>
#include <arrow/type.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::data {

constexpr int64_t kMaxUnpackedBytes = int64_t{4} << 30;  // of one batch in a file with compressed buffers

// Selects the columns to read, given all of a file.
using ChooseColumns = std::function<std::vector<int>(const arrow::Schema&)>;

// One file.
class BatchReader {
 public:
  // `kind`: "an Arrow stream", for messages.
  BatchReader(std::string subject, std::string kind) : subject_(std::move(subject)), kind_(std::move(kind)) {}
  virtual ~BatchReader() = default;
  BatchReader(const BatchReader&) = delete;
  BatchReader& operator=(const BatchReader&) = delete;

  // The next batch; null at the end of the file. It may refer to memory of this object.
  virtual std::shared_ptr<arrow::RecordBatch> next() = 0;
  // Bytes of the file that are done with.
  virtual uint64_t position() const = 0;

  const std::string& subject() const { return subject_; }
  // An error that says that the file cannot be read, with libarrow's reason.
  [[noreturn]] void fail_unreadable(const std::string& reason) const;
  void check(const arrow::Status& status) const {
    if (!status.ok()) fail_unreadable(status.message());
  }
  template <typename Value>
  Value take(arrow::Result<Value> result) const {
    check(result.status());
    return std::move(result).ValueUnsafe();
  }

 private:
  std::string subject_, kind_;
};

// The batches of several files one after the other. A file is opened when its turn comes.
class ArrowBatches {
 public:
  // As ChooseColumns, with the file's name.
  using Choose = std::function<std::vector<int>(const arrow::Schema&, const std::string& subject)>;

  ArrowBatches(std::vector<ArrowFile> files, Choose choose) : files_(std::move(files)), choose_(std::move(choose)) {}

  // The next batch, null behind the last file. The batch before must be gone: only one is ever in memory.
  std::shared_ptr<arrow::RecordBatch> next();
  // The file of that batch, and its rows in earlier batches.
  const BatchReader& file() const { return *reader_; }
  const std::string& subject() const { return reader_->subject(); }
  int64_t rows_before() const { return rows_before_; }
  // Of all files.
  uint64_t bytes_consumed() const { return closed_bytes_ + (reader_ ? reader_->position() : 0); }
  uint64_t total_bytes() const;

  // Opens the first file, so that what is wrong with it is said before any row is asked for.
  void open_first();

 private:
  bool open_next_file();

  std::vector<ArrowFile> files_;
  Choose choose_;
  size_t next_file_ = 0;
  uint64_t closed_bytes_ = 0;
  std::unique_ptr<BatchReader> reader_;
  int64_t rows_before_ = 0, rows_handed_out_ = 0;
};

// Row by row through the batches of several files, each validated in full.
class ArrowRowCursor {
 public:
  ArrowRowCursor(std::vector<ArrowFile> files, ArrowBatches::Choose choose)
      : batches_(std::move(files), std::move(choose)) {}

  // To the next row, at first the first; false behind the last.
  bool advance();
  const arrow::RecordBatch& batch() const { return *batch_; }
  int64_t row() const { return row_; }  // in the batch
  // "FILE: row 7".
  std::string subject() const;
  ArrowBatches& batches() { return batches_; }
  const ArrowBatches& batches() const { return batches_; }

 private:
  ArrowBatches batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;  // after batches_, whose memory it may use
  int64_t row_ = 0;
};

// "id (int64), text (string)", for messages.
std::string shown_columns(const arrow::Schema& schema);
// The one column of that name, -1 if there is none; several are an error.
int find_column(const arrow::Schema& schema, const std::string& name, const std::string& subject);

}  // namespace hici::data
