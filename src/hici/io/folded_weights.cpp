// SPDX-License-Identifier: Apache-2.0
#include "hici/io/folded_weights.h"

#include "hici/base/error.h"
#include "hici/io/peft_names.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::io {
namespace {

at::Tensor with_factors(at::Tensor weight, const Fold& fold, const TensorSource& adapter) {
  const at::ScalarType type = weight.scalar_type();
  const double scale = fold.lora->scale;
  if (!fold.is_embedding) {
    const at::Tensor a = adapter.read(fold.module + ".lora_A.weight", type);
    return weight.addmm_(adapter.read(fold.module + ".lora_B.weight", type), a, 1, scale);
  }
  const at::Tensor a = adapter.read(fold.module + ".lora_embedding_A", type);
  return weight.addmm_(a.t(), adapter.read(fold.module + ".lora_embedding_B", type).t(), 1, scale);
}

at::Tensor with_magnitudes(const at::Tensor& weight, const Fold& fold, const TensorSource& adapter) {
  const int64_t summed = fold.is_embedding ? 0 : 1;
  const at::Tensor magnitude = adapter.read(fold.module + ".lora_magnitude_vector", weight.scalar_type());
  const at::Tensor norm = at::linalg_vector_norm(weight, 2, at::IntArrayRef(summed));
  return weight * (magnitude.view(-1) / norm).unsqueeze(summed);
}

}  // namespace

std::vector<std::string> Fold::tensors() const {
  std::vector<std::string> out;
  if (lora && is_embedding) out = {module + ".lora_embedding_A", module + ".lora_embedding_B"};
  if (lora && !is_embedding) out = {module + ".lora_A.weight", module + ".lora_B.weight"};
  if (has_magnitude) out.push_back(module + ".lora_magnitude_vector");
  if (!rows.empty()) out.push_back(module + kTokenRows);
  return out;
}

at::Tensor folded(at::Tensor weight, const Fold& fold, const TensorSource& adapter) {
  const at::NoGradGuard no_grad;
  if (fold.lora) weight = with_factors(std::move(weight), fold, adapter);
  if (fold.has_magnitude) weight = with_magnitudes(weight, fold, adapter);
  if (fold.rows.empty()) return weight;
  const at::Tensor places = at::tensor(fold.rows, at::TensorOptions(at::kLong));
  return weight.index_copy_(0, places, adapter.read(fold.module + kTokenRows, weight.scalar_type()));
}

FoldedSource::FoldedSource(std::vector<std::pair<Fold, const TensorSource*>> folds,
                           std::shared_ptr<const TensorSource> adapter)
    : adapter_(std::move(adapter)) {
  for (auto& [fold, source] : folds) {
    const std::string name = fold.module + ".weight";
    TensorInfo info = source->info(name);
    if (info.dtype != at::kDouble) info.dtype = at::kFloat;
    tensors_.emplace(name, std::move(info));
    folds_.emplace(name, std::pair{std::move(fold), source});
  }
}

at::Tensor FoldedSource::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  const TensorInfo& wanted = info(name);
  const auto& [fold, source] = folds_.at(name);
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : wanted.dtype;
  return folded(source->read(name, wide), fold, *adapter_).to(device, dtype);
}

std::string FoldedSource::file_of(const std::string& name) const {
  const auto found = folds_.find(name);
  return found == folds_.end() ? adapter_->file_of("") : adapter_->file_of(found->second.first.tensors().front());
}

}  // namespace hici::io
