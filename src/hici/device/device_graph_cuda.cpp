// SPDX-License-Identifier: Apache-2.0
#include "hici/device/kernels_cuda.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>
#include <map>
#include <memory>

namespace hici::device {

struct RecordedGraph {
  at::cuda::CUDAGraph graph;
};

namespace {

// One stream for all recordings of a thread: cuBLAS keeps a workspace of megabytes for each stream that it has used.
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex device) {
  thread_local std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  return streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)).first->second;
}

}  // namespace

namespace kernels {

RecordedGraph* graph_record(int index, const std::function<void()>& work) {
  const auto device = static_cast<c10::DeviceIndex>(index);
  const c10::cuda::CUDAGuard device_guard(device);
  // CUDA cannot record the default stream. Replays are ordered after its work anyway; the recording synchronises so
  // that memory freed there is free.
  c10::cuda::device_synchronize();
  const c10::cuda::CUDAStreamGuard stream_guard(recording_stream(device));
  auto graph = std::make_unique<RecordedGraph>();
  // Thread-local: other threads (a tokenizer's, LibTorch's autograd) may use CUDA meanwhile.
  graph->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    graph->graph.capture_end();  // always: else every later allocation would use the graph's pool
  } catch (...) {
    if (!failure) failure = std::current_exception();  // else it follows from the first failure
  }
  if (failure) std::rethrow_exception(failure);
  return graph.release();
}

void graph_replay(RecordedGraph* graph) { graph->graph.replay(); }

void graph_release(RecordedGraph* graph) { delete graph; }

}  // namespace kernels
}  // namespace hici::device
