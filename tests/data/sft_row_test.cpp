// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/row.h"

#include "hici/data/sft/prompt.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::data {
namespace {

// The texts of LongLoRA's supervised-fine-tune.py (PROMPT_DICT).
TEST(MakePromptTest, WritesTheTextsOfTheResearchCode) {
  EXPECT_EQ(make_prompt(PromptStyle::kLlama2, "Why?", ""), "[INST]Why?[/INST]");
  EXPECT_EQ(make_prompt(PromptStyle::kLlama2, "Why?", "A paper."), "[INST]Why?\nA paper.[/INST]");
  const std::string system =
      "[INST] <<SYS>>\nYou are a helpful, respectful and honest assistant. Always answer as helpfully as possible, "
      "while "
      "being safe.  Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or "
      "illegal "
      "content. Please ensure that your responses are socially unbiased and positive in nature.\n\nIf a question does "
      "not "
      "make any sense, or is not factually coherent, explain why instead of answering something not correct. If you "
      "don't "
      "know the answer to a question, please don't share false information.\n<</SYS>> \n\n ";
  EXPECT_EQ(make_prompt(PromptStyle::kLlama2Chat, "Why?", ""), system + "Why? [/INST]");
  EXPECT_EQ(make_prompt(PromptStyle::kLlama2Chat, "Why?", "A paper."), system + "Why?\nA paper. [/INST]");
  EXPECT_EQ(make_prompt(PromptStyle::kAlpaca, "Why?", ""),
            "Below is an instruction that describes a task. Write a response that appropriately completes the "
            "request.\n\n### Instruction:\nWhy?\n\n### Response:");
  EXPECT_EQ(
      make_prompt(PromptStyle::kAlpaca, "Why?", "A paper."),
      "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
      "response that appropriately completes the request.\n\n### Instruction:\nWhy?\n\n### Input:\nA "
      "paper.\n\n### Response:");
}

TEST(ParseSftRowTest, ReadsInstructions) {
  const SftRow row = parse_sft_row(R"({"instruction": "a", "input": null, "output": "b", "file": 7})", "f");
  EXPECT_FALSE(row.is_chat());
  EXPECT_EQ(row.instruction + "|" + row.input + "|" + row.output, "a||b");
  EXPECT_EQ(parse_sft_row(R"({"instruction": "a", "input": "c", "output": "b"})", "f").input, "c");
}

TEST(ParseSftRowTest, ReadsBothFormsOfConversations) {
  const SftRow turns = parse_sft_row(
      R"({"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]})",
      "f");
  EXPECT_EQ(turns.messages.dump(), R"([{"role":"system","content":"s"},{"role":"user","content":"q"},)"
                                   R"({"role":"assistant","content":"a"}])");
  // What a message holds beside its text reaches the template as it is, keys in their order.
  const std::string messages = R"([{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"z":1,"a":2}]}])";
  EXPECT_EQ(parse_sft_row("{\"messages\": " + messages + "}", "f").messages.dump(), messages);
}

TEST(ParseSftRowTest, NamesTheRowThatHasNoAnswer) {
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"instruction": "a"})", "f: line 3"),
                    "f: line 3: has no 'output', the answer to learn");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"instruction": "a", "output": null})", "f: line 3"),
                    "f: line 3: has no 'output'");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"instruction": "a", "output": ""})", "f"),
                    "'output', the answer to learn, is empty");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"messages": []})", "f"), "f: messages is [], expected a list of turns");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"messages": [{"content": "x"}]})", "f"), "f: messages: has no 'role'");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"messages": [{"role": "user", "content": "x"}]})", "f"),
                    "no turn of the assistant");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"conversations": [{"from": "x", "value": "y"}]})", "f"),
                    "from \"x\" is no speaker; use human, gpt, system, tool, function_call or observation");
  EXPECT_ERROR_SAYS(parse_sft_row("[1]", "f"), "f: is [1], expected a JSON object");
}

}  // namespace
}  // namespace hici::data
