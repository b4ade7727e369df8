// SPDX-License-Identifier: Apache-2.0
#include "hici/device/cuda_plugin.h"

#include "hici/base/dl_message.h"
#include "hici/base/error.h"
#include "hici/base/installed_data.h"
#include "hici/base/version.h"
#include "hici/device/cuda_device.h"
#include "hici/device/kernel_table.h"

#include <ATen/Context.h>

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace hici::device {
namespace {

struct Plugin {
  void* handle = nullptr;
  std::string why_not;  // empty when loaded
  decltype(&hici_cuda_facts) facts = nullptr;
  decltype(&hici_cuda_device_facts) device_facts = nullptr;
};

std::string plugin_path() {
  if (const char* path = std::getenv("HICI_CUDA_PLUGIN")) return path;
  return (program_folder() / "libhici_cuda.so").string();
}

template <typename Function>
void find_symbol(Plugin& plugin, const char* name, Function& function) {
  if (!plugin.why_not.empty()) return;
  function = reinterpret_cast<Function>(dlsym(plugin.handle, name));
  if (function == nullptr) plugin.why_not = dl_message() + "; the plug-in is of another build";
}

Plugin load() {
  Plugin plugin;
  if (std::string(kCudaSummary).rfind("off", 0) == 0 && !std::getenv("HICI_CUDA_PLUGIN")) {
    plugin.why_not = std::string("this hici was built without CUDA: ") + kCudaSummary;
    return plugin;
  }
  // Segments of the allocator that grow in place: layers of many sizes, and policies that differ by layer, would else
  // leave holes that add up to gigabytes. Read once, when LibTorch's CUDA side is loaded; the user's word wins.
  setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", /*overwrite=*/0);
  // GLOBAL, as Python's torch does it: LibTorch's CUDA libraries look symbols up among themselves. Never closed:
  // LibTorch registers kernels that cannot be taken back.
  plugin.handle = dlopen(plugin_path().c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (plugin.handle == nullptr) {
    plugin.why_not = "the CUDA plug-in cannot be loaded: " + dl_message();
    return plugin;
  }
  find_symbol(plugin, "hici_cuda_facts", plugin.facts);
  find_symbol(plugin, "hici_cuda_device_facts", plugin.device_facts);
  const KernelTable* (*kernels)() = nullptr;
  find_symbol(plugin, "hici_cuda_kernels", kernels);
  if (plugin.why_not.empty()) register_cuda_kernels(kernels());
  return plugin;
}

const Plugin& plugin() {
  static const Plugin loaded = load();
  return loaded;
}

bool has_driver() {
  void* handle = dlopen("libcuda.so.1", RTLD_LAZY);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

std::string cuda_version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void set_text(std::string* out, const std::string& text) {
  if (out != nullptr) *out = text;
}

CudaFacts plugin_facts() {
  HICI_ASSERT(plugin().facts != nullptr, "asked about GPUs before the CUDA plug-in was loaded");
  CudaFacts facts;
  plugin().facts(&facts);
  return facts;
}

}  // namespace

bool load_cuda_plugin(std::string* why_not) {
  set_text(why_not, plugin().why_not);
  return plugin().why_not.empty();
}

std::vector<CudaDevice> cuda_devices(std::string* why_none) {
  if (!has_driver()) {
    set_text(why_none, "no NVIDIA driver on this machine (libcuda.so.1 is not found)");
    return {};
  }
  if (!load_cuda_plugin(why_none)) return {};
  const CudaFacts facts = plugin_facts();
  set_text(why_none, facts.why_none);
  std::vector<CudaDevice> devices;
  for (int i = 0; i < facts.num_devices; ++i) {
    CudaDeviceFacts device;
    const bool is_readable = plugin().device_facts(i, &device);
    devices.push_back({i, device.name, device.capability_major, device.capability_minor,
                       is_readable && device.runs_our_code, device.free_bytes, device.total_bytes});
  }
  return devices;
}

void require_cuda_device(const std::string& subject, int index) {
  std::string why_none;
  const std::vector<CudaDevice> devices = cuda_devices(&why_none);
  HICI_CHECK(!devices.empty(), subject, ": ", why_none, "; use `device` cpu");
  HICI_CHECK(index >= 0 && static_cast<size_t>(index) < devices.size(), subject, ": this machine has ", devices.size(),
             devices.size() == 1 ? " GPU, cuda:0" : " GPUs, from cuda:0", "; 'hici devices' lists them");
  const CudaDevice& device = devices[static_cast<size_t>(index)];
  HICI_CHECK(device.runs_our_code, subject, ": ", device.name, " (sm_", device.capability_major,
             device.capability_minor, ") does not run this build, which is for ", plugin_facts().architectures,
             " and newer; build with -DCMAKE_CUDA_ARCHITECTURES=", device.capability_major, device.capability_minor);
  HICI_ASSERT(at::hasCUDA(), "LibTorch was asked about CUDA before the CUDA plug-in was loaded");
  // Slots are made on a stream of their own (device/side_stream.h): gradients of one parameter may come from either
  // stream.
  at::globalContext().setWarnOnAccumulateGradStreamMismatch(false);
}

std::string cuda_plugin_text() {
  const CudaFacts facts = plugin_facts();
  std::string text = "CUDA " + cuda_version_text(facts.runtime_version) + " for " + facts.architectures;
  if (facts.driver_version > 0) text += "; the driver knows CUDA " + cuda_version_text(facts.driver_version);
  return text;
}

}  // namespace hici::device
