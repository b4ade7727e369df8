// SPDX-License-Identifier: Apache-2.0
// The Python files beside merged weights with HiCI modules: with them transformers (`trust_remote_code=True`) gives the
// numbers of HiCI attention. Without them, or with trust_remote_code=False, the directory is a plain Llama or Qwen3.
#pragma once

#include "hici/config/hici_config.h"

#include <filesystem>
#include <string_view>
#include <vector>

namespace hici::io {

struct RemoteCodeFile {
  std::string_view name, text;
};

// configuration_hici.py and modeling_hici.py, of src/hici/io/remote_code.
const std::vector<RemoteCodeFile>& remote_code_files();

// Names the classes of these files in a config.json (`auto_map`), with what they must know of the modules (`hici`).
// Both are taken out where config::parse_model_config() reads them: they belong to the directory with the files.
void put_remote_code(config::ModelConfig& config, const config::AdapterSettings& settings);

void write_remote_code(const std::filesystem::path& folder);

}  // namespace hici::io
