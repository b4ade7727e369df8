// SPDX-License-Identifier: Apache-2.0
#include "hici/config/lora_targets.h"

#include "hici/config/hici_config.h"

#include <gtest/gtest.h>

namespace hici::config {
namespace {

TEST(LoraTargetsTest, EveryNameIsATargetAndIsNamedInMessages) {
  LoraConfig lora;
  EXPECT_NO_THROW(lora.validate());
  lora.targets.assign(kLoraTargets.begin(), kLoraTargets.end());
  EXPECT_NO_THROW(lora.validate());
  EXPECT_EQ(lora_target_names(), "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
  EXPECT_FALSE(is_lora_target("lm_head"));
  EXPECT_FALSE(is_lora_target(""));
}

}  // namespace
}  // namespace hici::config
