// SPDX-License-Identifier: Apache-2.0
#include "hici/io/opened_model.h"

#include "hici/base/error.h"
#include "hici/io/adapter_check.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/sha256.h"
#include "hici/config/deciding_values.h"
#include "hici/config/parameter_names.h"
#include "hici/config/rope.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/io/vocabulary.h"

#include <ATen/ATen.h>

namespace hici::io {
namespace {

std::optional<config::AdapterSettings> read_settings(const std::filesystem::path& dir) {
  const std::filesystem::path file = dir / "hici_config.json";
  if (!is_there(file)) return std::nullopt;
  return config::parse_adapter_settings(read_companion_json(file), file.string());
}

void check_files(const OpenedModel& opened, const LoadedModel& loaded) {
  std::vector<ExpectedTensor> expected;
  const bool base_has_hici = opened.base_settings && hici_config_of(opened.base.weights(), opened.base_settings->hici);
  loaded.model->visit_parameters([&](const std::string& name, at::Tensor& t) {
    if (config::is_lora_parameter(name) || (config::is_hici_parameter(name) && !base_has_hici)) return;
    expected.push_back({name, t.sizes().vec()});
  });
  opened.base.check_against(expected);
}

// What decides the numbers and is in no tensor, beyond one alpha and one rank.
std::string scales_text(const Adapter& adapter) {
  std::string out;
  const bool is_plain = adapter.lora.is_uniform() && !adapter.lora.use_rslora;
  for (const std::string& module : adapter.lora.modules.value_or(std::set<std::string>{}))
    if (!is_plain) out += detail::concat("scale of ", module, " ", adapter.lora.shape_of(module).scale, "\n");
  for (const Fold& fold : adapter.folds) {
    out += detail::concat("fold of ", fold.module, fold.has_magnitude ? " with magnitude " : " ",
                          fold.lora ? fold.lora->scale : 0);
    for (const int64_t row : fold.rows) out += detail::concat(" ", row);
    out += "\n";
  }
  return out;
}

TensorContents contents_of(const TensorSource& source) {
  TensorContents contents;
  for (const auto& [name, ignored] : source.tensors()) {
    std::string content = source.content_of(name);
    if (!content.empty()) contents.emplace(name, std::move(content));
  }
  return contents;
}

std::shared_ptr<const FoldedSource> fold_weights(const ModelDirectory& base, const Adapter& adapter) {
  if (adapter.folds.empty()) return nullptr;
  std::vector<std::pair<Fold, const TensorSource*>> folds;
  for (const Fold& fold : adapter.folds) {
    const bool is_replaced = adapter.trainables->has(fold.module + ".weight");
    folds.emplace_back(fold, is_replaced ? adapter.trainables.get() : &base.weights());
  }
  return std::make_shared<FoldedSource>(std::move(folds), adapter.lora_tensors);
}

}  // namespace

OpenedModel open_model(const ModelRequest& request) {
  OpenedModel opened{ModelDirectory::open(resolve_run_directory(request.base)), {}, {}, {}, {}};
  if (request.says_notes)
    for (const std::string& note : opened.base.config().notes)
      log_warning((opened.base.path() / "config.json").string(), ": ", note);
  HICI_CHECK(
      !request.adapter.empty() || !is_there(opened.base.path() / "adapter_config.json"), opened.base.path().string(),
      ": holds an adapter beside the model, which transformers loads with it; give the folder as adapter too, or "
      "move adapter_config.json elsewhere");
  opened.base_settings = read_settings(opened.base.path());
  opened.base_config = config::deciding_values(opened.base.config());  // before an adapter's rows or head change it
  if (!request.adapter.empty()) opened.adapter = read_adapter(resolve_run_directory(request.adapter));
  resize_vocabulary(opened.base, opened.adapter ? &*opened.adapter : nullptr, request.add_pad_token);
  if (opened.adapter) {
    check_adapter(*opened.adapter, opened.base.config());
    check_adapter_is_whole(*opened.adapter, opened.base.config());
    opened.folded = fold_weights(opened.base, *opened.adapter);
    opened.hici.config = opened.adapter->hici_config();
    opened.hici.is_complete = opened.adapter->settings.has_value();
    opened.hici_file = opened.adapter->path / "hici_config.json";
  }
  if (!opened.hici.config && opened.base_settings) {
    opened.hici.config = hici_config_of(opened.base.weights(), opened.base_settings->hici);
    opened.hici.is_complete = true;
    opened.hici_file = opened.base.path() / "hici_config.json";
  }
  return opened;
}

config::HiciConfig OpenedModel::stored_hici() const { return hici.config.value_or(config::HiciConfig{}); }

LoadedModel describe_model(const ModelRequest& request, const OpenedModel& opened, const config::HiciConfig& hici) {
  LoadedModel loaded;
  loaded.dtype = request.dtype;
  loaded.device = request.device;
  config::ModelConfig config = opened.base.config();
  const auto& settings = opened.settings();
  loaded.context_size = request.context_size > 0 ? request.context_size : settings ? settings->context_size : 0;
  if (request.context_size > 0) {
    config.rope.context_factor = config::context_extension_factor(config, request.context_size);
  } else if (opened.adapter && settings) {
    config.rope.context_factor = settings->rope_factor;
  } else if (opened.adapter) {
    log_warning(opened.adapter->path.string(),
                ": does not say for which context it was trained; the RoPE factor is 1 unless `context_size` is given");
  }
  loaded.hici = hici;
  const nn::ParameterOptions options{request.dtype};
  loaded.model = std::make_unique<nn::CausalLm>(config, options);
  loaded.has_hierarchy = (opened.hici.config || request.fresh_hierarchy) && loaded.hici.use_local_constructor;
  if (loaded.has_hierarchy) {
    if (opened.hici.config && opened.hici.is_complete)  // what a file says is wrong, used or not
      opened.hici.config->validate(config.hidden_size, opened.hici_file.string());
    if (request.uses_hierarchy) loaded.hici.validate(config.hidden_size);
    hierarchy::attach_hierarchy(*loaded.model, loaded.hici, options);
  }
  loaded.lora =
      opened.adapter && !opened.adapter->lora_tensors->tensors().empty() ? opened.adapter->lora : request.lora;
  if (loaded.lora) loaded.model->add_lora(*loaded.lora);
  check_files(opened, loaded);
  return loaded;
}

const TensorSource* OpenedModel::source_of(const std::string& name) const {
  if (folded && folded->has(name)) return folded.get();
  if (adapter && adapter->lora_tensors->has(name)) return adapter->lora_tensors.get();
  if (adapter && adapter->trainables->has(name)) return adapter->trainables.get();
  return base.weights().has(name) ? &base.weights() : nullptr;
}

void OpenedModel::finish_checks() const {
  base.finish_checks();
  if (adapter) adapter->check->finish();
}

ModelIdentity OpenedModel::identity() const {
  ModelIdentity now{contents_of(base.weights()), tokenizer_sha256_in(base.path()), base_config};
  if (!adapter || !adapter->identity) return now;
  const ModelIdentity& before = *adapter->identity;
  if (difference_of(now.base, before.base).empty()) now.base = joined_contents(std::move(now.base), before.base);
  if (now.tokenizer_sha256.empty()) now.tokenizer_sha256 = before.tokenizer_sha256;
  return now;
}

std::string OpenedModel::weights_hash() const {
  std::string lines;
  const auto add = [&](const char* of, const TensorSource& source) {
    for (const auto& [name, content] : contents_of(source)) lines += detail::concat(of, " ", name, " ", content, "\n");
  };
  add("base", base.weights());
  if (adapter) {
    add("lora", *adapter->lora_tensors);
    add("trained", *adapter->trainables);
    lines += detail::concat("scale ", adapter->lora.alpha, " / ", adapter->lora.rank, "\n") + scales_text(*adapter);
  }
  return sha256_hex(lines);
}

std::string OpenedModel::warn_of_other_base() const {
  if (!adapter || !adapter->identity) return "";
  const std::string values = shown_config_differences(adapter->identity->config, base_config);
  if (!values.empty())
    log_warning(adapter->path.string(), ": was trained with another config.json than that of ", base.path().string(),
                " (", values, "); give the base that it was trained on");
  const std::string tensors = difference_of(adapter->identity->base, contents_of(base.weights()));
  if (!tensors.empty())
    log_warning(adapter->path.string(), ": was trained on another base than ", base.path().string(), " (", tensors,
                "); give the one that it was trained on",
                adapter->base_model.empty() ? "" : ", '" + printable(adapter->base_model) + "' at that time");
  return values.empty() || tensors.empty() ? values + tensors : values + "; " + tensors;
}

std::string OpenedModel::warn_of_other_tokenizer() const {
  if (!adapter || !adapter->identity) return "";
  const std::string &theirs = adapter->identity->tokenizer_sha256, ours = tokenizer_sha256_in(base.path());
  if (theirs.empty() || ours.empty() || theirs == ours) return "";
  log_warning(adapter->path.string(), ": was trained with another tokenizer (", shown_tokenizer(theirs), ") than ",
              base.path().string(), " has (", shown_tokenizer(ours), "); its ids may stand for other text");
  return detail::concat(shown_tokenizer(theirs), " in training, ", shown_tokenizer(ours), " here");
}

at::Tensor read_parameter(const TensorSource& source, const std::string& name, const at::Tensor& meta,
                          at::ScalarType dtype, at::Device device) {
  HICI_CHECK(source.info(name).shape == meta.sizes().vec(), source.file_of(name), ": tensor '", name, "' is ",
             shown_shape(source.info(name).shape), ", expected ", shown_shape(meta.sizes().vec()),
             "; does it belong to another model?");
  return source.read(name, dtype, device);
}

}  // namespace hici::io
