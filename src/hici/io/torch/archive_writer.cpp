// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/archive_writer.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>

#include <exception>
#include <set>

namespace hici::io {
namespace {

// The few opcodes of pickle protocol 2 that a state dict needs (Python's pickletools has the list).
void put_text(std::string& out, const std::string& text) {
  out += 'X';
  for (int i = 0; i < 4; ++i) out += static_cast<char>(text.size() >> (8 * i) & 0xff);
  out += text;
}

void put_integer(std::string& out, int64_t value) {
  out += "\x8a\x08";
  for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xff);
}

void put_integers(std::string& out, const std::vector<int64_t>& values) {
  out += '(';
  for (const int64_t value : values) put_integer(out, value);
  out += 't';
}

const char* storage_class(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return "DoubleStorage";
    case at::kFloat:
      return "FloatStorage";
    case at::kHalf:
      return "HalfStorage";
    case at::kBFloat16:
      return "BFloat16Storage";
    default:
      return nullptr;
  }
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())
void put_tensor(std::string& out, const TensorToWrite& tensor, const std::string& key) {
  out += "ctorch._utils\n_rebuild_tensor_v2\n((";
  put_text(out, "storage");
  out += "ctorch\n" + std::string(storage_class(tensor.dtype)) + "\n";
  put_text(out, key);
  put_text(out, "cpu");
  put_integer(out, TensorInfo{tensor.dtype, tensor.shape}.num_elements());
  out += "tQ";
  put_integer(out, 0);
  put_integers(out, tensor.shape);
  put_integers(out, contiguous_strides(tensor.shape));
  out +=
      "\x89"
      "ccollections\nOrderedDict\n)RtR";
}

std::string state_dict_pickle(const std::vector<TensorToWrite>& tensors) {
  std::string out = "\x80\x02}(";
  for (size_t i = 0; i < tensors.size(); ++i) {
    put_text(out, tensors[i].name);
    put_tensor(out, tensors[i], std::to_string(i));
  }
  return out + "u.";
}

std::string subject_of(const fs::path& path, const TensorToWrite& tensor) {
  return path.string() + ": tensor '" + printable(tensor.name) + "'";
}

void check_archivable(const fs::path& path, const std::vector<TensorToWrite>& tensors) {
  std::set<std::string> seen;
  for (const TensorToWrite& tensor : tensors) {
    HICI_CHECK(seen.insert(tensor.name).second, subject_of(path, tensor), " is written twice");
    HICI_CHECK(tensor.num_bytes() > 0, subject_of(path, tensor), " is empty, shape ", shown_shape(tensor.shape),
               "; was it gathered from all ranks?");
    HICI_CHECK(storage_class(tensor.dtype) != nullptr, subject_of(path, tensor), " has type ",
               shown_dtype(tensor.dtype), ", expected F64, F32, F16 or BF16");
  }
}

// LibTorch's writer in front of our file. It writes an end in its destructor and must not fail there: after the first
// failure bytes are taken and dropped, and check() says what happened.
class ArchiveFile {
 public:
  explicit ArchiveFile(const fs::path& path)
      : file_(path), writer_([this](const void* data, size_t count) { return take(data, count); }) {}

  void write_record(const std::string& name, const void* data, size_t num_bytes) {
    writer_.writeRecord(name, data, num_bytes);
    check();
  }
  void commit() {
    writer_.writeEndOfFile();
    check();
    file_.commit();
  }

 private:
  size_t take(const void* data, size_t count) noexcept {
    try {
      if (!failure_) file_.write(data, count);
    } catch (...) {
      failure_ = std::current_exception();
    }
    return count;
  }
  void check() const {
    if (failure_) std::rethrow_exception(failure_);
  }

  AtomicFile file_;
  std::exception_ptr failure_;
  caffe2::serialize::PyTorchStreamWriter writer_;
};

}  // namespace

void write_torch_file(const fs::path& path, const std::vector<TensorToWrite>& tensors) {
  check_archivable(path, tensors);
  ArchiveFile archive(path);
  const std::string pickle = state_dict_pickle(tensors), byte_order = "little";
  archive.write_record("data.pkl", pickle.data(), pickle.size());
  archive.write_record("byteorder", byte_order.data(), byte_order.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor loaded = tensors[i].load();
    HICI_CHECK(loaded.sizes() == at::IntArrayRef(tensors[i].shape), subject_of(path, tensors[i]), " is ",
               shown_shape(loaded.sizes().vec()), ", promised was ", shown_shape(tensors[i].shape));
    const at::Tensor data = loaded.detach().to(at::kCPU, tensors[i].dtype).contiguous();
    archive.write_record("data/" + std::to_string(i), data.const_data_ptr(), data.nbytes());
  }
  archive.commit();
}

}  // namespace hici::io
