// SPDX-License-Identifier: Apache-2.0
// Compares what a pickle says of a tensor with the record of the archive that holds its storage.
#pragma once

#include "hici/io/torch/archive.h"
#include "hici/io/torch/pickled_tensor.h"

#include <string>

namespace hici::io {

// The record of the tensor's storage.
std::string storage_record(const PickledTensor& tensor);

// An error that names the tensor, as `name`, unless its storage is a record of the archive with as many elements as the
// tensor's type and the pickle say, and its elements lie in that storage and are no more than it has.
void check_view(const TorchArchive& archive, const PickledTensor& tensor, const std::string& name);

// First index past the last element of the storage that a checked tensor touches; 0 for one without elements.
int64_t view_end(const PickledTensor& tensor);

}  // namespace hici::io
