// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/prompt_length.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::generate {
namespace {

const Ids kPrompt{1, 2, 3, 4, 5, 6, 7};

TEST(FitPromptTest, APromptThatFitsIsLeftAlone) {
  for (const Truncation way : {Truncation::kError, Truncation::kMiddle, Truncation::kLeft}) {
    EXPECT_EQ(fit_prompt(kPrompt, 7, way, "prompt"), kPrompt);
  }
}

TEST(FitPromptTest, TheMiddleGoesAndTheBeginningKeepsOneMore) {
  EXPECT_EQ(fit_prompt(kPrompt, 5, Truncation::kMiddle, "prompt"), (Ids{1, 2, 3, 6, 7}));
  EXPECT_EQ(fit_prompt(kPrompt, 4, Truncation::kMiddle, "prompt"), (Ids{1, 2, 6, 7}));
  EXPECT_EQ(fit_prompt(kPrompt, 1, Truncation::kMiddle, "prompt"), (Ids{1}));
}

TEST(FitPromptTest, TheBeginningGoesButForWhatIsKept) {
  EXPECT_EQ(fit_prompt(kPrompt, 3, Truncation::kLeft, "prompt"), (Ids{5, 6, 7}));
  EXPECT_EQ(fit_prompt(kPrompt, 3, Truncation::kLeft, "prompt", 1), (Ids{1, 6, 7}));
  EXPECT_EQ(fit_prompt(kPrompt, 1, Truncation::kLeft, "prompt", 2), (Ids{1}));
}

TEST(FitPromptTest, ErrorsNameLengthRoomAndWaysOut) {
  auto message = [](const Ids& prompt) {
    return testing::error_message([&] { fit_prompt(prompt, 5, Truncation::kError, "a.txt"); });
  };
  EXPECT_EQ(message(kPrompt),
            "a.txt: has 7 tokens, the context leaves room for 5; shorten it, give `truncate` middle or left, fewer "
            "`max_new_tokens` or a larger `context_size`");
  EXPECT_EQ(message({}), "a.txt: is empty; give at least one token");
  EXPECT_EQ(testing::error_message([] { parse_enum<Truncation>("right", "`truncate`"); }),
            "`truncate`: unknown way 'right'; use error, middle or left");
}

}  // namespace
}  // namespace hici::generate
