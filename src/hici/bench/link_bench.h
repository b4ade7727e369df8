// SPDX-License-Identifier: Apache-2.0
// `hici bench links`: the collectives of a training step alone, between the processes of a run.
#pragma once

#include "hici/bench/bench_report.h"

namespace hici::bench {

// An all-gather and a reduce-scatter of each of `link_bytes`, over the processes of `world`: bytes are those of the
// whole, of which a process sends (n - 1) / n. Times are of the slowest process.
BenchReport bench_links(const BenchSpec& spec);

}  // namespace hici::bench
