// SPDX-License-Identifier: Apache-2.0
// `hici bench step` and `hici bench eval`: a row for each context and kind of attention.
#pragma once

#include "hici/bench/bench_report.h"
#include "hici/bench/model_case.h"

namespace hici::bench {

// On a CPU, rounds alternate between the kinds of attention, so that a machine that slows down slows all. On a GPU one
// kind follows the other with the allocator's cache emptied between them: memory is then the case's own, and no timed
// round waits for the allocator to give back blocks of another shape. A case without room says so in its row.
BenchReport bench_model(const BenchSpec& spec, BenchWork work);

}  // namespace hici::bench
