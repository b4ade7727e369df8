// SPDX-License-Identifier: Apache-2.0
// Whether a merged directory is base + adapter: every stored weight against the exact one, and the logits of a probe,
// both with the weights of one layer in memory at a time.
#pragma once

#include "hici/io/opened_model.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace hici::io {

// Weights are rounded to `stored`, and what that does to logits depends on the model. So it is measured: in a second
// copy of the merged model every weight that was rounded is changed by chance by up to the rounding error of the type,
// and the merged logits may be kBoundFactor times as far from base + adapter as that copy is from the merged ones. (A
// rounding error is at most what the change may be. The factor covers chance, and the sums in float32 before rounding.)
struct LogitsDifference {
  std::string attention;  // "full", "hici"
  double max_abs = 0;     // largest difference of a logit
  double max_logit = 0;   // largest logit, for comparison
  double relative = 0;    // norm of the difference over the norm of the logits
  double bound = 0;       // for `relative`
};

struct MergeCheck {
  int64_t tokens = 0;
  bool is_text = false;  // false: ids by chance, where there is no tokenizer
  std::vector<LogitsDifference> logits;
};

struct MergeCheckRequest {
  const ModelRequest& model;       // base + adapter
  const OpenedModel& opened;       // the same, opened
  const config::HiciConfig& hici;  // the settings that are used
  std::filesystem::path merged;
  at::ScalarType stored = at::kFloat;
  bool with_hici = false;
  const std::set<std::string>& rounded;  // names of weights that were not exact in `stored`
  std::function<void(uint64_t total_layers, uint64_t done_layers)> progress;
};

// An error that names the weight, or the logits, when they are further apart than rounding explains.
MergeCheck check_merged(const MergeCheckRequest& request);

}  // namespace hici::io
