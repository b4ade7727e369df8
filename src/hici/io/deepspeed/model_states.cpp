// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/model_states.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/tensor_source.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>
#include <string_view>

namespace hici::io {
namespace {

using pickle::Kind;

constexpr int64_t kMaxElements = int64_t{1} << 48;

ParameterShape parameter_shape(const std::string& name, const PickledValue& value) {
  ParameterShape out{.name = name, .shape = value.integers(), .count = 1};
  HICI_CHECK(!name.empty() && name.size() <= kMaxTensorNameLength, value.subject(), ": name of ", name.size(),
             " bytes, expected 1 to ", kMaxTensorNameLength);
  HICI_CHECK(out.shape.size() <= kMaxRank, value.subject(), " has ", out.shape.size(), " dimensions, at most ",
             kMaxRank, " are read");
  for (const int64_t size : out.shape)
    HICI_CHECK(size >= 0 && !__builtin_mul_overflow(out.count, size, &out.count) && out.count <= kMaxElements,
               value.subject(), " is ", shown_shape(out.shape), ", which is no shape of a parameter");
  return out;
}

std::vector<ParameterShape> parameter_shapes(const PickledValue& dict) {
  std::vector<ParameterShape> out;
  for (const auto& [name, value] : dict.entries()) out.push_back(parameter_shape(name, value));
  return out;
}

// What lies at a path of dicts; nothing where a part of it is missing or no dict.
std::optional<PickledValue> find_path(const PickledValue& root, std::initializer_list<std::string_view> path) {
  std::optional<PickledValue> at = root;
  for (const std::string_view key : path) {
    if (at->kind() != Kind::kDict) return std::nullopt;
    at = at->find(key);
    if (!at) return std::nullopt;
  }
  return at;
}

bool is_true(const std::optional<PickledValue>& value) {
  return value && value->kind() == Kind::kBool && value->boolean();
}

// Above what is usual, so that the weights lie elsewhere.
bool is_above(const std::optional<PickledValue>& value, int64_t usual) {
  return value && value->kind() == Kind::kInt && value->integer() > usual;
}

bool is_text(const std::optional<PickledValue>& value, std::string_view text) {
  return value && value->kind() == Kind::kString && value->text() == text;
}

bool is_filled(const std::optional<PickledValue>& value) {
  return value && ((value->kind() == Kind::kList && !value->items().empty()) ||
                   (value->kind() == Kind::kDict && !value->entries().empty()));
}

}  // namespace

bool names_trained_parameters(const PickledValue& root) { return root.find("param_shapes").has_value(); }

ParameterGroups trained_groups(const PickledValue& root) {
  HICI_CHECK(names_trained_parameters(root), root.subject(),
             ": says of no parameter that it was trained (`param_shapes`): it is of a run without ZeRO; take the ",
             "weights that it holds: python3 -c \"import torch; torch.save(torch.load('",
             printable(root.subject(), 400), "', map_location='cpu', weights_only=False)['module'], ",
             "'pytorch_model.bin')\"");
  ParameterGroups out;
  std::set<std::string> names;
  for (const PickledValue& group : root.at("param_shapes").items()) {
    out.push_back(parameter_shapes(group));
    for (const ParameterShape& parameter : out.back())
      HICI_CHECK(names.insert(parameter.name).second, group.subject(), ": parameter '", printable(parameter.name),
                 "' is there twice; the file is damaged");
  }
  return out;
}

std::vector<ParameterShape> frozen_shapes(const PickledValue& root) {
  const std::optional<PickledValue> frozen = root.find("frozen_param_shapes");
  return frozen ? parameter_shapes(*frozen) : std::vector<ParameterShape>{};
}

std::vector<std::pair<std::string, std::string>> shared_names(const PickledValue& root) {
  std::vector<std::pair<std::string, std::string>> out;
  if (const std::optional<PickledValue> shared = root.find("shared_params"))
    for (const auto& [name, holder] : shared->entries()) out.emplace_back(name, holder.text());
  return out;
}

void refuse_unsupported_runs(const PickledValue& root) {
  const auto refuse = [&](bool is_set, const char* what) {
    HICI_CHECK(!is_set, root.subject(), ": is of a run with ", what,
               ", which is not read; put the model together with the DeepSpeed that trained it");
  };
  const auto zero = [&](std::string_view key) { return find_path(root, {"ds_config", "zero_optimization", key}); };
  const auto device = [&](std::string_view key) {
    return find_path(root, {"ds_config", "zero_optimization", key, "device"});
  };
  refuse(is_above(root.find("mp_world_size"), 1), "tensor parallelism (`mp_world_size`)");
  refuse(is_filled(root.find("ds_autoep_layers")) || is_filled(root.find("autoep_layers")),
         "experts (`ds_autoep_layers`)");
  refuse(is_filled(root.find("num_experts")), "experts (`num_experts`)");
  refuse(is_above(zero("zero_hpz_partition_size"), 1), "secondary partitions of ZeRO++ (`zero_hpz_partition_size`)");
  refuse(is_true(zero("zero_quantized_nontrainable_weights")),
         "quantized frozen weights of ZeRO++ (`zero_quantized_nontrainable_weights`)");
  refuse(is_above(zero("mics_shard_size"), 0), "MiCS (`mics_shard_size`)");
  refuse(is_filled(zero("zenflow")), "ZenFlow (`zenflow`)");
  refuse(is_text(device("offload_optimizer"), "nvme"), "the optimizer's state on NVMe (`offload_optimizer`)");
  refuse(is_text(device("offload_param"), "nvme"), "parameters on NVMe (`offload_param`)");
}

bool mixes_up_universal(const PickledValue& root) {
  const auto stage = find_path(root, {"ds_config", "zero_optimization", "stage"});
  const bool is_partitioned = stage && stage->kind() == Kind::kInt && stage->integer() == 3;
  return !is_partitioned && is_true(find_path(root, {"ds_config", "zero_optimization", "round_robin_gradients"}));
}

}  // namespace hici::io
