// SPDX-License-Identifier: Apache-2.0
// What a ..._model_states.pt of DeepSpeed says: which parameters were trained, in which order they lie in the flat
// vectors of the optimizer, and tensors that are stored whole.
#pragma once

#include "hici/io/deepspeed/saved_tensor.h"
#include "hici/io/torch/pickled_record.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::io {

struct ParameterShape {
  std::string name;
  std::vector<int64_t> shape;
  int64_t count = 0;  // of elements

  bool operator==(const ParameterShape&) const = default;
};

// Parameters in the order of the flat vectors, by group of the optimizer. That is `param_shapes`; the other list,
// `param_slice_mappings`, is wrong where gradients are shared out in turns (round_robin_gradients).
using ParameterGroups = std::vector<std::vector<ParameterShape>>;

// Whether the file says what was trained. Files of runs without ZeRO do not.
bool names_trained_parameters(const PickledValue& root);

// Errors name file and place; names differ.
ParameterGroups trained_groups(const PickledValue& root);
// `frozen_param_shapes`; empty where the checkpoint has none (stage 1, exclude_frozen_parameters).
std::vector<ParameterShape> frozen_shapes(const PickledValue& root);
// Names under which another parameter is known too: (new name, its holder).
std::vector<std::pair<std::string, std::string>> shared_names(const PickledValue& root);

// An hici::Error that names the setting unless the run kept its weights in a way that is read: no tensor parallelism,
// experts, hierarchical or quantized partitions (ZeRO++, MiCS), ZenFlow, or offloading to NVMe.
void refuse_unsupported_runs(const PickledValue& root);

// Whether a universal checkpoint of this run mixes up its parameters: DeepSpeed makes them from `param_slice_mappings`.
bool mixes_up_universal(const PickledValue& root);

}  // namespace hici::io
