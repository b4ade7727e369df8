// SPDX-License-Identifier: Apache-2.0
// The one place where a step becomes a problem of planning: what follows from model, shape and device is filled in.
#pragma once

#include "hici/plan/memory_plan.h"

#include <c10/core/Device.h>

#include <optional>

namespace hici::plan {

// `stated` has the model, the shape of a step (of attention in segments a segment_length of 0 means one segment), the
// type, and how the step is made; `parameters` are those of the model with adapters and HiCI modules. From these and
// the device follow the rest: trains_head, on_gpu, whole_scores. nullopt: a GPU that is not here, of sm_80 or newer.
PlanProblem make_problem(PlanProblem stated, ParameterSizes parameters, std::optional<at::Device> device);

}  // namespace hici::plan
