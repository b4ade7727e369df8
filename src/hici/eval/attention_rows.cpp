// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/attention_rows.h"

#include "hici/base/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace hici::eval {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

at::ScalarType work_type(const at::Tensor& t) { return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// [K, J, D] -> [J, D, K], in the type of the work.
at::Tensor keys_JDK(const at::Tensor& k_KJD) { return k_KJD.to(work_type(k_KJD)).permute({1, 2, 0}); }

}  // namespace

AttentionRows::AttentionRows(const SegmentHeads& heads, int64_t begin, int64_t count)
    : heads_(heads), begin_(begin), count_(count) {
  HICI_ASSERT(count > 0 && count <= heads.block, "count ", count, " block ", heads.block);
  const int64_t key_heads = heads.k_SJD.size(1), head_dim = heads.q_SHD.size(2);
  const at::Tensor q_qHD = heads.q_SHD.narrow(0, begin, count).to(work_type(heads.q_SHD));
  q_JYD_ =
      (q_qHD * (1 / std::sqrt(static_cast<double>(head_dim)))).permute({1, 0, 2}).reshape({key_heads, -1, head_dim});
  const at::Tensor none = at::full({key_heads, heads.q_SHD.size(1) / key_heads, count}, kNothing, q_JYD_.options());
  at::Tensor global = none, local = none, own = none;
  if (heads.slot_k_PJD.defined()) {
    slot_scores_JRqP_ = scores_JRqk(heads.slot_k_PJD);
    const int64_t num_local = heads.slot_k_PJD.size(0) - heads.num_global;
    if (heads.num_global > 0) global = slot_scores_JRqP_.narrow(3, 0, heads.num_global).logsumexp(3);
    if (num_local > 0) local = slot_scores_JRqP_.narrow(3, heads.num_global, num_local).logsumexp(3);
  }
  for_each_score_block(
      [&](const at::Tensor& scores_JRqk, int64_t) { own = at::logaddexp(own, scores_JRqk.logsumexp(3)); });
  log_sums_XJRq_ = at::stack({global, local, own});
  total_JRq_ = log_sums_XJRq_.logsumexp(0);
}

at::Tensor AttentionRows::scores_JRqk(const at::Tensor& k_KJD) const {
  return q_JYD_.bmm(keys_JDK(k_KJD)).view({q_JYD_.size(0), -1, count_, k_KJD.size(0)});
}

void AttentionRows::for_each_score_block(const std::function<void(const at::Tensor&, int64_t)>& use) const {
  const int64_t seen = begin_ + count_;
  for (int64_t first = 0; first < seen; first += heads_.block) {
    const int64_t keys = std::min(heads_.block, seen - first);
    at::Tensor scores = scores_JRqk(heads_.k_SJD.narrow(0, first, keys));
    if (first + keys > begin_ + 1) {  // some of these keys stand behind some of the queries
      const at::Tensor query = at::arange(begin_, seen, scores.options().dtype(at::kLong)).unsqueeze(1);
      const at::Tensor key = at::arange(first, first + keys, scores.options().dtype(at::kLong));
      scores.masked_fill_(key > query, kNothing);
    }
    use(scores, first);
  }
}

at::Tensor AttentionRows::shares_XHq() const { return (log_sums_XJRq_ - total_JRq_).exp().flatten(1, 2); }

at::Tensor AttentionRows::slot_weights_HqP() const {
  if (!slot_scores_JRqP_.defined()) return {};
  return (slot_scores_JRqP_ - total_JRq_.unsqueeze(3)).exp().flatten(0, 1);
}

void AttentionRows::for_each_token_block(const std::function<void(const at::Tensor&, int64_t)>& use) const {
  for_each_score_block([&](const at::Tensor& scores_JRqk, int64_t first) {
    use(scores_JRqk.sub(total_JRq_.unsqueeze(3)).exp_().flatten(0, 1), first);
  });
}

}  // namespace hici::eval
