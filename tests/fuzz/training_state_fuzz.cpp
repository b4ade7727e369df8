// SPDX-License-Identifier: Apache-2.0
// training_state.json of a checkpoint.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/checkpoint/training_state.h"

namespace hici::fuzz {

void read_training_state(std::string_view bytes) {
  const io::TrainingState state = io::parse_training_state(bytes, "training_state.json");
  require(state.batch.size() > 0, "a batch whose size overflowed");
  const std::string text = io::training_state_text(state);
  require(io::training_state_text(io::parse_training_state(text, "training_state.json")) == text,
          "a state that changes when it is written");
}

std::vector<std::string> training_state_seeds() {
  io::TrainingState state;
  state.step = 12;
  state.next_sample = 96;
  state.tokens = 9216;
  state.seed = UINT64_MAX;
  state.sequence_length = 96;
  state.batch = {.per_device = 2, .accumulation = 4, .world_size = 1};
  state.data = {.path = "tokens.bin", .fingerprint = std::string(64, 'f'), .num_samples = 100};
  state.options = {{"learning_rate", "0.001"}, {"attention", "hici"}};
  return {io::training_state_text(state)};
}

}  // namespace hici::fuzz
