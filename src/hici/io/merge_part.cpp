// SPDX-License-Identifier: Apache-2.0
#include "hici/io/merge_part.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/row_pieces.h"
#include "hici/ops/non_finite.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::io {
namespace {

bool is_exact(at::ScalarType from, at::ScalarType to) {
  return from == to || to == at::kDouble || (to == at::kFloat && (from == at::kHalf || from == at::kBFloat16));
}

}  // namespace

bool MergePart::is_rounded() const { return fold || !is_exact(source->info(name).dtype, dtype); }

at::Tensor MergePart::read() const {
  const at::NoGradGuard no_grad;
  at::Tensor out = !fold || is_in_source ? source->read(name, dtype) : with_factors();
  if (!ops::first_non_finite(out).empty()) fail_not_finite();
  return out;
}

void MergePart::fail_not_finite() const {
  for (const std::string& factor : fold ? fold->tensors() : std::vector<std::string>{})
    check_finite(adapter->read(factor), *adapter, factor);
  check_finite(source->read(name), *source, name);
  if (dtype == at::kHalf)
    fail(source->file_of(name), ": tensor '", printable(name),
         "' has values that float16 cannot hold (above 65504); use ", way_out);
  fail(source->file_of(name), ": tensor '", printable(name), "' has values that ", ops::dtype_name(dtype),
       " cannot hold once its LoRA factors are added; is the adapter of this model?");
}

at::Tensor MergePart::with_factors() const {
  const at::ScalarType type = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const bool is_by_rows = fold->lora && !fold->is_embedding && !fold->has_magnitude && fold->rows.empty();
  if (!is_by_rows) return folded(source->read(name, type), *fold, *adapter).to(dtype);
  const at::Tensor weight = source->read(name), b = adapter->read(fold->module + ".lora_B.weight", type);
  const at::Tensor a = adapter->read(fold->module + ".lora_A.weight", type);
  at::Tensor out = at::empty(weight.sizes(), weight.options().dtype(dtype));
  for_row_pieces(weight, [&](int64_t row, int64_t rows) {
    const at::Tensor exact = weight.narrow(0, row, rows).to(type);
    out.narrow(0, row, rows).copy_(at::addmm(exact, b.narrow(0, row, rows), a, 1, fold->lora->scale));
  });
  return out;
}

}  // namespace hici::io
