// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/prefix_attention.h"

#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

// A dozen slots by the columns of one head make GEMMs that are too thin, and interleaved heads would need copies. So
// several heads share one GEMM in their own layout: their slots form a block-diagonal matrix [heads * E, heads * D],
// E = P + 1. The zeros cost less than copies. Row P of each head is zero: it represents all own tokens, with their
// log-sum-exp as its score.
namespace hici::ops {
namespace {

// Heads [first, first + count) that go through products together: about 128 columns of them.
struct Block {
  int64_t first, count;

  at::Tensor heads_of(const at::Tensor& t_GZHD) const { return t_GZHD.narrow(2, first, count); }
  at::Tensor rows_of(const at::Tensor& t_GSHD) const {  // [G, S, count * D]
    return heads_of(t_GSHD).view({t_GSHD.size(0), t_GSHD.size(1), -1});
  }
};

std::vector<Block> blocks_of(const at::Tensor& q_GSHD) {
  const int64_t heads = q_GSHD.size(2), together = std::max<int64_t>(1, 128 / q_GSHD.size(3));
  std::vector<Block> blocks;
  for (int64_t first = 0; first < heads; first += together)
    blocks.push_back({first, std::min(together, heads - first)});
  return blocks;
}

at::Tensor join(const std::vector<at::Tensor>& parts, int64_t dim) {
  return parts.size() == 1 ? parts[0] : at::cat(parts, dim);
}

// Where the block-diagonal matrix of `count` heads has its blocks: [G, P, D, count].
at::Tensor diagonal_of(const at::Tensor& matrix, int64_t count, int64_t head_dim) {
  const int64_t rows = matrix.size(1) / count;
  return matrix.view({-1, count, rows, count, head_dim}).narrow(2, 0, rows - 1).diagonal(0, 1, 3);
}

at::Tensor block_diagonal(const at::Tensor& t_GPHD) {
  const int64_t count = t_GPHD.size(2), head_dim = t_GPHD.size(3);
  at::Tensor matrix = at::zeros({t_GPHD.size(0), count * (t_GPHD.size(1) + 1), count * head_dim}, t_GPHD.options());
  diagonal_of(matrix, count, head_dim).copy_(t_GPHD.permute({0, 1, 3, 2}));
  return matrix;
}

// Each head of the slots once for every query head that reads it, and the way back.
at::Tensor repeat_heads(const at::Tensor& t_GPJD, int64_t heads) {
  return t_GPJD.size(2) == heads ? t_GPJD : t_GPJD.repeat_interleave(heads / t_GPJD.size(2), 2);
}
at::Tensor sum_heads(const at::Tensor& t_GPHD, int64_t slot_heads) {
  return t_GPHD.size(2) == slot_heads ? t_GPHD : t_GPHD.unflatten(2, {slot_heads, -1}).sum(3);
}

}  // namespace

at::Tensor merge_prefix(const PrefixInputs& in, at::Tensor& out_GSHD, at::Tensor& lse_GHS) {
  const at::Tensor k_GPHD = repeat_heads(in.k_GPJD * in.scale, in.q_GSHD.size(2));
  const at::Tensor v_GPHD = repeat_heads(in.v_GPJD, in.q_GSHD.size(2));
  const int64_t segments = in.q_GSHD.size(0), length = in.q_GSHD.size(1), slots = k_GPHD.size(1);
  std::vector<at::Tensor> weights, lses;
  for (const Block& block : blocks_of(in.q_GSHD)) {
    at::Tensor score_GHES = at::bmm(block_diagonal(block.heads_of(k_GPHD)), block.rows_of(in.q_GSHD).transpose(1, 2))
                                .to(accumulation_type(in.q_GSHD.scalar_type()))
                                .view({segments, block.count, slots + 1, length});
    const at::Tensor own_lse_GHS = lse_GHS.narrow(1, block.first, block.count);
    score_GHES.select(2, slots).copy_(own_lse_GHS);
    at::Tensor weight_GHES = at::log_softmax(score_GHES, 2);
    lses.push_back(own_lse_GHS - weight_GHES.select(2, slots));
    weight_GHES.exp_();
    const at::Tensor model_weight_GHES = weight_GHES.to(out_GSHD.scalar_type());
    block.heads_of(out_GSHD).mul_(model_weight_GHES.select(2, slots).transpose(1, 2).unsqueeze(-1));
    block.rows_of(out_GSHD).baddbmm_(model_weight_GHES.flatten(1, 2).transpose(1, 2),
                                     block_diagonal(block.heads_of(v_GPHD)));
    weights.push_back(weight_GHES);
  }
  lse_GHS = join(lses, 1);
  return join(weights, 1);
}

PrefixGradients prefix_backward(const PrefixInputs& in, const at::Tensor& weight_GHES, const at::Tensor& out_GSHD,
                                const at::Tensor& dout_GSHD, at::Tensor& dq_GSHD) {
  const int64_t head_dim = in.q_GSHD.size(3);
  const auto accumulation_dtype = weight_GHES.scalar_type(), model_dtype = in.q_GSHD.scalar_type();
  const at::Tensor k_GPHD = repeat_heads(in.k_GPJD * in.scale, in.q_GSHD.size(2));
  const at::Tensor v_GPHD = repeat_heads(in.v_GPJD, in.q_GSHD.size(2));
  const at::Tensor delta_GHS =
      (dout_GSHD.to(accumulation_dtype) * out_GSHD.to(accumulation_dtype)).sum(-1).transpose(1, 2);
  std::vector<at::Tensor> dk, dv;
  auto gradient = [&](const Block& block, const at::Tensor& factor_GYS, const at::Tensor& rows) {  // [G, P, H, D]
    return diagonal_of(at::bmm(factor_GYS, rows), block.count, head_dim).permute({0, 1, 3, 2});
  };
  for (const Block& block : blocks_of(in.q_GSHD)) {
    const at::Tensor block_weight_GHES = weight_GHES.narrow(1, block.first, block.count);
    const at::Tensor q = block.rows_of(in.q_GSHD), dout = block.rows_of(dout_GSHD);
    const at::Tensor dscore_GHES = at::bmm(block_diagonal(block.heads_of(v_GPHD)), dout.transpose(1, 2))
                                       .to(accumulation_dtype)
                                       .view_as(block_weight_GHES)
                                       .sub_(delta_GHS.narrow(1, block.first, block.count).unsqueeze(2))
                                       .mul_(block_weight_GHES);
    const at::Tensor dscore_GYS = dscore_GHES.to(model_dtype).flatten(1, 2);
    block.rows_of(dq_GSHD).baddbmm_(dscore_GYS.transpose(1, 2), block_diagonal(block.heads_of(k_GPHD)));
    dk.push_back(gradient(block, dscore_GYS, q));
    dv.push_back(gradient(block, block_weight_GHES.to(model_dtype).flatten(1, 2), dout));
  }
  return {sum_heads(join(dk, 2) * in.scale, in.k_GPJD.size(2)), sum_heads(join(dv, 2), in.v_GPJD.size(2))};
}

}  // namespace hici::ops
