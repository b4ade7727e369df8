// SPDX-License-Identifier: Apache-2.0
// `hici merge`: merges base and adapter into one model directory, tensor by tensor. At most one weight matrix and its
// float32 sum are in memory. W + lora_scale B A is computed in float32 (float64 for a float64 output) and rounded once.
// Reference: merge_lora_weights_and_save_hf_model.py and merge_lora_weights_hici.py of the research code.
#pragma once

#include "hici/io/gguf/tensor_type.h"
#include "hici/io/load_model.h"
#include "hici/io/merge_check.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace hici::io {

constexpr const char* kMergeRecordName = "hici_merge.json";

// One GGUF file, for llama.cpp, instead of a directory of transformers.
struct GgufRequest {
  std::optional<gguf::TensorType> type = {};  // of matrices; nullopt: that of the base, F32 where GGUF has no such type
};

struct MergeRequest {
  ModelRequest model;  // base, adapter, context_size; dtype is ignored
  std::filesystem::path output;
  bool with_hici = false;                    // also writes the HiCI modules, in a separate file, and hici_config.json
  std::optional<at::ScalarType> dtype = {};  // nullopt: that of the base
  uint64_t max_shard_bytes = uint64_t{5} << 30;
  std::optional<GgufRequest> gguf = {};  // then without HiCI modules; dtype and max_shard_bytes are ignored
  std::string options;                   // as given by the user, for hici_merge.json
  // Called often with the present work ("merging", "checking") and its progress in bytes; may throw to stop.
  std::function<void(const char* what, uint64_t total_bytes, uint64_t done_bytes)> progress;
};

struct MergeResult {
  config::ModelConfig config;  // of the merged model, as its config.json says
  at::ScalarType dtype = at::kFloat;
  std::optional<gguf::TensorType> gguf_type = {};  // of a GGUF file, instead of `dtype`
  size_t folded = 0;                               // weights with a LoRA sum
  size_t replaced = 0;                             // weights that the adapter stores whole
  size_t hici_tensors = 0;                         // written to hici_modules.safetensors
  uint64_t bytes = 0;
  MergeCheck check;
};

// `opened`: the files of request.model; `hici`: the settings to use. The directory gets its final name after it is
// complete and has passed check_merged(). `output` must be free.
MergeResult merge_adapter(const MergeRequest& request, const OpenedModel& opened, const config::HiciConfig& hici);

}  // namespace hici::io
