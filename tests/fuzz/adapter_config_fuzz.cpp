// SPDX-License-Identifier: Apache-2.0
// adapter_config.json of PEFT, beside weights that are good.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/adapter.h"

#include <ATen/Functions.h>

namespace hici::fuzz {
namespace {

// Without hici_config.json, as PEFT leaves it.
class AdapterFolder {
 public:
  AdapterFolder() {
    const std::string layer = "model.layers.0.self_attn.q_proj.";
    io::write_adapter_files(folder_.path(), {.lora = {},
                                             .settings = {},
                                             .base_model = "base",
                                             .lora_tensors = {{layer + "lora_A.weight", at::ones({8, 16})},
                                                              {layer + "lora_B.weight", at::ones({16, 8})}},
                                             .trainables = {}});
    std::filesystem::remove(folder_.path() / "hici_config.json");
  }
  const ScratchFolder& folder() const { return folder_; }

 private:
  ScratchFolder folder_;
};

}  // namespace

void read_adapter_config(std::string_view bytes) {
  static const AdapterFolder adapter;
  adapter.folder().write("adapter_config.json", bytes);
  require(io::read_adapter(adapter.folder().path()).lora.rank > 0, "an adapter without rank");
}

std::vector<std::string> adapter_config_seeds() {
  return {
      read_file(AdapterFolder().folder().path() / "adapter_config.json", size_t{1} << 20),
      R"({"r": 4, "lora_alpha": 8, "target_modules": ".*\\.(q|v)_proj", "exclude_modules": ["a"], "use_rslora": true,
              "rank_pattern": {"layers\\.[0-3]\\.(self_attn\\.)?q_proj": 8, "^model.layers.\\d{1,2}.x+?$": 2},
              "alpha_pattern": {"q_proj": 1.5}, "layers_to_transform": [0, 1], "layers_pattern": "layers",
              "trainable_token_indices": {"embed_tokens": [1, 2]}, "modules_to_save": ["lm_head"]})"};
}

}  // namespace hici::fuzz
