// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/lora_linear.h"

#include "hici/base/error.h"
#include "hici/device/autograd_node.h"
#include "hici/device/kernel_table.h"
#include "hici/device/side_stream.h"
#include "hici/device/sm_carveout.h"
#include "hici/ops/few_rows_linear.h"
#include "hici/ops/fp8.h"
#include "hici/ops/nf4.h"
#include "hici/ops/segment_padding.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/SequenceNumber.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The tensors of all layers in one list: W_0, A_0, B_0, W_1, ... without missing adapters. An FP8 weight is
// followed by its transpose, which may be empty, and its scale, an NF4 weight by its scales and theirs.
class Layers {
 public:
  Layers(at::TensorList tensors, const std::vector<double>& scales, const std::vector<int64_t>& ranks) : ranks_(ranks) {
    size_t next = 0;
    for (size_t i = 0; i < scales.size(); ++i) {
      layers_.push_back({tensors[next++], {}, {}, scales[i]});
      if (is_fp8(i)) {
        layers_[i].transposed = tensors[next++];
        layers_[i].channel_scale = tensors[next++];
      } else if (is_nf4(layers_[i].weight)) {
        layers_[i].block_scale = tensors[next++];
        layers_[i].scale_groups = tensors[next++];
      }
      if (ranks[i] == 0) continue;
      layers_[i].a = tensors[next++];
      layers_[i].b = tensors[next++];
    }
  }
  static void append(const LoraWeights& layer, std::vector<at::Tensor>& tensors) {
    tensors.push_back(layer.weight);
    if (ops::is_fp8(layer.weight)) tensors.insert(tensors.end(), {layer.transposed, layer.channel_scale});
    if (is_nf4(layer.weight)) tensors.insert(tensors.end(), {layer.block_scale, layer.scale_groups});
    if (layer.a.defined()) tensors.insert(tensors.end(), {layer.a, layer.b});
  }

  size_t size() const { return layers_.size(); }
  const LoraWeights& operator[](size_t i) const { return layers_[i]; }
  bool has_adapter(size_t i) const { return ranks_[i] > 0; }
  bool is_fp8(size_t i) const { return ops::is_fp8(layers_[i].weight); }
  bool any_fp8() const {
    for (size_t i = 0; i < size(); ++i)
      if (is_fp8(i)) return true;
    return false;
  }

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

// Whether t [G, S, width] has unused rows between its segments. GEMMs read and write such a tensor in place.
bool has_row_gaps(const at::Tensor& t) {
  return t.dim() == 3 && !t.is_contiguous() && as_padded_segments(t).has_value();
}

at::Tensor segments_of(const at::Tensor& t, const at::Tensor& like) {
  return t.reshape({like.size(0), like.size(1), -1});
}

at::Tensor expand_batch(const at::Tensor& weight, const at::Tensor& segments) {
  return weight.expand({segments.size(0), -1, -1});
}

// scale a b, with the factor inside the GEMM
at::Tensor scaled_product(const at::Tensor& a, const at::Tensor& b, double scale) {
  at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  return at::addmm_out(out, out, a, b, /*beta=*/0, scale);
}

// x W [n, out] for x [n, in], or [G, S, in] with row gaps
at::Tensor matmul_nn(const at::Tensor& x, const at::Tensor& weight) {
  return has_row_gaps(x) ? rows_of(at::bmm(x, expand_batch(weight, x))) : at::mm(rows_of(x), weight);
}

// out = beta out + scale x W, beta 0 (out may be uninitialised) or 1; either side may have row gaps.
void add_product(const at::Tensor& out, const at::Tensor& x, const at::Tensor& weight, double beta, double scale = 1) {
  at::Tensor to = out;
  if (has_row_gaps(x) || has_row_gaps(out)) {
    const at::Tensor& gapped = has_row_gaps(x) ? x : out;
    to = has_row_gaps(out) ? out : out.view({gapped.size(0), gapped.size(1), -1});
    const at::Tensor from = segments_of(x, gapped), by = expand_batch(weight, gapped);
    at::baddbmm_out(to, to, from, by, beta, scale);
    return;
  }
  to = out.view({-1, out.size(-1)});
  at::addmm_out(to, to, rows_of(x), weight, beta, scale);
}

// scale d^T x, summed over all rows: [out, in]
at::Tensor matmul_tn(const at::Tensor& d, const at::Tensor& x, double scale = 1) {
  if (!has_row_gaps(d) && !has_row_gaps(x)) return scaled_product(rows_of(d).t(), rows_of(x), scale);
  const at::Tensor& gapped = has_row_gaps(x) ? x : d;
  const at::Tensor sum = at::bmm(segments_of(d, gapped).transpose(1, 2), segments_of(x, gapped)).sum(0);
  return scale == 1 ? sum : sum * scale;
}

// The weight [out, in] as a product with `x` takes it: an NF4 weight in the type of x.
at::Tensor unpacked(const LoraWeights& layer, const at::Tensor& x) {
  if (!is_nf4(layer.weight)) return layer.weight;
  return unpack_nf4({layer.weight, layer.block_scale, layer.scale_groups}, x.scalar_type());
}

int64_t input_width(const at::Tensor& weight) { return weight.size(1) * (is_nf4(weight) ? 2 : 1); }

bool has_few_rows(const at::Tensor& x) { return x.numel() <= device::kFewRows * x.size(-1); }

// On the side stream GEMMs of a few rows run next to large ones of the main stream, so they use two SMs: always with
// adapters, and with a weight unless it is so large that reading it dominates. Alone, as in decoding, two SMs would
// take eighteen times as long (K and V of Llama-3-8B).
class SmallGemmGuard {
 public:
  explicit SmallGemmGuard(const at::Tensor& x) { set(x, true); }
  SmallGemmGuard(const at::Tensor& x, const at::Tensor& weight) {
    constexpr int64_t kSmallWeight = int64_t{1} << 22;
    set(x, weight.numel() <= kSmallWeight);
  }

 private:
  void set(const at::Tensor& x, bool is_small) {
    if (!has_few_rows(x) || !device::SideStream::is_current(x.device())) return;
    carveout_.emplace(x.device(), is_small ? device::SmBudget::kTwo : device::SmBudget::kAll);
  }

  std::optional<device::SmCarveout> carveout_;
};

at::Tensor new_output(const at::Tensor& x, int64_t width, int64_t segment_length, int64_t rows_before) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = width;
  if (rows_before == 0) return at::empty(shape, x.options());
  const int64_t segments = x.numel() / x.size(-1) / segment_length;
  return at::empty({segments, rows_before + segment_length, width}, x.options()).narrow(1, rows_before, segment_length);
}

// body(rows, first) for pieces of x [..., C] or, with row gaps, [G, S, C]: `rows` [m, C], a view of x, are those at
// `first` and after it; of a contiguous x they can be written to. A mask and what it is made of are of one piece.
template <typename Body>
void for_pieces(const at::Tensor& x, const Body& body) {
  constexpr int64_t kElements = int64_t{1} << 22;
  const bool gapped = has_row_gaps(x);
  const at::Tensor whole = gapped ? x : x.reshape({1, -1, x.size(-1)});
  const int64_t length = whole.size(1), step = std::max<int64_t>(1, kElements / whole.size(2));
  for (int64_t g = 0; g < whole.size(0); ++g)
    for (int64_t i = 0; i < length; i += step)
      body(whole.select(0, g).narrow(0, i, std::min(step, length - i)), g * length + i);
}

// The adapters' own part of a layer where each has a mask of its own. The division by 1 - rate is part of their scales.
class DroppedInput {
 public:
  DroppedInput(const Layers& layers, AdapterDropout dropout, std::vector<int64_t> keys)
      : layers_(layers), dropout_(std::move(dropout)), keys_(std::move(keys)) {}

  // x A^T of every adapter, [n, sum of ranks]
  at::Tensor low(const at::Tensor& x, int64_t width) const {
    at::Tensor low = at::empty({x.numel() / x.size(-1), width}, x.options());
    for_pieces(x, [&](const at::Tensor& rows, int64_t first) {
      for_adapters([&](size_t i) {
        piece(layers_.columns(low, i), rows, first).copy_(at::mm(dropped(rows, first, i), layers_[i].a.t()));
      });
    });
    return low;
  }

  // out += the gradient of the adapters' input, from that of x A^T
  void add_input_gradient(const at::Tensor& out, const at::Tensor& dlow) const {
    for_pieces(out, [&](const at::Tensor& rows, int64_t first) {
      for_adapters([&](size_t i) {
        const at::Tensor grad = at::mm(piece(layers_.columns(dlow, i), rows, first), layers_[i].a);
        drop_channels_(grad, of_piece(rows, first), key(i));
        rows.add_(grad);
      });
    });
  }

  // Of the joint A, [sum of ranks, in]. Pieces are summed in the wider type.
  at::Tensor a_gradient(const at::Tensor& x, const at::Tensor& dlow) const {
    const auto type = accumulation_type(x.scalar_type());
    at::Tensor sum = at::zeros({x.size(-1), dlow.size(1)}, x.options().dtype(type));
    for_pieces(x, [&](const at::Tensor& rows, int64_t first) {
      for_adapters([&](size_t i) {
        layers_.columns(sum, i).add_(at::mm(dropped(rows, first, i).t(), piece(layers_.columns(dlow, i), rows, first)));
      });
    });
    return sum.to(x.scalar_type()).t();
  }

 private:
  template <typename Body>
  void for_adapters(const Body& body) const {
    for (size_t i = 0; i < layers_.size(); ++i)
      if (layers_.has_adapter(i)) body(i);
  }
  static at::Tensor piece(const at::Tensor& t, const at::Tensor& rows, int64_t first) {
    return t.narrow(0, first, rows.size(0));
  }
  AdapterDropout of_piece(const at::Tensor& rows, int64_t first) const {
    return {dropout_.rate, piece(dropout_.rows_n, rows, first)};
  }
  uint64_t key(size_t i) const { return static_cast<uint64_t>(keys_[i]); }
  at::Tensor dropped(const at::Tensor& rows, int64_t first, size_t i) const {
    at::Tensor out = rows.clone();
    drop_channels_(out, of_piece(rows, first), key(i));
    return out;
  }

  const Layers& layers_;
  AdapterDropout dropout_;
  std::vector<int64_t> keys_;
};

at::Tensor weight_gradient(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& weight) {
  const SmallGemmGuard of_weight(grad, weight);
  return matmul_tn(grad, x);
}

// Of the scope in which this thread is, if any: where in the backward pass the weights' gradients come. LibTorch's
// engine runs the node with the largest number among those that are ready.
thread_local std::optional<uint64_t> later_number;

// The gradient of one weight, from what the layer's own backward pass leaves here.
class WeightGradient final : public torch::autograd::Node {
 public:
  explicit WeightGradient(const at::Tensor& weight)
      : Node(*later_number, torch::autograd::collect_next_edges(weight)), weight_(weight.detach()) {
    add_input_metadata(weight);
  }
  // Stands for `weight` in the layer.
  static at::Tensor stand_in(const at::Tensor& weight) {
    at::Tensor out = weight.detach();
    torch::autograd::create_gradient_edge(out, device::make_node<WeightGradient>(weight));
    return out;
  }
  // Null where `weight` is no stand-in.
  static WeightGradient* of(const at::Tensor& weight) { return dynamic_cast<WeightGradient*>(weight.grad_fn().get()); }

  void leave(const at::Tensor& grad, const at::Tensor& x) {
    grad_ = grad;
    x_ = x;
  }
  // No gradient comes along the edge: it is for the order alone.
  variable_list apply(variable_list&&) override {
    const at::Tensor grad = std::exchange(grad_, {}), x = std::exchange(x_, {});
    return {grad.defined() ? weight_gradient(grad, x, weight_) : at::Tensor()};
  }
  void release_variables() override { grad_ = x_ = at::Tensor(); }

 private:
  at::Tensor weight_, grad_, x_;
};

// Inputs and outputs have any shape. Reshaping inside saves an autograd node per tensor, which matters for small
// inputs.
class LoraLinears : public torch::autograd::Function<LoraLinears> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList tensors,
                               const std::vector<double>& scales, const std::vector<int64_t>& ranks, bool reserves_sms,
                               int64_t segment_length, const std::vector<int64_t>& rows_before,
                               const AdapterDropout& dropout, const std::vector<int64_t>& dropout_keys) {
    const Layers layers(tensors, scales, ranks);
    const SmallGemmGuard of_adapters(x);
    const at::Tensor joint_a = layers.joint_a();
    const bool adapters_first = puts_adapters_first(layers, x);
    auto first_factors = [&] {
      if (dropout.any() && joint_a.defined())
        return DroppedInput(layers, dropout, dropout_keys).low(x, joint_a.size(0));
      return joint_a.defined() ? matmul_nn(x, joint_a.t()) : at::Tensor();
    };  // [n, sum of ranks]
    at::Tensor low = adapters_first ? first_factors() : at::Tensor();
    const Fp8Rows x_fp8 = layers.any_fp8() ? quantise_rows(x, {}) : Fp8Rows{};  // once for all of them
    std::optional<device::SmCarveout> carveout;
    if (reserves_sms) carveout.emplace(x.device(), device::SmBudget::kReserve);
    variable_list outputs;
    auto add_adapter = [&](size_t i, double beta) {
      if (layers.has_adapter(i))
        add_product(outputs[i], layers.columns(low, i), layers[i].b.t(), beta, layers[i].scale);
    };
    for (size_t i = 0; i < layers.size(); ++i) {
      const at::Tensor& weight = layers[i].weight;
      outputs.push_back(new_output(x, weight.size(0), segment_length, rows_before.empty() ? 0 : rows_before[i]));
      if (adapters_first) add_adapter(i, 0);
      const bool accumulate = adapters_first && layers.has_adapter(i);
      const SmallGemmGuard of_weight(x, weight);
      if (layers.is_fp8(i)) {
        fp8_product(outputs[i], x_fp8, weight, layers[i].channel_scale, accumulate);
      } else {
        add_product(outputs[i], x, unpacked(layers[i], x).t(), accumulate ? 1 : 0);
      }
    }
    if (!adapters_first) {
      low = first_factors();
      for (size_t i = 0; i < layers.size(); ++i) add_adapter(i, 1);
    }
    // Frozen weights without adapters do not need their input.
    variable_list saved{needs_input(layers) ? x : at::Tensor(), low};
    saved.insert(saved.end(), tensors.begin(), tensors.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["scales"] = scales;
    ctx->saved_data["ranks"] = ranks;
    ctx->saved_data["reserves_sms"] = reserves_sms;
    ctx->saved_data["input_shape"] = x.sizes().vec();
    std::vector<int64_t> later;  // the edges of this node keep them
    for (size_t i = 0; i < layers.size(); ++i)
      later.push_back(reinterpret_cast<int64_t>(WeightGradient::of(layers[i].weight)));
    ctx->saved_data["later"] = later;
    if (dropout.any() && joint_a.defined()) {
      ctx->saved_data["dropout_rate"] = dropout.rate;
      ctx->saved_data["dropout_rows"] = dropout.rows_n;
      ctx->saved_data["dropout_keys"] = dropout_keys;
    }
    ctx->saved_data["row_gap"] = has_row_gaps(x) ? as_padded_segments(x)->row_gap : 0;
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& output_grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::TensorList tensors = at::TensorList(saved).slice(2);
    const Layers layers(tensors, ctx->saved_data["scales"].toDoubleVector(), ctx->saved_data["ranks"].toIntVector());
    const at::Tensor &x = saved[0], &low = saved[1];
    const SmallGemmGuard of_adapters(output_grads[0]);
    variable_list grads;
    for (const at::Tensor& grad : output_grads) grads.push_back(has_row_gaps(grad) ? grad : rows_of(grad));
    const bool adapters_first = puts_adapters_first(layers, output_grads[0]);
    AdapterGradients adapters;
    if (adapters_first && low.defined()) adapters = adapter_gradients(layers, grads, low);
    const std::optional<DroppedInput> dropped = dropped_input(ctx, layers);
    variable_list result(1);
    if (ctx->needs_input_grad(0)) {
      // x is an output of attention, whose backward needs leading rows in this gradient.
      result[0] = empty_with_leading_rows(ctx->saved_data["input_shape"].toIntVector(),
                                          ctx->saved_data["row_gap"].toInt(), grads[0].options());
      std::optional<device::SmCarveout> carveout;
      if (ctx->saved_data["reserves_sms"].toBool()) carveout.emplace(grads[0].device(), device::SmBudget::kReserve);
      const bool begins_with_adapters = adapters.dlow.defined() && !dropped;
      if (begins_with_adapters) add_product(result[0], adapters.dlow, layers.joint_a(), 0);
      for (size_t i = 0; i < layers.size(); ++i)
        add_input_gradient(result[0], grads[i], layers[i], /*accumulate=*/begins_with_adapters || i > 0);
    }
    if (!adapters_first && low.defined()) {
      adapters = adapter_gradients(layers, grads, low);
      if (result[0].defined() && !dropped) add_product(result[0], adapters.dlow, layers.joint_a(), 1);
    }
    if (result[0].defined() && dropped) dropped->add_input_gradient(result[0], adapters.dlow);
    at::Tensor da;  // of the joint A
    if (low.defined()) da = dropped ? dropped->a_gradient(x, adapters.dlow) : matmul_tn(adapters.dlow, x);
    const std::vector<int64_t> later = ctx->saved_data["later"].toIntVector();
    for (size_t i = 0; i < layers.size(); ++i) {
      const LoraWeights& layer = layers[i];
      auto* node = reinterpret_cast<WeightGradient*>(later[i]);
      if (node != nullptr) node->leave(grads[i], x);
      const bool is_now = node == nullptr && layer.weight.requires_grad();
      result.push_back(is_now ? weight_gradient(grads[i], x, layer.weight) : at::Tensor());
      if (layers.is_fp8(i) || is_nf4(layer.weight)) result.resize(result.size() + 2);
      if (!layers.has_adapter(i)) continue;
      result.push_back(layers.columns(da.t(), i).t());
      result.push_back(adapters.db[i]);
    }
    result.resize(static_cast<size_t>(tensors.size()) + 8);  // scales, ranks, layout and dropout have no gradient
    return result;
  }

 private:
  // Large inputs: run the LoRA GEMM first and let the base GEMM accumulate (beta = 1), which saves one pass over the
  // output. Few rows: run the base GEMM first, while much of the GPU is free.
  static bool puts_adapters_first(const Layers& layers, const at::Tensor& x) {
    return (!layers.any_fp8() || fp8_product_accumulates(x.device())) && !has_few_rows(x);
  }

  // out = or += grad W.
  static void add_input_gradient(const at::Tensor& out, const at::Tensor& grad, const LoraWeights& layer,
                                 bool accumulate) {
    const SmallGemmGuard of_weight(grad, layer.weight);
    if (!ops::is_fp8(layer.weight)) return add_product(out, grad, unpacked(layer, grad), accumulate ? 1 : 0);
    HICI_ASSERT(layer.transposed.numel() > 0, "a gradient through a matrix that was quantised without a backward pass");
    // The GEMM sums over output channels, so their scales are applied to the gradient.
    fp8_product(out, quantise_rows(grad, layer.channel_scale), layer.transposed, {}, accumulate);
  }

  // Nothing without dropout.
  static std::optional<DroppedInput> dropped_input(AutogradContext* ctx, const Layers& layers) {
    const auto rate = ctx->saved_data.find("dropout_rate");
    if (rate == ctx->saved_data.end()) return std::nullopt;
    return DroppedInput(layers, {rate->second.toDouble(), ctx->saved_data["dropout_rows"].toTensor()},
                        ctx->saved_data["dropout_keys"].toIntVector());
  }

  static bool needs_input(const Layers& layers) {
    for (size_t i = 0; i < layers.size(); ++i)
      if (layers.has_adapter(i) || layers[i].weight.requires_grad()) return true;
    return false;
  }

  struct AdapterGradients {
    at::Tensor dlow;             // of x A^T, [n, sum of ranks]
    std::vector<at::Tensor> db;  // of each B; undefined without an adapter
  };

  static AdapterGradients adapter_gradients(const Layers& layers, const variable_list& grads, const at::Tensor& low) {
    AdapterGradients out{at::empty_like(low), std::vector<at::Tensor>(layers.size())};
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!layers.has_adapter(i)) continue;
      at::Tensor dlow = layers.columns(out.dlow, i);
      const at::Tensor layer_low = layers.columns(low, i);
      out.db[i] = in_one_pass(grads[i], layer_low, layers[i], dlow);
      if (out.db[i].defined()) continue;
      add_product(dlow, grads[i], layers[i].b, 0, layers[i].scale);
      out.db[i] = matmul_tn(grads[i], layer_low, layers[i].scale);
    }
    return out;
  }

  // Returns the gradient of B and writes that of x A^T to dlow. Undefined, with nothing written, without a kernel for
  // it.
  static at::Tensor in_one_pass(const at::Tensor& grad, const at::Tensor& low, const LoraWeights& layer,
                                at::Tensor& dlow) {
    const at::Tensor d_GSO = has_row_gaps(grad) ? grad : grad.unsqueeze(0);
    if (!grad.is_cuda() || !d_GSO.select(0, 0).is_contiguous() || !layer.b.is_contiguous()) return {};
    at::Tensor db = at::empty_like(layer.b);
    return device::cuda_kernels().lora_backward(d_GSO, low, layer.b, layer.scale, dlow, db) ? db : at::Tensor();
  }
};

// The same layers without NF4.
std::vector<LoraWeights> unpacked(std::vector<LoraWeights> layers, const at::Tensor& x) {
  for (LoraWeights& layer : layers) layer.weight = unpacked(layer, x);
  return layers;
}

bool comes_later(const at::Tensor& x, const at::Tensor& weight) {
  return later_number && at::GradMode::is_enabled() && weight.requires_grad() && has_few_rows(x);
}

}  // namespace

LaterWeightGradients::LaterWeightGradients(bool are_wanted) : previous_(later_number) {
  if (are_wanted) later_number = at::sequence_number::get_and_increment();
}

LaterWeightGradients::~LaterWeightGradients() { later_number = previous_; }

std::vector<at::Tensor> lora_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers,
                                     const LinearLayout& layout, const AdapterDropout& dropout) {
  HICI_ASSERT(dropout.rate >= 0 && dropout.rate < 1, "rate ", dropout.rate);
  const bool is_decoding = !at::GradMode::is_enabled() && !device::SideStream::is_current(x.device());
  if (is_decoding && !dropout.any() && layout.rows_before.empty()) {
    if (few_rows_linears_support(x, layers)) return few_rows_linears(x, layers);
    if (is_nf4(layers[0].weight) && has_few_rows(x)) return lora_linears(x, unpacked(layers, x), layout);
  }
  std::vector<at::Tensor> tensors;
  std::vector<double> scales;
  std::vector<int64_t> ranks, dropout_keys;
  for (const LoraWeights& layer : layers) {
    HICI_ASSERT(input_width(layer.weight) == x.size(-1) && layer.a.defined() == layer.b.defined(), "x ", x.sizes(),
                " weight ", layer.weight.sizes());
    LoraWeights used = layer;
    if (comes_later(x, layer.weight)) used.weight = WeightGradient::stand_in(layer.weight);
    Layers::append(used, tensors);
    scales.push_back(dropout.any() ? layer.scale / (1 - dropout.rate) : layer.scale);
    dropout_keys.push_back(static_cast<int64_t>(layer.dropout_key));
    ranks.push_back(layer.a.defined() ? layer.a.size(0) : 0);
  }
  return LoraLinears::apply(x, at::TensorList(tensors), std::move(scales), std::move(ranks), layout.reserves_sms,
                            layout.segment_length, layout.rows_before, dropout, std::move(dropout_keys));
}

}  // namespace hici::ops
