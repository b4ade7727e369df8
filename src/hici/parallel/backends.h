// SPDX-License-Identifier: Apache-2.0
// Makers of process groups over a store of c10d. Only process_group.cpp and world.cpp see c10d's headers.
#pragma once

#include "hici/parallel/process_group.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <functional>
#include <string>
#include <vector>

namespace hici::parallel {

// What a failed collective does: it ends this process with a line that names who failed. `what` is c10d's message.
using OnFailure = std::function<void(const std::string& what)>;

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Backend> c10d;
  OnFailure on_failure;
};

// A group of `size` processes that this one joins as `rank`; all of them call with the same `name`, which no other
// group has. Waits for the others.
ProcessGroup make_gloo_group(const c10::intrusive_ptr<c10d::Store>& store, const std::string& name, int64_t rank,
                             int64_t size, const OnFailure& on_failure);
// The same for tensors on this process's current GPU. The plug-in must be loaded.
ProcessGroup make_nccl_group(const c10::intrusive_ptr<c10d::Store>& store, const std::string& name, int64_t rank,
                             int64_t size, const OnFailure& on_failure);

// Ends what waits in the group, here and at once; other processes of it may be gone.
void abort(const ProcessGroup& group);
// Before the process ends; all processes of the group have made their last call.
void shut_down(const ProcessGroup& group);

}  // namespace hici::parallel
