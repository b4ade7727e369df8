// SPDX-License-Identifier: Apache-2.0
// A tensor as a pickle describes it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
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

}  // namespace hici::io
