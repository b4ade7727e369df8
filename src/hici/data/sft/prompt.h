// SPDX-License-Identifier: Apache-2.0
// The prompts of instruction tuning, letter for letter those of LongLoRA's supervised-fine-tune.py, and vicuna's.
#pragma once

#include "hici/base/enum_names.h"

#include <string>
#include <string_view>

namespace hici::data {

enum class PromptStyle {
  kLlama2,      // [INST]{instruction}[/INST]
  kLlama2Chat,  // with Llama-2's system prompt
  kAlpaca,      // "Below is an instruction ... ### Response:"
  kVicuna,      // "A chat between ... USER: {instruction} ASSISTANT:", vicuna_v1.1 of FastChat
};

constexpr EnumNames<PromptStyle, 4> names_of(PromptStyle) {
  return {"style",
          {{{PromptStyle::kLlama2, "llama2"},
            {PromptStyle::kLlama2Chat, "llama2_chat"},
            {PromptStyle::kAlpaca, "alpaca"},
            {PromptStyle::kVicuna, "vicuna"}}}};
}

// An empty `input` counts as none.
std::string make_prompt(PromptStyle style, const std::string& instruction, const std::string& input);

}  // namespace hici::data
