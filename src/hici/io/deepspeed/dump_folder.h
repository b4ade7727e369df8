// SPDX-License-Identifier: Apache-2.0
// The files of a training checkpoint of DeepSpeed. engine.save_checkpoint(D) and Trainer's checkpoint-N have
//
//   D/latest                                                  the name of the newest folder below
//   D/global_stepN/mp_rank_00_model_states.pt                 stages 1 and 2: one for all ranks
//   D/global_stepN/zero_pp_rank_R_mp_rank_00_model_states.pt  stage 3: one of each rank
//   D/global_stepN/[bf16_]zero_pp_rank_R_mp_rank_00_optim_states.pt
//
// A universal checkpoint (ds_to_universal.py) has zero/NAME/fp32.pt instead of the last, and is named by
// D/latest_universal.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::io {

// Whether `folder` holds ..._states.pt, whatever it is called: any name may be given to engine.save_checkpoint(), and
// accelerate gives "pytorch_model". False for a folder that cannot be looked into.
bool holds_states(const std::filesystem::path& folder);

// The name of what shows that DeepSpeed wrote `checkpoint`: "global_step8", or "zero_to_fp32.py" where the folder is
// gone. Empty when nothing does.
std::string trace_of_deepspeed(const std::filesystem::path& checkpoint);

// The folder that `latest` names, or without `latest` the only global_stepN. Nothing when there is none. An hici::Error
// when `latest` names one of several that is not there, or nothing says which of several is meant.
std::optional<std::filesystem::path> find_dump_folder(const std::filesystem::path& checkpoint);

struct DumpFiles {
  std::filesystem::path folder;
  std::vector<std::filesystem::path> model_states;      // by rank; one at stages 1 and 2
  bool is_partitioned = false;                          // stage 3: model states of each rank
  std::vector<std::filesystem::path> optimizer_states;  // by rank; none of a universal checkpoint
  bool is_universal = false;
};

// Ranks in the order of their numbers. An hici::Error that names the file: a rank that is missing; files of two runs;
// tensor or pipeline parallelism and experts, which are not read.
DumpFiles list_dump(const std::filesystem::path& folder);

}  // namespace hici::io
