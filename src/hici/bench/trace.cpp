// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/trace.h"

#include "hici/base/error.h"
#include "hici/ops/device.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>

namespace hici::bench {

void write_trace(at::Device device, const std::filesystem::path& path, const std::function<void()>& action) {
  namespace profiler = torch::autograd::profiler;
  using torch::profiler::impl::ActivityType;
  std::error_code failure;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), failure);
  HICI_CHECK(!failure, path.parent_path().string(), ": cannot make the folder: ", failure.message(),
             "; give another --trace");
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  // On a GPU its kernels alone: to record the host's operations too takes longer than some kernels do, and shows waits
  // that are not there.
  const std::set<ActivityType> activities{device.is_cuda() ? ActivityType::CUDA : ActivityType::CPU};
  ops::synchronize(device);
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
  action();
  ops::synchronize(device);
  profiler::disableProfiler()->save(path.string());
  HICI_CHECK(std::filesystem::exists(path), path.string(), ": the trace was not written; give another --trace");
}

}  // namespace hici::bench
