// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/peer_memory.h"

#include "hici/base/error.h"
#include "hici/device/device.h"
#include "hici/device/kernel_table.h"

#include <ATen/ATen.h>
#include <c10/core/AllocatorConfig.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

namespace hici::parallel {
namespace {

constexpr int64_t kTextBytes = 1024;

// A text of each process, in the order of the ranks.
std::vector<std::string> gather_texts(const ProcessGroup& group, const std::string& own, at::Device device) {
  HICI_ASSERT(static_cast<int64_t>(own.size()) < kTextBytes, own.size());
  at::Tensor bytes = at::zeros({kTextBytes}, at::kByte);
  std::copy(own.begin(), own.end(), bytes.mutable_data_ptr<uint8_t>());
  at::Tensor all = at::empty({group.size(), kTextBytes}, at::TensorOptions().dtype(at::kByte).device(device));
  group.all_gather(all, bytes.to(device));
  all = all.cpu();
  std::vector<std::string> texts;
  for (int64_t i = 0; i < group.size(); ++i)
    texts.emplace_back(reinterpret_cast<const char*>(all.select(0, i).const_data_ptr<uint8_t>()));
  return texts;
}

// The same for processes that one kernel runs.
std::string host_identity() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return boot + " " + name.data();
}

bool all_agree(const ProcessGroup& group, bool works, at::Device device) {
  at::Tensor failed = at::full({1}, works ? 0 : 1, at::TensorOptions().dtype(at::kInt).device(device));
  group.all_reduce_max(failed);
  return failed.item<int>() == 0;
}

// Empty where the memory cannot be shared.
std::string exported(const at::Tensor& own) {
  try {
    const std::string text = device::cuda_kernels().export_memory(own);
    return static_cast<int64_t>(text.size()) < kTextBytes ? text : "";
  } catch (const c10::Error&) {
    return "";
  }
}

}  // namespace

at::Tensor allocate_shareable(int64_t bytes, at::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(at::kByte).device(device);
  if (!device.is_cuda() || !c10::CachingAllocator::AcceleratorAllocatorConfig::use_expandable_segments())
    return at::empty({bytes}, options);
  device::release_cached_memory(device);  // a block of a segment would do for the allocator
  struct WithoutSegments {
    WithoutSegments() { c10::CachingAllocator::setAllocatorSettings("expandable_segments:False"); }
    ~WithoutSegments() { c10::CachingAllocator::setAllocatorSettings("expandable_segments:True"); }
  };
  const WithoutSegments without_segments;
  return at::empty({bytes}, options);
}

std::vector<at::Tensor> open_peer_memory(const ProcessGroup& group, const at::Tensor& own) {
  if (group.is_alone() || !own.is_cuda()) return {};
  const at::Device device = own.device();
  const std::vector<std::string> hosts = gather_texts(group, host_identity(), device);
  const std::vector<std::string> handles = gather_texts(group, exported(own), device);
  const auto is_empty = [](const std::string& text) { return text.empty(); };
  if (std::any_of(hosts.begin(), hosts.end(), [&](const std::string& host) { return host != hosts[0]; }) ||
      std::any_of(handles.begin(), handles.end(), is_empty))
    return {};
  std::vector<at::Tensor> all;
  bool works = true;
  try {
    for (int64_t i = 0; i < group.size(); ++i)
      all.push_back(i == group.rank() ? own
                                      : device::cuda_kernels().import_memory(handles[static_cast<size_t>(i)],
                                                                             own.numel(), device.index()));
  } catch (const c10::Error&) {
    works = false;
  }
  if (all_agree(group, works, device)) return all;
  return {};
}

}  // namespace hici::parallel
