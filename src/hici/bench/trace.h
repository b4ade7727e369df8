// SPDX-License-Identifier: Apache-2.0
// A timeline of one run, operations of the host and kernels of the GPU, in the JSON that chrome://tracing and
// ui.perfetto.dev show.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <functional>

namespace hici::bench {

// Runs `action` with LibTorch's profiler on and writes `path`; folders are made. An error when it cannot be written.
void write_trace(at::Device device, const std::filesystem::path& path, const std::function<void()>& action);

}  // namespace hici::bench
