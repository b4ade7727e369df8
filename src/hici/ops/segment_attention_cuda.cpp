// SPDX-License-Identifier: Apache-2.0
// segment_attention through cuDNN: causal attention with grouped heads; the segments are its batch. Built only where
// cuDNN's frontend is found. 16-bit types. Each shape and direction has a plan, built at its first use (tens of
// milliseconds) and kept. Throws std::runtime_error with cuDNN's words. Not thread-safe.
#include "hici/device/kernels_cuda.h"
#include "hici/ops/segment_padding.h"

#include <ATen/ATen.h>
#include <ATen/cudnn/Handle.h>
#include <c10/cuda/CUDAGuard.h>

#include <cudnn_frontend.h>

#include <limits>
#include <map>
#include <stdexcept>
#include <string>

namespace hici::device::kernels {
namespace {

namespace fe = cudnn_frontend;
using TensorNode = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Id : int64_t { kQ = 1, kK, kV, kOut, kStats, kDout, kDq, kDk, kDv };

// What a plan is made for. Strides are those between segments, in elements; within a segment everything is contiguous.
struct Shape {
  int64_t segments, rows, heads, kv_heads, head_dim;  // as many queries as keys
  bool is_bf16;
  double scale;
  int64_t device;
  int64_t q_stride = 0, out_stride = 0, dout_stride = 0;  // 0: contiguous

  auto operator<=>(const Shape&) const = default;
};

void check(fe::error_t status, const char* what) {
  if (status.is_good()) return;
  throw std::runtime_error(std::string("cuDNN attention, ") + what + ": " + status.get_message());
}

// [G, rows, heads, D] in memory, named [G, heads, rows, D] as cuDNN counts; `stride` 0: contiguous.
struct Layout {
  Id id;
  int64_t heads, stride = 0;
};

fe::graph::Tensor_attributes placed(fe::graph::Tensor_attributes tensor, const Layout& layout, const Shape& s) {
  const int64_t row = layout.heads * s.head_dim;
  return tensor.set_uid(layout.id)
      .set_dim({s.segments, layout.heads, s.rows, s.head_dim})
      .set_stride({layout.stride > 0 ? layout.stride : s.rows * row, s.head_dim, row, 1});
}

struct Plan {
  std::shared_ptr<fe::graph::Graph> graph = std::make_shared<fe::graph::Graph>();
  int64_t workspace_bytes = 0;

  explicit Plan(const Shape& shape) : s(shape) {
    graph->set_io_data_type(s.is_bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
  }

  TensorNode input(const Layout& layout) { return graph->tensor(placed({}, layout, s)); }
  void output(const TensorNode& node, const Layout& layout) { *node = placed(*node, layout, s).set_output(true); }
  template <typename Attributes>
  Attributes causal(Attributes attributes) const {
    attributes.set_attn_scale(static_cast<float>(s.scale))
        .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
        .set_diagonal_band_right_bound(0);
    return attributes;
  }

  void build(const char* what) {
    check(graph->build(at::native::getCudnnHandle(), {fe::HeurMode_t::A}), what);
    check(graph->get_workspace_size(workspace_bytes), what);
  }

  void run(std::unordered_map<int64_t, void*> pointers, const at::Tensor& like, const char* what) {
    const at::Tensor workspace = at::empty({workspace_bytes}, like.options().dtype(at::kByte));
    check(graph->execute(at::native::getCudnnHandle(), pointers, workspace.mutable_data_ptr()), what);
  }

  Shape s;
};

Plan forward_plan(const Shape& s) {
  Plan plan(s);
  const TensorNode q = plan.input({kQ, s.heads, s.q_stride}), k = plan.input({kK, s.kv_heads}),
                   v = plan.input({kV, s.kv_heads});
  const auto [out, stats] = plan.graph->sdpa(
      q, k, v, plan.causal(fe::graph::SDPA_attributes().set_name("segment_attention").set_generate_stats(true)));
  plan.output(out, {kOut, s.heads});
  stats->set_output(true).set_uid(kStats).set_data_type(fe::DataType_t::FLOAT);
  plan.build("forward");
  return plan;
}

Plan backward_plan(const Shape& s) {
  Plan plan(s);
  const TensorNode q = plan.input({kQ, s.heads, s.q_stride}), k = plan.input({kK, s.kv_heads}),
                   v = plan.input({kV, s.kv_heads}), out = plan.input({kOut, s.heads, s.out_stride}),
                   dout = plan.input({kDout, s.heads, s.dout_stride});
  const TensorNode stats = plan.graph->tensor(fe::graph::Tensor_attributes()
                                                  .set_uid(kStats)
                                                  .set_dim({s.segments, s.heads, s.rows, 1})
                                                  .set_stride({s.heads * s.rows, s.rows, 1, 1})
                                                  .set_data_type(fe::DataType_t::FLOAT));
  const auto [dq, dk, dv] = plan.graph->sdpa_backward(
      q, k, v, out, dout, stats,
      plan.causal(fe::graph::SDPA_backward_attributes().set_name("segment_attention_backward")));
  plan.output(dq, {kDq, s.heads});
  plan.output(dk, {kDk, s.kv_heads});
  plan.output(dv, {kDv, s.kv_heads});
  plan.build("backward");
  return plan;
}

Plan& cached(std::map<Shape, Plan>& plans, const Shape& shape, Plan (*make)(const Shape&)) {
  const auto found = plans.find(shape);
  return found != plans.end() ? found->second : plans.emplace(shape, make(shape)).first->second;
}

// t [G, S, H, D] with P padding rows before each segment: the rows before it in memory, or zeros in a copy.
class Square {
 public:
  Square(const at::Tensor& t, int64_t prefix) : t_(t) {
    const auto segments = ops::as_padded_segments(t);
    if (segments && segments->leading_rows >= prefix) {
      leading_ = prefix * segments->row_size();
      return;
    }
    t_ = at::cat({at::zeros({t.size(0), prefix, t.size(2), t.size(3)}, t.options()), t}, 1);
  }

  int64_t stride() const { return t_.stride(0); }
  void* data() const {
    return static_cast<char*>(const_cast<void*>(t_.const_data_ptr())) -
           leading_ * static_cast<int64_t>(t_.element_size());
  }

 private:
  at::Tensor t_;
  int64_t leading_ = 0;  // elements of the padding rows
};

Shape shape_of(const at::Tensor& k, int64_t heads, double scale) {
  return {k.size(0), k.size(1), heads, k.size(2), k.size(3), k.scalar_type() == at::kBFloat16, scale, k.get_device()};
}

void* pointer(const at::Tensor& t) { return const_cast<void*>(t.const_data_ptr()); }

}  // namespace

// cuDNN is slower with a bottom-right causal mask than with a top-left one (9.19 on Hopper: the backward takes 1.6
// times as long), so P padding queries make a problem with P prefix slots square. Their log-sum-exp is set to +inf: in
// the backward their weights are exp(-inf) = 0, and so are all their gradients.
void cudnn_attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                             at::Tensor& out, at::Tensor& lse) {
  static std::map<Shape, Plan> plans;
  const c10::cuda::CUDAGuard guard(q.device());
  const int64_t prefix = k.size(1) - q.size(1);
  const at::Tensor out_square = at::empty({k.size(0), k.size(1), q.size(2), q.size(3)}, q.options());
  lse = at::empty({q.size(0), q.size(2), k.size(1)}, q.options().dtype(at::kFloat));
  const Square q_square(q, prefix);
  Shape shape = shape_of(k, q.size(2), scale);
  shape.q_stride = q_square.stride();
  cached(plans, shape, forward_plan)
      .run({{kQ, q_square.data()},
            {kK, pointer(k)},
            {kV, pointer(v)},
            {kOut, pointer(out_square)},
            {kStats, pointer(lse)}},
           q, "forward");
  out = out_square.narrow(1, prefix, q.size(1));
  if (prefix > 0) lse.narrow(2, 0, prefix).fill_(std::numeric_limits<float>::infinity());
}

void cudnn_attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const at::Tensor& out, const at::Tensor& lse, double scale, at::Tensor& dq,
                              at::Tensor& dk, at::Tensor& dv) {
  static std::map<Shape, Plan> plans;
  const c10::cuda::CUDAGuard guard(q.device());
  const int64_t prefix = k.size(1) - q.size(1);
  const Square q_square(q, prefix), out_square(out, prefix), dout_square(dout, prefix);
  const at::Tensor dq_square = at::empty({k.size(0), k.size(1), q.size(2), q.size(3)}, q.options());
  Shape shape = shape_of(k, q.size(2), scale);
  shape.q_stride = q_square.stride();
  shape.out_stride = out_square.stride();
  shape.dout_stride = dout_square.stride();
  cached(plans, shape, backward_plan)
      .run({{kQ, q_square.data()},
            {kK, pointer(k)},
            {kV, pointer(v)},
            {kOut, out_square.data()},
            {kStats, pointer(lse)},
            {kDout, dout_square.data()},
            {kDq, pointer(dq_square)},
            {kDk, pointer(dk)},
            {kDv, pointer(dv)}},
           q, "backward");
  dq = dq_square.narrow(1, prefix, q.size(1));
}

}  // namespace hici::device::kernels
