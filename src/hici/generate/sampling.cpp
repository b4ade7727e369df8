// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/sampling.h"

#include "hici/base/error.h"
#include "hici/base/split_mix.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace hici::generate {
namespace {

constexpr double kLeastTemperature = 1e-6;  // logits divided by less soon leave the range of numbers

at::Tensor penalize(const at::Tensor& logits_BV, const at::Tensor& seen_BV, double penalty) {
  const at::Tensor changed = at::where(logits_BV.lt(0), logits_BV * penalty, logits_BV / penalty);
  return at::where(seen_BV, changed, logits_BV);
}

// Candidates by falling probability, those beyond top-p with none.
at::Tensor nucleus(const at::Tensor& probability_BX, double top_p) {
  const at::Tensor before_BX = probability_BX.cumsum(-1) - probability_BX;
  return probability_BX.masked_fill(before_BX.ge(top_p), 0);
}

// The place of each row where the running sum first exceeds uniform * total.
at::Tensor draw(const at::Tensor& probability_BX, const at::Tensor& uniform_B) {
  const at::Tensor sum_BX = probability_BX.cumsum(-1).contiguous();
  const at::Tensor target_B1 = sum_BX.narrow(1, sum_BX.size(1) - 1, 1) * uniform_B.unsqueeze(1);
  return at::searchsorted(sum_BX, target_B1, /*out_int32=*/false, /*right=*/true).clamp_max(sum_BX.size(1) - 1);
}

// A number that says nothing of `x`, the same whenever it is asked for.
uint64_t mix(uint64_t x) { return split_mix(x + kSplitMixStep); }

}  // namespace

void SamplingOptions::validate() const {
  HICI_CHECK_USAGE(temperature >= 0 && std::isfinite(temperature), "`temperature`: ", temperature,
                   " is no temperature; use 0 (greedy) or more");
  HICI_CHECK_USAGE(temperature == 0 || temperature >= kLeastTemperature, "`temperature`: ", temperature,
                   " is next to greedy; use 0 (greedy), or ", kLeastTemperature, " or more");
  HICI_CHECK_USAGE(top_k >= 0, "`top_k`: ", top_k, " is negative; use 0 (all tokens) or more");
  HICI_CHECK_USAGE(top_p > 0 && top_p <= 1, "`top_p`: ", top_p, " is no probability; use more than 0, up to 1");
  HICI_CHECK_USAGE(repetition_penalty > 0 && std::isfinite(repetition_penalty),
                   "`repetition_penalty`: ", repetition_penalty, " is not positive; use 1 (none) or more");
  HICI_CHECK_USAGE(!is_greedy() || (top_k == 0 && top_p == 1),
                   "`top_k`, `top_p`: have no effect with `temperature` 0; give a temperature, or leave them out");
}

at::Tensor choose_tokens(const at::Tensor& logits_BV, const at::Tensor& uniform_B, const at::Tensor& seen_BV,
                         const SamplingOptions& options) {
  at::Tensor logits = logits_BV.to(ops::accumulation_type(logits_BV.scalar_type()));
  if (options.repetition_penalty != 1) logits = penalize(logits, seen_BV, options.repetition_penalty);
  if (options.is_greedy()) return logits.argmax(-1);
  at::Tensor scaled = logits.to(at::kDouble) / options.temperature, candidates_BX;
  if (options.top_k > 0) {
    std::tie(scaled, candidates_BX) = scaled.topk(std::min(options.top_k, scaled.size(1)));
  } else if (options.top_p < 1) {
    std::tie(scaled, candidates_BX) = scaled.sort(-1, /*descending=*/true);
  }
  at::Tensor probability = at::softmax(scaled, -1);
  if (options.top_p < 1) probability = nucleus(probability, options.top_p);
  const at::Tensor place_B1 = draw(probability, uniform_B);
  return (candidates_BX.defined() ? candidates_BX.gather(1, place_B1) : place_B1).squeeze(1);
}

at::Tensor without_tokens(const at::Tensor& logits_BV, const at::Tensor& ids) {
  return logits_BV.index_fill(1, ids, -std::numeric_limits<double>::infinity());
}

double uniform_number(uint64_t seed, uint64_t stream, uint64_t step) {
  // 52 bits: times a float64 total, the largest of them stays below that total.
  return static_cast<double>(mix(mix(mix(seed) ^ stream) ^ step) >> 12) * 0x1p-52;
}

}  // namespace hici::generate
