// SPDX-License-Identifier: Apache-2.0
// generation_config.json of a model directory.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/generation_config.h"

namespace hici::fuzz {

void read_generation_config(std::string_view bytes) {
  static const ScratchFolder folder;
  folder.write("generation_config.json", bytes);
  config::ModelConfig config;
  config.vocab_size = 1000;
  for (const int64_t id : io::read_generation_config(folder.path(), config).stop_ids) {
    require(id >= 0 && id < config.vocab_size, "an id beyond the vocabulary");
  }
}

std::vector<std::string> generation_config_seeds() {
  return {R"({"bos_token_id": 1, "eos_token_id": [2, 999, 0], "temperature": 0.6, "transformers_version": "5.0.0"})",
          R"({"eos_token_id": 2})", R"({"do_sample": true, "eos_token_id": null})"};
}

}  // namespace hici::fuzz
