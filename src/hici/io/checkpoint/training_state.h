// SPDX-License-Identifier: Apache-2.0
// Where a training run stands: everything that a resumed run needs to give the same losses bit for bit, beside weights
// and optimizer tensors. training_state.json of a checkpoint; and the rule for what a resumed run may change.
#pragma once

#include "hici/io/checkpoint/model_identity.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace hici::io {

constexpr const char* kTrainingStateName = "training_state.json";
constexpr const char* kOptimizerName = "optimizer.safetensors";

// Sequences in one optimizer step.
struct GlobalBatch {
  int64_t per_device = 1;
  int64_t accumulation = 1;
  int64_t world_size = 1;

  int64_t size() const { return per_device * accumulation * world_size; }
};

struct DataIdentity {
  std::string path;         // as the user wrote it; for messages, may differ when a run goes on
  std::string fingerprint;  // hash of the content (or of what stands for it)
  int64_t num_samples = 0;
};

struct TrainingState {
  int64_t step = 0;         // optimizer steps done
  int64_t epoch = 0;        // of the next sample
  int64_t next_sample = 0;  // index in the order of that epoch, of all ranks together
  int64_t tokens = 0;       // seen so far
  uint64_t seed = 0;
  int64_t sequence_length = 0;
  GlobalBatch batch;
  DataIdentity data;
  // Options whose change makes another run of it (schedule, rates, precision ...): name without dashes -> value.
  std::map<std::string, std::string> options;
  // Options that decided how the run began and what its checkpoints hold (rank of LoRA ...). A run that goes on has the
  // checkpoint's, whatever is typed. Those of an older hici are not known.
  std::map<std::string, std::string> start_options;
  // Of base and tokenizer; a file of its own (hici_identity.json), which adapters have without a training state.
  ModelIdentity identity;
};

std::string training_state_text(const TrainingState& state);
// Throws hici::Error that names `subject`.
TrainingState parse_training_state(std::string_view text, const std::string& subject);

void write_training_state(const std::filesystem::path& checkpoint, const TrainingState& state);
TrainingState read_training_state(const std::filesystem::path& checkpoint);

// `saved` was read from `checkpoint`; `current` is what this run would do from its options. Throws one hici::Error that
// names all differences in base, tokenizer, data, global batch, sequence length, seed and options, and `override_flag`
// as the way out; when `is_overridden`, warns of them instead. The same global batch may be made up in another way
// (more processes, less accumulation). Start options of `current` (those that were typed) must be the checkpoint's in
// any case.
void check_resumable(const std::filesystem::path& checkpoint, const TrainingState& saved, const TrainingState& current,
                     bool is_overridden, const std::string& override_flag);

}  // namespace hici::io
