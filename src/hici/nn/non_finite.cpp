// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/non_finite.h"

#include "hici/base/error.h"
#include "hici/ops/non_finite.h"

namespace hici::nn {
namespace {

struct BadWeight {
  std::string name;
  std::string value;  // "nan", "inf", "-inf"; empty: all weights are finite
};

BadWeight find_bad_weight(const CausalLm& model) {
  BadWeight found;
  // The visit may change parameters, this one does not.
  auto check = [&](const std::string& name, const at::Tensor& parameter) {
    if (!found.value.empty() || parameter.is_meta()) return;
    found.value = ops::first_non_finite(parameter);
    if (!found.value.empty()) found.name = name;
  };
  const_cast<CausalLm&>(model).visit_parameters(check, {.before = [&](size_t layer) { model.use_weights(layer); }});
  return found;
}

const char* way_out(const BadWeight& bad, at::ScalarType dtype) {
  if (bad.value.empty())
    return dtype == at::kHalf || dtype == at::kBFloat16 ? "use --dtype float32"
                                                        : "weights or config.json are those of no working model";
  const bool is_narrow = dtype == at::kHalf && bad.value != "nan";
  return is_narrow ? "use --dtype bfloat16 or float32" : "fetch the file again, or use another checkpoint";
}

}  // namespace

void check_weights_are_finite(const CausalLm& model, const std::string& what) {
  const BadWeight bad = find_bad_weight(model);
  if (bad.value.empty()) return;
  const std::string& file = model.file_of(bad.name);
  fail(file.empty() ? "model" : file, ": tensor '", bad.name, "' holds ", bad.value, ", so that ", what,
       " is not finite; ", way_out(bad, model.head_weight().scalar_type()));
}

void fail_not_finite(const CausalLm& model, const std::string& what) {
  check_weights_are_finite(model, what);
  fail(what, ": is not finite (nan or infinite), although all weights are finite; ",
       way_out({}, model.head_weight().scalar_type()));
}

}  // namespace hici::nn
