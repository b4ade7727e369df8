// SPDX-License-Identifier: Apache-2.0
// Options that training and evaluation share: the hierarchy, types and devices.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/config/hici_config.h"
#include "hici/io/load_model.h"
#include "hici/io/opened_model.h"
#include "hici/ops/segment_attention.h"

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace hici::commands {

// The HiCI settings as typed. What was not typed is filled in from the adapter or the family's default.
struct HiciOptions {
  config::HiciConfig values;
  Option<int64_t&> num_chunks{values.num_segments};
  Option<int64_t&> num_local_slots{values.num_local_slots};
  Option<int64_t&> global_slots{values.global_slots};
  Option<int64_t&> num_heads{values.num_heads};
  Option<bool&> use_bottleneck{values.use_bottleneck};
  Option<int64_t&> bottleneck_dim{values.bottleneck_dim};
  Option<int64_t&> shared_compress_dim{values.shared_compress_dim};
  Option<bool&> shared_compressor{values.shared_compressor};
  Option<bool&> use_local_constructor{values.use_local_constructor};
  Option<bool&> use_global_integrator{values.use_global_integrator};
  Option<std::string> causal_mode;              // empty: the adapter's, else none for Llama and causal_gi for Qwen3
  Option<bool> use_hierarchical_forward{true};  // False: plain attention inside segments

  void bind(CLI::App& command);
  // `stored` is what an adapter or a model directory says of itself; typed values win where they may differ (segments,
  // causal mode), and must agree where tensors decide.
  config::HiciConfig resolve(config::Family family, const io::StoredHici& stored) const;
  // Of the files of a model. Where HiCI modules take no part (`is_used` false) only typed options are checked. Where
  // they do and no file says the number of their heads, a line says what is assumed.
  config::HiciConfig resolve(const io::OpenedModel& opened, bool is_used = true) const;
  // Values of options that were not typed; for a model that brings its own settings.
  void use_where_not_typed(const config::HiciConfig& settings);
  // One line for each typed option that has no effect under `why` ("--attention full").
  void note_without_effect(const std::string& why) const;

 private:
  void settle_heads(const io::OpenedModel& opened, const config::HiciConfig& config) const;
};

// --dtype, --device and --attention_backend.
struct DeviceOptions {
  std::string dtype = "auto";
  std::string device = "auto";
  Option<bool> bf16{false};
  std::string attention_backend = "auto";

  void bind(CLI::App& command);
  // float32 on a CPU and bfloat16 on a GPU unless typed.
  at::ScalarType resolve_dtype(at::Device device) const;
  // Whether the model allows it is known when its config is: CausalLm::check_attention_backend().
  ops::AttentionBackend resolve_attention_backend() const;
  // "auto" is the first GPU that this binary can use, or among several processes each one's own; without one the CPU.
  // Loads the CUDA plug-in for a GPU.
  at::Device resolve_device() const;
};

// Into the settings of a result: how base and tokenizer differ from the adapter's, "other_base" and "other_tokenizer"
// where they do.
void add_differences(nlohmann::json& settings, const io::LoadedModel& loaded);

// The name of a result's row in reports: --label, else the adapter, else the base.
std::string result_label(const std::string& label, const std::string& base_model, const std::string& peft_model);

// A line when sequences of `tokens`, which `option` asks for, are longer than the model's RoPE covers as it is
// stretched.
void warn_if_beyond_reach(const std::string& option, int64_t tokens, const io::LoadedModel& loaded);

// The model of a command that evaluates or generates. Loads the CUDA plug-in for a GPU.
// `uses_hierarchy`: whether HiCI attention is asked for.
io::ModelRequest model_request(const std::string& base_model, const std::string& peft_model, int64_t context_size,
                               const DeviceOptions& device, bool uses_hierarchy);
io::LoadedModel load_model(const io::ModelRequest& request, const HiciOptions& hici);

}  // namespace hici::commands
