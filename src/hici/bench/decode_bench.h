// SPDX-License-Identifier: Apache-2.0
// `hici bench decode`: one token after the other behind contexts of given lengths, against the bandwidth bound.
#pragma once

#include "hici/bench/bench_report.h"

namespace hici::bench {

// A row for each batch size and context. A run is `new_tokens` steps, each with the choice of the most probable token
// and its way to the host, as generate::Generator does them; the cache is filled with random numbers, not by a prefill.
// The weights are those of a merged model: no adapters. The bound: each step reads all weights (of the embedding its
// rows alone, unless it is the head too) and the keys and values of all sequences once, at the rate of a copy.
BenchReport bench_decode(const BenchSpec& spec);

}  // namespace hici::bench
