// SPDX-License-Identifier: Apache-2.0
// The plug-in's side of ops/device_graph.h, for kernel_table.h.
#pragma once

#include <functional>

namespace hici::ops::cuda {

void* graph_record(int index, const std::function<void()>& work);
void graph_replay(void* graph);
void graph_release(void* graph);

}  // namespace hici::ops::cuda
