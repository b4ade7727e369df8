// SPDX-License-Identifier: Apache-2.0
#include "hici/io/adapter_check.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/config/parameter_names.h"
#include "hici/io/model_directory.h"

#include <c10/core/ScalarType.h>

#include <algorithm>

namespace hici::io {
namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes shapes_of_base(const config::ModelConfig& base) {
  Shapes out;
  for (ExpectedTensor& tensor : expected_tensors(base)) out.emplace(std::move(tensor.name), std::move(tensor.shape));
  return out;
}

std::string subject_of(const TensorSource& source, const std::string& name) {
  return source.file_of(name) + ": tensor '" + printable(name) + "'";
}

void check_trainable(const Adapter& adapter, const std::string& name, const TensorInfo& info, const Shapes& base) {
  if (config::is_hici_parameter(name)) return;  // their shapes are what says how the modules look; see hici_config_of()
  const std::string subject = subject_of(*adapter.trainables, name);
  const auto found = base.find(name);
  HICI_CHECK(found != base.end(), subject, " is not in the base model; does the adapter belong to it?");
  const bool is_embedding = name == config::kEmbeddingName || name == config::kHeadName;
  std::vector<int64_t> wanted = found->second;
  // The research code adds [PAD]; the loader extends the base and says so.
  if (is_embedding && info.shape.size() == 2 && info.shape[0] > wanted[0]) wanted[0] = info.shape[0];
  HICI_CHECK(info.shape == wanted, subject, " is ", shown_shape(info.shape), ", the base model has ",
             shown_shape(found->second), "; the adapter is for another model");
}

// The weight that a LoRA factor adapts, wherever it lies; empty when there is none. A tied head is the embedding.
std::vector<int64_t> adapted_shape(const Adapter& adapter, const std::string& layer, const Shapes& base) {
  const std::string weight = layer + ".weight";
  if (const auto found = base.find(weight); found != base.end()) return found->second;
  if (adapter.trainables->has(weight)) return adapter.trainables->info(weight).shape;
  if (layer == "lm_head") return base.at(config::kEmbeddingName);
  return {};
}

// The shape that an adapter's tensor has beside a weight of [rows, columns]; empty for one that no kind of LoRA has.
std::vector<int64_t> shape_of_factor(const std::string& end, const std::vector<int64_t>& weight, int64_t rank) {
  const int64_t rows = weight[0], columns = weight[1];
  if (end == "lora_A.weight") return {rank, columns};
  if (end == "lora_B.weight") return {rows, rank};
  if (end == "lora_B.bias") return {rows};
  if (end == "lora_embedding_A") return {rank, rows};
  if (end == "lora_embedding_B") return {columns, rank};
  return {};
}

void check_partner(const Adapter& adapter, const std::string& layer, const std::string& end) {
  const bool is_embedding = end.starts_with("lora_embedding") || adapter.lora_tensors->has(layer + ".lora_embedding_A");
  for (const char* factor :
       {is_embedding ? "lora_embedding_A" : "lora_A.weight", is_embedding ? "lora_embedding_B" : "lora_B.weight"}) {
    const std::string other = layer + "." + factor;
    HICI_CHECK(adapter.lora_tensors->has(other), subject_of(*adapter.lora_tensors, layer + "." + end),
               " has no partner '", printable(other), "'; the adapter is incomplete");
  }
}

void check_factor(const Adapter& adapter, const std::string& name, const TensorInfo& info, const Shapes& base) {
  const std::string subject = subject_of(*adapter.lora_tensors, name);
  const std::string layer = name.substr(0, name.rfind(".lora_")), end = name.substr(name.rfind(".lora_") + 1);
  const std::vector<int64_t> weight = adapted_shape(adapter, layer, base);
  const bool is_magnitude = end == "lora_magnitude_vector";
  HICI_CHECK(is_magnitude || !shape_of_factor(end, {1, 1}, 1).empty(), subject,
             " is no LoRA factor of a linear layer; expected lora_A.weight or lora_B.weight");
  check_partner(adapter, layer, end);
  HICI_CHECK(weight.size() == 2, subject,
             " adapts a layer that neither the base nor the adapter has; the adapter is for another model");
  const int64_t rank = adapter.lora.shape_of(layer).rank;
  const bool is_embedding = adapter.lora_tensors->has(layer + ".lora_embedding_A");
  const std::vector<int64_t> wanted =
      is_magnitude ? std::vector<int64_t>{weight[is_embedding ? 1 : 0]} : shape_of_factor(end, weight, rank);
  const bool fits = is_magnitude ? info.num_elements() == wanted[0] : info.shape == wanted;
  HICI_CHECK(fits, subject, " is ", shown_shape(info.shape), ", expected ", shown_shape(wanted), " for a weight of ",
             shown_shape(weight), " and r ", rank, "; the adapter is for another model");
}

void check_token_rows(const Adapter& adapter, const Fold& fold, const config::ModelConfig& base) {
  if (fold.rows.empty()) return;
  const std::string name = fold.module + kTokenRows, subject = subject_of(*adapter.lora_tensors, name);
  const TensorInfo& info = adapter.lora_tensors->info(name);
  HICI_CHECK(info.shape.size() == 2 && info.shape[1] == base.hidden_size, subject, " is ", shown_shape(info.shape),
             ", expected rows of ", base.hidden_size, "; the adapter is for another model");
  for (const int64_t row : fold.rows)
    HICI_CHECK(row < base.vocab_size, subject, ": trainable_token_indices names token ", row, ", and the base has ",
               base.vocab_size,
               " rows; store the embedding in the adapter (PEFT's save_embedding_layers=True), or give "
               "the base that was resized");
}

}  // namespace

void check_adapter(const Adapter& adapter, const config::ModelConfig& base) {
  const Shapes shapes = shapes_of_base(base);
  for (const auto& [name, info] : adapter.trainables->tensors()) {
    check_trainable(adapter, name, info, shapes);
    HICI_CHECK(c10::isFloatingType(info.dtype), subject_of(*adapter.trainables, name), " has type ",
               shown_dtype(info.dtype), ", expected a floating type");
  }
  for (const Fold& fold : adapter.folds) check_token_rows(adapter, fold, base);
  for (const auto& [name, info] : adapter.lora_tensors->tensors()) {
    if (!name.ends_with(kTokenRows)) check_factor(adapter, name, info, shapes);
    HICI_CHECK(c10::isFloatingType(info.dtype), subject_of(*adapter.lora_tensors, name), " has type ",
               shown_dtype(info.dtype), ", expected a floating type");
  }
}

namespace {

// What adapter_config.json says is stored whole.
void check_whole_parts(const Adapter& adapter) {
  const auto has_any = [&](const PeftConfig& of) {
    const auto& whole = adapter.trainables->tensors();
    return std::any_of(whole.begin(), whole.end(), [&](const auto& item) { return is_saved_whole(of, item.first); });
  };
  // One of a tied pair stands for both.
  const char *embedding = config::kEmbeddingName, *head = config::kHeadName;
  const bool has_vocabulary = adapter.trainables->has(embedding) || adapter.trainables->has(head);
  for (const std::string& saved : adapter.peft.modules_to_save) {
    PeftConfig one;
    one.modules_to_save = {saved};
    const bool is_vocabulary = is_saved_whole(one, embedding) || is_saved_whole(one, head);
    HICI_CHECK(has_any(one) || (is_vocabulary && has_vocabulary), adapter.path.string(),
               ": modules_to_save of adapter_config.json names '", printable(saved),
               "', and no tensor is of it; the adapter is not whole");
  }
  const auto& parts = adapter.lora_tensors->tensors();
  HICI_CHECK(
      adapter.peft.token_rows.empty() ||
          std::any_of(parts.begin(), parts.end(), [](const auto& item) { return item.first.ends_with(kTokenRows); }),
      adapter.path.string(), ": adapter_config.json has trainable_token_indices, and no tensor holds their rows (",
      std::string_view(kTokenRows).substr(1), "); the adapter is not whole");
}

}  // namespace

void check_adapter_is_whole(const Adapter& adapter, const config::ModelConfig& config) {
  check_whole_parts(adapter);
  const TargetRule& rule = adapter.peft.targets;
  if (!rule.is_known() || adapter.lora_tensors->tensors().empty()) return;
  const char* reason =
      rule.is_default() ? " (null: PEFT takes q_proj and v_proj) leaves out" : " does not name, so PEFT leaves it out";
  const auto check = [&](const std::string& module) {
    const bool is_embedding = module == "model.embed_tokens";
    const std::string factor = module + (is_embedding ? ".lora_embedding_A" : ".lora_A.weight");
    const bool is_tied_to_target =
        adapter.peft.ties_weights && module == "lm_head" && rule.adapts("model.embed_tokens");
    const bool has = adapter.lora_tensors->has(factor), wants = rule.adapts(module) || (has && is_tied_to_target);
    HICI_CHECK(has || !wants, adapter.path.string(), ": tensor '", factor, "' is missing; the adapter is not whole");
    HICI_CHECK(wants || !has, subject_of(*adapter.lora_tensors, factor),
               " is of a module that target_modules of adapter_config.json", reason,
               "; name it there, or remove its tensors");
  };
  for (const ExpectedTensor& tensor : expected_tensors(config))  // in the order of the model
    if (tensor.shape.size() == 2) check(tensor.name.substr(0, tensor.name.rfind('.')));
  if (config.tie_word_embeddings) check("lm_head");
}

}  // namespace hici::io
