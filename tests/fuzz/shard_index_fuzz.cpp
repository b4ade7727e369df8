// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/io/shard_index.h"

namespace hici::fuzz {

void read_shard_index(std::string_view bytes) {
  const nlohmann::json value = parse_json(bytes, "x.index.json");
  for (const auto& [name, shard] : io::parse_shard_index(value, "x.index.json"))
    require(is_plain_name(shard), "a shard that leaves its folder");
}

std::vector<std::string> shard_index_seeds() {
  const nlohmann::json index = {{"metadata", {{"total_size", 1234}}},
                                {"weight_map",
                                 {{"model.embed_tokens.weight", "model-00001-of-00002.safetensors"},
                                  {"model.norm.weight", "model-00002-of-00002.safetensors"}}}};
  return {index.dump(2), index.dump()};
}

}  // namespace hici::fuzz
