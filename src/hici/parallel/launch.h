// SPDX-License-Identifier: Apache-2.0
// Where the processes of a run meet, as their launcher says in the environment: torchrun, srun or mpirun.
#pragma once

#include "hici/base/process_rank.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace hici::parallel {

struct Launch {
  ProcessRank process;
  std::string address;  // host of the store
  uint16_t port = 0;
  // The launcher's agent hosts the store, and every process is a client of it; else rank 0 hosts it.
  bool has_agent_store = false;
  // Begins every key: another start of the same run (torchrun --max_restarts), or another run at the same port, must
  // not read this one's.
  std::string key_prefix;
};

// The address is that of MASTER_ADDR and MASTER_PORT where they are set (torchrun sets them). Else
//   Slurm     the first host of the step's node list, and a port from the numbers of job and step
//   mpirun    this host when all processes are on it, and a port from the name of the job
// An hici::Error where nothing says the address, and for an address or port that makes no sense. For one process the
// address is empty.
Launch launch_of(const ProcessRank& process, const Environment& environment);
Launch launch_of_this_process();

// The first host of a node list as Slurm writes it: "gpu[03-05,11],login1" -> "gpu03". Empty for what is none.
std::string first_host(std::string_view node_list);

}  // namespace hici::parallel
