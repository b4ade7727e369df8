// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/stream.h"

#include "hici/base/error.h"
#include "hici/base/file.h"

#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/ipc/reader.h>
#include <arrow/memory_pool.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace hici::data {
namespace {

// A file as libarrow wants to read it. Through copy() and not the mapping: a file that another process cuts is an error
// then, and what was read does not stay in memory. Exceptions of ours pass through libarrow, which is exception-safe.
class ArrowFileStream : public arrow::io::InputStream {
 public:
  explicit ArrowFileStream(const std::filesystem::path& path) : file_(path, Links::kData) {}

  arrow::Status Close() override {
    is_closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return is_closed_; }
  arrow::Result<int64_t> Tell() const override { return static_cast<int64_t>(at_); }

  arrow::Result<int64_t> Read(int64_t num_bytes, void* out) override {
    const uint64_t got = readable(num_bytes);
    file_.copy(at_, out, got);
    at_ += got;
    return static_cast<int64_t>(got);
  }

  // Not from a memory pool: what unpacking may take is counted there, and this is bounded by the file.
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t num_bytes) override {
    std::string bytes(readable(num_bytes), '\0');
    file_.copy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
    return arrow::Buffer::FromString(std::move(bytes));
  }

  const MappedFile& file() const { return file_; }
  uint64_t position() const { return at_; }
  // True once more was asked for than the file holds.
  bool ran_out() const { return ran_out_; }

 private:
  uint64_t readable(int64_t num_bytes) {
    const uint64_t rest = file_.size() - at_, wanted = static_cast<uint64_t>(std::max<int64_t>(num_bytes, 0));
    ran_out_ = ran_out_ || wanted > rest;
    return std::min(wanted, rest);
  }

  MappedFile file_;
  uint64_t at_ = 0;
  bool is_closed_ = false;
  bool ran_out_ = false;
};

constexpr std::string_view kFileFormatMagic = "ARROW1";

class ArrowStream : public BatchReader {
 public:
  ArrowStream(const std::filesystem::path& path, const ChooseColumns& choose)
      : BatchReader(path.string(), "an Arrow stream"),
        unpacking_(std::make_unique<arrow::CappedMemoryPool>(arrow::system_memory_pool(), kMaxUnpackedBytes)) {
    arrow::ipc::IpcReadOptions options = arrow::ipc::IpcReadOptions::Defaults();
    options.memory_pool = unpacking_.get();
    options.use_threads = false;
    options.ensure_alignment = arrow::ipc::Alignment::kDataTypeSpecificAlignment;
    stream_ = std::make_shared<ArrowFileStream>(path);
    check_format();
    const auto schema = take(arrow::ipc::RecordBatchStreamReader::Open(stream_, options))->schema();
    options.included_fields = choose(*schema);
    stream_ = std::make_shared<ArrowFileStream>(path);
    reader_ = take(arrow::ipc::RecordBatchStreamReader::Open(stream_, options));
  }

  std::shared_ptr<arrow::RecordBatch> next() override {
    std::shared_ptr<arrow::RecordBatch> batch = take(reader_->Next());
    if (!batch) check_end();
    return batch;
  }

  uint64_t position() const override { return stream_->position(); }

 private:
  void check_format() const {
    char begin[kFileFormatMagic.size()] = {};
    stream_->file().copy(0, begin, std::min<uint64_t>(sizeof begin, stream_->file().size()));
    HICI_CHECK(std::string_view(begin, sizeof begin) != kFileFormatMagic, subject(),
               ": is in Arrow's file format, expected the stream format; write it with datasets.save_to_disk or "
               "pyarrow.ipc.new_stream");
  }

  // libarrow takes a file that ends between two batches for whole, and does not look behind the end mark.
  void check_end() const {
    HICI_CHECK(!stream_->ran_out(), subject(),
               ": ends without the mark that ends a stream; it was cut, or its writer was not closed: save it again");
    const uint64_t rest = stream_->file().size() - stream_->position();
    HICI_CHECK(rest == 0, subject(), ": has ", rest, " bytes behind the end of its stream; it is damaged");
    stream_->file().check_unchanged();
  }

  std::unique_ptr<arrow::CappedMemoryPool> unpacking_;  // outlives what was allocated from it
  std::shared_ptr<ArrowFileStream> stream_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> reader_;
};

}  // namespace

std::unique_ptr<BatchReader> open_arrow_stream(const std::filesystem::path& path, const ChooseColumns& choose) {
  return std::make_unique<ArrowStream>(path, choose);
}

}  // namespace hici::data
