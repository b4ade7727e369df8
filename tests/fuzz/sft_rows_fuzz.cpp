// SPDX-License-Identifier: Apache-2.0
// A .json of fine-tuning: where its elements end is found by brackets and quotes, then each is read.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/data/json_rows.h"
#include "hici/data/sft/row.h"

namespace hici::fuzz {

void read_sft_rows(std::string_view bytes) {
  static const ScratchFolder folder;
  folder.write("data.json", bytes);
  const auto rows = data::open_json_rows(folder.path() / "data.json");
  size_t total = 0;
  for (data::JsonRow row; rows->next(row);) {
    total += row.text.size();
    require(total < bytes.size(), "rows out of nowhere");
    const data::SftRow read = data::parse_sft_row(row.text, row.subject);
    require(read.is_chat() || !read.output.empty(), "a row without an answer");
    require(!read.is_chat() || read.is_learned.size() == read.messages.size(), "messages that are learned or not");
    require(read.num_prompt <= read.messages.size(), "a prompt longer than the conversation");
    require(!read.has_tools() || read.variables["tools"].is_array(), "tools that are no list");
  }
}

std::vector<std::string> sft_rows_seeds() {
  return {
      R"([{"instruction": "a]", "input": "\"}", "output": "c"}, {"instruction": "a", "output": "b \\"}])",
      R"([{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "x": [{}]}]},)"
      R"( {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}])",
      R"([{"prompt": "p", "completion": "c"}, {"prompt": [{"role": "user", "content": "p"}], "completion": [{"from":)"
      R"( "function_call", "value": "[{\"name\": \"f\", \"arguments\": {}}]"}], "tools": "[{}]", "system": "s"},)"
      R"( {"messages": [{"role": "assistant", "content": "a", "weight": 1, "train": true}], "weight": 1,)"
      R"( "chat_template_kwargs": {"x": null}, "history": []}])"};
}

}  // namespace hici::fuzz
