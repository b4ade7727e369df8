// SPDX-License-Identifier: Apache-2.0
#include "hici/base/process_rank.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace hici {
namespace {

ProcessRank rank_in(const std::map<std::string, std::string>& variables) {
  return process_rank([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(ProcessRank, IsOneProcessWithoutALauncher) {
  const ProcessRank process = rank_in({});
  EXPECT_EQ(process.rank, 0);
  EXPECT_EQ(process.world, 1);
  EXPECT_EQ(process.local_rank, 0);
}

TEST(ProcessRank, ReadsTorchrun) {
  const ProcessRank process = rank_in({{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}});
  EXPECT_EQ(process.rank, 5);
  EXPECT_EQ(process.world, 8);
  EXPECT_EQ(process.local_rank, 1);
}

TEST(ProcessRank, ReadsASlurmStep) {
  const ProcessRank process = rank_in({{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_LOCALID", "3"}});
  EXPECT_EQ(process.rank, 3);
  EXPECT_EQ(process.world, 4);
  EXPECT_EQ(process.local_rank, 3);
}

TEST(ProcessRank, ABatchScriptOfSlurmIsOneProcess) {
  EXPECT_EQ(rank_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}, {"SLURM_LOCALID", "0"}}).world, 1);
}

TEST(ProcessRank, TorchrunWithinASlurmStepCounts) {
  const ProcessRank process = rank_in({{"RANK", "1"},
                                       {"WORLD_SIZE", "2"},
                                       {"LOCAL_RANK", "1"},
                                       {"SLURM_PROCID", "0"},
                                       {"SLURM_STEP_NUM_TASKS", "1"},
                                       {"SLURM_LOCALID", "0"}});
  EXPECT_EQ(process.rank, 1);
  EXPECT_EQ(process.world, 2);
}

TEST(ProcessRank, ReadsMpirunAlsoWithinASlurmStepOfItsDaemons) {
  const std::map<std::string, std::string> step{
      {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_LOCALID", "0"}};
  std::map<std::string, std::string> open_mpi{{"OMPI_COMM_WORLD_RANK", "2"},
                                              {"OMPI_COMM_WORLD_SIZE", "4"},
                                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                              {"PMIX_RANK", "2"}};
  std::map<std::string, std::string> mpich{{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "1"}};
  for (auto* variables : {&open_mpi, &mpich}) {
    variables->insert(step.begin(), step.end());
    const ProcessRank process = rank_in(*variables);
    EXPECT_EQ(process.rank, 2);
    EXPECT_EQ(process.world, 4);
    EXPECT_EQ(process.local_rank, 1);
  }
  EXPECT_STREQ(rank_in(open_mpi).said_by, "OMPI_COMM_WORLD_SIZE");
}

// srun --mpi=pmix and --mpi=pmi2 set these beside Slurm's own.
TEST(ProcessRank, PmiVariablesOfSlurmChangeNothing) {
  const ProcessRank process = rank_in({{"SLURM_PROCID", "3"},
                                       {"SLURM_STEP_NUM_TASKS", "4"},
                                       {"SLURM_LOCALID", "3"},
                                       {"PMI_RANK", "3"},
                                       {"PMI_SIZE", "4"},
                                       {"PMIX_RANK", "3"}});
  EXPECT_EQ(process.rank, 3);
  EXPECT_EQ(process.world, 4);
}

TEST(ProcessRank, NamesTheVariableThatIsWrong) {
  EXPECT_ERROR_SAYS(rank_in({{"RANK", "8"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "0"}}), "RANK: '8'");
  EXPECT_ERROR_SAYS(rank_in({{"RANK", "0"}, {"WORLD_SIZE", "two"}, {"LOCAL_RANK", "0"}}), "WORLD_SIZE: 'two'");
  EXPECT_ERROR_SAYS(rank_in({{"RANK", "0"}, {"WORLD_SIZE", ""}, {"LOCAL_RANK", "0"}}), "WORLD_SIZE: ''");
  EXPECT_ERROR_SAYS(rank_in({{"WORLD_SIZE", "2"}, {"RANK", "1"}}), "LOCAL_RANK: is not set");
  EXPECT_ERROR_SAYS(rank_in({{"PMIX_RANK", "0"}}), "PMIX_RANK: is set, but nothing says how many processes there are");
}

}  // namespace
}  // namespace hici
