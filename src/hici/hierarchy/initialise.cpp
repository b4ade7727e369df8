// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/initialise.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace hici::hierarchy {
namespace {

// Draws on the CPU in float32 whatever the model's device and type, so that a seed means the same weights everywhere.
at::Tensor draw_uniform(const at::Tensor& like, double bound, at::Generator& generator) {
  return at::rand(like.sizes(), generator, at::TensorOptions().dtype(at::kFloat)).mul_(2 * bound).sub_(bound);
}

at::Tensor draw_normal(const at::Tensor& like, double deviation, at::Generator& generator) {
  return at::randn(like.sizes(), generator, at::TensorOptions().dtype(at::kFloat)).mul_(deviation);
}

void fill_linear_default(nn::Linear& linear, at::Generator& generator) {  // the default of torch.nn.Linear
  linear.weight.copy_(
      draw_uniform(linear.weight, 1.0 / std::sqrt(static_cast<double>(linear.weight.size(1))), generator));
}

void fill_xavier(nn::Linear& linear, at::Generator& generator) {
  const auto fan = static_cast<double>(linear.weight.size(0) + linear.weight.size(1));
  linear.weight.copy_(draw_uniform(linear.weight, std::sqrt(6.0 / fan), generator));
}

void fill_compressor(GlobalIntegrator::Compressor& link, at::Generator& generator) {
  fill_linear_default(link.linear, generator);
  link.norm.weight.fill_(1);
  link.norm.bias.zero_();
}

// The U token embeddings of largest norm, sent through the compressor, are the first global queries.
void fill_global_queries(GlobalIntegrator& integrator, const at::Tensor& embedding) {
  const int64_t count = integrator.global_queries.size(0);
  const at::Tensor norms = at::linalg_vector_norm(embedding.to(at::kFloat), 2, at::IntArrayRef{-1});
  const at::Tensor rows = std::get<1>(at::topk(norms, std::min(count, embedding.size(0))));
  // A vocabulary smaller than U repeats its rows.
  const at::Tensor wrapped = at::arange(count, rows.options()).remainder(rows.size(0));
  integrator.global_queries.copy_(
      integrator.compress_vectors(embedding.index_select(0, rows.index_select(0, wrapped))));
}

}  // namespace

void initialise(LocalConstructor& local, at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const double deviation = 1.0 / std::sqrt(static_cast<double>(local.memory_slots.size(1)));
  local.memory_slots.copy_(draw_normal(local.memory_slots, deviation, generator));
  for (nn::Linear* linear : {&local.q_proj, &local.k_proj, &local.v_proj}) fill_linear_default(*linear, generator);
  if (local.o_proj.weight.defined()) fill_linear_default(local.o_proj, generator);
}

void initialise(GlobalIntegrator& integrator, const at::Tensor& embedding, at::Generator& generator) {
  const at::NoGradGuard no_grad;
  for (auto& link : integrator.shared) fill_compressor(link, generator);
  for (auto& link : integrator.per_statistic) fill_compressor(link, generator);
  for (nn::Linear* linear : {&integrator.q_proj, &integrator.k_proj, &integrator.v_proj, &integrator.o_proj}) {
    fill_xavier(*linear, generator);
  }
  const double deviation = 0.02 / std::sqrt(static_cast<double>(integrator.expand.weight.size(1)));
  integrator.expand.weight.copy_(draw_normal(integrator.expand.weight, deviation, generator));
  integrator.expand_scale_param.fill_(std::log(std::expm1(0.1)));  // softplus of it is 0.1
  fill_global_queries(integrator, embedding);
}

}  // namespace hici::hierarchy
