// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/make_problem.h"

#include "hici/ops/segment_attention.h"

#include <utility>

namespace hici::plan {
namespace {

bool has_whole_scores(at::ScalarType dtype, int64_t head_dim, std::optional<at::Device> device) {
  if (device) return ops::fastest_backend({*device, dtype, head_dim}) == ops::AttentionBackend::kMath;
  return !ops::fits_flash_on_gpu(dtype, head_dim);
}

}  // namespace

PlanProblem make_problem(PlanProblem stated, ParameterSizes parameters, std::optional<at::Device> device) {
  PlanProblem problem = std::move(stated);
  StepShape& shape = problem.shape;
  if (shape.attention == nn::AttentionKind::kFull) {
    shape.segment_length = 0;
  } else if (shape.segment_length == 0) {
    shape.segment_length = shape.tokens;
  }
  shape.trains_head = parameters.trains_head;
  problem.parameters = std::move(parameters);
  problem.on_gpu = !device || device->is_cuda();
  problem.whole_scores = has_whole_scores(problem.dtype, problem.model.head_dim, device);
  return problem;
}

}  // namespace hici::plan
