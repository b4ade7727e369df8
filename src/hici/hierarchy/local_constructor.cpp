// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/local_constructor.h"

#include "hici/device/side_stream.h"
#include "hici/device/sm_carveout.h"
#include "hici/nn/dropout.h"
#include "hici/ops/segment_cross_attention.h"

#include <ATen/ATen.h>

#include <cmath>

namespace hici::hierarchy {
namespace {

// A product of a few rows, on the side stream next to large ones of the main stream.
at::Tensor read_by_head(const at::Tensor& mean_hYC, const at::Tensor& value_heC) {
  const bool is_small = mean_hYC.size(1) <= device::kFewRows && device::SideStream::is_current(mean_hYC.device());
  const device::SmCarveout carveout(mean_hYC.device(), is_small ? device::SmBudget::kTwo : device::SmBudget::kAll);
  return at::bmm(mean_hYC, value_heC.transpose(1, 2));
}

}  // namespace

LocalConstructor::LocalConstructor(const config::HiciConfig& config, int64_t hidden_size,
                                   const nn::ParameterOptions& options)
    : memory_slots(nn::meta_parameter({config.num_local_slots, hidden_size}, options)), num_heads(config.num_heads) {
  const int64_t width = config.use_bottleneck ? config.bottleneck_dim : hidden_size;
  q_proj = nn::Linear(width, hidden_size, options);
  k_proj = nn::Linear(width, hidden_size, options);
  v_proj = nn::Linear(width, hidden_size, options);
  if (config.use_bottleneck) o_proj = nn::Linear(hidden_size, width, options);
}

bool LocalConstructor::drops_of_weights() const {
  return nn::DropoutScope::current().any() && (q_proj.has_lora() || k_proj.has_lora() || v_proj.has_lora());
}

nn::TensorList LocalConstructor::prepare() const {
  if (drops_of_weights()) return {};
  const int64_t slots = memory_slots.size(0), hidden = memory_slots.size(1);
  const int64_t head_width = q_proj.weight.size(0) / num_heads;
  const at::Tensor q_hMe = q_proj.forward(memory_slots).view({slots, num_heads, head_width}).transpose(0, 1);
  const at::Tensor key_heC = k_proj.effective_weight().view({num_heads, head_width, hidden});
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_width));
  return {at::matmul(q_hMe * scale, key_heC).view({num_heads * slots, hidden}),
          v_proj.effective_weight().view({num_heads, head_width, hidden})};
}

at::Tensor LocalConstructor::forward(const at::Tensor& x_GSC, const at::Tensor& valid_GS,
                                     const nn::TensorList& prepared) const {
  const at::Tensor read_GME = drops_of_weights() ? read_with_dropout(x_GSC, valid_GS) : read(x_GSC, valid_GS, prepared);
  return o_proj.weight.defined() ? o_proj.forward(read_GME) : read_GME;
}

// Every channel of every token and of every segment's slots is dropped or not by itself.
at::Tensor LocalConstructor::read_with_dropout(const at::Tensor& x_GSC, const at::Tensor& valid_GS) const {
  const int64_t segments = x_GSC.size(0), head_width = q_proj.weight.size(0) / num_heads;
  auto by_head = [&](const at::Tensor& t) {  // [G, rows, E] -> [G, h, rows, e]
    return t.view({segments, -1, num_heads, head_width}).transpose(1, 2);
  };
  const at::Tensor q_GhMe = by_head(q_proj.forward(memory_slots.expand({segments, -1, -1}).contiguous()));
  const std::vector<at::Tensor> kv = nn::Linear::forward_jointly(x_GSC, {&k_proj, &v_proj});
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_width));
  at::Tensor score_GhMS = at::matmul(q_GhMe * scale, by_head(kv[0]).transpose(2, 3));
  if (valid_GS.defined())
    score_GhMS = score_GhMS.masked_fill(valid_GS.logical_not().unsqueeze(1).unsqueeze(1),
                                        ops::masked_score(score_GhMS.scalar_type()));
  return at::matmul(at::softmax(score_GhMS, -1), by_head(kv[1])).transpose(1, 2).flatten(2);
}

at::Tensor LocalConstructor::read(const at::Tensor& x_GSC, const at::Tensor& valid_GS,
                                  const nn::TensorList& prepared) const {
  const at::Tensor &absorbed_QC = prepared[0], &value_heC = prepared[1];
  const int64_t segments = x_GSC.size(0), hidden = x_GSC.size(2), slots = memory_slots.size(0);
  const int64_t head_width = value_heC.size(1);
  const at::Tensor mean_QGC = ops::segment_cross_attention(x_GSC, absorbed_QC, valid_GS);
  const at::Tensor read_hYe = read_by_head(mean_QGC.view({num_heads, slots * segments, hidden}), value_heC);
  return read_hYe.view({num_heads, slots, segments, head_width})
      .permute({2, 1, 0, 3})
      .reshape({segments, slots, num_heads * head_width});
}

void LocalConstructor::visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit) {
  visit(prefix + ".memory_slots", memory_slots);
  visit_linears(linears(), prefix, visit);
}

nn::NamedLinears LocalConstructor::linears() {
  nn::NamedLinears all{{"q_proj", &q_proj}, {"k_proj", &k_proj}, {"v_proj", &v_proj}};
  if (o_proj.weight.defined()) all.push_back({"o_proj", &o_proj});
  return all;
}

}  // namespace hici::hierarchy
