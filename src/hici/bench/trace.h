// SPDX-License-Identifier: Apache-2.0
// A timeline of one run, of a GPU's kernels or of a CPU's operations, in the JSON that chrome://tracing and
// ui.perfetto.dev show.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <functional>

namespace hici::bench {

// Runs `action` with LibTorch's profiler on and writes `path`; folders are made. An error when it cannot be written.
void write_trace(at::Device device, const std::filesystem::path& path, const std::function<void()>& action);

}  // namespace hici::bench
