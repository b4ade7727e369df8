// SPDX-License-Identifier: Apache-2.0
#include "hici/base/process_rank.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"

#include <array>
#include <cstdlib>
#include <string_view>

namespace hici {
namespace {

constexpr int64_t kMaxProcesses = 1 << 20;

struct Names {
  const char* mark;  // set by this launcher and no other
  const char* rank;
  const char* world;
  const char* local_rank;
};
// The inner one first: torchrun may run in a step of Slurm, and mpirun starts its daemons, whose variables its
// processes inherit, as such a step.
constexpr std::array kLaunchers{
    Names{"WORLD_SIZE", "RANK", "WORLD_SIZE", "LOCAL_RANK"},  // torchrun
    Names{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    Names{"MPI_LOCALRANKID", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},  // mpirun of MPICH and Intel MPI
    Names{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
};
constexpr const char* kPmixRank = "PMIX_RANK";

int64_t number_of(const Environment& environment, const char* name, int64_t low, int64_t high) {
  const char* value = environment(name);
  HICI_CHECK(value != nullptr, name,
             ": is not set, but others of its launcher's variables are; start with torchrun, srun or mpirun, or unset "
             "them");
  const std::string_view text = value;
  const auto number = parse_number<int64_t>(text);
  HICI_CHECK(number && *number >= low && *number <= high, name, ": '", printable(text),
             "' in the environment is no number from ", low, " to ", high,
             "; start with torchrun, srun or mpirun, or unset it");
  return *number;
}

ProcessRank read(const Environment& environment, const Names& names) {
  ProcessRank process;
  process.world = number_of(environment, names.world, 1, kMaxProcesses);
  process.rank = number_of(environment, names.rank, 0, process.world - 1);
  process.local_rank = number_of(environment, names.local_rank, 0, process.rank);
  process.said_by = names.world;
  return process;
}

}  // namespace

ProcessRank process_rank(const Environment& environment) {
  for (const Names& names : kLaunchers) {
    if (environment(names.mark) != nullptr) return read(environment, names);
  }
  HICI_CHECK(
      environment(kPmixRank) == nullptr, kPmixRank,
      ": is set, but nothing says how many processes there are; start with torchrun, srun or mpirun, or unset it");
  return {};
}

ProcessRank process_rank() {
  return process_rank([](const char* name) -> const char* { return std::getenv(name); });
}

std::string rank_label() noexcept {
  try {
    const ProcessRank process = process_rank();
    return process.world == 1 ? "" : detail::concat(" [rank ", process.rank, " of ", process.world, "]");
  } catch (const Error&) {
    return "";
  }
}

}  // namespace hici
