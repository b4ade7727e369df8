// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/machine.h"

#include "hici/base/error.h"
#include "hici/device/cuda_plugin.h"
#include "hici/device/device.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <new>
#include <string_view>
#include <thread>

namespace hici::bench {
namespace {

constexpr int kRuns = 7;

double median_seconds(at::Device device, const std::function<void()>& work, int64_t pause_ms) {
  for (int i = 0; i < 2; ++i) work();
  std::vector<double> seconds;
  for (int i = 0; i < kRuns; ++i) seconds.push_back(seconds_of(device, work, pause_ms));
  return spread_of(seconds).median;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  }
  return "CPU";
}

}  // namespace

double seconds_of(at::Device device, const std::function<void()>& work, int64_t pause_ms) {
  device::synchronize(device);
  if (pause_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  const auto start = std::chrono::steady_clock::now();
  work();
  device::synchronize(device);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool has_room_for(const std::function<void()>& work) {
  try {
    work();
    return true;
  } catch (const c10::OutOfMemoryError&) {
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  } catch (const c10::Error& e) {
    // LibTorch 2.11 has no type of its own for host memory.
    if (std::string_view(e.what_without_backtrace()).find("DefaultCPUAllocator") == std::string_view::npos) throw;
    return false;
  }
}

Spread spread_of(std::vector<double> values) {
  HICI_ASSERT(!values.empty(), "no measurement");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

MachineRates measure_machine(at::Device device, at::ScalarType type, int64_t pause_ms) {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions().device(device).dtype(type);
  MachineRates rates;
  rates.matrix_size = device.is_cpu() ? 1024 : 8192;
  {
    const auto n = rates.matrix_size;
    // Random numbers: a card that multiplies zeros draws less power and is faster than it ever is at work.
    const at::Tensor a = at::empty({n, n}, options).normal_(), b = at::empty({n, n}, options).normal_();
    at::Tensor out = at::empty({n, n}, options);
    const double seconds = median_seconds(device, [&] { at::mm_out(out, a, b); }, pause_ms);
    rates.matrix_flops_per_second =
        2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds;
  }
  const int64_t bytes = int64_t{1} << (device.is_cpu() ? 28 : 30);
  const at::Tensor from = at::ones({bytes}, options.dtype(at::kByte));
  at::Tensor to = at::empty_like(from);
  rates.copy_bytes_per_second =
      2.0 * static_cast<double>(bytes) / median_seconds(device, [&] { to.copy_(from); }, pause_ms);
  return rates;
}

std::string device_name(at::Device device) {
  if (device.is_cpu()) return processor_name() + ", threads: " + std::to_string(at::get_num_threads());
  for (const device::CudaDevice& gpu : device::cuda_devices(nullptr)) {
    if (gpu.index == device.index()) return gpu.name + " (" + device.str() + ")";
  }
  return device.str();
}

}  // namespace hici::bench
