// SPDX-License-Identifier: Apache-2.0
// Names of tensors as PEFT, its wrappers and torch's wrappers write them, and the names in the plain model.
#pragma once

#include <string>

namespace hici::io {

enum class Spelling {
  kPlain,      // X.weight; of a saved module too
  kSaved,      // X.modules_to_save.NAME.weight
  kBaseLayer,  // X.base_layer.weight: the base's own weight under an adapter
};

struct PeftName {
  std::string plain;    // empty: only PEFT needs the tensor
  std::string adapter;  // PEFT's name of the adapter ("default"); empty where it is not written
  Spelling spelling = Spelling::kPlain;
  std::string wrapper;  // torch's wrapper in the name ("_orig_mod"); empty for none
};

// "base_model.model." and what PEFT puts between the parts (".base_layer", ".default", ".modules_to_save") are dropped;
// so are the prefixes of torch.compile (_orig_mod), of DistributedDataParallel (module) and of FSDP. Tensors of
// adapters keep these ends: .lora_A.weight, .lora_B.weight, .lora_B.bias, .lora_embedding_A, .lora_embedding_B,
// .lora_magnitude_vector, .token_adapter.trainable_tokens_delta.
PeftName parse_peft_name(const std::string& name);
inline std::string plain_tensor_name(const std::string& name) { return parse_peft_name(name).plain; }

// What PEFT puts beside the weights of the plain model: factors, magnitudes, rows of single tokens.
bool is_peft_parameter(const std::string& plain_name);

constexpr const char* kTokenRows = ".token_adapter.trainable_tokens_delta";

}  // namespace hici::io
