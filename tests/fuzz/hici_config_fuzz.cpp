// SPDX-License-Identifier: Apache-2.0
// hici_config.json of an adapter.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/base/json.h"
#include "hici/config/hici_config.h"

namespace hici::fuzz {

void read_hici_config(std::string_view bytes) {
  constexpr const char* kName = "hici_config.json";
  const config::AdapterSettings settings = config::parse_adapter_settings(parse_json(bytes, kName), kName);
  require(config::parse_adapter_settings(config::to_json(settings), kName) == settings,
          "settings that change when they are written");
  settings.hici.validate(4096, kName);
}

std::vector<std::string> hici_config_seeds() {
  const config::AdapterSettings settings{
      .hici = {}, .context_size = 8192, .rope_factor = 2, .library_version = "0.1.0"};
  return {config::to_json(settings).dump(1)};
}

}  // namespace hici::fuzz
