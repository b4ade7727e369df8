// SPDX-License-Identifier: Apache-2.0
// From directories to a model that runs: base weights, an adapter on top, fresh HiCI modules and LoRA for training.
#pragma once

#include "hici/config/hici_config.h"
#include "hici/io/checkpoint/model_identity.h"
#include "hici/io/tensor_source.h"
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
  bool warns_of_other_base = true;  // false: the caller compares LoadedModel::identity with the adapter's
  bool says_notes = true;           // of config.json (config::ModelConfig::notes), on stderr
  bool add_pad_token = false;       // a row more in the embedding, for [PAD]; see vocabulary.h

  // False: HiCI modules are read and take no part in the work, so settings that no file says (heads) are not checked.
  bool uses_hierarchy = true;

  // For training: modules that no file holds yet.
  bool fresh_hierarchy = false;            // attach HiCI modules when neither base nor adapter has them
  std::optional<config::LoraConfig> lora;  // attach adapters when the adapter directory brings none
  bool copy_attention_init = false;        // --use_llama_init
  uint64_t seed = 0;
  // Called when all parameters of a layer are there that files hold. What it takes from the layer is not held here.
  std::function<void(nn::CausalLm& model, size_t layer)> layer_loaded = {};
};

struct LoadedModel {
  std::unique_ptr<nn::CausalLm> model;
  config::HiciConfig hici;
  std::optional<config::LoraConfig> lora;
  bool has_hierarchy = false;
  int64_t context_size = 0;  // 0: not known
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  // Of base and tokenizer. What the adapter replaces was not read: there the adapter's own record stands, if it is of
  // the same base. Without a tokenizer.json beside the base it is the adapter's tokenizer.
  ModelIdentity identity;
  // Parameters that the adapter stores whole, for a checkpoint that must not lose those which are not trained on. Null
  // without an adapter. Of a full dump only those that modules_to_save names: the others are the base's.
  std::shared_ptr<const TensorSource> stored_whole;
  // How the base and its tokenizer differ from those that the adapter was trained on; empty: not at all, or not known.
  std::string other_base, other_tokenizer;
  std::string weights_hash;  // over the contents of all tensors that were read, of base and adapter, and LoRA's scale
  std::string config_hash;  // over what else decides outputs: sizes, RoPE, HiCI settings but for the number of segments
};

struct OpenedModel;

// The model of files that open_model() (io/opened_model.h) opened for the same request; `hici` are the settings to use,
// which the caller makes of what the files say of themselves (OpenedModel::hici). Everything is checked against the
// config before memory for weights is taken. Errors name file, tensor and the way out. Files of a checkpoint are what
// its manifest says (io/checkpoint/folder_check.h). A line says so when the adapter was trained on another base or with
// another tokenizer.
LoadedModel build_model(const ModelRequest& request, const OpenedModel& opened, const config::HiciConfig& hici);

// Both at once, with the HiCI settings that the files say; the default ones where they say none.
LoadedModel load_model(const ModelRequest& request);

// A line when the ids of `data` were made with another tokenizer than `model`, as it was given, has.
void warn_of_foreign_tokens(const std::string& data, const std::string& tokenizer_sha256, const std::string& model,
                            const LoadedModel& loaded);

// `path` itself when it holds a model or an adapter; the newest whole checkpoint when it is a run directory.
std::filesystem::path resolve_run_directory(const std::filesystem::path& path);

}  // namespace hici::io
