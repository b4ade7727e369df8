// SPDX-License-Identifier: Apache-2.0
// Repeated work of many small kernels. On a GPU it is recorded once as a CUDA graph and replayed as one launch; on a
// CPU it runs each time.
#pragma once

#include <c10/core/Device.h>

#include <functional>

namespace hici::device {

struct RecordedGraph;

class DeviceGraph {
 public:
  // `work` uses tensors that outlive this object and never synchronises. The kernels that it queues depend on shapes,
  // not on values. With `records` false it runs each time on a GPU too.
  DeviceGraph(at::Device device, std::function<void()> work, bool records = true);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  // Runs the work on the device's current stream. The first run on a GPU is eager, so that libraries initialise outside
  // of the graph; the second records and replays.
  void run();
  bool is_recorded() const { return graph_ != nullptr; }

 private:
  at::Device device_;
  std::function<void()> work_;
  bool records_;
  bool has_run_ = false;
  RecordedGraph* graph_ = nullptr;
};

}  // namespace hici::device
