// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch_pickle.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <ATen/Functions.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace hici::io {
namespace {

constexpr size_t kMaxPickleBytes = size_t{16} << 20;  // names and shapes only; 100,000 tensors take less
constexpr uint64_t kMaxRecords = uint64_t{1} << 20;

constexpr std::pair<const char*, at::ScalarType> kStorageTypes[] = {
    {"DoubleStorage", at::kDouble},     {"FloatStorage", at::kFloat}, {"HalfStorage", at::kHalf},
    {"BFloat16Storage", at::kBFloat16}, {"LongStorage", at::kLong},   {"IntStorage", at::kInt},
    {"ShortStorage", at::kShort},       {"CharStorage", at::kChar},   {"ByteStorage", at::kByte},
    {"BoolStorage", at::kBool}};

at::ScalarType type_of_storage(const std::string& storage_class) {
  for (const auto& [name, dtype] : kStorageTypes)
    if (storage_class == name) return dtype;
  HICI_ASSERT(false, storage_class);
  return at::kFloat;
}

// What LibTorch's archive reader reads from.
class FileBytes final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit FileBytes(MappedFile file) : file_(std::move(file)) {}
  size_t size() const override { return file_.size(); }
  size_t read(uint64_t pos, void* out, size_t count, const char*) const override {
    if (pos >= file_.size()) return 0;
    const size_t available = std::min<uint64_t>(count, file_.size() - pos);
    file_.copy(pos, out, available);
    return available;
  }

 private:
  MappedFile file_;
};

class MemoryBytes final : public caffe2::serialize::ReadAdapterInterface {
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

void check_is_archive(const caffe2::serialize::ReadAdapterInterface& bytes, const std::string& subject) {
  char magic[4] = {};
  const size_t count = bytes.read(0, magic, sizeof magic, "");
  const bool is_pickle = count >= 2 && magic[0] == '\x80' && magic[1] >= 2 && magic[1] <= 5;
  HICI_CHECK(!is_pickle, subject,
             ": written in torch's old format (before 1.6), which is not read; convert it: python3 -c \"import torch; "
             "torch.save(torch.load('old.bin', weights_only=True), 'new.bin')\"");
  HICI_CHECK(count == 4 && std::memcmp(magic, "PK\3\4", 4) == 0, subject,
             ": is no file of torch.save; expected a zip archive with a state dict");
}

// First index past the last element that a view touches; nothing when a size is negative or the sum leaves 64 bits.
std::optional<int64_t> view_end(const PickledTensor& view) {
  int64_t end = view.offset;
  bool is_empty = false;
  for (size_t i = 0; i < view.sizes.size(); ++i) {
    const int64_t size = view.sizes[i], stride = view.strides[i];
    int64_t reach = 0;
    if (size < 0 || stride < 0) return std::nullopt;
    if (size == 0) is_empty = true;
    if (__builtin_mul_overflow(std::max<int64_t>(0, size - 1), stride, &reach) ||
        __builtin_add_overflow(end, reach, &end))
      return std::nullopt;
  }
  if (is_empty) return 0;
  return __builtin_add_overflow(end, 1, &end) ? std::nullopt : std::optional<int64_t>(end);
}

// A view may repeat elements (stride 0); it may not be larger than what it views, or reading would need unbounded
// memory.
bool is_bounded(const PickledTensor& view) {
  int64_t count = 1;
  bool is_empty = false;
  for (const int64_t size : view.sizes) {
    is_empty = is_empty || size == 0;
    if (__builtin_mul_overflow(count, std::max<int64_t>(1, size), &count) || count > int64_t{1} << 48) return false;
  }
  return is_empty || count <= std::max<int64_t>(view.storage_elements, 1);
}

}  // namespace

struct TorchFile::Archive {
  std::string subject;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader;
  uint64_t size_bytes;

  Archive(std::shared_ptr<caffe2::serialize::ReadAdapterInterface> bytes, const std::string& name)
      : subject(name), size_bytes(bytes->size()) {
    check_is_archive(*bytes, subject);
    translated([&] { reader = std::make_unique<caffe2::serialize::PyTorchStreamReader>(std::move(bytes)); });
  }

  // LibTorch's messages run over many lines; the first one says what is wrong.
  template <typename F>
  void translated(const F& call) const {
    try {
      call();
    } catch (const c10::Error& e) {
      const std::string text = e.what_without_backtrace();
      fail(subject, ": damaged archive: ", printable(text.substr(0, text.find('\n')), 200));
    }
  }

  bool has(const std::string& record) const {
    bool found = false;
    translated([&] { found = reader->hasRecord(record); });
    return found;
  }

  // torch.save stores without compression, so no record is larger than its archive.
  uint64_t record_bytes(const std::string& record) const {
    uint64_t bytes = 0;
    translated([&] { bytes = reader->getRecordSize(record); });
    HICI_CHECK(bytes <= size_bytes, subject, ": record '", printable(record), "' promises ", bytes,
               " bytes in an archive of ", size_bytes, "; the file is damaged");
    return bytes;
  }

  void read(const std::string& record, void* out, size_t bytes) const {
    if (bytes == 0) return;
    translated([&] { reader->getRecord(record, out, bytes); });
  }

  std::string read_text(const std::string& record, uint64_t max_bytes) const {
    HICI_CHECK(has(record), subject, ": has no record '", record, "'; is it a file of torch.save?");
    const uint64_t bytes = record_bytes(record);
    HICI_CHECK(bytes <= max_bytes, subject, ": record '", record, "' has ", bytes, " bytes, more than the ", max_bytes,
               " allowed");
    std::string text(bytes, '\0');
    read(record, text.data(), text.size());
    return text;
  }
};

TorchFile::TorchFile(const fs::path& path)
    : subject_(path.string()),
      archive_(std::make_unique<Archive>(std::make_shared<FileBytes>(MappedFile(path)), subject_)) {
  load_index();
}

TorchFile::TorchFile(std::string_view bytes, const std::string& subject)
    : subject_(subject), archive_(std::make_unique<Archive>(std::make_shared<MemoryBytes>(bytes), subject)) {
  load_index();
}

TorchFile::~TorchFile() = default;

void TorchFile::load_index() {
  HICI_CHECK(!archive_->has("constants.pkl"), subject_,
             ": is a TorchScript archive, which holds code and is not read; save the state dict instead");
  if (archive_->has("byteorder")) {
    const std::string order = archive_->read_text("byteorder", 64);
    HICI_CHECK(order == "little", subject_, ": written with byte order '", printable(order), "', expected little");
  }
  for (PickledTensor& tensor : read_pickled_state_dict(archive_->read_text("data.pkl", kMaxPickleBytes), subject_))
    add_tensor(std::move(tensor));
}

void TorchFile::add_tensor(PickledTensor tensor) {
  const std::string subject = subject_ + ": tensor '" + printable(tensor.name) + "'";
  const TensorInfo info{type_of_storage(tensor.storage_class), tensor.sizes};
  const std::string record = "data/" + tensor.storage_key;
  HICI_CHECK(is_plain_name(tensor.storage_key) && archive_->has(record), subject, " lies in record '",
             printable(record), "', which is not there; the file is damaged");
  const uint64_t bytes = archive_->record_bytes(record);
  const uint64_t element_bytes = c10::elementSize(info.dtype);
  HICI_CHECK(tensor.storage_elements >= 0 && bytes % element_bytes == 0 &&
                 static_cast<uint64_t>(tensor.storage_elements) == bytes / element_bytes,
             subject, ": its storage promises ", tensor.storage_elements, " elements, record '", printable(record),
             "' has ", bytes, " bytes; the file is damaged");
  const std::optional<int64_t> end = view_end(tensor);
  HICI_CHECK(tensor.offset >= 0 && end && *end <= tensor.storage_elements && is_bounded(tensor), subject, ": shape ",
             shown_shape(tensor.sizes), ", strides ", shown_shape(tensor.strides), ", offset ", tensor.offset,
             " leave its storage of ", tensor.storage_elements, " elements; the file is damaged");
  HICI_CHECK(tensors_.emplace(tensor.name, info).second, subject, " is there twice; the file is damaged");
  views_.emplace(tensor.name, std::move(tensor));
}

at::Tensor TorchFile::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  const TensorInfo& entry = info(name);
  const PickledTensor& view = views_.at(name);
  at::Tensor storage =
      at::empty({view.storage_elements}, at::TensorOptions(entry.dtype == at::kBool ? at::kByte : entry.dtype));
  archive_->read("data/" + view.storage_key, storage.mutable_data_ptr(), storage.nbytes());
  if (entry.dtype == at::kBool) storage = storage.ne(0);  // any other byte than 0 and 1 is no bool
  const at::Tensor shown = storage.as_strided(view.sizes, view.strides, view.offset);
  at::Tensor out = shown.to(dtype).contiguous().to(device);
  // A view of a part must not keep the whole storage alive.
  return out.storage().nbytes() > out.nbytes() ? out.clone() : out;
}

}  // namespace hici::io
