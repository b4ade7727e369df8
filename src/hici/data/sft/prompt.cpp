// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/prompt.h"

#include "hici/base/error.h"

namespace hici::data {
namespace {

// The two spaces before "Your" and the spaces around the end mark are those of the original scripts.
constexpr const char* kLlama2System =
    "[INST] <<SYS>>\n"
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your "
    "answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. Please "
    "ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not "
    "correct. If you don't know the answer to a question, please don't share false information.\n"
    "<</SYS>> \n\n ";

constexpr const char* kVicunaSystem =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and "
    "polite answers to the user's questions. USER: ";

std::string alpaca_prompt(const std::string& instruction, const std::string& input) {
  if (input.empty()) {
    return "Below is an instruction that describes a task. Write a response that appropriately completes the "
           "request.\n\n### Instruction:\n" +
           instruction + "\n\n### Response:";
  }
  return "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
         "response that appropriately completes the request.\n\n### Instruction:\n" +
         instruction + "\n\n### Input:\n" + input + "\n\n### Response:";
}

}  // namespace

std::string make_prompt(PromptStyle style, const std::string& instruction, const std::string& input) {
  if (style == PromptStyle::kAlpaca) return alpaca_prompt(instruction, input);
  const std::string text = input.empty() ? instruction : instruction + "\n" + input;
  if (style == PromptStyle::kVicuna) return kVicunaSystem + text + " ASSISTANT:";
  return style == PromptStyle::kLlama2 ? "[INST]" + text + "[/INST]" : kLlama2System + text + " [/INST]";
}

}  // namespace hici::data
