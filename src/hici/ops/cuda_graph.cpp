// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/cuda_graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>
#include <map>
#include <memory>

namespace hici::ops::cuda {

namespace {

// One for all recordings of a thread: cuBLAS keeps a workspace of megabytes for each stream that it has seen.
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex device) {
  thread_local std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  return streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)).first->second;
}

}  // namespace

void* graph_record(int index, const std::function<void()>& work) {
  const auto device = static_cast<c10::DeviceIndex>(index);
  const c10::cuda::CUDAGuard device_guard(device);
  // CUDA does not record the default stream. What that one has queued must be seen by the replays only, and those are
  // queued behind it; still the recording waits, so that memory freed there is free.
  c10::cuda::device_synchronize();
  const c10::cuda::CUDAStreamGuard stream_guard(recording_stream(device));
  auto graph = std::make_unique<at::cuda::CUDAGraph>();
  // Thread-local: other threads (a tokenizer's, LibTorch's autograd) may use CUDA meanwhile.
  graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    graph->capture_end();  // in any case, or every later allocation would go to the graph's pool
  } catch (...) {
    if (!failure) failure = std::current_exception();  // else a consequence of it
  }
  if (failure) std::rethrow_exception(failure);
  return graph.release();
}

void graph_replay(void* graph) { static_cast<at::cuda::CUDAGraph*>(graph)->replay(); }

void graph_release(void* graph) { delete static_cast<at::cuda::CUDAGraph*>(graph); }

}  // namespace hici::ops::cuda
