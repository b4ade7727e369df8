// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/lora_linear.h"

#include "hici/base/error.h"
#include "hici/ops/front_rows.h"
#include "hici/ops/product_room.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The tensors of all layers in one list: W_0, A_0, B_0, W_1, ... without the adapters that are not there.
class Layers {
 public:
  Layers(at::TensorList tensors, const std::vector<double>& scales, const std::vector<int64_t>& ranks) : ranks_(ranks) {
    size_t next = 0;
    for (size_t i = 0; i < scales.size(); ++i) {
      layers_.push_back({tensors[next++], {}, {}, scales[i]});
      if (ranks[i] == 0) continue;
      layers_[i].a = tensors[next++];
      layers_[i].b = tensors[next++];
    }
  }

  size_t size() const { return layers_.size(); }
  const LoraWeights& operator[](size_t i) const { return layers_[i]; }
  bool has_adapter(size_t i) const { return ranks_[i] > 0; }

  // The first factors as one matrix [sum of ranks, in]; undefined without adapters.
  at::Tensor joint_a() const {
    std::vector<at::Tensor> parts;
    for (const LoraWeights& layer : layers_)
      if (layer.a.defined()) parts.push_back(layer.a);
    return parts.size() < 2 ? (parts.empty() ? at::Tensor() : parts[0]) : at::cat(parts, 0);
  }
  // The columns of layer i in a tensor [n, sum of ranks].
  at::Tensor columns(const at::Tensor& joint, size_t i) const {
    int64_t first = 0;
    for (size_t j = 0; j < i; ++j) first += ranks_[j];
    return joint.narrow(1, first, ranks_[i]);
  }

 private:
  std::vector<LoraWeights> layers_;
  std::vector<int64_t> ranks_;
};

at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

// x [G, S, in] whose segments have rows between them, as attention leaves its output: read where it stands.
bool is_apart(const at::Tensor& x) { return x.dim() == 3 && !x.is_contiguous() && has_front_rows(x, 0); }

// x W^T, [..., out]
at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight) {
  return is_apart(x) ? at::bmm(x, weight.t().expand({x.size(0), -1, -1})) : at::linear(x, weight);
}

// d^T x, summed over all rows: d [n, out] -> [out, in]
at::Tensor transposed_times(const at::Tensor& d, const at::Tensor& x) {
  if (!is_apart(x)) return at::mm(d.t(), rows_of(x));
  return at::bmm(d.view({x.size(0), x.size(1), -1}).transpose(1, 2), x).sum(0);
}

// Takes and gives any shape: reshaping inside spares a node of autograd for each tensor, which is much of the time
// where the inputs are small.
class LoraLinears : public torch::autograd::Function<LoraLinears> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList tensors,
                               const std::vector<double>& scales, const std::vector<int64_t>& ranks,
                               bool leaves_room) {
    const Layers layers(tensors, scales, ranks);
    const at::Tensor joint_a = layers.joint_a();
    const at::Tensor low =
        joint_a.defined() ? rows_of(times_transposed(x, joint_a)) : at::Tensor();  // [n, sum of ranks]
    const ProductRoom room(x.device(), leaves_room);
    variable_list outputs;
    for (size_t i = 0; i < layers.size(); ++i) {
      outputs.push_back(times_transposed(x, layers[i].weight));
      if (layers.has_adapter(i))
        outputs[i]
            .view({-1, outputs[i].size(-1)})
            .addmm_(layers.columns(low, i), layers[i].b.t(), /*beta=*/1, layers[i].scale);
    }
    // Frozen weights without adapters ask nothing of their input.
    variable_list saved{needs_input(layers) ? x : at::Tensor(), low};
    saved.insert(saved.end(), tensors.begin(), tensors.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["scales"] = scales;
    ctx->saved_data["ranks"] = ranks;
    ctx->saved_data["leaves_room"] = leaves_room;
    ctx->saved_data["front_rows"] = is_apart(x) ? rows_between(x) : 0;
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& output_grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::TensorList tensors = at::TensorList(saved).slice(2);
    const Layers layers(tensors, ctx->saved_data["scales"].toDoubleVector(), ctx->saved_data["ranks"].toIntVector());
    const at::Tensor &x = saved[0], &low = saved[1];
    variable_list grads;
    for (const at::Tensor& grad : output_grads) grads.push_back(rows_of(grad));
    at::Tensor dlow, da;  // of x A^T and of the joint A
    if (low.defined()) {
      dlow = low_gradient(layers, grads);
      da = transposed_times(dlow, x);
    }
    variable_list result(1);
    if (ctx->needs_input_grad(0)) {
      std::vector<int64_t> input_shape = output_grads[0].sizes().vec();
      input_shape.back() = layers[0].weight.size(1);
      // In front of what attention gave, its backward wants rows.
      result[0] = empty_behind_rows(input_shape, ctx->saved_data["front_rows"].toInt(), grads[0].options());
      const ProductRoom room(grads[0].device(), ctx->saved_data["leaves_room"].toBool());
      set_input_gradient(layers, grads, dlow, result[0]);
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      const LoraWeights& layer = layers[i];
      result.push_back(layer.weight.requires_grad() ? transposed_times(grads[i], x) : at::Tensor());
      if (!layers.has_adapter(i)) continue;
      result.push_back(layers.columns(da.t(), i).t());
      result.push_back(at::mm(grads[i].t(), layers.columns(low, i) * layer.scale));
    }
    result.resize(static_cast<size_t>(tensors.size()) + 4);  // scales, ranks and room have no gradient
    return result;
  }

 private:
  static bool needs_input(const Layers& layers) {
    for (size_t i = 0; i < layers.size(); ++i)
      if (layers.has_adapter(i) || layers[i].weight.requires_grad()) return true;
    return false;
  }

  static at::Tensor low_gradient(const Layers& layers, const variable_list& grads) {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < layers.size(); ++i)
      if (layers.has_adapter(i)) parts.push_back(at::mm(grads[i], layers[i].b).mul_(layers[i].scale));
    return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  }

  static void set_input_gradient(const Layers& layers, const variable_list& grads, const at::Tensor& dlow,
                                 const at::Tensor& out) {
    at::Tensor dx = rows_of(out);
    at::mm_out(dx, grads[0], layers[0].weight);
    for (size_t i = 1; i < layers.size(); ++i) dx.addmm_(grads[i], layers[i].weight);
    if (dlow.defined()) dx.addmm_(dlow, layers.joint_a());
  }
};

}  // namespace

std::vector<at::Tensor> lora_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers, bool leaves_room) {
  std::vector<at::Tensor> tensors;
  std::vector<double> scales;
  std::vector<int64_t> ranks;
  for (const LoraWeights& layer : layers) {
    HICI_ASSERT(layer.weight.size(1) == x.size(-1) && layer.a.defined() == layer.b.defined(), "x ", x.sizes(),
                " weight ", layer.weight.sizes());
    tensors.push_back(layer.weight);
    if (layer.a.defined()) tensors.insert(tensors.end(), {layer.a, layer.b});
    scales.push_back(layer.scale);
    ranks.push_back(layer.a.defined() ? layer.a.size(0) : 0);
  }
  return LoraLinears::apply(x, at::TensorList(tensors), std::move(scales), std::move(ranks), leaves_room);
}

}  // namespace hici::ops
