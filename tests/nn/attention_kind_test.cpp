// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/attention_kind.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::nn {
namespace {

TEST(AttentionKindTest, EveryKindHasANameThatReadsBack) {
  using enum AttentionKind;
  for (const AttentionKind kind : {kFull, kSegments, kS2, kHici, kDca}) {
    const std::string_view name = attention_kind_name(kind);
    EXPECT_EQ(attention_kind_from_name(name, "--x", {.names = {name}, .way_out = ""}), kind) << name;
  }
}

TEST(AttentionKindTest, ReadsTheNamesOfTheResearchScriptsWhereTheyAreOffered) {
  const OfferedAttention offered{.names = {"full_attn", "longlora", "chunked", "None"}, .way_out = ""};
  EXPECT_EQ(attention_kind_from_name("full_attn", "--x", offered), AttentionKind::kFull);
  EXPECT_EQ(attention_kind_from_name("longlora", "--x", offered), AttentionKind::kS2);
  EXPECT_EQ(attention_kind_from_name("chunked", "--x", offered), AttentionKind::kHici);
  EXPECT_EQ(attention_kind_from_name("None", "--x", offered), AttentionKind::kHici);
}

TEST(AttentionKindTest, RefusesWhatIsNotOffered) {
  EXPECT_ERROR_SAYS(attention_kind_from_name("segments", "--attention"),
                    "--attention: unknown attention 'segments'; use hici, full, s2 (training only) or dca");
  EXPECT_ERROR_SAYS(
      attention_kind_from_name("s2", "--eval_mode", {.names = {"full"}, .what = "mode", .way_out = "use full"}),
      "--eval_mode: unknown mode 's2'; use full");
}

TEST(AttentionKindTest, HiciWithoutAHierarchyIsAttentionInsideSegments) {
  EXPECT_EQ(attention_in_force(AttentionKind::kHici, true), AttentionKind::kHici);
  EXPECT_EQ(attention_in_force(AttentionKind::kHici, false), AttentionKind::kSegments);
  EXPECT_EQ(attention_in_force(AttentionKind::kFull, false), AttentionKind::kFull);
}

}  // namespace
}  // namespace hici::nn
