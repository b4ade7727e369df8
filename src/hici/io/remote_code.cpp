// SPDX-License-Identifier: Apache-2.0
#include "hici/io/remote_code.h"

#include "hici/base/file.h"

#include <string>

namespace hici::io {

// The generated file of texts.cpp.in.
extern const char* const kConfigurationText;
extern const char* const kModelingText;

const std::vector<RemoteCodeFile>& remote_code_files() {
  static const std::vector<RemoteCodeFile> files{{"configuration_hici.py", kConfigurationText},
                                                 {"modeling_hici.py", kModelingText}};
  return files;
}

void put_remote_code(config::ModelConfig& config, const config::AdapterSettings& settings) {
  const std::string family = config.family == config::Family::kLlama ? "Llama" : "Qwen3";
  nlohmann::json map = {{"AutoConfig", "configuration_hici." + family + "Config"},
                        {"AutoModelForCausalLM", "modeling_hici.Hici" + family + "ForCausalLM"}};
  // Without an entry transformers would take the plain model of the family, and say nothing.
  for (const char* other : {"AutoModel", "AutoModelForSequenceClassification", "AutoModelForTokenClassification",
                            "AutoModelForQuestionAnswering"})
    map[other] = "modeling_hici.NoForm";
  config.source["auto_map"] = std::move(map);
  config.source["hici"] = config::to_json(settings);
}

void write_remote_code(const std::filesystem::path& folder) {
  for (const RemoteCodeFile& file : remote_code_files())
    write_file_atomically(folder / file.name, std::string(file.text));
}

}  // namespace hici::io
