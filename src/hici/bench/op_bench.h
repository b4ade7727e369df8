// SPDX-License-Identifier: Apache-2.0
// `hici bench attention` and `hici bench loss`: one op alone, with the shapes of a model.
#pragma once

#include "hici/bench/bench_report.h"

namespace hici::bench {

// ops::segment_attention over segments of each length with `prefix_slots` slots as prefix, and `attention_tokens`
// tokens in total. Forward and backward are timed separately; a pair of a query and a visible key has 4 H D and 10 H D
// operations.
BenchReport bench_attention(const BenchSpec& spec);

// ops::linear_cross_entropy over each number of tokens with a frozen head. The gradient of its input is computed in the
// forward; a token has 4 C V operations in total.
BenchReport bench_loss(const BenchSpec& spec);

}  // namespace hici::bench
