// SPDX-License-Identifier: Apache-2.0
// A row of a fine-tuning data set as its file has it: {"instruction", "input"?, "output"}, or a conversation under
// "messages" ({"role", "content"}) or "conversations" ({"from", "value"}: human, gpt, system).
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace hici::data {

struct SftRow {
  std::string subject;  // file and row, for messages
  // A conversation in the form of a chat template's messages, keys in their order; null: an instruction.
  nlohmann::ordered_json messages = nullptr;
  std::string instruction;
  std::string input;
  std::string output;

  bool is_chat() const { return !messages.is_null(); }
};

// A row without an answer, or of none of the forms, is an error that names `subject`.
SftRow parse_sft_row(std::string_view json, const std::string& subject);

}  // namespace hici::data
