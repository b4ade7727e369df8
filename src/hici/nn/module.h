// SPDX-License-Identifier: Apache-2.0
// What every module of nn/ and hierarchy/ has in common: parameters with the names of the checkpoints.
//
// A module is a struct that owns at::Tensor members and implements visit_parameters(). Loading, saving, initialising,
// counting and optimising all walk the same visit, so there is one list of parameters and no map between names.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace hici::nn {

using TensorList = std::vector<at::Tensor>;

// Called with the full checkpoint name ("model.layers.3.self_attn.q_proj.weight") and the member that holds the tensor.
// The visitor may replace the tensor.
using ParameterVisitor = std::function<void(const std::string& name, at::Tensor& parameter)>;

// Shape and type of the parameters to make; they start on the meta device and take no memory until they are filled.
struct ParameterOptions {
  at::ScalarType dtype = at::kFloat;
};
at::Tensor meta_parameter(at::IntArrayRef shape, const ParameterOptions& options);

}  // namespace hici::nn
