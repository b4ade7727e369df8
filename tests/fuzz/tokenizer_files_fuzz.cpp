// SPDX-License-Identifier: Apache-2.0
// tokenizer_config.json: its special tokens and chat templates, up to where the engine for templates begins.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/text/chat_template_files.h"
#include "hici/text/tokenizer_config.h"

namespace hici::fuzz {

void read_tokenizer_files(std::string_view bytes) {
  static const ScratchFolder folder;
  folder.write("tokenizer_config.json", bytes);
  text::read_tokenizer_config(folder.path());
  if (const auto files = text::read_chat_template_files(folder.path()))
    require(!files->templates.empty(), "templates without a template");
}

std::vector<std::string> tokenizer_files_seeds() {
  return {R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null,)"
          R"( "chat_template": "{{ messages[0]['content'] }}"})",
          R"({"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]})"};
}

}  // namespace hici::fuzz
