// SPDX-License-Identifier: Apache-2.0
// A line of a .jsonl of documents.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/data/text_source.h"

namespace hici::fuzz {

void read_json_line(std::string_view bytes) {
  require(data::text_of_json_line(bytes, "x.jsonl: line 1", "text").size() <= bytes.size(), "a text out of nowhere");
}

std::vector<std::string> json_line_seeds() {
  return {R"({"text": "A line \u00e9\ud83d\ude00 \"quoted\"\n", "meta": {"n": [1, -2.5e3, null, true]}})",
          R"({"id": 18446744073709551615, "text": ""})",
          // Without its text, a message shows the names as they are.
          R"({"étiquette": 1, "text": "x"})"};
}

}  // namespace hici::fuzz
