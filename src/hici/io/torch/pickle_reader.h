// SPDX-License-Identifier: Apache-2.0
// The pickle inside a .bin file, read without running anything. Every class that the pickle names must be on the short
// list of pickle_machine; anything else is an error that names it.
#pragma once

#include "hici/io/torch/pickled_tensor.h"

#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

// The pickle of a state dict: a (possibly ordered) dict from names to tensors or parameters, in its order. Names differ
// and are at most kMaxTensorNameLength long.
std::vector<PickledTensor> read_pickled_state_dict(std::string_view pickle, const std::string& subject);

}  // namespace hici::io
