// SPDX-License-Identifier: Apache-2.0
// The table of `hici plan`: the memory of a training step of one model by context, from its shapes alone.
#pragma once

#include "hici/bench/bench_spec.h"
#include "hici/plan/step_traffic.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace hici::bench {

struct MemoryTableSpec {
  BenchModel model;
  nn::AttentionKind attention = nn::AttentionKind::kHici;
  std::vector<int64_t> lengths;
  int64_t batch_size = 1;
  int64_t accumulation_steps = 8;
  at::ScalarType dtype = at::kBFloat16;
  config::LoraConfig lora;
  optim::TrainableSelection trainable;
  bool stream_segments = false;
  int64_t segment_length = 0;  // 0: the length over model.hici.num_segments
  bool on_gpu = true;
  std::optional<nn::ActivationPolicy> policy = {};  // nullopt: the fastest mix that fits
  parallel::Mesh mesh = {};                         // the processes, of which one is planned
  config::Sharding sharding = {};
  config::BaseFormat base_format = config::BaseFormat::kModel;  // of frozen projections and MLPs
  plan::LinkRates rates = plan::kNvlinkRates;
  int64_t memory_bytes = 0;  // of the card, or that a process on a CPU may have

  // Ranges, segments that divide the lengths, what streaming can do; messages name the options.
  void validate() const;
  // Bytes that tensors may take: the memory less what the process takes for itself, and the margin.
  int64_t budget() const { return plan::budget_of_memory(memory_bytes, on_gpu); }
  // Bytes that all may take, the process's own included.
  int64_t limit() const { return budget() + plan::process_bytes(on_gpu); }
  int64_t num_segments(int64_t length) const {
    return segment_length > 0 ? length / segment_length : model.hici.num_segments;
  }
};

struct MemoryTable {
  std::string text;
  nlohmann::json json;  // facts, and a row for each length with every byte
};

MemoryTable make_memory_table(const MemoryTableSpec& spec);

}  // namespace hici::bench
