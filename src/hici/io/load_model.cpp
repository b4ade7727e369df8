// SPDX-License-Identifier: Apache-2.0
#include "hici/io/load_model.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/sha256.h"
#include "hici/config/parameter_names.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/io/checkpoint/store.h"
#include "hici/io/opened_model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace hici::io {
namespace {

// A fresh adapter changes nothing: A is drawn from +-1/sqrt(in), B is zero.
void initialise_lora(const std::string& name, at::Tensor& factor, at::Generator& generator) {
  if (name.find(".lora_B.") != std::string::npos) {
    factor.zero_();
    return;
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(factor.size(1)));
  factor.copy_(at::rand(factor.sizes(), generator, at::TensorOptions().dtype(at::kFloat)).mul_(2 * bound).sub_(bound));
}

void fill_parameters(const ModelRequest& request, const OpenedModel& opened, LoadedModel& loaded) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(request.seed);
  bool hierarchy_is_fresh = false;
  auto fill = [&](const std::string& name, at::Tensor& parameter) {
    if (const TensorSource* source = opened.source_of(name)) {
      parameter = read_parameter(*source, name, parameter, request.dtype, request.device);
      loaded.model->set_file_of(name, source->file_of(name));
      return;
    }
    parameter = at::zeros(parameter.sizes(), at::TensorOptions().dtype(request.dtype).device(request.device));
    if (config::is_lora_parameter(name)) {
      initialise_lora(name, parameter, generator);
    } else {
      hierarchy_is_fresh = true;  // describe_model() has seen everything else
    }
  };
  auto layer_loaded = [&](size_t layer) {
    if (request.layer_loaded) request.layer_loaded(*loaded.model, layer);
  };
  loaded.model->visit_parameters(fill, {.after = layer_loaded});
  if (!hierarchy_is_fresh) return;
  HICI_CHECK(!opened.hici.config, request.adapter.empty() ? request.base.string() : request.adapter.string(),
             ": some tensors of the HiCI modules are missing; the files are not whole");
  hierarchy::initialise_hierarchy(*loaded.model, generator, request.copy_attention_init);
}

std::shared_ptr<const TensorSource> stored_whole(const Adapter& adapter) {
  return part_of(adapter.trainables,
                 [&](const std::string& name) { return !adapter.is_full_dump || adapter.is_saved_whole(name); });
}

std::string config_hash(const LoadedModel& loaded) {
  config::ModelConfig model = loaded.model->config();
  model.source = nlohmann::json::object();  // keys that nobody here knows
  model.torch_dtype.clear();
  config::AdapterSettings settings;
  if (loaded.has_hierarchy) settings.hici = loaded.hici;
  settings.hici.num_segments = 1;
  return sha256_hex(config::to_json(model).dump() + config::to_json(settings).dump());
}

}  // namespace

LoadedModel build_model(const ModelRequest& request, const OpenedModel& opened, const config::HiciConfig& hici) {
  LoadedModel loaded = describe_model(request, opened, hici);
  fill_parameters(request, opened, loaded);
  opened.finish_checks();
  if (request.warns_of_other_base) loaded.other_base = opened.warn_of_other_base();
  loaded.other_tokenizer = opened.warn_of_other_tokenizer();
  loaded.identity = opened.identity();
  loaded.weights_hash = opened.weights_hash();
  if (opened.adapter) loaded.stored_whole = stored_whole(*opened.adapter);
  loaded.config_hash = config_hash(loaded);
  return loaded;
}

LoadedModel load_model(const ModelRequest& request) {
  const OpenedModel opened = open_model(request);
  return build_model(request, opened, opened.stored_hici());
}

void warn_of_foreign_tokens(const std::string& data, const std::string& tokenizer_sha256, const std::string& model,
                            const LoadedModel& loaded) {
  const std::string& expected = loaded.identity.tokenizer_sha256;
  if (tokenizer_sha256.empty() || expected.empty() || tokenizer_sha256 == expected) return;
  log_warning(data, ": is of another tokenizer (", shown_tokenizer(tokenizer_sha256), ") than that of ", model, " (",
              shown_tokenizer(expected), "); its ids may stand for other text");
}

std::filesystem::path resolve_run_directory(const std::filesystem::path& path) {
  if (is_there(path / "config.json") || is_adapter_directory(path)) return path;
  if (!std::filesystem::is_directory(path)) return path;  // the reader says what is wrong with it
  return find_latest_checkpoint(path).value_or(path);
}

}  // namespace hici::io
