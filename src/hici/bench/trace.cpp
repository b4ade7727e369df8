// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/trace.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/output_place.h"
#include "hici/base/temporary.h"
#include "hici/device/device.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>
#include <system_error>

namespace hici::bench {

void write_trace(at::Device device, const std::filesystem::path& path, const std::function<void()>& action) {
  namespace profiler = torch::autograd::profiler;
  using torch::profiler::impl::ActivityType;
  check_replaceable(path);
  const MadeFolders folders(folder_of(path));
  const WorkingFolder work(path);  // LibTorch opens the name that it gets whatever stands there
  const std::filesystem::path file = work.path() / path.filename();
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  // On a GPU its kernels alone: to record the host's operations too takes longer than some kernels do, and shows waits
  // that are not there.
  const std::set<ActivityType> activities{device.is_cuda() ? ActivityType::CUDA : ActivityType::CPU};
  device::synchronize(device);
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
  action();
  device::synchronize(device);
  profiler::disableProfiler()->save(file.string());
  std::error_code failure;
  std::filesystem::rename(file, path, failure);
  HICI_CHECK(!failure, path.string(), ": the trace was not written (", failure.message(), "); give another `trace`");
}

}  // namespace hici::bench
