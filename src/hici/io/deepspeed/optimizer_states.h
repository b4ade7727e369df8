// SPDX-License-Identifier: Apache-2.0
// What the ..._optim_states.pt of all ranks hold of the weights: flat vectors in float32, from which bfloat16 weights
// are made after each step.
#pragma once

#include "hici/io/deepspeed/dump_folder.h"
#include "hici/io/deepspeed/model_states.h"
#include "hici/io/deepspeed/saved_tensor.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace hici::io {

struct OptimizerStates {
  int64_t stage = 0;                              // 1, 2 or 3
  std::vector<std::vector<SavedTensor>> vectors;  // of each rank those of each group
  // Elements between the parameters of each group (param_alignment_paddings, DeepSpeed 0.19.7 and later); empty: none.
  std::vector<std::vector<int64_t>> paddings;
  std::vector<std::shared_ptr<const DumpFile>> files;

  int64_t world_size() const { return static_cast<int64_t>(vectors.size()); }
};

// An hici::Error that names the file if it is of another number of ranks or of another stage than the others.
OptimizerStates read_optimizer_states(const DumpFiles& dump);

// At stages 1 and 2 a group is one vector, cut into equal parts for the ranks; what the last parts had to be longer is
// not stored. At stage 3 each rank has its share of each parameter, in vectors that a share may cross. What every rank
// has beyond the parameters is no weight.
//
// Where the vectors do not hold all parameters, or more than them, an hici::Error names parameter or group.
struct FlatPlaces {
  std::vector<FlatVector> vectors;           // stages 1 and 2: one of each group; stage 3: one of each rank
  std::vector<std::vector<int64_t>> begins;  // of each group's parameters, in elements of their vector
};
FlatPlaces place_parameters(const OptimizerStates& states, const ParameterGroups& groups);

// Elements of a parameter in each rank's share at stage 3; the last ranks may have less of the parameter itself.
constexpr int64_t share_of_rank(int64_t count, int64_t world_size) { return (count + world_size - 1) / world_size; }

}  // namespace hici::io
