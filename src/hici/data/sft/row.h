// SPDX-License-Identifier: Apache-2.0
// A row of a fine-tuning data set as its file has it:
//   {"instruction", "input"?, "output"}
//   a conversation under "messages" or "conversations" (sft/turns.h), with "system", "tools", "chat_template_kwargs"
//   {"prompt", "completion"}: two texts, or two lists of messages
#pragma once

#include "hici/data/sft/turns.h"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace hici::data {

enum class SftForm {
  kInstruction,  // instruction, input; answer
  kPrompt,       // prompt as it stands; answer
  kChat,         // messages; the assistant's turns are the answers
  kPromptChat,   // messages, of which the first num_prompt are the prompt and the others the answer
};

struct SftRow {
  std::string subject;  // file and row, for messages
  SftForm form = SftForm::kInstruction;
  std::string instruction;
  std::string input;
  std::string prompt;
  std::string output;
  // In the form of a chat template's messages, keys in their order.
  nlohmann::ordered_json messages = nullptr;
  size_t num_prompt = 0;
  std::vector<bool> is_learned;  // of each message
  // Further variables of the chat template: chat_template_kwargs, and "tools" (a list) if the row has tools.
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  std::vector<std::string> unused;  // columns of the row that say something and have no effect

  bool is_chat() const { return form == SftForm::kChat || form == SftForm::kPromptChat; }
  bool has_tools() const { return variables.contains("tools"); }
};

// A row without an answer, of none of the forms or of two of them, or with a column that would change the learned
// tokens and is not supported (sft/columns.h), is an error that names `subject`.
SftRow parse_sft_row(std::string_view json, const std::string& subject);

}  // namespace hici::data
