// SPDX-License-Identifier: Apache-2.0
// `hici extract`: converts any adapter that read_adapter() accepts, especially a full dump of a checkpoint, to the pair
// that evaluation, merging and PEFT read: adapter_model (LoRA) and trainable_params (embedding, norms, HiCI modules).
// Reference: get_trainable_weights.py of the research code.
#pragma once

#include "hici/io/adapter.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hici::io {

struct ExtractRequest {
  std::filesystem::path
      checkpoint;                // an adapter, a full dump, a checkpoint, or a run directory (its newest checkpoint)
  std::filesystem::path output;  // a new directory; empty: beside the files it came from
  // Selects whole parameters whose name contains one of these. Empty: for a full dump those that the research code
  // trains, for a pair all.
  std::vector<std::string> trainable_parts;
  std::optional<double> lora_alpha;  // of a full dump without adapter_config.json
  AdapterFormat format = AdapterFormat::kSafetensors;
  std::function<void(uint64_t total_bytes, uint64_t done_bytes)> progress;
};

struct ExtractResult {
  std::filesystem::path directory;  // of the files
  config::LoraConfig lora;
  size_t lora_tensors = 0;
  size_t trainables = 0;
  uint64_t bytes = 0;
  bool has_hici_modules = false;
  bool has_settings = false;  // hici_config.json is there
};

// Types are those of the source. No file appears before all are written.
ExtractResult extract_adapter(const ExtractRequest& request);

}  // namespace hici::io
