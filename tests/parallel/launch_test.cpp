// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/launch.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <map>

namespace hici::parallel {
namespace {

using Variables = std::map<std::string, std::string>;

Launch launch_in(const Variables& variables) {
  const Environment environment = [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  return launch_of(process_rank(environment), environment);
}

TEST(LaunchTest, OneProcessMeetsNobody) { EXPECT_EQ(launch_in({}).address, ""); }

TEST(LaunchTest, TorchrunSaysWhereAndItsAgentHostsTheStore) {
  Variables torchrun{{"RANK", "1"},
                     {"WORLD_SIZE", "2"},
                     {"LOCAL_RANK", "1"},
                     {"MASTER_ADDR", "n1"},
                     {"MASTER_PORT", "29500"},
                     {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                     {"TORCHELASTIC_RUN_ID", "x"},
                     {"TORCHELASTIC_RESTART_COUNT", "0"}};
  const Launch first = launch_in(torchrun);
  EXPECT_EQ(first.address, "n1");
  EXPECT_EQ(first.port, 29500);
  EXPECT_TRUE(first.has_agent_store);
  torchrun.insert_or_assign("TORCHELASTIC_RESTART_COUNT", std::string("1"));
  EXPECT_NE(launch_in(torchrun).key_prefix, first.key_prefix) << "the agent's store keeps what the first start left";
}

TEST(LaunchTest, ASlurmStepMeetsAtItsFirstHostAndAPortOfItsOwn) {
  Variables slurm{{"SLURM_PROCID", "3"},         {"SLURM_STEP_NUM_TASKS", "4"},
                  {"SLURM_LOCALID", "1"},        {"SLURM_STEP_NODELIST", "gpu[07-08]"},
                  {"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_JOB_ID", "1234"},
                  {"SLURM_STEP_ID", "0"}};
  const Launch launch = launch_in(slurm);
  EXPECT_EQ(launch.address, "gpu07");
  EXPECT_GE(launch.port, 20000);
  EXPECT_LT(launch.port, 32000);
  EXPECT_FALSE(launch.has_agent_store);
  slurm.insert_or_assign("SLURM_STEP_ID", std::string("1"));
  EXPECT_NE(launch_in(slurm).port, launch.port);
  slurm.insert_or_assign("SLURM_STEP_NUM_NODES", std::string("1"));
  EXPECT_EQ(launch_in(slurm).address, "127.0.0.1");
}

TEST(LaunchTest, MpirunNeedsAnAddressOnSeveralHosts) {
  Variables mpi{{"OMPI_COMM_WORLD_RANK", "0"},
                {"OMPI_COMM_WORLD_SIZE", "2"},
                {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                {"PMIX_NAMESPACE", "prterun-n1-77@1"}};
  EXPECT_EQ(launch_in(mpi).address, "127.0.0.1");
  mpi.insert_or_assign("OMPI_COMM_WORLD_LOCAL_SIZE", std::string("1"));
  EXPECT_NE(testing::error_message([&] { launch_in(mpi); }).find("set MASTER_ADDR"), std::string::npos);
  mpi.insert_or_assign("MASTER_ADDR", std::string("n1"));
  EXPECT_EQ(launch_in(mpi).address, "n1");
}

TEST(LaunchTest, APortThatIsNoneIsRefused) {
  for (const char* port : {"0", "65536", "port", "-1"}) {
    const std::string message = testing::error_message([&] {
      launch_in(
          {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "n1"}, {"MASTER_PORT", port}});
    });
    EXPECT_NE(message.find("MASTER_PORT"), std::string::npos) << port;
  }
}

TEST(LaunchTest, FirstHostOfANodeList) {
  EXPECT_EQ(first_host("login1"), "login1");
  EXPECT_EQ(first_host("a,b"), "a");
  EXPECT_EQ(first_host("gpu[03-05,11],login1"), "gpu03");
  EXPECT_EQ(first_host("gpu[9,11]"), "gpu9");
  EXPECT_EQ(first_host("n1,gpu[9,11]"), "n1");
  EXPECT_EQ(first_host("n[01-02].cluster,login1"), "n01.cluster");
  EXPECT_EQ(first_host("gpu["), "");
  EXPECT_EQ(first_host("gpu[1"), "");
  EXPECT_EQ(first_host(""), "");
}

}  // namespace
}  // namespace hici::parallel
