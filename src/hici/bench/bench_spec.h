// SPDX-License-Identifier: Apache-2.0
// What `hici bench` measures: a model by its shapes, contexts, kinds of attention, and how often.
#pragma once

#include "hici/config/base_format.h"
#include "hici/config/hici_config.h"
#include "hici/config/sharding.h"
#include "hici/nn/activation_policy.h"
#include "hici/nn/attention/attention_kind.h"
#include "hici/ops/segment_attention.h"
#include "hici/parallel/world.h"

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici::bench {

// hici, full, s2, or segments, which HiCI's cost is measured against; also the names of the research scripts: full_attn
// and longlora. An unknown name is a usage error.
nn::AttentionKind parse_attention(std::string_view name, const std::string& subject);

// A model that only its config describes; weights are drawn when it is measured.
struct BenchModel {
  std::string name;
  config::ModelConfig config;
  config::HiciConfig hici;  // fits the model's width
};

// "llama2-7b", ... (preset_names()), or a model directory, of which config.json is read and nothing else.
BenchModel find_bench_model(const std::string& name, const std::string& subject);
const std::vector<std::string>& preset_names();
// What an option that names one may be, for help texts.
std::string model_help();

// ", frozen weights in host memory" and the like, for titles; empty where nothing is offloaded.
std::string offloading_text(const config::Sharding& sharding);

struct BenchSpec {
  BenchModel model;
  config::LoraConfig lora;
  std::vector<int64_t> lengths;  // tokens of a sequence; of a segment for attention alone; in all for the loss alone
  std::vector<nn::AttentionKind> attentions;
  int64_t batch_size = 1;
  int64_t repetitions = 5;
  int64_t warmup = 2;
  int64_t pause_ms = 0;  // rest of the device before each timed run: a GPU at its power limit lowers its clock
  std::optional<nn::ActivationPolicy> activation_policy = {};  // nullopt: what fits the GPU; on a CPU keep
  bool with_optimizer = false;
  int64_t accumulation_steps = 1;          // forwards and backwards in one measured step
  const parallel::World* world = nullptr;  // of a step over several processes, which is measured beside one alone
  config::Sharding sharding;
  int64_t memory_limit = 0;      // bytes of the GPU that a step may have; 0: what is free
  bool shows_parts = true;       // one run more, with marks where parts change
  bool stream_segments = false;  // a step segment by segment
  config::BaseFormat base_format = config::BaseFormat::kModel;  // of frozen projections and MLPs
  int64_t segment_length = 0;                                   // 0: the length over model.hici.num_segments
  int64_t prefix_slots = 12;                                    // attention alone
  int64_t attention_tokens = 0;         // attention alone: of all segments together; 0: 65,536 on a GPU, 4096 on a CPU
  std::vector<int64_t> link_bytes;      // links: of each collective, over all processes
  std::vector<int64_t> batch_sizes{1};  // decoding: sequences that get a token each in one step
  int64_t new_tokens = 32;              // decoding: steps of a run
  bool records_graph = true;            // decoding on a GPU
  std::string trace_folder;             // a model: timelines of one run more of each case go there; empty: none
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  ops::AttentionBackend attention_backend = ops::AttentionBackend::kAuto;

  // Tokens of a segment in a sequence of `length`.
  int64_t segment_length_of(int64_t length) const {
    return segment_length > 0 ? segment_length : length / model.hici.num_segments;
  }
  int64_t processes() const { return world == nullptr ? 1 : world->size(); }
  int64_t segment_processes() const { return world == nullptr ? 1 : world->mesh().segments; }
  // Ranges, and segments that divide the lengths; messages name the options.
  void validate() const;
};

}  // namespace hici::bench
