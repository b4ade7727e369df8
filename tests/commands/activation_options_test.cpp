// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/activation_options.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

using enum nn::ActivationPolicy;

std::optional<nn::ActivationPolicy> policy_of(const std::string& arguments) {
  CLI::App app;
  ActivationOptions options;
  options.bind(app);
  app.parse(arguments);
  return options.resolve();
}

TEST(ActivationOptionsTest, EitherNameDecidesAndNothingTypedIsAuto) {
  EXPECT_EQ(policy_of(""), std::nullopt);
  EXPECT_EQ(policy_of("--activation_policy auto"), std::nullopt);
  EXPECT_EQ(policy_of("--activation_policy offload"), kOffload);
  EXPECT_EQ(policy_of("--gradient_checkpointing True"), kRecompute);
  EXPECT_EQ(policy_of("--gradient_checkpointing False"), kKeep);
  EXPECT_EQ(policy_of("--gradient_checkpointing --activation_policy recompute"), kRecompute);
  EXPECT_EQ(policy_of("--gradient_checkpointing False --activation_policy recompute_mlp"), kRecomputeMlp);
}

TEST(ActivationOptionsTest, ContradictionsAndUnknownPoliciesAreUsageErrors) {
  EXPECT_ERROR_SAYS(policy_of("--gradient_checkpointing True --activation_policy keep"),
                    "--activation_policy: keep contradicts --gradient_checkpointing True");
  EXPECT_ERROR_SAYS(policy_of("--gradient_checkpointing True --activation_policy auto"), "contradicts");
  EXPECT_ERROR_SAYS(policy_of("--gradient_checkpointing False --activation_policy recompute"), "contradicts");
  EXPECT_ERROR_SAYS(policy_of("--activation_policy all"), "unknown policy 'all'; use auto, keep");
}

}  // namespace
}  // namespace hici::commands
