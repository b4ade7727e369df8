// SPDX-License-Identifier: Apache-2.0
// What a path holds, for `hici inspect`: a model directory, an adapter, a checkpoint, a run directory, a file of
// weights, a tokenizer or a token file. Only headers of weights are read, with three exceptions: a checkpoint is read
// whole for its hashes; so is a base that an adapter is compared with; a token file is read once for its largest id.
#pragma once

#include "hici/data/token_sidecar.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace hici::io {

struct InspectRequest {
  std::filesystem::path path;
  std::filesystem::path base_model = {};                 // to compare an adapter with; empty: no comparison
  int64_t vocab_size = 0;                                // upper bound of the ids of a token file; 0: not checked
  std::optional<data::TokenTypeChoice> token_type = {};  // of a token file without a sidecar
  bool list_tensors = false;                             // every tensor, instead of one line per kind
};

// Keys: path, kind, and by kind config, rope, lora, hici, base (what comparing found), weights, parameters, tensors,
// tokenizer, tokens, checkpoint, checkpoints (by their steps); always problems, a list of sentences. `leftovers`, where
// there are some beside the path or in it: what was being written there, each with `path` and `in_use`
// (base/temporary.h). A path that is nothing of the above is an hici::Error.
nlohmann::json inspect_path(const InspectRequest& request);

}  // namespace hici::io
