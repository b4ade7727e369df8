// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/parquet.h"

#include "hici/base/error.h"
#include "hici/base/file.h"

#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <algorithm>
#include <numeric>

namespace hici::data {
namespace {

constexpr int64_t kBatchBytes = int64_t{16} << 20;  // about as much of the chosen columns is unpacked at once
constexpr int64_t kMinBatchRows = 16, kMaxBatchRows = int64_t{1} << 16;
constexpr int64_t kReadBytes = int64_t{1} << 20;

// Through copy(), as an Arrow stream: a file that another process cuts is an error.
class ParquetInput : public arrow::io::RandomAccessFile {
 public:
  // No folder names Parquet files: it was the user.
  ParquetInput(const std::filesystem::path& path, arrow::MemoryPool* pool) : file_(path, Links::kAny), pool_(pool) {}

  arrow::Status Close() override {
    is_closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return is_closed_; }
  arrow::Result<int64_t> Tell() const override { return static_cast<int64_t>(at_); }
  arrow::Status Seek(int64_t position) override {
    at_ = std::min(static_cast<uint64_t>(std::max<int64_t>(position, 0)), file_.size());
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> GetSize() override { return static_cast<int64_t>(file_.size()); }

  arrow::Result<int64_t> ReadAt(int64_t position, int64_t num_bytes, void* out) override {
    if (position < 0 || num_bytes < 0) return arrow::Status::Invalid("a place before the file");
    const uint64_t from = std::min(static_cast<uint64_t>(position), file_.size());
    const uint64_t got = std::min(static_cast<uint64_t>(num_bytes), file_.size() - from);
    file_.copy(from, out, got);
    return static_cast<int64_t>(got);
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t num_bytes) override {
    const int64_t rest = std::max<int64_t>(static_cast<int64_t>(file_.size()) - position, 0);
    ARROW_ASSIGN_OR_RAISE(std::unique_ptr<arrow::ResizableBuffer> buffer,
                          arrow::AllocateResizableBuffer(std::clamp<int64_t>(num_bytes, 0, rest), pool_));
    ARROW_ASSIGN_OR_RAISE(const int64_t got, ReadAt(position, buffer->size(), buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(got));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }
  arrow::Result<int64_t> Read(int64_t num_bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t got, ReadAt(static_cast<int64_t>(at_), num_bytes, out));
    at_ += static_cast<uint64_t>(got);
    return got;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t num_bytes) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(static_cast<int64_t>(at_), num_bytes));
    at_ += static_cast<uint64_t>(buffer->size());
    return buffer;
  }

  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  arrow::MemoryPool* pool_;
  uint64_t at_ = 0;
  bool is_closed_ = false;
};

// Parquet counts the leaves of nested columns; those of the chosen columns.
std::vector<int> leaves_of(const parquet::SchemaDescriptor& schema, const std::vector<int>& columns) {
  std::vector<int> leaves;
  for (int leaf = 0; leaf < schema.num_columns(); ++leaf) {
    const int column = schema.group_node()->FieldIndex(*schema.GetColumnRoot(leaf));
    if (std::find(columns.begin(), columns.end(), column) != columns.end()) leaves.push_back(leaf);
  }
  return leaves;
}

// Rows that take about kBatchBytes, by what the file says of its columns.
int64_t rows_of_a_batch(const parquet::FileMetaData& metadata, const std::vector<int>& leaves) {
  int64_t bytes = 0;
  for (int group = 0; group < metadata.num_row_groups(); ++group) {
    const auto row_group = metadata.RowGroup(group);
    for (const int leaf : leaves) {
      bytes += std::clamp<int64_t>(row_group->ColumnChunk(leaf)->total_uncompressed_size(), 0, kMaxUnpackedBytes);
    }
  }
  const int64_t row_bytes = bytes / std::max<int64_t>(metadata.num_rows(), 1) + 1;
  return std::clamp(kBatchBytes / row_bytes, kMinBatchRows, kMaxBatchRows);
}

class ParquetBatches : public BatchReader {
 public:
  ParquetBatches(const std::filesystem::path& path, const ChooseColumns& choose)
      : BatchReader(path.string(), "Parquet"),
        unpacking_(std::make_unique<arrow::CappedMemoryPool>(arrow::system_memory_pool(), kMaxUnpackedBytes)),
        input_(std::make_shared<ParquetInput>(path, unpacking_.get())) {
    guarded([&] { open(choose); });
  }

  std::shared_ptr<arrow::RecordBatch> next() override {
    std::shared_ptr<arrow::RecordBatch> batch;
    guarded([&] { check(batches_->ReadNext(&batch)); });
    if (batch) rows_done_ += batch->num_rows();
    if (!batch) check_end();
    return batch;
  }

  uint64_t position() const override {
    const double share = num_rows_ > 0 ? static_cast<double>(rows_done_) / static_cast<double>(num_rows_) : 1;
    return rows_done_ >= num_rows_ ? input_->file().size()
                                   : static_cast<uint64_t>(share * static_cast<double>(input_->file().size()));
  }

 private:
  void open(const ChooseColumns& choose) {
    parquet::ReaderProperties file_properties(unpacking_.get());
    file_properties.enable_buffered_stream();  // page by page: a column of a row group may be gigabytes
    file_properties.set_buffer_size(kReadBytes);
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(input_, file_properties));
    const std::shared_ptr<parquet::FileMetaData> metadata = builder.raw_reader()->metadata();
    parquet::ArrowReaderProperties properties(/*use_threads=*/false);
    properties.set_pre_buffer(false);
    properties.set_arrow_extensions_enabled(true);
    reader_ = take(builder.memory_pool(unpacking_.get())->properties(properties)->Build());
    std::shared_ptr<arrow::Schema> schema;
    check(reader_->GetSchema(&schema));
    const std::vector<int> leaves = leaves_of(*metadata->schema(), choose(*schema));
    reader_->set_batch_size(rows_of_a_batch(*metadata, leaves));
    std::vector<int> groups(static_cast<size_t>(metadata->num_row_groups()));
    std::iota(groups.begin(), groups.end(), 0);
    num_rows_ = metadata->num_rows();
    batches_ = take(reader_->GetRecordBatchReader(groups, leaves));
  }

  void check_end() const {
    HICI_CHECK(rows_done_ == num_rows_, subject(), ": holds ", rows_done_, " rows, its own description says ",
               num_rows_, "; it is damaged, write it again");
    input_->file().check_unchanged();
  }

  // libparquet throws where libarrow returns a status.
  template <typename Work>
  void guarded(const Work& work) const {
    try {
      work();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      fail_unreadable(e.what());
    }
  }

  std::unique_ptr<arrow::CappedMemoryPool> unpacking_;  // outlives what was allocated from it
  std::shared_ptr<ParquetInput> input_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  int64_t num_rows_ = 0, rows_done_ = 0;
};

}  // namespace

std::unique_ptr<BatchReader> open_parquet(const std::filesystem::path& path, const ChooseColumns& choose) {
  return std::make_unique<ParquetBatches>(path, choose);
}

}  // namespace hici::data
