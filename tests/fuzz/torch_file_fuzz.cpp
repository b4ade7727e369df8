// SPDX-License-Identifier: Apache-2.0
// A .bin of torch.save: the archive, its pickle, then every tensor. The checksums keep most inputs from the pickle;
// pickle_fuzz.cpp has it alone.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/torch/torch_pickle.h"
#include "support/torch_archive.h"

#include <ATen/core/Tensor.h>
#include <caffe2/serialize/inline_container.h>

namespace hici::fuzz {
namespace {

std::vector<testing::PickledView> views() {
  return {{.name = "a", .elements = 4, .sizes = {2, 2}, .strides = {2, 1}},
          {.name = "b", .elements = 4, .offset = 1, .sizes = {3}, .strides = {1}}};
}

// As torch.save writes it, with LibTorch's writer: ZIP64, aligned, with a serialization id.
std::string written_by_torch(const std::vector<testing::ZippedRecord>& records) {
  std::string out;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    out.append(static_cast<const char*>(data), size);
    return size;
  });
  for (const testing::ZippedRecord& record : records) {
    const std::string name = record.name.substr(record.name.find('/') + 1);
    if (name != "version") writer.writeRecord(name, record.content.data(), record.content.size());
  }
  writer.writeEndOfFile();
  return out;
}

}  // namespace

void read_torch_file(std::string_view bytes) {
  const io::TorchFile file(bytes, "x.bin");
  for (const auto& [name, info] : file.tensors()) {
    require(file.read(name).nbytes() == info.num_bytes(), "a tensor of another size than its shape says");
    file.read(name, at::kFloat);
  }
}

std::vector<std::string> torch_file_seeds() {
  const auto records = testing::torch_records(testing::pickled_state_dict(views()), {std::string(16, '\1')});
  return {testing::zip_archive(records), written_by_torch(records)};
}

}  // namespace hici::fuzz
