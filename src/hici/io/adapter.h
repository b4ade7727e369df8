// SPDX-License-Identifier: Apache-2.0
// Adapter directories: LoRA as PEFT writes it (adapter_config.json, adapter_model), the trained rest of the model under
// plain names (trainable_params: embedding, norms, HiCI modules), and hici_config.json. Published adapters without the
// last, .bin files, and full dumps of a checkpoint (pytorch_model.bin) are read too. A checkpoint-N folder is an
// adapter.
#pragma once

#include "hici/base/enum_names.h"
#include "hici/config/hici_config.h"
#include "hici/config/model_config.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/io/checkpoint/model_identity.h"
#include "hici/io/folded_weights.h"
#include "hici/io/peft_config.h"
#include "hici/io/peft_names.h"
#include "hici/io/safetensors.h"
#include "hici/io/tensor_source.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hici::io {

// What the tensors say of the HiCI modules: slots, widths, kind of compressor. Heads, segments and causal mode they do
// not show: those keep the values of `otherwise`. Nothing when there are no HiCI tensors. Layers that differ are an
// error.
std::optional<config::HiciConfig> hici_config_of(const TensorSource& tensors, const config::HiciConfig& otherwise = {});

struct Adapter {
  std::filesystem::path path;
  // As adapter_config.json has it; its modules are those of the tensors that a layer computes with as it runs.
  config::LoraConfig lora;
  std::vector<Fold> folds;       // the others, which become part of the weight
  PeftConfig peft;               // what else adapter_config.json says
  std::string base_model;        // base_model_name_or_path, as written; empty when not said
  bool is_full_dump = false;     // trainables hold the base's frozen weights too
  std::set<std::string> copies;  // of `trainables`: the base's own weights, under an adapter (X.base_layer.weight)
  std::optional<config::AdapterSettings> settings;  // hici_config.json
  std::shared_ptr<const TensorSource>
      lora_tensors;  // never null, may be empty; "model.layers.0.self_attn.q_proj.lora_A.weight", see peft_names.h
  std::shared_ptr<const TensorSource> trainables;  // never null, may be empty; "model.embed_tokens.weight"
  std::vector<std::filesystem::path> files;        // with data, for hashing
  std::optional<ModelIdentity> identity;           // what it was trained on, where that is known
  std::shared_ptr<FolderCheck> check;              // never null; finish() it when all is read

  // Settings of the HiCI modules: shapes from the tensors, the rest from hici_config.json or `otherwise`. Nothing when
  // the adapter has none.
  std::optional<config::HiciConfig> hici_config(const config::HiciConfig& otherwise = {}) const;
  // The fold of a module's weight; null for none.
  const Fold* fold_of(const std::string& module) const;
  // True for a parameter that PEFT keeps beside the factors, as modules_to_save says.
  bool is_saved_whole(const std::string& parameter) const { return io::is_saved_whole(peft, parameter); }
};

struct AdapterReading {
  // A full dump (pytorch_model.bin) goes before a pair beside it: for hici extract, which makes the pair from it.
  bool prefer_full_dump = false;
  std::optional<double> lora_alpha = {};  // where there is no adapter_config.json; one that says another is an error
};

// True when `path` holds something that read_adapter() takes.
bool is_adapter_directory(const std::filesystem::path& path);
// One half of the pair without the other is an error that says what makes the other.
Adapter read_adapter(const std::filesystem::path& path, const AdapterReading& reading = {});

enum class AdapterFormat {
  kSafetensors,
  kBin,  // torch.save's archives under the research code's names
};
constexpr EnumNames<AdapterFormat, 2> names_of(AdapterFormat) {
  return {"format", {{{AdapterFormat::kSafetensors, "safetensors"}, {AdapterFormat::kBin, "bin"}}}};
}

struct AdapterToWrite {
  config::LoraConfig lora;
  config::AdapterSettings settings;
  std::string base_model;
  std::vector<TensorToWrite>
      lora_tensors;                       // plain names; none: no adapter_model.safetensors and no adapter_config.json
  std::vector<TensorToWrite> trainables;  // plain names
  bool settings_are_known = true;         // false: no hici_config.json
  std::optional<ModelIdentity> identity = {};
  AdapterFormat format = AdapterFormat::kSafetensors;
  double lora_dropout = 0;  // of its training
};

// The files into `folder`, which is there; each appears whole. Checkpoints call this inside their own unpublished
// folder.
void write_adapter_files(const std::filesystem::path& folder, AdapterToWrite adapter);
// A directory of its own, published at once.
void write_adapter(const std::filesystem::path& path, AdapterToWrite adapter);
uint64_t adapter_bytes(const AdapterToWrite& adapter);

}  // namespace hici::io
