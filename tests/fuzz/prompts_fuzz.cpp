// SPDX-License-Identifier: Apache-2.0
// The JSON lines of hici generate --batch_file.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/generate/prompt_file.h"

namespace hici::fuzz {

void read_prompts(std::string_view bytes) {
  static const ScratchFolder folder;
  for (const generate::Prompt& prompt : generate::read_prompt_file(folder.write("x.jsonl", bytes))) {
    require(prompt.text.size() <= bytes.size(), "a text out of nowhere");
    require(prompt.messages.is_null() || prompt.messages.is_array(), "messages that are no list");
  }
}

std::vector<std::string> prompts_seeds() {
  return {
      "{\"prompt\": \"A line \\u00e9 \\\"quoted\\\"\"}\n\n{\"prompt\": \"\", \"id\": 7}\r\n",
      R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello", "n": [1, null]}]})",
      R"({"prompt": "a", "tools": "[{\"z\": 1}]", "chat_template_kwargs": {"x": true}})"};
}

}  // namespace hici::fuzz
