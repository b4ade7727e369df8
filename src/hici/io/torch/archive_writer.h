// SPDX-License-Identifier: Apache-2.0
// Writes what torch.save writes: the zip archive of a state dict, which torch.load(..., weights_only=True) reads.
#pragma once

#include "hici/base/file.h"
#include "hici/io/safetensors.h"

#include <vector>

namespace hici::io {

// A dict of names to contiguous CPU tensors, each with a storage of its own; float64, float32, float16 and bfloat16.
// One tensor is in memory at a time. An empty tensor, a second one of the same name and a shape that differs from the
// promised one are errors, and nothing appears under `path`.
void write_torch_file(const fs::path& path, const std::vector<TensorToWrite>& tensors);

}  // namespace hici::io
