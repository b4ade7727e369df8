// SPDX-License-Identifier: Apache-2.0
// Which of several processes this one is, as its launcher says in the environment.
#pragma once

#include <cstdint>
#include <functional>

namespace hici {

struct ProcessRank {
  int64_t rank = 0;        // in [0, world)
  int64_t world = 1;       // processes of the run, on all nodes
  int64_t local_rank = 0;  // among those of this node
};

// The value of an environment variable, NULL when it is not set.
using Environment = std::function<const char*(const char* name)>;

// torchrun's RANK, WORLD_SIZE and LOCAL_RANK; else those of a Slurm step (srun: SLURM_PROCID, SLURM_STEP_NUM_TASKS,
// SLURM_LOCALID); else one process. A batch script of Slurm that starts hici without srun is one process, whatever its
// --ntasks. Throws hici::Error for numbers that make no sense, and where only a part of torchrun's is set.
ProcessRank process_rank();
ProcessRank process_rank(const Environment& environment);

}  // namespace hici
