// SPDX-License-Identifier: Apache-2.0
// `hici bench attention` and `hici bench loss`: one op alone, with the shapes of a model.
#pragma once

#include "hici/bench/bench_report.h"

namespace hici::bench {

// ops::segment_attention over segments of each length behind `prefix_slots` slots, as many segments as make
// `attention_tokens` tokens. Forward and backward apart; by pairs of a query and a key that it sees, 4 H D and 10 H D
// operations.
BenchReport bench_attention(const BenchSpec& spec);

// ops::linear_cross_entropy over each number of tokens with a frozen head; the gradient of its input is formed in the
// forward, 4 C V operations a token in all.
BenchReport bench_loss(const BenchSpec& spec);

}  // namespace hici::bench
