// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/global_integrator.h"

#include "hici/nn/dropout.h"
#include "hici/ops/slot_statistics.h"

#include <ATen/ATen.h>

#include <cmath>

namespace hici::hierarchy {

void GlobalIntegrator::Compressor::visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit) {
  linear.visit_parameters(prefix + ".0", visit);
  norm.visit_parameters(prefix + ".1", visit);
}

GlobalIntegrator::GlobalIntegrator(const config::HiciConfig& config, int64_t hidden_size,
                                   const nn::ParameterOptions& options)
    : global_queries(nn::meta_parameter({config.global_slots, config.bottleneck_dim}, options)),
      expand(hidden_size, config.bottleneck_dim, options),
      expand_scale_param(nn::meta_parameter({}, options)),
      num_heads(config.num_heads) {
  const int64_t width = config.bottleneck_dim;
  auto link = [&](int64_t out, int64_t in) {
    return Compressor{nn::Linear(out, in, options), nn::LayerNorm(out, options)};
  };
  if (config.shared_compressor) {
    shared.push_back(link(config.shared_compress_dim, hidden_size));
    if (config.shared_compress_dim < width) shared.push_back(link(width, config.shared_compress_dim));
  } else {
    for (int64_t i = 0; i < ops::kNumStatistics; ++i) per_statistic.push_back(link(width, hidden_size));
  }
  for (nn::Linear* linear : {&q_proj, &k_proj, &v_proj, &o_proj}) *linear = nn::Linear(width, width, options);
}

at::Tensor GlobalIntegrator::compress_vectors(const at::Tensor& x) const {
  if (shared.empty()) return per_statistic.front().forward(x);
  at::Tensor z = x;
  for (const Compressor& link : shared) z = link.forward(z);
  return z;
}

at::Tensor GlobalIntegrator::compress(const at::Tensor& statistics_R5C) const {
  const at::Tensor x = statistics_R5C.to(global_queries.scalar_type());
  if (!shared.empty()) return compress_vectors(x);
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < ops::kNumStatistics; ++i)
    parts.push_back(per_statistic[static_cast<size_t>(i)].forward(x.select(1, i)));
  return at::stack(parts, 1);
}

bool GlobalIntegrator::drops_in_queries() const { return nn::DropoutScope::current().any() && q_proj.has_lora(); }

GlobalIntegrator::Prepared GlobalIntegrator::prepare() const {
  if (drops_in_queries()) return {{}, at::softplus(expand_scale_param)};
  const int64_t head_width = q_proj.weight.size(0) / num_heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_width));
  const at::Tensor q_UW = q_proj.forward(global_queries);
  return {q_UW.view({-1, num_heads, head_width}).transpose(0, 1) * scale, at::softplus(expand_scale_param)};
}

at::Tensor GlobalIntegrator::weights(const at::Tensor& keys_R5hw, const at::Tensor& q_hUw) const {
  const int64_t rows = keys_R5hw.size(0), head_width = keys_R5hw.size(3);
  // The queries are the same in every row: one [h, U, w] against all keys.
  const at::Tensor keys_hwK = keys_R5hw.permute({2, 3, 0, 1}).reshape({num_heads, head_width, -1});
  const at::Tensor prob_hUR5 = at::softmax(at::bmm(q_hUw, keys_hwK).unflatten(-1, {rows, ops::kNumStatistics}), -1);
  return prob_hUR5.permute({2, 0, 1, 3});
}

at::Tensor GlobalIntegrator::weights_with_dropout(const at::Tensor& keys_R5hw) const {
  const int64_t rows = keys_R5hw.size(0), head_width = keys_R5hw.size(3);
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_width));
  const at::Tensor q_RUW = q_proj.forward(global_queries.expand({rows, -1, -1}).contiguous());
  const at::Tensor q_RhUw = q_RUW.view({rows, -1, num_heads, head_width}).transpose(1, 2) * scale;
  return at::softmax(at::matmul(q_RhUw, keys_R5hw.permute({0, 2, 3, 1})), -1);
}

at::Tensor GlobalIntegrator::forward(const at::Tensor& statistics_R5C, const Prepared& prepared) const {
  const at::Tensor z_R5W = compress(statistics_R5C);
  const int64_t rows = z_R5W.size(0), width = z_R5W.size(2), head_width = width / num_heads;
  const std::vector<at::Tensor> kv = nn::Linear::forward_jointly(z_R5W, {&k_proj, &v_proj});
  auto split = [&](const at::Tensor& t) { return t.view({rows, ops::kNumStatistics, num_heads, head_width}); };
  const at::Tensor keys_R5hw = split(kv[0]);
  const at::Tensor prob_RhU5 =
      drops_in_queries() ? weights_with_dropout(keys_R5hw) : weights(keys_R5hw, prepared.q_hUw);
  const at::Tensor read_RhUw = at::matmul(prob_RhU5, split(kv[1]).transpose(1, 2));
  const at::Tensor read_RUW = read_RhUw.transpose(1, 2).reshape({rows, -1, width});
  return expand.forward(o_proj.forward(read_RUW)) * prepared.gate;
}

void GlobalIntegrator::visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit) {
  visit(prefix + ".global_queries", global_queries);
  if (!shared.empty()) shared[0].visit_parameters(prefix + ".shared_compressor", visit);
  if (shared.size() > 1) shared[1].visit_parameters(prefix + ".stat_expand", visit);
  for (size_t i = 0; i < per_statistic.size(); ++i) {
    per_statistic[i].visit_parameters(prefix + ".stat_compressors." + std::to_string(i), visit);
  }
  visit_linears(linears(), prefix, visit);
  expand.visit_parameters(prefix + ".expand", visit);
  visit(prefix + ".expand_scale_param", expand_scale_param);
}

nn::NamedLinears GlobalIntegrator::linears() {
  return {{"q_proj", &q_proj}, {"k_proj", &k_proj}, {"v_proj", &v_proj}, {"o_proj", &o_proj}};
}

}  // namespace hici::hierarchy
