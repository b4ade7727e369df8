// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/archive.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"

#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>

#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace hici::io {
namespace {

using caffe2::serialize::PyTorchStreamReader;
using caffe2::serialize::ReadAdapterInterface;

constexpr uint64_t kMaxSmallBytes = 4096;  // of a record that is neither the pickle nor a storage
constexpr uint64_t kMaxByteOrderBytes = 64;
constexpr uint64_t kMaxPickleBytes = uint64_t{16} << 20;

// What LibTorch's archive reader reads from.
class FileBytes final : public ReadAdapterInterface {
 public:
  explicit FileBytes(MappedFile file) : file_(std::move(file)) {}
  size_t size() const override { return file_.size(); }
  size_t read(uint64_t pos, void* out, size_t count, const char*) const override {
    if (pos >= file_.size()) return 0;
    const size_t available = std::min<uint64_t>(count, file_.size() - pos);
    file_.copy(pos, out, available);
    return available;
  }
  void prefetch(uint64_t pos, uint64_t count) const {
    static const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t begin = pos / page * page, end = std::min<uint64_t>(pos + count, file_.size());
    if (begin >= end) return;
    auto* address = const_cast<std::byte*>(file_.bytes().data() + begin);
    ::madvise(address, end - begin, MADV_WILLNEED);  // a hint: no error is one
  }

 private:
  MappedFile file_;
};

class MemoryBytes final : public ReadAdapterInterface {
 public:
  explicit MemoryBytes(std::string_view bytes) : bytes_(bytes) {}
  size_t size() const override { return bytes_.size(); }
  size_t read(uint64_t pos, void* out, size_t count, const char*) const override {
    if (pos >= bytes_.size()) return 0;
    const size_t available = std::min<uint64_t>(count, bytes_.size() - pos);
    std::memcpy(out, bytes_.data() + pos, available);
    return available;
  }

 private:
  std::string_view bytes_;
};

void check_is_archive(const ReadAdapterInterface& bytes, const std::string& subject) {
  char magic[4] = {};
  const size_t count = bytes.read(0, magic, sizeof magic, "");
  const bool is_pickle = count >= 2 && magic[0] == '\x80' && magic[1] >= 2 && magic[1] <= 5;
  HICI_CHECK(!is_pickle, subject,
             ": written in torch's old format (before 1.6), which is not read; convert it: python3 -c \"import torch; "
             "torch.save(torch.load('old.bin', weights_only=True), 'new.bin')\"");
  HICI_CHECK(count == 4 && std::memcmp(magic, "PK\3\4", 4) == 0, subject,
             ": is no file of torch.save; expected a zip archive with a state dict");
}

// The records without the folder that all of them lie in.
std::map<std::string, ZipRecord> records_of(const ReadAdapterInterface& bytes, const std::string& subject) {
  const auto read = [&](uint64_t offset, uint64_t count) {
    std::string out(count, '\0');
    bytes.read(offset, out.data(), out.size(), "");
    return out;
  };
  const std::map<std::string, ZipRecord> files = read_zip_directory(read, bytes.size(), subject);
  HICI_CHECK(!files.empty(), subject, ": is an empty archive; is it a file of torch.save?");
  const std::string& first = files.begin()->first;
  const std::string folder = first.substr(0, first.find('/') + 1);
  std::map<std::string, ZipRecord> records;
  for (const auto& [name, record] : files) {
    HICI_CHECK(!folder.empty() && name.size() > folder.size() && name.compare(0, folder.size(), folder) == 0, subject,
               ": record '", printable(name), "' does not lie in the one folder of all others; the file is damaged");
    records.emplace(name.substr(folder.size()), record);
  }
  HICI_CHECK(records.count("constants.pkl") == 0, subject,
             ": is a TorchScript archive, which holds code and is not read; save the state dict instead");
  for (const auto& [name, record] : records)
    HICI_CHECK(record.method == 0, subject, ": record '", printable(name), "' is compressed (method ", record.method,
               "), which torch.save never does; save it again");
  return records;
}

void check_checksum(const std::string& subject, const std::string& name, const ZipRecord& record, const void* bytes) {
  const auto found = static_cast<uint32_t>(::crc32_z(0, static_cast<const Bytef*>(bytes), record.size_bytes));
  check_record_checksum(subject, name, record.crc32, found);
}

// LibTorch looks at it too, but leaks its reader when it does not like it.
void check_version(const std::string& text, const std::string& subject) {
  namespace torch_format = caffe2::serialize;
  const std::string digits = text.substr(0, text.find('\n'));
  const uint64_t version = parse_number<uint64_t>(digits).value_or(0);
  HICI_CHECK(version >= torch_format::kMinSupportedFileFormatVersion &&
                 version <= torch_format::kMaxSupportedFileFormatVersion,
             subject, ": archive of version '", printable(digits, 20), "', this program reads ",
             torch_format::kMinSupportedFileFormatVersion, " to ", torch_format::kMaxSupportedFileFormatVersion);
}

// All but the pickle and the storages. LibTorch reads some by itself when it opens the archive (version,
// serialization_id), so that these are compared with their checksums before it does.
void check_small_records(const ReadAdapterInterface& bytes, const std::map<std::string, ZipRecord>& records,
                         const std::string& subject) {
  HICI_CHECK(records.count("version") != 0, subject, ": has no record 'version'; is it a file of torch.save?");
  for (const auto& [name, record] : records) {
    if (name == "data.pkl" || name.rfind("data/", 0) == 0) continue;
    HICI_CHECK(record.size_bytes <= kMaxSmallBytes, subject, ": record '", printable(name), "' has ", record.size_bytes,
               " bytes, more than the ", kMaxSmallBytes, " allowed");
    std::string content(record.size_bytes, '\0');
    bytes.read(record.data_offset, content.data(), content.size(), "");
    check_checksum(subject, name, record, content.data());
    if (name == "version" || name == ".data/version") check_version(content, subject);
  }
}

}  // namespace

void check_record_checksum(const std::string& subject, const std::string& record, uint32_t expected, uint32_t found) {
  HICI_CHECK(found == expected, subject, ": record '", printable(record), "' has not the checksum that the archive ",
             "gives for it; ",
             expected == 0 ? "it was saved without (torch.serialization.set_crc32_options(False)): save it again"
                           : "the file is damaged: fetch it again");
}

TorchArchive::TorchArchive(const fs::path& path, Links links)
    : TorchArchive(std::make_shared<FileBytes>(MappedFile(path, links)), path.string()) {}

TorchArchive::TorchArchive(std::string_view bytes, const std::string& subject)
    : TorchArchive(std::make_shared<MemoryBytes>(bytes), subject) {}

TorchArchive::TorchArchive(std::shared_ptr<ReadAdapterInterface> bytes, std::string subject)
    : subject_(std::move(subject)), bytes_(std::move(bytes)) {
  check_is_archive(*bytes_, subject_);
  records_ = records_of(*bytes_, subject_);
  check_small_records(*bytes_, records_, subject_);
  translated([&] { reader_ = std::make_unique<PyTorchStreamReader>(bytes_); });
}

TorchArchive::~TorchArchive() = default;

// LibTorch's messages run over many lines; the first one says what is wrong. Its reader may also let exceptions of the
// standard library through.
template <typename F>
void TorchArchive::translated(const F& call) const {
  std::string text;
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& e) {
    text = e.what_without_backtrace();
  } catch (const std::exception& e) {
    text = e.what();
  }
  fail(subject_, ": damaged archive: ", printable(text.substr(0, text.find('\n')), 200));
}

void TorchArchive::read(const std::string& record, void* out, uint64_t bytes) const {
  const ZipRecord& expected = records_.at(record);
  HICI_ASSERT(bytes == expected.size_bytes, record, ": ", bytes, " of ", expected.size_bytes);
  if (bytes > 0) translated([&] { reader_->getRecord(record, out, bytes); });
  check_checksum(subject_, record, expected, out);
}

void TorchArchive::read_part(const std::string& record, uint64_t offset, void* out, uint64_t bytes) const {
  const ZipRecord& place = records_.at(record);
  HICI_ASSERT(offset <= place.size_bytes && bytes <= place.size_bytes - offset, record, ": bytes ", offset, " + ",
              bytes, " of ", place.size_bytes);
  const size_t count = bytes_->read(place.data_offset + offset, out, bytes, "");
  HICI_ASSERT(count == bytes, record, ": ", count, " of ", bytes, " bytes");
}

void TorchArchive::prefetch(const std::string& record, uint64_t offset, uint64_t bytes) const {
  const auto* file = dynamic_cast<const FileBytes*>(bytes_.get());
  if (file != nullptr) file->prefetch(records_.at(record).data_offset + offset, bytes);
}

std::string TorchArchive::read_text(const std::string& record, uint64_t max_bytes) const {
  HICI_CHECK(has(record), subject_, ": has no record '", record, "'; is it a file of torch.save?");
  const uint64_t bytes = record_bytes(record);
  HICI_CHECK(bytes <= max_bytes, subject_, ": record '", printable(record), "' has ", bytes, " bytes, more than the ",
             max_bytes, " allowed");
  std::string text(bytes, '\0');
  read(record, text.data(), bytes);
  return text;
}

std::string TorchArchive::read_pickle() const {
  if (has("byteorder")) {
    const std::string order = read_text("byteorder", kMaxByteOrderBytes);
    HICI_CHECK(order == "little", subject_, ": written with byte order '", printable(order), "', expected little");
  }
  return read_text("data.pkl", kMaxPickleBytes);
}

}  // namespace hici::io
