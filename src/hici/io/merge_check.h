// SPDX-License-Identifier: Apache-2.0
// Checks that a merged directory is base + adapter: compares every stored weight with the exact one, and the logits of
// a probe. The weights of one layer are in memory at a time.
//
// The check shares with the merge, and so cannot see a mistake in: what adapter_config.json is taken to mean (rank,
// alpha and scale of each module, io/peft_config.h), which tensor belongs to which weight (io/peft_names.h), and the
// formulas of weights that are folded while they are read (DoRA, embedding, head, rows of tokens; io/folded_weights.h).
// Those are compared with PEFT itself by tests/integration/test_adapters.py. It sees what was stored wrongly: a sum of
// another weight or rounded twice, a weight left out, a config.json that makes another model of the weights.
#pragma once

#include "hici/io/opened_model.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace hici::io {

// Weights are rounded to `stored`. The effect on logits depends on the model, so the bound is measured. Bound:
// kBoundFactor times the logit change caused by random perturbations of up to one unit roundoff in each rounded weight.
// A rounding error is at most one unit roundoff. The factor covers chance and the float32 sums before rounding.
struct LogitsDifference {
  std::string attention;  // "full", "hici"
  double max_abs = 0;     // largest difference of a logit
  double max_logit = 0;   // largest logit, for comparison
  double relative = 0;    // norm of the difference over the norm of the logits
  double bound = 0;       // for `relative`
};

struct MergeCheck {
  int64_t tokens = 0;
  bool is_text = false;  // false: random ids, without a tokenizer
  std::vector<LogitsDifference> logits;
};

struct MergeCheckRequest {
  const ModelRequest& model;       // base + adapter
  const OpenedModel& opened;       // the same, opened
  const config::HiciConfig& hici;  // the settings that are used
  std::filesystem::path merged;
  at::ScalarType stored = at::kFloat;
  bool with_hici = false;
  const std::set<std::string>& rounded;  // names of weights that are inexact in `stored`
  std::function<void(uint64_t total_layers, uint64_t done_layers)> progress;
  std::function<OpenedModel(const ModelRequest&)> open = open_model;  // of `merged`, for another format
  std::filesystem::path tokenizer = {};                               // its folder
  // The most by which storing moves each number of a tensor, for types with another rule than `stored` has.
  std::function<at::Tensor(const at::Tensor& numbers)> rounding_error = {};
};

// An error that names the weight or the logits if they differ by more than rounding explains.
MergeCheck check_merged(const MergeCheckRequest& request);

}  // namespace hici::io
