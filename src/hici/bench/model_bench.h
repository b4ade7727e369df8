// SPDX-License-Identifier: Apache-2.0
// `hici bench step` and `hici bench eval`: one row per context and kind of attention.
#pragma once

#include "hici/bench/bench_report.h"
#include "hici/bench/model_case.h"

namespace hici::bench {

// Rounds alternate between the kinds of attention, so a machine that slows down slows all of them. On a GPU a turn
// begins with an untimed run, in which the kind allocates its memory, and ends by emptying the allocator's cache.
// Memory is then that of one kind, and no timed round waits for the allocator to free blocks of another shape. With
// fp8_base on a GPU the kinds run one after the other. The row of a case that does not fit says so.
BenchReport bench_model(const BenchSpec& spec, BenchWork work);

}  // namespace hici::bench
