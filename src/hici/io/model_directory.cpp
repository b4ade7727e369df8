// SPDX-License-Identifier: Apache-2.0
#include "hici/io/model_directory.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/config/parameter_names.h"
#include "hici/io/directory_writer.h"
#include "hici/io/known_files.h"
#include "hici/io/weight_file.h"

#include <ATen/ATen.h>
#include <c10/core/ScalarType.h>

#include <set>

namespace hici::io {
namespace {

bool is_tolerated(const std::string& name, bool is_tied) {
  const auto ends_with = [&](const std::string& end) {
    return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
  };
  return ends_with("rotary_emb.inv_freq") || (is_tied && name == config::kHeadName);
}

// The sizes of config.json that a shape of this tensor follows from.
std::string reason_for(const std::string& name, const config::ModelConfig& config) {
  const auto says = [&](const char* key, int64_t value) { return detail::concat(key, " ", value); };
  if (name.find("embed_tokens") != std::string::npos || name.find("lm_head") != std::string::npos)
    return says("vocab_size", config.vocab_size) + ", " + says("hidden_size", config.hidden_size);
  if (name.find(".mlp.") != std::string::npos)
    return says("hidden_size", config.hidden_size) + ", " + says("intermediate_size", config.intermediate_size);
  if (name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos)
    return says("hidden_size", config.hidden_size) + ", " + says("num_key_value_heads", config.num_key_value_heads) +
           ", " + says("head_dim", config.head_dim);
  if (name.find("q_proj") != std::string::npos || name.find("o_proj") != std::string::npos)
    return says("hidden_size", config.hidden_size) + ", " + says("num_attention_heads", config.num_attention_heads) +
           ", " + says("head_dim", config.head_dim);
  if (name.find("q_norm") != std::string::npos || name.find("k_norm") != std::string::npos)
    return says("head_dim", config.head_dim);
  return says("hidden_size", config.hidden_size);
}

// A missing one is most often a symptom: say what the file looks like it is.
void check_present(const ExpectedTensor& tensor, const TensorSource& weights, const std::string& dir, bool is_tied) {
  if (weights.has(tensor.name)) return;
  HICI_CHECK(tensor.name != config::kHeadName || is_tied, dir,
             ": has no tensor 'lm_head.weight', and config.json says tie_word_embeddings false; set it to true "
             "if the output head is the embedding");
  HICI_CHECK(tensor.name != config::kEmbeddingName || !weights.has("base_model.model.model.embed_tokens.weight"), dir,
             ": holds a PEFT model (names start with base_model.model.); give it as adapter, with its base as model");
  fail(dir, ": has no tensor '", tensor.name,
       "', which config.json implies; is a shard missing, or the model another one?");
}

void check_tensor(const ExpectedTensor& tensor, const TensorSource& weights, const config::ModelConfig& config) {
  const TensorInfo& info = weights.info(tensor.name);
  const std::string subject = weights.file_of(tensor.name) + ": tensor '" + tensor.name + "'";
  HICI_CHECK(info.shape == tensor.shape, subject, " is ", shown_shape(info.shape), ", expected ",
             shown_shape(tensor.shape), "; config.json says ", reason_for(tensor.name, config));
  HICI_CHECK(c10::isFloatingType(info.dtype), subject, " has type ", shown_dtype(info.dtype),
             ", expected a floating type; quantized weights are not read");
}

// A head that differs from the embedding is a head of its own, whatever config.json says: as transformers 5 has it.
bool has_own_head(const TensorSource& weights) {
  const char *head = config::kHeadName, *embedding = config::kEmbeddingName;
  return weights.has(head) && weights.has(embedding) && weights.info(head).shape == weights.info(embedding).shape &&
         !at::equal(weights.read(head), weights.read(embedding));
}

void copy_companions(DirectoryWriter& writer, const fs::path& from, const fs::path& first) {
  std::vector<std::string> taken;
  for (const CompanionGroup& group : companion_groups()) {
    const fs::path source = companion_folder(group.name, from, first);
    const bool is_first = source == first;
    for (const std::string& name : group.files) writer.copy_if_there(source / name);
    for (const std::string& name : group.folders) writer.copy_folder_if_there(source / name);
    if (is_first) taken.emplace_back(group.name);
  }
  if (!taken.empty())
    log_info(first.string(), ": its own ", joined(taken), " went into the model, not those of ", from.string());
}

}  // namespace

std::vector<ExpectedTensor> expected_tensors(const config::ModelConfig& c) {
  std::vector<ExpectedTensor> out = {{config::kEmbeddingName, {c.vocab_size, c.hidden_size}}};
  const int64_t query_width = c.num_attention_heads * c.head_dim, key_width = c.num_key_value_heads * c.head_dim;
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".", attention = layer + "self_attn.",
                      mlp = layer + "mlp.";
    out.push_back({attention + "q_proj.weight", {query_width, c.hidden_size}});
    out.push_back({attention + "k_proj.weight", {key_width, c.hidden_size}});
    out.push_back({attention + "v_proj.weight", {key_width, c.hidden_size}});
    out.push_back({attention + "o_proj.weight", {c.hidden_size, query_width}});
    if (c.qk_norm()) {
      out.push_back({attention + "q_norm.weight", {c.head_dim}});
      out.push_back({attention + "k_norm.weight", {c.head_dim}});
    }
    out.push_back({mlp + "gate_proj.weight", {c.intermediate_size, c.hidden_size}});
    out.push_back({mlp + "up_proj.weight", {c.intermediate_size, c.hidden_size}});
    out.push_back({mlp + "down_proj.weight", {c.hidden_size, c.intermediate_size}});
    out.push_back({layer + "input_layernorm.weight", {c.hidden_size}});
    out.push_back({layer + "post_attention_layernorm.weight", {c.hidden_size}});
  }
  out.push_back({"model.norm.weight", {c.hidden_size}});
  if (!c.tie_word_embeddings) out.push_back({config::kHeadName, {c.vocab_size, c.hidden_size}});
  return out;
}

ModelDirectory ModelDirectory::open(const fs::path& path) {
  ModelDirectory out;
  out.path_ = path;
  out.check_ = std::make_shared<FolderCheck>(path);
  out.config_ = config::read_model_config(path);
  OpenedWeights opened = open_weights(path, "model", "pytorch_model", out.check_.get());
  HICI_CHECK(opened.source, path.string(),
             ": has config.json and no weights; expected model.safetensors, model.safetensors.index.json, "
             "pytorch_model.bin or "
             "pytorch_model.bin.index.json");
  out.weights_ = std::move(opened.source);
  out.weight_files_ = std::move(opened.files);
  if (out.config_.tie_word_embeddings && has_own_head(*out.weights_)) {
    out.config_.tie_word_embeddings = false;
    out.config_.notes.emplace_back(
        "tie_word_embeddings is true, and the weights have a head that differs from the embedding: it is used, as in "
        "transformers 5; transformers 4.51 uses the embedding");
  }
  const OpenedWeights modules = open_weights(path, kHiciModulesStem, kHiciModulesStem, out.check_.get());
  if (modules.source) out.weights_ = std::make_shared<JoinedSource>(out.weights_, modules.source);
  out.weight_files_.insert(out.weight_files_.end(), modules.files.begin(), modules.files.end());
  return out;
}

ModelDirectory ModelDirectory::of(const fs::path& path, const config::ModelConfig& config,
                                  std::shared_ptr<const TensorSource> weights) {
  ModelDirectory out;
  out.path_ = path;
  out.check_ = std::make_shared<FolderCheck>(folder_of(path));
  out.config_ = config;
  out.weights_ = std::move(weights);
  return out;
}

void ModelDirectory::check_against(const std::vector<ExpectedTensor>& expected) const {
  std::set<std::string> wanted;
  for (const ExpectedTensor& tensor : expected) {
    check_present(tensor, *weights_, path_.string(), config_.tie_word_embeddings);
    check_tensor(tensor, *weights_, config_);
    wanted.insert(tensor.name);
  }
  for (const auto& [name, info] : weights_->tensors())
    HICI_CHECK(wanted.count(name) != 0 || is_tolerated(name, config_.tie_word_embeddings), weights_->file_of(name),
               ": tensor '", printable(name), "' ", shown_shape(info.shape), " has no place in a ",
               name_of(config_.family), " of ", config_.num_hidden_layers, " layers; does config.json belong to it?");
}

uint64_t model_bytes(const ModelToWrite& model) { return safetensors_bytes(model.tensors) + (uint64_t{1} << 20); }

void write_model_files(DirectoryWriter& writer, ModelToWrite model) {
  const nlohmann::json config = config::to_json(model.config);
  write_safetensors_model(writer.folder(), std::move(model.tensors), model.max_shard_bytes);
  write_file_atomically(writer.folder() / "config.json", config.dump(2) + "\n");
  if (!model.copy_from.empty()) copy_companions(writer, model.copy_from, model.copy_first);
}

void write_model_directory(const fs::path& path, ModelToWrite model) {
  check_new_folder(path);
  model.config.validate(path.string());
  DirectoryWriter writer(path, model_bytes(model));
  write_model_files(writer, std::move(model));
  writer.publish();
}

}  // namespace hici::io
