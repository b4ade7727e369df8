// SPDX-License-Identifier: Apache-2.0
// print_tensors FILE: every tensor of a file of weights as JSON, for interop_test.py to compare with Python's values.
#include "hici/base/error.h"
#include "hici/io/weight_file.h"

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include <iostream>

namespace {

nlohmann::json values_of(const hici::io::TensorSource& source, const std::string& name) {
  const at::Tensor values = source.read(name, at::kDouble).view({-1});
  nlohmann::json out = nlohmann::json::array();
  for (int64_t i = 0; i < values.numel(); ++i) out.push_back(values.const_data_ptr<double>()[i]);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const auto source = hici::io::open_weight_file(argv[1], hici::Links::kAny);
    nlohmann::json out = nlohmann::json::object();
    for (const auto& [name, info] : source->tensors())
      out[name] = {
          {"dtype", hici::io::shown_dtype(info.dtype)}, {"shape", info.shape}, {"values", values_of(*source, name)}};
    std::cout << out.dump() << '\n';
    return 0;
  } catch (const hici::Error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
