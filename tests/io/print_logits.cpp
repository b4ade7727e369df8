// SPDX-License-Identifier: Apache-2.0
// print_logits BASE ADAPTER CONTEXT ID...: the logits of those ids with full attention, float32, as a JSON list of
// rows. ADAPTER "" and CONTEXT 0 stand for none. For tests in Python.
#include "hici/base/error.h"
#include "hici/io/load_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <nlohmann/json.hpp>

#include <iostream>

int main(int argc, char** argv) {
  try {
    HICI_CHECK(argc > 4, "print_logits BASE ADAPTER CONTEXT ID...");
    hici::io::ModelRequest request;
    request.base = argv[1];
    request.adapter = argv[2];
    request.context_size = std::stoll(argv[3]);
    std::vector<int64_t> ids;
    for (int i = 4; i < argc; ++i) ids.push_back(std::stoll(argv[i]));
    const at::NoGradGuard no_grad;
    const hici::io::LoadedModel loaded = hici::io::load_model(request);
    const at::Tensor tokens_BT = at::tensor(ids, at::TensorOptions(at::kLong)).unsqueeze(0);
    const at::Tensor hidden_TC = loaded.model->forward_hidden(tokens_BT, {}).squeeze(0);
    const at::Tensor logits_TV = at::matmul(hidden_TC, loaded.model->head_weight().t()).contiguous();
    nlohmann::json rows = nlohmann::json::array();
    for (int64_t t = 0; t < logits_TV.size(0); ++t) {
      const float* row = logits_TV.const_data_ptr<float>() + t * logits_TV.size(1);
      rows.push_back(std::vector<float>(row, row + logits_TV.size(1)));
    }
    std::cout << rows.dump() << "\n";
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
