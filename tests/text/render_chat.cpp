// SPDX-License-Identifier: Apache-2.0
// render_chat MODEL_DIRECTORY: reads lines of JSON {"messages", "add_generation_prompt", "variables"}, prints for each
// a line with what the directory's chat template makes of it, or its error; for chat_parity_test.py to compare with
// transformers.
#include "hici/base/error.h"
#include "hici/text/chat_template_files.h"

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto job = nlohmann::ordered_json::parse(line);
    nlohmann::ordered_json out;
    try {
      const bool for_tools = job.at("variables").contains("tools");
      const auto chat_template = hici::text::load_chat_template(argv[1], for_tools);
      const auto rendered = chat_template.render_marked(
          job.at("messages"),
          {.add_generation_prompt = job.at("add_generation_prompt"), .variables = job.at("variables")});
      out["text"] = rendered.text;
      out["generation"] = nlohmann::ordered_json::array();
      for (const auto& span : rendered.generation) out["generation"].push_back({span.begin, span.end});
    } catch (const hici::Error& e) {
      out["error"] = e.what();
    }
    std::cout << out.dump() << '\n';
  }
  return 0;
}
