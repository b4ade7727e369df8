// SPDX-License-Identifier: Apache-2.0
// A .safetensors file: its header, then every tensor.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/safetensors.h"

#include <ATen/Functions.h>

namespace hici::fuzz {

void read_safetensors(std::string_view bytes) {
  static const ScratchFolder folder;
  const io::SafetensorsFile file(folder.write("x.safetensors", bytes));
  for (const auto& [name, info] : file.tensors()) {
    require(file.read(name).nbytes() == info.num_bytes(), "a tensor of another size than its header says");
    file.read(name, at::kFloat);
  }
}

std::vector<std::string> safetensors_seeds() {
  const ScratchFolder folder;
  const std::filesystem::path path = folder.path() / "x.safetensors";
  io::write_safetensors(path,
                        {{"a", at::arange(6, at::kFloat).view({2, 3})},
                         {"b", at::ones({3}, at::kBFloat16)},
                         {"c", at::ones({1, 2}, at::kBool)},
                         {"d", at::scalar_tensor(7, at::kLong)}},
                        {{"note", "x"}});
  return {read_file(path, size_t{1} << 20)};
}

}  // namespace hici::fuzz
