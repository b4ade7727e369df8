// SPDX-License-Identifier: Apache-2.0
// One Arrow IPC stream file, batch by batch. Included by the .cpp files that link to libarrow only.
//
// Files are untrusted: a length cannot request more memory than the size of the file, or kMaxUnpackedBytes. A caller
// must validate an array in full before it reads a row of it.
#pragma once

#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <arrow/status.h>
#include <arrow/type.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace arrow::ipc {
class RecordBatchStreamReader;
}

namespace hici::data {

class ArrowFileStream;

class ArrowStream {
 public:
  static constexpr int64_t kMaxUnpackedBytes = int64_t{4} << 30;  // of one batch in a file with compressed buffers

  // `choose` selects the columns to read from the schema.
  ArrowStream(const std::filesystem::path& path, const std::function<std::vector<int>(const arrow::Schema&)>& choose);

  // The next batch; null at the end of the file. It may refer to memory of this object.
  std::shared_ptr<arrow::RecordBatch> next();

  uint64_t position() const;
  const std::string& subject() const { return subject_; }

 private:
  void check_format() const;
  void check_end() const;

  std::string subject_;
  std::unique_ptr<arrow::CappedMemoryPool> unpacking_;  // outlives what was allocated from it
  std::shared_ptr<ArrowFileStream> stream_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> reader_;
};

// The batches of several files one after the other. A file is opened when its turn comes.
class ArrowBatches {
 public:
  // `choose` names the columns to read of a file, given all and the file.
  using Choose = std::function<std::vector<int>(const arrow::Schema&, const std::string& subject)>;

  ArrowBatches(std::vector<std::filesystem::path> files, Choose choose)
      : files_(std::move(files)), choose_(std::move(choose)) {}

  // The next batch, null behind the last file. The batch before must be gone: only one is ever in memory.
  std::shared_ptr<arrow::RecordBatch> next();
  // The file of that batch, and its rows in earlier batches.
  const std::string& subject() const { return stream_->subject(); }
  int64_t rows_before() const { return rows_before_; }
  // Of all files.
  uint64_t bytes_consumed() const { return closed_bytes_ + (stream_ ? stream_->position() : 0); }

  // Opens the first file, so that what is wrong with it is said before any row is asked for.
  void open_first();

 private:
  bool open_next_file();

  std::vector<std::filesystem::path> files_;
  Choose choose_;
  size_t next_file_ = 0;
  uint64_t closed_bytes_ = 0;
  std::optional<ArrowStream> stream_;
  int64_t rows_before_ = 0, rows_handed_out_ = 0;
};

// An error that says that the file cannot be read, with libarrow's reason.
[[noreturn]] void fail_unreadable(const std::string& subject, const arrow::Status& status);

}  // namespace hici::data
