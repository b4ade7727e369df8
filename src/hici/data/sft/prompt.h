// SPDX-License-Identifier: Apache-2.0
// The prompts of instruction tuning, letter for letter those of LongLoRA's supervised-fine-tune.py, and vicuna's.
#pragma once

#include <string>
#include <string_view>

namespace hici::data {

enum class PromptStyle {
  kLlama2,      // [INST]{instruction}[/INST]
  kLlama2Chat,  // with Llama-2's system prompt
  kAlpaca,      // "Below is an instruction ... ### Response:"
  kVicuna,      // "A chat between ... USER: {instruction} ASSISTANT:", vicuna_v1.1 of FastChat
};

// "llama2", "llama2_chat", "alpaca", "vicuna"; an unknown name is a usage error that lists them.
PromptStyle prompt_style_from_name(std::string_view name, std::string_view option);

// An empty `input` counts as none.
std::string make_prompt(PromptStyle style, const std::string& instruction, const std::string& input);

}  // namespace hici::data
