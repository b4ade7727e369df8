// SPDX-License-Identifier: Apache-2.0
// Everything in a file is taken for hostile: lengths cannot ask for more memory than the file holds or
// kMaxUnpackedBytes, and a batch is validated in full before a row of it is looked at.
#include "hici/data/arrow_source.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/text/utf8.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/ipc/reader.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace hici::data {
namespace {

constexpr int64_t kMaxUnpackedBytes = int64_t{4} << 30;  // of one batch in a file with compressed buffers
constexpr std::string_view kFileFormatMagic = "ARROW1";

// A file as libarrow wants to read it. Through copy() and not the mapping: a file that another process cuts is an error
// then, and what was read does not stay in memory. Exceptions of ours pass through libarrow, which is exception-safe.
class FileStream : public arrow::io::InputStream {
 public:
  explicit FileStream(const std::filesystem::path& path) : file_(path) {}

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

[[noreturn]] void fail_unreadable(const std::string& subject, const arrow::Status& status) {
  fail(subject, ": cannot be read as an Arrow stream: ", printable(status.message(), 200),
       "; it was cut or damaged, save the data set again");
}

template <typename Value>
Value take(arrow::Result<Value> result, const std::string& subject) {
  if (!result.ok()) fail_unreadable(subject, result.status());
  return std::move(result).ValueUnsafe();
}

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
  HICI_CHECK(!found.empty(), subject, ": has no column '", column, "'; --text_field names it, and there are ",
             columns.empty() ? "none" : printable(columns, 400));
  HICI_CHECK(found.size() == 1, subject, ": has ", found.size(), " columns '", column, "'; rename them");
  const arrow::DataType& type = *schema.field(found[0])->type();
  HICI_CHECK(bytes_type(type), subject, ": column '", column, "' is ", printable(type.ToString()),
             ", expected text (string, large_string); --text_field names it, and there are ", printable(columns, 400));
  return found[0];
}

// One column of one file, batch by batch.
class ColumnReader {
 public:
  ColumnReader(const std::filesystem::path& path, const std::string& column)
      : subject_(path.string()), unpacking_(arrow::system_memory_pool(), kMaxUnpackedBytes) {
    arrow::ipc::IpcReadOptions options = arrow::ipc::IpcReadOptions::Defaults();
    options.memory_pool = &unpacking_;
    options.use_threads = false;
    options.ensure_alignment = arrow::ipc::Alignment::kDataTypeSpecificAlignment;
    stream_ = std::make_shared<FileStream>(path);
    check_format();
    const auto schema = take(arrow::ipc::RecordBatchStreamReader::Open(stream_, options), subject_)->schema();
    options.included_fields = {column_index(*schema, column, subject_)};
    stream_ = std::make_shared<FileStream>(path);
    reader_ = take(arrow::ipc::RecordBatchStreamReader::Open(stream_, options), subject_);
  }

  // The next batch, null at the end of the file.
  std::shared_ptr<arrow::Array> next() {
    const std::shared_ptr<arrow::RecordBatch> batch = take(reader_->Next(), subject_);
    if (!batch) {
      check_end();
      return nullptr;
    }
    const std::shared_ptr<arrow::Array> bytes = arrow::MakeArray(as_bytes(*batch->column_data(0)));
    const arrow::Status status = bytes->ValidateFull();
    if (!status.ok()) fail_unreadable(subject_, status);
    return bytes;
  }

  uint64_t position() const { return stream_->position(); }
  const std::string& subject() const { return subject_; }

 private:
  void check_format() const {
    char begin[kFileFormatMagic.size()] = {};
    stream_->file().copy(0, begin, std::min<uint64_t>(sizeof begin, stream_->file().size()));
    HICI_CHECK(std::string_view(begin, sizeof begin) != kFileFormatMagic, subject_,
               ": is in Arrow's file format, expected the stream format; write it with datasets.save_to_disk or "
               "pyarrow.ipc.new_stream");
  }

  // libarrow takes a file that ends between two batches for whole, and does not look behind the end mark.
  void check_end() const {
    HICI_CHECK(!stream_->ran_out(), subject_,
               ": ends without the mark that ends a stream; it was cut, or its writer was not closed: save it again");
    const uint64_t rest = stream_->file().size() - stream_->position();
    HICI_CHECK(rest == 0, subject_, ": has ", rest, " bytes behind the end of its stream; it is damaged");
    stream_->file().check_unchanged();
  }

  std::string subject_;
  arrow::CappedMemoryPool unpacking_;  // outlives what was allocated from it
  std::shared_ptr<FileStream> stream_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> reader_;
};

class ArrowSource : public TextSource {
 public:
  ArrowSource(std::vector<std::filesystem::path> files, std::string column)
      : files_(std::move(files)), column_(std::move(column)) {
    for (const std::filesystem::path& file : files_) total_bytes_ += std::filesystem::file_size(file);
    open_next_file();
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

  uint64_t bytes_consumed() const override { return closed_bytes_ + (reader_ ? reader_->position() : 0); }
  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  bool next_batch() {
    if (!reader_) return false;
    rows_before_ += batch_ ? batch_->length() : 0;
    row_ = 0;
    batch_.reset();  // before the next one is read: only one is ever in memory
    batch_ = reader_->next();
    return batch_ || open_next_file();
  }

  bool open_next_file() {
    closed_bytes_ += reader_ ? reader_->position() : 0;
    reader_.reset();
    rows_before_ = 0;
    if (next_file_ == files_.size()) return false;
    reader_ = std::make_unique<ColumnReader>(files_[next_file_++], column_);
    return true;
  }

  std::string subject() const {
    return detail::concat(reader_->subject(), ": row ", rows_before_ + row_, ": column '", column_, "' ");
  }

  std::vector<std::filesystem::path> files_;
  std::string column_;
  uint64_t total_bytes_ = 0;
  size_t next_file_ = 0;
  uint64_t closed_bytes_ = 0;
  std::unique_ptr<ColumnReader> reader_;
  std::shared_ptr<arrow::Array> batch_;  // after reader_, whose memory it may use
  int64_t rows_before_ = 0;              // of the file, in earlier batches
  int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& folder, const TextSourceOptions& options) {
  return std::make_unique<ArrowSource>(arrow_files(folder, options.split), options.text_field);
}

}  // namespace hici::data
