// SPDX-License-Identifier: Apache-2.0
#include "hici/device/device_graph.h"

#include "hici/device/device.h"
#include "hici/device/kernel_table.h"

namespace hici::device {

DeviceGraph::DeviceGraph(at::Device device, std::function<void()> work, bool records)
    : device_(device), work_(std::move(work)), records_(records && device.is_cuda()) {}

DeviceGraph::~DeviceGraph() {
  if (graph_ == nullptr) return;
  synchronize(device_);
  cuda_kernels().graph_release(graph_);
}

void DeviceGraph::run() {
  if (!records_ || !has_run_) {
    work_();
    has_run_ = true;
    return;
  }
  if (graph_ == nullptr) graph_ = cuda_kernels().graph_record(device_.index(), work_);
  cuda_kernels().graph_replay(graph_);
}

}  // namespace hici::device
