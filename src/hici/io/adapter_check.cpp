// SPDX-License-Identifier: Apache-2.0
#include "hici/io/adapter_check.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/config/parameter_names.h"
#include "hici/io/model_directory.h"

#include <c10/core/ScalarType.h>

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
  const bool is_embedding = name == "model.embed_tokens.weight" || name == "lm_head.weight";
  std::vector<int64_t> wanted = found->second;
  // The research code adds [PAD]; the loader extends the base and says so.
  if (is_embedding && info.shape.size() == 2 && info.shape[0] > wanted[0]) wanted[0] = info.shape[0];
  HICI_CHECK(info.shape == wanted, subject, " is ", shown_shape(info.shape), ", the base model has ",
             shown_shape(found->second), "; the adapter is for another model");
}

// The weight that a LoRA factor adapts, wherever it lies; empty when there is none.
std::vector<int64_t> adapted_shape(const Adapter& adapter, const std::string& layer, const Shapes& base) {
  const std::string weight = layer + ".weight";
  if (const auto found = base.find(weight); found != base.end()) return found->second;
  if (adapter.trainables->has(weight)) return adapter.trainables->info(weight).shape;
  return {};
}

void check_factor(const Adapter& adapter, const std::string& name, const TensorInfo& info, const Shapes& base) {
  const std::string subject = subject_of(*adapter.lora_tensors, name);
  const std::string layer = name.substr(0, name.rfind(".lora_"));
  const bool is_a = name == layer + ".lora_A.weight";
  HICI_CHECK(is_a || name == layer + ".lora_B.weight", subject,
             " is no LoRA factor of a linear layer; expected lora_A.weight or lora_B.weight");
  const std::string other = layer + (is_a ? ".lora_B.weight" : ".lora_A.weight");
  HICI_CHECK(adapter.lora_tensors->has(other), subject, " has no partner '", printable(other),
             "'; the adapter is incomplete");
  const std::vector<int64_t> weight = adapted_shape(adapter, layer, base);
  HICI_CHECK(weight.size() == 2, subject,
             " adapts a layer that neither the base nor the adapter has; the adapter is for another model");
  const std::vector<int64_t> wanted =
      is_a ? std::vector<int64_t>{adapter.lora.rank, weight[1]} : std::vector<int64_t>{weight[0], adapter.lora.rank};
  HICI_CHECK(info.shape == wanted, subject, " is ", shown_shape(info.shape), ", expected ", shown_shape(wanted),
             " for a weight of ", shown_shape(weight), " and r ", adapter.lora.rank,
             "; the adapter is for another model");
}

}  // namespace

void check_adapter(const Adapter& adapter, const config::ModelConfig& base) {
  const Shapes shapes = shapes_of_base(base);
  for (const auto& [name, info] : adapter.trainables->tensors()) {
    check_trainable(adapter, name, info, shapes);
    HICI_CHECK(c10::isFloatingType(info.dtype), subject_of(*adapter.trainables, name), " has type ",
               shown_dtype(info.dtype), ", expected a floating type");
  }
  for (const auto& [name, info] : adapter.lora_tensors->tensors()) {
    check_factor(adapter, name, info, shapes);
    HICI_CHECK(c10::isFloatingType(info.dtype), subject_of(*adapter.lora_tensors, name), " has type ",
               shown_dtype(info.dtype), ", expected a floating type");
  }
}

}  // namespace hici::io
