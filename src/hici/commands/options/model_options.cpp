// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/model_options.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/process_rank.h"
#include "hici/commands/options/option_choices.h"
#include "hici/config/divides.h"
#include "hici/config/rope.h"
#include "hici/device/cuda_plugin.h"

#include <vector>

namespace hici::commands {
namespace {

std::string shown(bool value) { return value ? "True" : "False"; }
int64_t shown(int64_t value) { return value; }

// A stored value stands unless another was typed, which is an error: the tensors have the stored shape.
template <typename T>
void keep_stored(const Option<T&>& option, T& value, const T& stored) {
  HICI_CHECK_USAGE(!option.typed() || value == stored, option.name(), ": ", shown(value),
                   " contradicts the adapter, which has ", shown(stored), "; leave the option out");
  value = stored;
}

template <typename T>
void use_unless_typed(const Option<T&>& option, const T& other) {
  if (!option.typed()) option.value = other;
}

}  // namespace

void HiciOptions::bind(CLI::App& command) {
  add_option(command, "num_chunks", num_chunks, "Segments that a sequence is cut into", {1, config::kMaxSegments});
  add_option(command, "num_local_slots", num_local_slots, "Local slots of each segment (M)", {1, config::kMaxSlots});
  add_option(command, "global_slots", global_slots, "Global slots (K)", {1, config::kMaxSlots});
  add_option(command, "num_heads", num_heads, "Attention heads inside both HiCI modules", {1, config::kMaxDim});
  add_bool(command, "use_bottleneck", use_bottleneck,
           "Local construction in --bottleneck_dim instead of the model's width");
  add_option(command, "bottleneck_dim", bottleneck_dim, "Width of local construction and global integration",
             {1, config::kMaxDim});
  add_option(command, "shared_compress_dim", shared_compress_dim, "Width of the compressor shared by the statistics",
             {1, config::kMaxDim});
  add_bool(command, "shared_compressor", shared_compressor,
           "One compressor for all statistics instead of one for each");
  add_bool(command, "use_local_constructor", use_local_constructor, "Local slots; without them there is no hierarchy");
  add_bool(command, "use_global_integrator", use_global_integrator, "Global slots");
  add_bool(command, "use_hierarchical_forward", use_hierarchical_forward,
           "False: plain attention inside segments, no slots");
  with_choices_of<config::CausalMode>(add_option(
      command, "causal_mode", causal_mode,
      "What a segment's tokens see before their own: none = G of all segments (looks ahead) and L_i (default "
      "for Llama); "
      "causal_gi = G of segments 1..i and L_i (default for Qwen3); causal_shift = G and L of the segments "
      "before i, nothing "
      "for the first; causal_shift_g = that G alone; causal_gi_gonly = G of segments 1..i alone"));
}

void HiciOptions::use_where_not_typed(const config::HiciConfig& settings) {
  use_unless_typed(num_chunks, settings.num_segments);
  use_unless_typed(num_local_slots, settings.num_local_slots);
  use_unless_typed(global_slots, settings.global_slots);
  use_unless_typed(num_heads, settings.num_heads);
  use_unless_typed(use_bottleneck, settings.use_bottleneck);
  use_unless_typed(bottleneck_dim, settings.bottleneck_dim);
  use_unless_typed(shared_compress_dim, settings.shared_compress_dim);
  use_unless_typed(shared_compressor, settings.shared_compressor);
  use_unless_typed(use_local_constructor, settings.use_local_constructor);
  use_unless_typed(use_global_integrator, settings.use_global_integrator);
}

config::HiciConfig HiciOptions::resolve(config::Family family, const io::StoredHici& stored) const {
  config::HiciConfig config = values;
  const bool complete = stored.config && stored.is_complete;
  config.causal_mode = !causal_mode.value.empty()
                           ? parse_enum<config::CausalMode>(causal_mode.value, causal_mode.name())
                       : complete ? stored.config->causal_mode
                                  : config::default_causal_mode(family);
  if (!stored.config) {
    if (use_hierarchical_forward.value) return config;
    note_without_effect("--use_hierarchical_forward False");
    config.use_local_constructor = config.use_global_integrator = false;
    return config;
  }
  const config::HiciConfig& known = *stored.config;
  HICI_CHECK_USAGE(use_hierarchical_forward.value, use_hierarchical_forward.name(),
                   ": False contradicts the adapter, which has HiCI modules; leave the option out");
  if (complete) {
    if (!num_chunks.typed()) config.num_segments = known.num_segments;
    keep_stored(num_heads, config.num_heads, known.num_heads);
  }
  keep_stored(num_local_slots, config.num_local_slots, known.num_local_slots);
  keep_stored(global_slots, config.global_slots, known.global_slots);
  keep_stored(use_bottleneck, config.use_bottleneck, known.use_bottleneck);
  keep_stored(bottleneck_dim, config.bottleneck_dim, known.bottleneck_dim);
  keep_stored(shared_compress_dim, config.shared_compress_dim, known.shared_compress_dim);
  keep_stored(shared_compressor, config.shared_compressor, known.shared_compressor);
  keep_stored(use_local_constructor, config.use_local_constructor, known.use_local_constructor);
  keep_stored(use_global_integrator, config.use_global_integrator, known.use_global_integrator);
  return config;
}

config::HiciConfig HiciOptions::resolve(const io::OpenedModel& opened, bool is_used) const {
  const config::HiciConfig config = resolve(opened.base.config().family, opened.hici);
  if (is_used) {
    settle_heads(opened, config);
  } else if (opened.hici.config && num_heads.typed()) {
    config.validate(opened.base.config().hidden_size);  // what was typed is wrong, used or not
  }
  return config;
}

// The number of heads is in no tensor.
void HiciOptions::settle_heads(const io::OpenedModel& opened, const config::HiciConfig& config) const {
  if (!opened.hici.config || opened.hici.is_complete || num_heads.typed()) return;
  const std::string subject = opened.adapter ? opened.adapter->path.string() : opened.base.path().string();
  const int64_t hidden = opened.base.config().hidden_size;
  for (const int64_t width : {config.local_width(hidden), config.bottleneck_dim})
    HICI_CHECK_USAGE(width % config.num_heads == 0, subject,
                     ": no file says how many heads its HiCI modules have, and ", config.num_heads,
                     ", which is assumed, does not divide their width ", width, "; give ", num_heads.name(),
                     ", one of ", config::shown_divisors(width));
  log_info(subject, ": no file says how many heads its HiCI modules have; ", config.num_heads, " are assumed (",
           num_heads.name(), ")");
}

void HiciOptions::note_without_effect(const std::string& why) const {
  for (const DeclaredOption* option :
       OptionList{&num_local_slots, &global_slots, &num_heads, &use_bottleneck, &bottleneck_dim, &shared_compress_dim,
                  &shared_compressor, &use_local_constructor, &use_global_integrator, &causal_mode,
                  &use_hierarchical_forward}) {
    if (option->typed() && !why.starts_with(option->name())) log_info(option->name(), " has no effect with ", why);
  }
}

void DeviceOptions::bind(CLI::App& command) {
  with_choices(
      add_option(
          command, "dtype", dtype,
          "Type of the weights and of the work: auto, float32, bfloat16, float64 (auto: float32 on a CPU, bfloat16 "
          "on a GPU)"),
      {"auto", "float32", "bfloat16", "float64"});
  with_choices(add_option(command, "device", device, "auto, cpu, cuda or cuda:N"), {"auto", "cpu", "cuda"});
  add_bool(command, "bf16", bf16, "The same as --dtype bfloat16");
  with_choices_of<ops::AttentionBackend>(add_option(
      command, "attention_backend", attention_backend,
      "Who computes attention: hopper (our kernels for sm_90), cudnn (Hopper and newer), flash (FlashAttention-2; on a "
      "CPU its counterpart), math "
      "(plain products, scores held whole), or auto: the fastest that the device, type and head size allow"));
}

at::ScalarType DeviceOptions::resolve_dtype(at::Device target) const {
  HICI_CHECK_USAGE(!bf16.value || dtype == "auto" || dtype == "bfloat16", "--bf16: contradicts --dtype ", dtype,
                   "; give one of them");
  if (bf16.value || dtype == "bfloat16") return at::kBFloat16;
  if (dtype == "auto") return target.is_cuda() ? at::kBFloat16 : at::kFloat;
  if (dtype == "float64") return at::kDouble;
  HICI_CHECK_USAGE(dtype == "float32", "--dtype: unknown type '", dtype, "'; use auto, float32, bfloat16 or float64");
  return at::kFloat;
}

ops::AttentionBackend DeviceOptions::resolve_attention_backend() const {
  return parse_enum<ops::AttentionBackend>(attention_backend, "--attention_backend");
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
                               const DeviceOptions& device, bool uses_hierarchy) {
  io::ModelRequest request;
  request.uses_hierarchy = uses_hierarchy;
  request.base = base_model;
  request.adapter = peft_model;
  request.device = device.resolve_device();
  request.dtype = device.resolve_dtype(request.device);
  request.context_size = context_size;
  return request;
}

io::LoadedModel load_model(const io::ModelRequest& request, const HiciOptions& hici) {
  const io::OpenedModel opened = io::open_model(request);
  return io::build_model(request, opened, hici.resolve(opened, request.uses_hierarchy));
}

}  // namespace hici::commands
