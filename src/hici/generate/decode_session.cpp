// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/decode_session.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/text_table.h"
#include "hici/device/device.h"
#include "hici/nn/cached_forward.h"
#include "hici/ops/non_finite.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::generate {
namespace {

nn::KvCache take_cache(const nn::CausalLm& model, const SessionShape& shape) {
  const at::TensorOptions options = model.head_weight().options();
  const int64_t row_bytes = nn::kv_row_bytes(model.config(), model.head_weight().scalar_type());
  // In floating point: the product may be beyond 64 bits.
  const double wanted =
      static_cast<double>(row_bytes) * static_cast<double>(shape.batch) * static_cast<double>(shape.capacity);
  const int64_t free = device::free_memory(options.device());
  HICI_CHECK(wanted <= static_cast<double>(free), "key/value cache: needs ", fixed_digits(wanted / kGib, 1), " GiB (",
             shape.batch, " x ", shape.capacity, " rows of ", human_bytes(row_bytes), "), ", options.device().str(),
             " has ", human_bytes(free),
             " free; use shorter prompts, fewer `max_new_tokens`, fewer sequences at once or a narrower `dtype`");
  nn::KvCache cache = nn::make_kv_cache(model.config(), shape.batch, shape.capacity, options.requires_grad(false));
  cache.num_slots = shape.num_slots;
  cache.decode_uses_slots = shape.decode_uses_slots;
  cache.dual_chunk = shape.dual_chunk;
  return cache;
}

}  // namespace

DecodeSession::DecodeSession(const nn::CausalLm& model, const SessionShape& shape)
    : model_(model),
      shape_(shape),
      cache_(take_cache(model, shape)),
      frequencies_(model.rotary_frequencies()),
      tokens_B_(at::zeros({shape.batch}, at::TensorOptions().dtype(at::kLong).device(model.head_weight().device()))),
      positions_B_(at::zeros_like(tokens_B_)),
      logits_BV_(at::empty({shape.batch, model.head_weight().size(0)}, model.head_weight().options())),
      finite_B_(at::ones({shape.batch}, tokens_B_.options().dtype(at::kBool))),
      step_(model.head_weight().device(), [this] { step(); }, shape.records_graph) {}

void DecodeSession::step() {
  const at::NoGradGuard no_grad;
  logits_BV_.copy_(at::linear(nn::decode(model_, tokens_B_, positions_B_, cache_, frequencies_), model_.head_weight()));
  finite_B_.copy_(ops::rows_are_finite(logits_BV_));
  positions_B_.add_(1);
}

void DecodeSession::set_logits(int64_t b, const at::Tensor& hidden_1C) {
  const at::NoGradGuard no_grad;
  const at::Tensor row_1V = logits_BV_.narrow(0, b, 1);
  row_1V.copy_(at::linear(hidden_1C, model_.head_weight()));
  finite_B_.narrow(0, b, 1).copy_(ops::rows_are_finite(row_1V));
}

}  // namespace hici::generate
