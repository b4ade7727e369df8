// SPDX-License-Identifier: Apache-2.0
// From directories to a model that runs: base weights, an adapter on top, fresh HiCI modules and LoRA for training.
#pragma once

#include "hici/config/hici_config.h"
#include "hici/nn/causal_lm.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace hici::io {

// What an adapter or a model directory says of its HiCI modules.
struct StoredHici {
  std::optional<config::HiciConfig> config;  // nothing: there are none
  // False when only the tensors spoke (no hici_config.json): shapes are right, heads, segments and causal mode are not
  // known.
  bool is_complete = false;
};

struct ModelRequest {
  std::filesystem::path base;
  std::filesystem::path adapter;  // empty: none; an adapter, a checkpoint, or a run directory (its newest checkpoint)
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  int64_t context_size = 0;  // decides the RoPE factor; 0: what the adapter was trained with, else the base as it is
  bool hash_weights = false;
  bool add_pad_token = false;  // a row more in the embedding, for [PAD]; see vocabulary.h

  // For training: modules that no file holds yet.
  bool fresh_hierarchy = false;            // attach HiCI modules when neither base nor adapter has them
  std::optional<config::LoraConfig> lora;  // attach adapters when the adapter directory brings none
  bool copy_attention_init = false;        // --use_llama_init
  uint64_t seed = 0;

  // The HiCI settings to use, given what the files say of themselves.
  std::function<config::HiciConfig(config::Family, const StoredHici&)> resolve_hici;
};

struct LoadedModel {
  std::unique_ptr<nn::CausalLm> model;
  config::HiciConfig hici;
  std::optional<config::LoraConfig> lora;
  bool has_hierarchy = false;
  int64_t context_size = 0;  // 0: not known
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  std::string weights_sha256;  // of all weight files of base and adapter; empty unless asked for
};

// Everything is checked against the config before memory for weights is taken. Errors name file, tensor and the way
// out.
LoadedModel load_model(const ModelRequest& request);

// `path` itself when it holds a model or an adapter; the newest whole checkpoint when it is a run directory.
std::filesystem::path resolve_run_directory(const std::filesystem::path& path);

}  // namespace hici::io
