// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/benchmark_prompts.h"

#include "hici/base/error.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "text/trained.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

using generate::Ids;

class BenchmarkPromptsTest : public ::testing::Test {
 protected:
  BenchmarkPromptsTest() : tokenizer_(testing::train_small_tokenizer(folder_, /*puts_bos=*/true)) {}
  Ids encoded(const std::string& text, bool with_special_tokens) const {
    const text::Ids ids = tokenizer_.encode(text, with_special_tokens);
    return Ids(ids.begin(), ids.end());
  }
  Ids chat(ChatForm form) const { return BenchmarkPrompts(tokenizer_, form, folder_.path()).chat("Who?", "x"); }

  testing::TemporaryFolder folder_;
  text::Tokenizer tokenizer_;
};

TEST_F(BenchmarkPromptsTest, FormsAreThoseOfTheBenchmarksBehindBos) {
  EXPECT_EQ(chat(ChatForm::kVicuna),
            encoded("A chat between a curious user and an artificial intelligence assistant. The assistant gives "
                    "helpful, detailed, and polite answers to the user's questions. USER: Who? ASSISTANT:",
                    true));
  EXPECT_EQ(chat(ChatForm::kLlama2), encoded("[INST]Who?[/INST]", true));
  const BenchmarkPrompts prompts(tokenizer_, std::nullopt, folder_.path());
  EXPECT_EQ(prompts.chat("Who?", "x"), encoded("Who?", true));
  EXPECT_EQ(prompts.text("Who?", "x").front(), 0) << "<s>";
  EXPECT_ERROR_SAYS(prompts.chat("", "a.jsonl: line 2"), "a.jsonl: line 2: is empty");
}

TEST_F(BenchmarkPromptsTest, AModelsTemplateWritesItsOwnBosAndIsAskedNotToThink) {
  EXPECT_ERROR_SAYS(chat(ChatForm::kModel), "has no chat template");
  write_file_atomically(folder_ / "chat_template.jinja",
                        "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
                        "{% if add_generation_prompt %}<a>{% endif %}"
                        "{% if enable_thinking is defined and enable_thinking is false %}<n>{% endif %}");
  EXPECT_EQ(chat(ChatForm::kModel), encoded("<s><user>Who?<a><n>", false));
}

TEST_F(BenchmarkPromptsTest, AnAnswersTextHasTheTokenThatEndedIt) {
  const BenchmarkPrompts prompts(tokenizer_, std::nullopt, folder_.path());
  const int64_t newline = encoded("\n", false).back();
  generate::Answer answer{.ids = encoded("The dog", false)};
  EXPECT_EQ(prompts.answer_text(answer), "The dog");
  answer.finish_reason = generate::FinishReason::kStopToken;
  answer.stop_id = newline;
  EXPECT_EQ(prompts.answer_text(answer), "The dog\n");
  answer.stop_id = 1;
  EXPECT_EQ(prompts.answer_text(answer), "The dog") << "</s> is special";
}

TEST(ChatFormTest, NamesAreKnownBothWays) {
  for (const char* name : {"model", "vicuna", "llama2", "llama2_chat", "alpaca"}) {
    EXPECT_STREQ(name_of(parse_enum<ChatForm>(name, "`x`")), name);
  }
  EXPECT_ERROR_SAYS(parse_enum<ChatForm>("chatml", "`x`"), "`x`: unknown template 'chatml'; use model, vicuna");
}

}  // namespace
}  // namespace hici::eval
