// SPDX-License-Identifier: Apache-2.0
// Which of several processes this one is, as its launcher says in the environment.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace hici {

struct ProcessRank {
  int64_t rank = 0;               // in [0, world)
  int64_t world = 1;              // processes of the run, on all nodes
  int64_t local_rank = 0;         // among those of this node
  const char* said_by = nullptr;  // the variable that has the number of processes; NULL without a launcher
};

// The value of an environment variable, NULL when it is not set.
using Environment = std::function<const char*(const char* name)>;

// torchrun's RANK, WORLD_SIZE and LOCAL_RANK; else mpirun's (Open MPI: OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK; MPICH
// and Intel MPI: PMI_RANK, PMI_SIZE, MPI_LOCALRANKID); else those of a Slurm step (srun: SLURM_PROCID,
// SLURM_STEP_NUM_TASKS, SLURM_LOCALID); else one process. A batch script of Slurm that starts hici without srun is one
// process, whatever its --ntasks. Throws hici::Error for numbers that make no sense, where only a part of a launcher's
// variables is set, and for a PMIX_RANK alone, which says no number of processes.
ProcessRank process_rank();
ProcessRank process_rank(const Environment& environment);

// " [rank 1 of 4]", for what begins the lines of a process; "" of one process, and where nothing sensible is said.
std::string rank_label() noexcept;

}  // namespace hici
