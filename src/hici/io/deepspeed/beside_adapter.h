// SPDX-License-Identifier: Apache-2.0
// What lies beside or in place of an adapter in the folder of a training run: a training checkpoint of DeepSpeed, or
// one of FSDP, which is not read.
#pragma once

#include "hici/io/deepspeed/training_dump.h"
#include "hici/io/tensor_source.h"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hici::io {

// Trained parameters that the files of an adapter do not hold.
struct MissingParts {
  TrainingDump dump;
  std::vector<std::pair<std::string, std::string>> names;  // plain, and in dump.source
};

// Trainer saves of a PEFT model what PEFT saves: factors and modules_to_save. What else was trained (embedding, norms,
// HiCI modules) is in the training checkpoint of DeepSpeed alone. `lora` and `trainables` are what the adapter's files
// hold, under plain names; `has_lora_file`: adapter_model is there, and else trainable_params. Nothing when nothing is
// missing or there is no training checkpoint. One that cannot be looked into is a warning: the adapter may be whole.
std::optional<MissingParts> missing_in_adapter(const std::filesystem::path& folder, const TensorSource& lora,
                                               const TensorSource& trainables, bool has_lora_file);

// The training checkpoint of DeepSpeed in `folder`; nothing when there is none. `may_be_other`: nothing also when it
// does not say what was trained.
std::optional<TrainingDump> find_training_dump(const std::filesystem::path& folder, bool may_be_other);

// An hici::Error with the way out when `folder` holds something that is no adapter, but was made from one by training:
// shards of FSDP, the inside of a training checkpoint, a training checkpoint without its folder.
void refuse_other_checkpoints(const std::filesystem::path& folder);

}  // namespace hici::io
