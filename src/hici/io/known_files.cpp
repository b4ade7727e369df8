// SPDX-License-Identifier: Apache-2.0
#include "hici/io/known_files.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/temporary.h"
#include "hici/io/checkpoint/manifest.h"
#include "hici/io/checkpoint/model_identity.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/io/merge.h"
#include "hici/io/model_directory.h"

#include <algorithm>
#include <string_view>
#include <system_error>

namespace hici::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTemplateFolder = "additional_chat_templates";

bool has_chat_template(const fs::path& folder) {
  if (is_there(folder / "chat_template.jinja") || is_there(folder / "chat_template.json")) return true;
  const fs::path config = folder / "tokenizer_config.json";
  if (!is_there(folder / "tokenizer.json") || !is_there(config)) return false;
  const nlohmann::json value = read_companion_json(config);
  return JsonObject(value, config.string()).has("chat_template");
}

std::vector<std::string> all_names() {
  std::vector<std::string> names = {"config.json",      "adapter_config.json", "hici_config.json", kIdentityName,
                                    kTrainingStateName, kOptimizerName,        kMergeRecordName,   kTemplateFolder};
  const auto add_weights = [&](const std::string& file) {
    names.push_back(file);
    names.push_back(file + ".index.json");
  };
  add_weights("model.safetensors");
  add_weights("pytorch_model.bin");
  for (const std::string& stem :
       {std::string("adapter_model"), std::string("trainable_params"), std::string(kHiciModulesStem)}) {
    add_weights(stem + ".safetensors");
    add_weights(stem + ".bin");
  }
  names.insert(names.end(), companion_files().begin(), companion_files().end());
  return names;
}

// "model-00001-of-00003.safetensors".
bool is_shard(std::string_view name) {
  return name.starts_with("model-") && name.ends_with(".safetensors") && name.find("-of-") != std::string_view::npos;
}

bool is_of_a_checkpoint(std::string name) {
  if (is_temporary_name(name)) name.resize(name.rfind(".hici-tmp-"));
  name.resize(std::min(name.find(".tmp-"), name.size()));  // as earlier versions called what was being written
  const std::vector<std::string>& names = files_read_by_name();
  return name == kManifestName || is_shard(name) || std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const std::vector<CompanionGroup>& companion_groups() {
  static const std::vector<CompanionGroup> groups{
      {"tokenizer",
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
        "vocab.json", "merges.txt"},
       {},
       [](const fs::path& folder) { return is_there(folder / "tokenizer.json"); }},
      {"chat template", {"chat_template.jinja", "chat_template.json"}, {kTemplateFolder}, has_chat_template},
      {"generation config", {"generation_config.json"}, {}, [](const fs::path& folder) {
         return is_there(folder / "generation_config.json");
       }}};
  return groups;
}

fs::path companion_folder(std::string_view group, const fs::path& from, const fs::path& first) {
  for (const CompanionGroup& known : companion_groups())
    if (known.name == group) return !first.empty() && known.is_in(first) ? first : from;
  HICI_ASSERT(false, "no companions are called ", group);
  return from;
}

const std::vector<std::string>& companion_files() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const CompanionGroup& group : companion_groups())
      out.insert(out.end(), group.files.begin(), group.files.end());
    return out;
  }();
  return names;
}

const std::vector<std::string>& files_read_by_name() {
  static const std::vector<std::string> names = all_names();
  return names;
}

bool holds_only_checkpoint_files(const fs::path& folder) {
  std::error_code problem;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    const bool is_plain = fs::is_regular_file(at->symlink_status(problem));
    if (!is_plain || !is_of_a_checkpoint(at->path().filename().string())) return false;
  }
  return !problem;
}

}  // namespace hici::io
