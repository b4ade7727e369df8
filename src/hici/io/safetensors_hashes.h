// SPDX-License-Identifier: Apache-2.0
// Hashes of a safetensors file per tensor. Tensors are read in the model's order, and a hash of all bytes would need
// the file's order.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace hici::io {

// ContentHash in hex of the header (its length and the JSON) and of the bytes of each tensor.
struct SafetensorsHashes {
  std::string header;
  std::map<std::string, std::string> tensors;

  bool operator==(const SafetensorsHashes&) const = default;
};
// In one pass over the file. `also` gets its bytes in order.
SafetensorsHashes hash_safetensors(const std::filesystem::path& path,
                                   const std::function<void(const void*, size_t)>& also);

}  // namespace hici::io
