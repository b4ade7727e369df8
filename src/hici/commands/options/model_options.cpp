// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/model_options.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/process_rank.h"
#include "hici/config/rope.h"
#include "hici/device/cuda_plugin.h"

#include <functional>
#include <vector>

namespace hici::commands {
namespace {

const std::vector<std::string>& hierarchy_names() {
  static const std::vector<std::string> names{"num_local_slots",
                                              "global_slots",
                                              "num_heads",
                                              "use_bottleneck",
                                              "bottleneck_dim",
                                              "shared_compress_dim",
                                              "shared_compressor",
                                              "use_local_constructor",
                                              "use_global_integrator",
                                              "causal_mode",
                                              "use_hierarchical_forward"};
  return names;
}

std::string shown(bool value) { return value ? "True" : "False"; }
int64_t shown(int64_t value) { return value; }

// A stored value stands unless another was typed, which is an error: the tensors have the stored shape.
template <typename T>
void keep_stored(const HiciOptions& options, const std::string& name, T& value, const T& stored) {
  HICI_CHECK_USAGE(!options.given(name) || value == stored, "--", name, ": ", shown(value),
                   " contradicts the adapter, which has ", shown(stored), "; leave the option out");
  value = stored;
}

}  // namespace

void HiciOptions::bind(CLI::App& command) {
  app = &command;
  add_option(command, "num_chunks", values.num_segments, "Segments that a sequence is cut into",
             {1, config::kMaxSegments});
  add_option(command, "num_local_slots", values.num_local_slots, "Local slots of each segment (M)",
             {1, config::kMaxSlots});
  add_option(command, "global_slots", values.global_slots, "Global slots (K)", {1, config::kMaxSlots});
  add_option(command, "num_heads", values.num_heads, "Attention heads inside both HiCI modules", {1, config::kMaxDim});
  add_bool(command, "use_bottleneck", values.use_bottleneck,
           "Local construction in --bottleneck_dim instead of the model's width");
  add_option(command, "bottleneck_dim", values.bottleneck_dim, "Width of local construction and global integration",
             {1, config::kMaxDim});
  add_option(command, "shared_compress_dim", values.shared_compress_dim,
             "Width of the compressor shared by the statistics", {1, config::kMaxDim});
  add_bool(command, "shared_compressor", values.shared_compressor,
           "One compressor for all statistics instead of one for each");
  add_bool(command, "use_local_constructor", values.use_local_constructor,
           "Local slots; without them there is no hierarchy");
  add_bool(command, "use_global_integrator", values.use_global_integrator, "Global slots");
  add_bool(command, "use_hierarchical_forward", use_hierarchical_forward,
           "False: plain attention inside segments, no slots");
  add_option(command, "causal_mode", causal_mode,
             "What a segment's tokens see before their own: none = G of all segments (looks ahead) and L_i (default "
             "for Llama); "
             "causal_gi = G of segments 1..i and L_i (default for Qwen3); causal_shift = G and L of the segments "
             "before i, nothing "
             "for the first; causal_shift_g = that G alone; causal_gi_gonly = G of segments 1..i alone");
}

bool HiciOptions::given(const std::string& name) const { return app->get_option("--" + name)->count() > 0; }

void HiciOptions::use_where_not_given(const config::HiciConfig& settings) {
  auto use = [&](const std::string& name, auto& value, const auto& other) {
    if (!given(name)) value = other;
  };
  use("num_chunks", values.num_segments, settings.num_segments);
  use("num_local_slots", values.num_local_slots, settings.num_local_slots);
  use("global_slots", values.global_slots, settings.global_slots);
  use("num_heads", values.num_heads, settings.num_heads);
  use("use_bottleneck", values.use_bottleneck, settings.use_bottleneck);
  use("bottleneck_dim", values.bottleneck_dim, settings.bottleneck_dim);
  use("shared_compress_dim", values.shared_compress_dim, settings.shared_compress_dim);
  use("shared_compressor", values.shared_compressor, settings.shared_compressor);
  use("use_local_constructor", values.use_local_constructor, settings.use_local_constructor);
  use("use_global_integrator", values.use_global_integrator, settings.use_global_integrator);
}

config::HiciConfig HiciOptions::resolve(config::Family family, const io::StoredHici& stored) const {
  config::HiciConfig config = values;
  const bool complete = stored.config && stored.is_complete;
  config.causal_mode = !causal_mode.empty() ? config::parse_causal_mode(causal_mode, "--causal_mode")
                       : complete           ? stored.config->causal_mode
                                            : config::default_causal_mode(family);
  if (!stored.config) {
    if (use_hierarchical_forward) return config;
    note_without_effect("--use_hierarchical_forward False");
    config.use_local_constructor = config.use_global_integrator = false;
    return config;
  }
  const config::HiciConfig& known = *stored.config;
  HICI_CHECK_USAGE(use_hierarchical_forward, "--use_hierarchical_forward: ", shown(use_hierarchical_forward),
                   " contradicts the adapter, which has HiCI modules; leave the option out");
  if (complete) {
    if (!given("num_chunks")) config.num_segments = known.num_segments;
    keep_stored(*this, "num_heads", config.num_heads, known.num_heads);
  }
  keep_stored(*this, "num_local_slots", config.num_local_slots, known.num_local_slots);
  keep_stored(*this, "global_slots", config.global_slots, known.global_slots);
  keep_stored(*this, "use_bottleneck", config.use_bottleneck, known.use_bottleneck);
  keep_stored(*this, "bottleneck_dim", config.bottleneck_dim, known.bottleneck_dim);
  keep_stored(*this, "shared_compress_dim", config.shared_compress_dim, known.shared_compress_dim);
  keep_stored(*this, "shared_compressor", config.shared_compressor, known.shared_compressor);
  keep_stored(*this, "use_local_constructor", config.use_local_constructor, known.use_local_constructor);
  keep_stored(*this, "use_global_integrator", config.use_global_integrator, known.use_global_integrator);
  return config;
}

void HiciOptions::note_without_effect(const std::string& why) const {
  for (const std::string& name : hierarchy_names()) {
    if (given(name) && !why.starts_with("--" + name)) log_info("--", name, " has no effect with ", why);
  }
}

void DeviceOptions::bind(CLI::App& command) {
  add_option(command, "dtype", dtype,
             "Type of the weights and of the work: auto, float32, bfloat16, float64 (auto: float32 on a CPU, bfloat16 "
             "on a GPU)");
  add_option(command, "device", device, "auto, cpu, cuda or cuda:N");
  add_bool(command, "bf16", bf16, "The same as --dtype bfloat16");
  add_option(
      command, "attention_backend", attention_backend,
      "Who computes attention: cudnn (Hopper and newer), flash (FlashAttention-2; on a CPU its counterpart), math "
      "(plain products, scores held whole), or auto: the fastest that the device, type and head size allow");
}

at::ScalarType DeviceOptions::resolve_dtype(at::Device target) const {
  HICI_CHECK_USAGE(!bf16 || dtype == "auto" || dtype == "bfloat16", "--bf16: contradicts --dtype ", dtype,
                   "; give one of them");
  if (bf16 || dtype == "bfloat16") return at::kBFloat16;
  if (dtype == "auto") return target.is_cuda() ? at::kBFloat16 : at::kFloat;
  if (dtype == "float64") return at::kDouble;
  HICI_CHECK_USAGE(dtype == "float32", "--dtype: unknown type '", dtype, "'; use auto, float32, bfloat16 or float64");
  return at::kFloat;
}

ops::AttentionBackend DeviceOptions::resolve_attention_backend() const {
  return ops::attention_backend_from_name(attention_backend, "--attention_backend");
}

at::Device DeviceOptions::resolve_device() const {
  if (device == "cpu") return at::kCPU;
  HICI_CHECK_USAGE(device == "auto" || device == "cuda" || device.rfind("cuda:", 0) == 0, "--device: unknown device '",
                   device, "'; use auto, cpu, cuda or cuda:N");
  if (device == "auto") {
    std::vector<at::Device> usable;
    for (const device::CudaDevice& gpu : device::cuda_devices(nullptr)) {
      if (gpu.runs_our_code) usable.emplace_back(at::kCUDA, static_cast<c10::DeviceIndex>(gpu.index));
    }
    return usable.empty() ? at::Device(at::kCPU)
                          : usable[static_cast<size_t>(process_rank().local_rank) % usable.size()];
  }
  at::Device gpu(device == "cuda" ? "cuda:0" : device);
  device::require_cuda_device("--device " + device, gpu.index());
  const auto gpus = static_cast<int64_t>(device::cuda_devices(nullptr).size());
  if (device == "cuda") gpu.set_index(static_cast<c10::DeviceIndex>(process_rank().local_rank % gpus));
  return gpu;
}

void add_differences(nlohmann::json& settings, const io::LoadedModel& loaded) {
  if (!loaded.other_base.empty()) settings["other_base"] = loaded.other_base;
  if (!loaded.other_tokenizer.empty()) settings["other_tokenizer"] = loaded.other_tokenizer;
}

std::string result_label(const std::string& label, const std::string& base_model, const std::string& peft_model) {
  if (!label.empty()) return label;
  return peft_model.empty() ? base_model : peft_model;
}

void warn_if_beyond_reach(const std::string& option, int64_t tokens, const io::LoadedModel& loaded) {
  const int64_t reach = config::rope_context(loaded.model->config());
  if (tokens <= reach) return;
  log_warning(option, ": ", tokens, " tokens are beyond the ", reach,
              " that the model's RoPE covers, and results get poor there; --context_size ", tokens, " stretches it");
}

io::ModelRequest model_request(const std::string& base_model, const std::string& peft_model, int64_t context_size,
                               const DeviceOptions& device, const HiciOptions& hici) {
  io::ModelRequest request;
  request.base = base_model;
  request.adapter = peft_model;
  request.device = device.resolve_device();
  request.dtype = device.resolve_dtype(request.device);
  request.context_size = context_size;
  request.resolve_hici = [&hici](config::Family family, const io::StoredHici& stored) {
    return hici.resolve(family, stored);
  };
  return request;
}

}  // namespace hici::commands
