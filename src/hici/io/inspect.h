// SPDX-License-Identifier: Apache-2.0
// What a path holds, for `hici inspect`: a model directory, an adapter, a checkpoint, a run directory, a file of
// weights, a tokenizer or a token file. Values of tensors are not looked at: nothing is read of them but headers (a
// checkpoint whole, for its hashes; a base that an adapter is compared with; a token file once, for its largest id).
#pragma once

#include "hici/data/token_sidecar.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace hici::io {

struct InspectRequest {
  std::filesystem::path path;
  std::filesystem::path base_model = {};           // an adapter is compared with it; empty: not compared
  int64_t vocab_size = 0;                          // ids of a token file must be below it; 0: not checked
  std::optional<data::TokenType> token_type = {};  // of a token file that has no sidecar
  bool list_tensors = false;                       // every tensor, not one line for each kind
};

// Keys: path, kind, and by kind config, rope, lora, hici, base (what comparing found), weights, parameters, tensors,
// tokenizer, tokens, checkpoint, checkpoints (by their steps); always problems, a list of sentences. `leftovers`, where
// there are some beside the path or in it: what was being written there, each with `path` and `in_use`
// (base/temporary.h). A path that is nothing of the above is an hici::Error.
nlohmann::json inspect_path(const InspectRequest& request);

}  // namespace hici::io
