// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/link_bench.h"

#include "hici/base/error.h"
#include "hici/base/human.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::bench {
namespace {

nlohmann::json measured_row(const BenchSpec& spec, const std::string& operation, int64_t bytes,
                            const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int64_t i = 0; i < spec.warmup + spec.repetitions; ++i) {
    spec.world->control().barrier(at::kCPU);
    const double one = parallel::largest_of(*spec.world, seconds_of(spec.device, work, spec.pause_ms));
    if (i >= spec.warmup) seconds.push_back(one);
  }
  const Spread spread = spread_of(seconds);
  const auto processes = static_cast<double>(spec.world->size());
  const double sent = static_cast<double>(bytes) * (processes - 1) / processes;
  return {{"status", kOk},
          {"operation", operation},
          {"bytes", bytes},
          {"ms", spread.median * 1e3},
          {"ms_min", spread.min * 1e3},
          {"ms_max", spread.max * 1e3},
          {"sent_bytes_per_second", sent / spread.median}};
}

}  // namespace

BenchReport bench_links(const BenchSpec& spec) {
  const parallel::World& world = *spec.world;
  HICI_CHECK_USAGE(world.size() > 1,
                   "measures what processes send each other, and there is one; start several, with "
                   "torchrun, srun or mpirun");
  BenchReport report{common_facts("bench links", spec, measure_machine(spec.device, spec.dtype, spec.pause_ms)),
                     detail::concat("collectives between ", world.size(), " processes"),
                     {{"operation", "/operation", 1, true},
                      {"MB", "/bytes", 1e6},
                      {"ms", "/ms"},
                      {"min", "/ms_min"},
                      {"max", "/ms_max"},
                      {"GB/s sent", "/sent_bytes_per_second", 1e9}},
                     {},
                     {}};
  report.facts["processes"] = world.size();
  for (const int64_t bytes : spec.link_bytes) {
    const int64_t part = std::max<int64_t>(1, bytes / 4 / world.size());
    const at::TensorOptions options = at::TensorOptions().dtype(at::kFloat).device(spec.device);
    const at::Tensor all = at::zeros({world.size(), part}, options), own = at::zeros({part}, options);
    const auto moved = static_cast<int64_t>(all.nbytes());
    report.rows.push_back(measured_row(spec, "all-gather", moved, [&] { world.all().all_gather(all, own); }));
    report.rows.push_back(measured_row(spec, "reduce-scatter", moved, [&] { world.all().reduce_scatter(own, all); }));
  }
  return report;
}

}  // namespace hici::bench
