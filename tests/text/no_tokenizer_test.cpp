// SPDX-License-Identifier: Apache-2.0
// A binary without the Rust crate says so.
#include "hici/text/answers.h"
#include "hici/text/bpe_training.h"
#include "hici/text/chat_template.h"
#include "hici/text/http.h"
#include "hici/text/tokenizer.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::text {
namespace {

TEST(NoTokenizerTest, SaysHowToGetTextSupport) {
  EXPECT_FALSE(has_text_support());
  EXPECT_ERROR_SAYS(Tokenizer::from_path("model"),
                    "model: this hici was built without text support (HICI_TEXT=OFF); install Rust");
  EXPECT_ERROR_SAYS(BpeTraining({}), "built without text support");
  EXPECT_ERROR_SAYS(english_words("a"), "built without text support");
  EXPECT_ERROR_SAYS(post_json({}), "built without text support");
  EXPECT_ERROR_SAYS(ChatTemplate::from_source("", "", {}), "built without text support");
}

}  // namespace
}  // namespace hici::text
