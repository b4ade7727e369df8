// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/row.h"

#include "hici/data/sft/columns.h"
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

TEST(ParseSftRowTest, ReadsWhatStandsBesideAConversation) {
  const SftRow row = parse_sft_row(
      R"({"system": "s", "tools": "[{\"z\": 1, \"a\": null}]", "chat_template_kwargs": {"x": 2}, "id": 7, "y": null,)"
      R"( "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0},)"
      R"( {"from": "gpt", "value": "b", "train": true}]})",
      "f");
  EXPECT_EQ(row.form, SftForm::kChat);
  EXPECT_EQ(row.variables.dump(), R"({"x":2,"tools":[{"z":1,"a":null}]})");
  EXPECT_EQ(row.messages.front().dump(), R"({"role":"system","content":"s"})");
  EXPECT_EQ(row.messages.back().dump(), R"({"role":"assistant","content":"b","train":true})");
  EXPECT_EQ(row.is_learned, (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(row.unused, std::vector<std::string>{"id"});
}

TEST(ParseSftRowTest, ReadsCallsAndResultsOfShareGpt) {
  const SftRow row = parse_sft_row(
      R"({"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{\"name\": \"f\"}"},)"
      R"( {"from": "observation", "value": "1"}]})",
      "f");
  EXPECT_EQ(
      row.messages[1].dump(),
      R"({"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}}]})");
  EXPECT_EQ(row.messages[2].dump(), R"({"role":"tool","content":"1"})");
}

TEST(ParseSftRowTest, ReadsPromptAndCompletion) {
  const SftRow texts = parse_sft_row(R"({"prompt": "p", "completion": "c"})", "f");
  EXPECT_EQ(texts.form, SftForm::kPrompt);
  EXPECT_EQ(texts.prompt + "|" + texts.output, "p|c");
  const SftRow chat =
      parse_sft_row(R"({"prompt": [{"role": "user", "content": "p"}], "completion": [{"role": "tool", "content": "t"},)"
                    R"( {"role": "assistant", "content": "c"}], "system": "s"})",
                    "f");
  EXPECT_EQ(chat.form, SftForm::kPromptChat);
  EXPECT_EQ(chat.num_prompt, 2U);
  EXPECT_EQ(chat.messages.size(), 4U);
}

TEST(ParseSftRowTest, RefusesWhatWouldChangeTheLearnedTokens) {
  const auto with = [](const std::string& column) {
    return parse_sft_row(R"({"instruction": "a", "output": "b", )" + column + "}", "f");
  };
  EXPECT_ERROR_SAYS(with(R"("history": [["x", "y"]])"), "f: 'history' is a list of 1 items, earlier turns");
  EXPECT_ERROR_SAYS(with(R"("weight": 0.5)"), "f: 'weight' is 0.5, a weight of the row");
  EXPECT_ERROR_SAYS(with(R"("system": "x")"), "f: 'system' is \"x\", which only a chat template can take");
  EXPECT_ERROR_SAYS(with(R"("messages": [{"role": "assistant", "content": "c"}])"),
                    "f: has instruction with output and messages");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"messages": [{"role": "assistant", "content": "c"}],)"
                                  R"( "chat_template_kwargs": {"tools": 1}})",
                                  "f"),
                    "f: chat_template_kwargs has tools, which the row itself decides");
  EXPECT_EQ(with(R"("history": [], "weight": 1, "images": null, "system": "")").output, "b");
}

TEST(ParseSftRowTest, ModelsWhoseAnswersWereSharedAreTheAssistant) {
  for (const char* speaker : {"gpt", "chatgpt", "bing", "bard", "assistant"}) {
    const nlohmann::json row{
        {"conversations", {{{"from", "user"}, {"value", "q"}}, {{"from", speaker}, {"value", "a"}}}}};
    EXPECT_EQ(parse_sft_row(row.dump(), "f").messages[1]["role"], "assistant") << speaker;
  }
}

TEST(ParseSftRowTest, FlagsOfOtherProgramsAreNotPassedOver) {
  for (const char* flag : {"calculate_loss", "mask", "masked", "should_train", "training_detail"}) {
    const nlohmann::json row{
        {"messages", {{{"role", "user"}, {"content", "q"}}, {{"role", "assistant"}, {"content", "a"}, {flag, 0}}}}};
    EXPECT_ERROR_SAYS(parse_sft_row(row.dump(), "f"),
                      "says in other programs which turns are learned; write it as train");
  }
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"instruction": "q", "output": "a", "train": false})", "f"),
                    "'train' is false, a flag of the row: leave rows out");
  EXPECT_NO_THROW(parse_sft_row(R"({"instruction": "q", "output": "a", "train": true, "loss": 2.5})", "f"));
}

// Tables keep what is nested as text.
TEST(ParseSftRowTest, ReadsNestedListsAsText) {
  const std::string turns = R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])";
  const nlohmann::json row{{"messages", turns}, {"tools", {R"({"name": "f"})", R"({"name": "g"})"}}};
  const SftRow read = parse_sft_row(row.dump(), "f");
  EXPECT_EQ(read.messages, SftRow{}.messages.parse(turns));
  EXPECT_EQ(read.variables.dump(), R"({"tools":[{"name":"f"},{"name":"g"}]})");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"messages": "[{\"role\""})", "f"), "f: messages: not JSON");
  EXPECT_ERROR_SAYS(parse_sft_row(R"({"messages": "hello"})", "f"),
                    "f: messages is \"hello\", expected a list of turns");
  const nlohmann::json bad{{"messages", turns}, {"tools", {R"({"name": )"}}};
  EXPECT_ERROR_SAYS(parse_sft_row(bad.dump(), "f"), "f: tools: not JSON");
}

TEST(ColumnsWithoutEffectTest, ARefusedColumnThatSaysNothingIsKnown) {
  EXPECT_EQ(columns_without_effect({"history", "id", "notes"}), "history, id; not known here: notes");
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
