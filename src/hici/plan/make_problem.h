// SPDX-License-Identifier: Apache-2.0
// The only place that makes a PlanProblem of a step. It fills in all values that follow from model, shape and device.
#pragma once

#include "hici/plan/memory_plan.h"

#include <c10/core/Device.h>

#include <optional>

namespace hici::plan {

// `stated` has the model, the shape of a step (with attention in segments, segment_length 0 means one segment), the
// type, and the settings of the step. `parameters` are those of the model with adapters and HiCI modules. The other
// fields, trains_head, on_gpu and whole_scores, follow from these and the device. nullopt: an absent GPU of sm_80 or
// newer.
PlanProblem make_problem(PlanProblem stated, ParameterSizes parameters, std::optional<at::Device> device);

}  // namespace hici::plan
