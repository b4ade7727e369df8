// SPDX-License-Identifier: Apache-2.0
// `hici devices`: the GPUs that --device can name, or why there is none.
#include "hici/base/log.h"
#include "hici/base/version.h"
#include "hici/commands/commands.h"
#include "hici/device/cuda_plugin.h"

#include <cstdio>

namespace hici::commands {
namespace {

std::string gib_text(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f GiB", static_cast<double>(bytes) / (1024.0 * 1024.0 * 1024.0));
  return text;
}

std::string device_line(const device::CudaDevice& device) {
  std::string line = "cuda:" + std::to_string(device.index) + "  " + device.name + ", sm_" +
                     std::to_string(device.capability_major) + std::to_string(device.capability_minor) + ", " +
                     gib_text(device.free_bytes) + " free of " + gib_text(device.total_bytes);
  return line + (device.runs_our_code ? "\n" : ": does not run this build\n");
}

int run_devices() {
  std::string why_none;
  const std::vector<device::CudaDevice> devices = device::cuda_devices(&why_none);
  std::string text = std::string("built with CUDA: ") + kCudaSummary + "\n";
  if (!devices.empty()) text += "plug-in: " + device::cuda_plugin_text() + "\n";
  for (const device::CudaDevice& device : devices) text += device_line(device);
  if (devices.empty()) text += "no GPU to use: " + why_none + "\n";
  write_stdout(text + "cpu     always there\n");
  return 0;
}

}  // namespace

CommandEntry devices_command() {
  return {"devices", "List the GPUs that --device can name, or say why there is none",
          [](CLI::App&) -> Runner { return run_devices; }};
}

}  // namespace hici::commands
