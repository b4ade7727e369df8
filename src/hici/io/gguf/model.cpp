// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/model.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/config/parameter_names.h"
#include "hici/config/rope.h"
#include "hici/io/gguf/rope.h"
#include "hici/io/model_directory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace hici::io::gguf {
namespace {

// llama.cpp's numbers of what most of a file's tensors are (llama_ftype).
uint32_t file_type(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return 0;
    case TensorType::kF16:
      return 1;
    case TensorType::kQ8_0:
      return 7;
    case TensorType::kBF16:
      return 32;
  }
  HICI_ASSERT(false, "type ", static_cast<uint32_t>(type));
  return 0;
}

struct NamePair {
  const char *transformers, *gguf;
};
constexpr std::array kNames{NamePair{config::kEmbeddingName, "token_embd.weight"},
                            NamePair{"model.norm.weight", "output_norm.weight"},
                            NamePair{config::kHeadName, "output.weight"}};
constexpr std::array kLayerNames{
    NamePair{"self_attn.q_proj", "attn_q"},          NamePair{"self_attn.k_proj", "attn_k"},
    NamePair{"self_attn.v_proj", "attn_v"},          NamePair{"self_attn.o_proj", "attn_output"},
    NamePair{"self_attn.q_norm", "attn_q_norm"},     NamePair{"self_attn.k_norm", "attn_k_norm"},
    NamePair{"mlp.gate_proj", "ffn_gate"},           NamePair{"mlp.up_proj", "ffn_up"},
    NamePair{"mlp.down_proj", "ffn_down"},           NamePair{"input_layernorm", "attn_norm"},
    NamePair{"post_attention_layernorm", "ffn_norm"}};

// "model.layers.3.mlp.up_proj.weight" is "blk.3.ffn_up.weight".
std::string gguf_name(const std::string& name) {
  for (const NamePair& pair : kNames)
    if (name == pair.transformers) return pair.gguf;
  const std::string layers = "model.layers.", end = ".weight";
  const size_t dot = name.find('.', layers.size());
  for (const NamePair& pair : kLayerNames)
    if (name.starts_with(layers) && dot != std::string::npos && name.substr(dot + 1) == pair.transformers + end)
      return "blk." + name.substr(layers.size(), dot - layers.size()) + "." + pair.gguf + end;
  HICI_ASSERT(false, "no GGUF name of ", name);
  return "";
}

// The number of heads whose rows change their order; nothing for other weights.
std::optional<int64_t> turned_heads(const config::ModelConfig& config, const std::string& name) {
  if (config.family != config::Family::kLlama) return std::nullopt;
  if (name.ends_with("q_proj.weight")) return config.num_attention_heads;
  if (name.ends_with("k_proj.weight")) return config.num_key_value_heads;
  return std::nullopt;
}

// From halves [H, 2, D/2] to neighbours [H, D/2, 2], or back.
at::Tensor with_rows_in_order(const at::Tensor& rows, int64_t heads, bool to_neighbours) {
  const int64_t half = rows.size(0) / heads / 2;
  const std::vector<int64_t> shape =
      to_neighbours ? std::vector<int64_t>{heads, 2, half, -1} : std::vector<int64_t>{heads, half, 2, -1};
  return rows.reshape(shape).transpose(1, 2).reshape(rows.sizes());
}

class MetadataWriter {
 public:
  explicit MetadataWriter(const ModelToWrite& model)
      : config_(model.config), architecture_(name_of(model.config.family)), subject_(model.subject) {
    out_.emplace_back("general.architecture", architecture_);
    out_.emplace_back("general.type", std::string("model"));
    out_.emplace_back("general.file_type", file_type(model.type));
    out_.emplace_back("general.quantization_version", uint32_t{2});
  }

  Metadata take() {
    number("vocab_size", config_.vocab_size);
    number("context_length", std::max(config_.max_position_embeddings, config::rope_context(config_)));
    number("embedding_length", config_.hidden_size);
    number("block_count", config_.num_hidden_layers);
    number("feed_forward_length", config_.intermediate_size);
    number("attention.head_count", config_.num_attention_heads);
    number("attention.head_count_kv", config_.num_key_value_heads);
    number("attention.key_length", config_.head_dim);
    number("attention.value_length", config_.head_dim);
    add("attention.layer_norm_rms_epsilon", static_cast<float>(config_.rms_norm_eps));
    return std::move(out_);
  }

 private:
  void add(const std::string& key, Value value) { out_.emplace_back(architecture_ + "." + key, std::move(value)); }
  void number(const std::string& key, int64_t value) {
    HICI_CHECK(value >= 0 && value <= std::numeric_limits<int32_t>::max(), subject_, ": ", key, " ", value,
               " is more than llama.cpp holds; merge without `format` gguf");
    add(key, static_cast<uint32_t>(value));
  }

  const config::ModelConfig& config_;
  std::string architecture_, subject_;
  Metadata out_;
};

TensorToWrite factors_tensor(const std::string& name, const std::vector<float>& values) {
  return {name, TensorType::kF32, {static_cast<int64_t>(values.size())}, [values] {
            return at::tensor(values, at::TensorOptions(at::kFloat));
          }};
}

}  // namespace

std::string file_name(TensorType type) { return detail::concat("model-", name_of(type), ".gguf"); }

TensorType stored_type(TensorType type, const std::vector<int64_t>& shape) {
  return shape.size() == 1 ? TensorType::kF32 : type;
}

config::ModelConfig written_config(const config::ModelConfig& config, const std::string& subject) {
  return config::parse_model_config(config::to_json(config), subject);
}

ModelFile model_file(const ModelToWrite& model, const std::vector<WeightToWrite>& weights) {
  const config::ModelConfig& config = model.config;
  ModelFile out{MetadataWriter(model).take(), {}};
  const Rope rope = rope_of(config, name_of(config.family), model.subject);
  out.metadata.insert(out.metadata.end(), rope.metadata.begin(), rope.metadata.end());
  const Metadata tokenizer = tokenizer_metadata(model.folders, config);
  out.metadata.insert(out.metadata.end(), tokenizer.begin(), tokenizer.end());
  if (rope.factors)
    for (const std::string& name : rope.factors->tensors)
      out.tensors.push_back(factors_tensor(name, rope.factors->values));
  for (const WeightToWrite& weight : weights) {
    const std::optional<int64_t> heads = turned_heads(config, weight.name);
    const auto load = [weight, heads] {
      return heads ? with_rows_in_order(weight.load(), *heads, true) : weight.load();
    };
    out.tensors.push_back({gguf_name(weight.name), stored_type(model.type, weight.shape), weight.shape, load});
  }
  return out;
}

ModelSource::ModelSource(const std::filesystem::path& path, const config::ModelConfig& config,
                         const ModelFile& expected)
    : file_(path), config_(config) {
  const std::string subject = path.string() + ": was written otherwise than planned";
  HICI_CHECK(file_.metadata() == expected.metadata, subject, " (its metadata); please report it");
  for (const auto& [name, tensor] : file_.tensors()) stored_[name] = tensor;
  for (const TensorToWrite& tensor : expected.tensors) {
    const auto found = stored_.find(tensor.name);
    HICI_CHECK(found != stored_.end() && found->second.shape == tensor.shape && found->second.type == tensor.type,
               subject, " (", tensor.name, "); please report it");
    if (tensor.name.starts_with("rope_"))
      HICI_CHECK(at::equal(file_.read(found->second), tensor.load()), subject, " (", tensor.name,
                 "); please report it");
  }
  for (const ExpectedTensor& tensor : expected_tensors(config)) tensors_[tensor.name] = {at::kFloat, tensor.shape};
}

at::Tensor ModelSource::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  info(name);  // an error where there is no such tensor
  at::Tensor out = file_.read(stored_.at(gguf_name(name)));
  if (const std::optional<int64_t> heads = turned_heads(config_, name)) out = with_rows_in_order(out, *heads, false);
  return out.to(device, dtype);
}

}  // namespace hici::io::gguf
