// SPDX-License-Identifier: Apache-2.0
// The pickle inside a .bin file, read without running anything: a small machine that knows tensors and plain
// containers. Every class that the pickle names must be on a short list; anything else is an error that names it.
//
// Own code because LibTorch's Unpickler resolves what it does not know through TorchScript, loads every storage at
// once, and takes the number of elements of a storage from the pickle without comparing it with the record.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

// A view of a storage, as torch._utils._rebuild_tensor_v2 (or _v3) is told. Nothing here is checked against the storage
// yet.
struct PickledTensor {
  std::string name;
  c10::ScalarType dtype = c10::kFloat;
  std::string storage_key;       // the record data/KEY of the archive
  int64_t storage_elements = 0;  // of `dtype`
  int64_t offset = 0;            // in elements
  std::vector<int64_t> sizes;    // at most kMaxRank
  std::vector<int64_t> strides;  // as many
};

// The pickle of a state dict: a (possibly ordered) dict from names to tensors or parameters, in its order. Names differ
// and are at most kMaxTensorNameLength long.
std::vector<PickledTensor> read_pickled_state_dict(std::string_view pickle, const std::string& subject);

}  // namespace hici::io
