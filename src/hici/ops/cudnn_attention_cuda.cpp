// SPDX-License-Identifier: Apache-2.0
// cuDNN takes more keys than queries with a bottom-right causal mask, and grouped heads: exactly segment attention,
// with segments as its batch. One graph for each shape and direction, built at its first use.
#include "hici/ops/cudnn_attention_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cudnn/Handle.h>
#include <c10/cuda/CUDAGuard.h>

#include <cudnn_frontend.h>

#include <array>
#include <map>
#include <stdexcept>
#include <string>

namespace hici::ops::cuda {
namespace {

namespace fe = cudnn_frontend;
using TensorNode = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Id : int64_t { kQ = 1, kK, kV, kOut, kStats, kDout, kDq, kDk, kDv };

struct Shape {
  int64_t segments, queries, keys, heads, kv_heads, head_dim;
  bool is_bf16;
  int64_t device;

  auto operator<=>(const Shape&) const = default;
};

Shape shape_of(const at::Tensor& q, const at::Tensor& k) {
  return {q.size(0),     q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), q.scalar_type() == at::kBFloat16,
          q.get_device()};
}

void check(fe::error_t status, const char* what) {
  if (status.is_good()) return;
  throw std::runtime_error(std::string("cuDNN attention, ") + what + ": " + status.get_message());
}

// [G, rows, heads, D] in memory, named [G, heads, rows, D] as cuDNN counts.
TensorNode add_tensor(fe::graph::Graph& graph, Id id, const Shape& s, int64_t rows, int64_t heads) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_uid(id)
                          .set_dim({s.segments, heads, rows, s.head_dim})
                          .set_stride({rows * heads * s.head_dim, s.head_dim, heads * s.head_dim, 1}));
}

void set_output(const TensorNode& node, Id id, const Shape& s, int64_t rows, int64_t heads) {
  node->set_output(true)
      .set_uid(id)
      .set_dim({s.segments, heads, rows, s.head_dim})
      .set_stride({rows * heads * s.head_dim, s.head_dim, heads * s.head_dim, 1});
}

struct Plan {
  std::shared_ptr<fe::graph::Graph> graph = std::make_shared<fe::graph::Graph>();
  int64_t workspace_bytes = 0;
  double scale = 0;

  explicit Plan(const Shape& s, double attention_scale) : scale(attention_scale) {
    graph->set_io_data_type(s.is_bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
  }

  void build(const char* what) {
    check(graph->build(at::native::getCudnnHandle(), {fe::HeurMode_t::A}), what);
    check(graph->get_workspace_size(workspace_bytes), what);
  }

  void run(std::unordered_map<int64_t, void*> pointers, const at::Tensor& like, const char* what) {
    const at::Tensor workspace = at::empty({workspace_bytes}, like.options().dtype(at::kByte));
    check(graph->execute(at::native::getCudnnHandle(), pointers, workspace.mutable_data_ptr()), what);
  }
};

// Without a prefix both corners are one; the top-left form is the one that every version of cuDNN has.
template <typename Attributes>
Attributes causal(Attributes attributes, const Shape& s, double scale) {
  attributes.set_attn_scale(static_cast<float>(scale))
      .set_diagonal_alignment(s.keys == s.queries ? fe::DiagonalAlignment_t::TOP_LEFT
                                                  : fe::DiagonalAlignment_t::BOTTOM_RIGHT)
      .set_diagonal_band_right_bound(0);
  return attributes;
}

Plan forward_plan(const Shape& s, double scale) {
  Plan plan(s, scale);
  fe::graph::Graph& graph = *plan.graph;
  const TensorNode q = add_tensor(graph, kQ, s, s.queries, s.heads), k = add_tensor(graph, kK, s, s.keys, s.kv_heads),
                   v = add_tensor(graph, kV, s, s.keys, s.kv_heads);
  const auto attributes =
      causal(fe::graph::SDPA_attributes().set_name("segment_attention").set_generate_stats(true), s, scale);
  const auto [out, stats] = graph.sdpa(q, k, v, attributes);
  set_output(out, kOut, s, s.queries, s.heads);
  stats->set_output(true).set_uid(kStats).set_data_type(fe::DataType_t::FLOAT);
  plan.build("forward");
  return plan;
}

Plan backward_plan(const Shape& s, double scale) {
  Plan plan(s, scale);
  fe::graph::Graph& graph = *plan.graph;
  const TensorNode q = add_tensor(graph, kQ, s, s.queries, s.heads), k = add_tensor(graph, kK, s, s.keys, s.kv_heads),
                   v = add_tensor(graph, kV, s, s.keys, s.kv_heads),
                   out = add_tensor(graph, kOut, s, s.queries, s.heads),
                   dout = add_tensor(graph, kDout, s, s.queries, s.heads);
  const TensorNode stats = graph.tensor(fe::graph::Tensor_attributes()
                                            .set_uid(kStats)
                                            .set_dim({s.segments, s.heads, s.queries, 1})
                                            .set_stride({s.heads * s.queries, s.queries, 1, 1})
                                            .set_data_type(fe::DataType_t::FLOAT));
  const auto attributes =
      causal(fe::graph::SDPA_backward_attributes().set_name("segment_attention_backward"), s, scale);
  const auto [dq, dk, dv] = graph.sdpa_backward(q, k, v, out, dout, stats, attributes);
  set_output(dq, kDq, s, s.queries, s.heads);
  set_output(dk, kDk, s, s.keys, s.kv_heads);
  set_output(dv, kDv, s, s.keys, s.kv_heads);
  plan.build("backward");
  return plan;
}

Plan& cached(std::map<Shape, Plan>& plans, const Shape& shape, double scale, Plan (*make)(const Shape&, double)) {
  auto found = plans.find(shape);
  if (found == plans.end() || found->second.scale != scale) {
    found = plans.insert_or_assign(shape, make(shape, scale)).first;
  }
  return found->second;
}

void* pointer(const at::Tensor& t) { return const_cast<void*>(t.const_data_ptr()); }

}  // namespace

void cudnn_attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                             at::Tensor& out, at::Tensor& lse) {
  static std::map<Shape, Plan> plans;
  const c10::cuda::CUDAGuard guard(q.device());
  cached(plans, shape_of(q, k), scale, forward_plan)
      .run({{kQ, pointer(q)}, {kK, pointer(k)}, {kV, pointer(v)}, {kOut, pointer(out)}, {kStats, pointer(lse)}}, q,
           "forward");
}

// cuDNN's backward is half as fast with the mask at the bottom right as at the top left (9.19 on Hopper, 2,060
// keys: 12.3 against 7.5 ms), so a prefix of P slots is met with P queries of zeros in front, which make the problem
// square: their output and its gradient are zero, and so is all that they add.
void cudnn_attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const at::Tensor& out, const at::Tensor& lse, double scale, at::Tensor& dq,
                              at::Tensor& dk, at::Tensor& dv) {
  static std::map<Shape, Plan> plans;
  const c10::cuda::CUDAGuard guard(q.device());
  const int64_t prefix = k.size(1) - q.size(1);
  auto square = [&](const at::Tensor& t) {
    if (prefix == 0) return t;
    return at::cat({at::zeros({t.size(0), prefix, t.size(2), t.size(3)}, t.options()), t}, 1);
  };
  const at::Tensor q_square = square(q), out_square = square(out), dout_square = square(dout);
  const at::Tensor lse_square = prefix == 0 ? lse : at::constant_pad_nd(lse, {prefix, 0});
  at::Tensor dq_square = at::empty_like(q_square);
  cached(plans, shape_of(q_square, k), scale, backward_plan)
      .run({{kQ, pointer(q_square)},
            {kK, pointer(k)},
            {kV, pointer(v)},
            {kOut, pointer(out_square)},
            {kStats, pointer(lse_square)},
            {kDout, pointer(dout_square)},
            {kDq, pointer(dq_square)},
            {kDk, pointer(dk)},
            {kDv, pointer(dv)}},
           q, "backward");
  dq = dq_square.narrow(1, prefix, q.size(1));
}

}  // namespace hici::ops::cuda
