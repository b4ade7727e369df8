// SPDX-License-Identifier: Apache-2.0
// The weights of a training checkpoint of DeepSpeed (ZeRO stages 1, 2, 3, universal checkpoints), without
// zero_to_fp32.py: the optimizer's float32 weights of what was trained, put together from all ranks, and what was
// frozen in the model's type. Values, names and types are those of get_fp32_state_dict_from_zero_checkpoint(), and at
// stage 1 also the frozen weights, which that leaves out.
#pragma once

#include "hici/io/tensor_source.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hici::io {

struct TrainingDump {
  std::filesystem::path folder;                // global_stepN
  std::shared_ptr<const TensorSource> source;  // reads one tensor at a time
  std::set<std::string> trained;               // names of the source that the optimizer had
  std::vector<std::filesystem::path> files;    // with data
  std::function<void()>
      finish;  // compares with their checksums what was read in part; to be called after the last read
  int64_t world_size = 0;
};

// An hici::Error that names file, parameter or setting: damaged files, files of other runs, sizes that do not add up,
// and what is not read (dump_folder.h, model_states.h).
TrainingDump open_training_dump(const std::filesystem::path& folder);

// The names of what was trained, from one file. Nothing where the file says nothing of it.
std::optional<std::vector<std::string>> trained_names(const std::filesystem::path& folder);

}  // namespace hici::io
