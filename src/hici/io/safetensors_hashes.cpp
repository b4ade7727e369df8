// SPDX-License-Identifier: Apache-2.0
#include "hici/io/safetensors_hashes.h"

#include "hici/io/safetensors.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace hici::io {
namespace {

constexpr size_t kHashedAtOnce = size_t{1} << 20;

// Bytes [offset, offset + num_bytes) of a file to `use`, piece by piece.
template <typename F>
void for_each_piece(const MappedFile& file, uint64_t offset, uint64_t num_bytes, const F& use) {
  std::vector<char> piece(static_cast<size_t>(std::min<uint64_t>(num_bytes, kHashedAtOnce)));
  for (uint64_t done = 0; done < num_bytes; done += piece.size()) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(piece.size(), num_bytes - done));
    file.copy(offset + done, piece.data(), size);
    use(piece.data(), size);
  }
}

}  // namespace

SafetensorsHashes hash_safetensors(const fs::path& path, const std::function<void(const void*, size_t)>& also) {
  const MappedFile file(path);
  const SafetensorsHeader header = read_safetensors_header(file);
  const auto hash_of = [&](uint64_t offset, uint64_t num_bytes) {
    ContentHash hash;
    for_each_piece(file, offset, num_bytes, [&](const void* data, size_t size) {
      hash.update(data, size);
      also(data, size);
    });
    return hash.hex_digest();
  };
  SafetensorsHashes out{hash_of(0, header.data_start), {}};
  std::vector<std::pair<uint64_t, std::string>> in_order;
  for (const auto& [name, offset] : header.offsets) in_order.emplace_back(offset, name);
  // An empty tensor has the offset of the one behind it; it adds no byte wherever its turn is.
  std::sort(in_order.begin(), in_order.end());
  for (const auto& [offset, name] : in_order) out.tensors[name] = hash_of(offset, header.tensors.at(name).num_bytes());
  file.check_unchanged();
  return out;
}

}  // namespace hici::io
