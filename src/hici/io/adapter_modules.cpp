// SPDX-License-Identifier: Apache-2.0
#include "hici/io/adapter_modules.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/config/lora_targets.h"
#include "hici/config/parameter_names.h"

#include <algorithm>
#include <utility>

namespace hici::io {
namespace {

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

// The places of a module's rows, as trainable_token_indices says them.
std::vector<int64_t> rows_of(const Adapter& adapter, const std::string& module, const std::string& tensor) {
  const std::string subject = adapter.lora_tensors->file_of(tensor) + ": tensor '" + printable(tensor) + "'";
  // PEFT stores the rows of a tied embedding for the head once more where the vocabulary grew.
  const auto names_it = [&](const std::string& name) {
    return std::any_of(adapter.peft.token_rows.begin(), adapter.peft.token_rows.end(),
                       [&](const auto& item) { return config::names_module(item.first, name); });
  };
  const std::string named = module == "lm_head" && !names_it(module) ? "model.embed_tokens" : module;
  for (const auto& [target, rows] : adapter.peft.token_rows) {
    if (!config::names_module(target, named)) continue;
    const std::vector<int64_t>& shape = adapter.lora_tensors->info(tensor).shape;
    HICI_CHECK(shape.size() == 2 && shape[0] == static_cast<int64_t>(rows.size()), subject, " is ", shown_shape(shape),
               ", and trainable_token_indices names ", rows.size(), " tokens; do the files belong together?");
    return rows;
  }
  fail(subject, " holds rows of tokens, and adapter_config.json has no trainable_token_indices of ", printable(module),
       "; add them");
}

// Sorts the tensors into modules that layers compute with and folds, each whole.
class ModuleSorter {
 public:
  explicit ModuleSorter(Adapter& adapter)
      : adapter_(adapter),
        factors_(*adapter.lora_tensors),
        has_config_(is_there(adapter.path / "adapter_config.json")) {}

  void run() {
    for (const auto& [name, ignored] : factors_.tensors()) sort(name);
    adapter_.lora.modules.emplace();
    for (auto& [module, fold] : found_) {
      check_kind(module, fold);
      if (is_folded(module, fold)) {
        adapter_.folds.push_back(std::move(fold));
      } else {
        adapter_.lora.modules->insert(module);
      }
    }
    settle_targets();
  }

 private:
  std::string subject(const std::string& module) const {
    return factors_.file_of("") + ": '" + printable(module) + "'";
  }

  void sort(const std::string& name) {
    const std::string module = adapted_module(name);
    if (name.ends_with(".lora_B.bias")) {
      adapter_.lora.with_bias.insert(module);
      return;
    }
    Fold& fold = found_[module];
    fold.module = module;
    if (name.ends_with(kTokenRows)) fold.rows = rows_of(adapter_, module, name);
    if (name.ends_with(".lora_magnitude_vector")) fold.has_magnitude = true;
    const bool is_embedding = name.ends_with(".lora_embedding_A");
    if (is_embedding || name.ends_with(".lora_A.weight")) fold.lora = adapter_.lora.shape_of(module);
    fold.is_embedding = fold.is_embedding || is_embedding;
  }

  static bool is_folded(const std::string& module, const Fold& fold) {
    return fold.has_magnitude || fold.is_embedding || !fold.rows.empty() || module == "lm_head";
  }

  void check_kind(const std::string& module, const Fold& fold) const {
    HICI_CHECK(!fold.is_embedding || module == "model.embed_tokens", subject(module),
               ": has factors of an embedding, expected those of model.embed_tokens");
    HICI_CHECK(fold.rows.empty() || module == "model.embed_tokens" || module == "lm_head", subject(module),
               ": has rows of tokens, expected those of model.embed_tokens or lm_head");
    HICI_CHECK(fold.rows.empty() || !fold.lora, subject(module),
               ": has both factors and trainable_token_indices, which is not supported; merge one of them with PEFT");
    const bool is_known = config::is_lora_target(last_part(module)) || is_folded(module, fold);
    HICI_CHECK(is_known, factors_.file_of(""), ": adapts layers named '", printable(last_part(module)),
               "', which is not supported; supported: ", config::lora_target_names(), ", embed_tokens, lm_head");
    check_said(module, fold);
  }

  // What adapter_config.json says of a kind must be what the tensors show: PEFT leaves out what it does not expect.
  void check_said(const std::string& module, const Fold& fold) const {
    const bool has_bias = adapter_.lora.with_bias.contains(module);
    HICI_CHECK(!has_bias || !is_folded(module, fold), subject(module), ": lora_bias beside ",
               fold.has_magnitude ? "use_dora" : "factors of the output head", " is not supported; ", kNoWay);
    HICI_CHECK(!has_bias || !config::is_hici_parameter(module + ".weight"), subject(module),
               ": lora_bias on HiCI modules is not supported; ", kNoWay);
    if (!fold.lora || !has_config_) return;
    check_agrees(module, "use_dora", "lora_magnitude_vector", adapter_.peft.use_dora, fold.has_magnitude);
    if (!fold.is_embedding) check_agrees(module, "lora_bias", "lora_B.bias", adapter_.peft.lora_bias, has_bias);
  }

  void check_agrees(const std::string& module, const char* key, const char* tensor, bool is_said, bool is_here) const {
    HICI_CHECK(is_said == is_here, subject(module), is_here ? ": has " : ": has no ", tensor,
               ", and adapter_config.json says ", key, is_said ? " true" : " false",
               "; do the files belong to different adapters?");
  }

  // Plain names as they are written; else what the tensors show, by whole names unless all layers are alike.
  void settle_targets() {
    adapter_.lora.targets.clear();
    if (adapter_.peft.targets.is_plain()) {
      for (const std::string& name : adapter_.peft.targets.names())
        if (names_any(name)) adapter_.lora.targets.push_back(name);
      // PEFT writes a set, in an order of chance.
      const auto place = [](const std::string& name) {
        const auto found = std::find(config::kLoraTargets.begin(), config::kLoraTargets.end(), name);
        return std::pair(found - config::kLoraTargets.begin(), name);
      };
      std::sort(adapter_.lora.targets.begin(), adapter_.lora.targets.end(),
                [&](const std::string& a, const std::string& b) { return place(a) < place(b); });
      return;
    }
    if (adapter_.peft.targets.is_known()) {
      adapter_.lora.targets.assign(adapter_.lora.modules->begin(), adapter_.lora.modules->end());
      return;
    }
    for (const std::string_view target : config::kLoraTargets)
      for (const std::string& module : *adapter_.lora.modules)
        if (last_part(module) == target) {
          adapter_.lora.targets.emplace_back(target);
          break;
        }
  }

  bool names_any(const std::string& target) const {
    return std::any_of(adapter_.lora.modules->begin(), adapter_.lora.modules->end(),
                       [&](const std::string& module) { return config::names_module(target, module); });
  }

  static constexpr const char* kNoWay = "evaluate it with PEFT";

  Adapter& adapter_;
  const TensorSource& factors_;
  bool has_config_;
  std::map<std::string, Fold> found_;
};

}  // namespace

std::string adapted_module(const std::string& tensor) {
  const size_t end =
      tensor.ends_with(kTokenRows) ? tensor.size() - std::string_view(kTokenRows).size() : tensor.rfind(".lora_");
  return tensor.substr(0, end);
}

void sort_modules(Adapter& adapter) { ModuleSorter(adapter).run(); }

}  // namespace hici::io
