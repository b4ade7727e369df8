// SPDX-License-Identifier: Apache-2.0
// `hici bench decode`: decode steps at given context lengths, against the bandwidth bound.
#pragma once

#include "hici/bench/bench_report.h"

namespace hici::bench {

// One row per batch size and context. A run is `new_tokens` steps. Each step includes the choice of the most probable
// token and its copy to the host, as in generate::Generator. The cache holds random numbers; there is no prefill. The
// weights are those of a merged model, without adapters. The bound is one read per step, at the copy rate, of all
// weights (of an untied embedding only the rows in use) and of the keys and values of all sequences.
BenchReport bench_decode(const BenchSpec& spec);

}  // namespace hici::bench
