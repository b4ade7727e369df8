// SPDX-License-Identifier: Apache-2.0
// print_logits [--segment_length S] BASE ADAPTER CONTEXT ID... [/ ID...]: the logits of those ids with full attention,
// or with HiCI attention in segments of S tokens, float32, as a JSON list of rows; a line for each sequence. ADAPTER ""
// and CONTEXT 0 stand for none. For tests in Python.
#include "hici/base/error.h"
#include "hici/io/load_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <nlohmann/json.hpp>

#include <iostream>

namespace {

// The hidden states of the tokens alone; a last segment that is shorter is filled with padding.
at::Tensor hidden_states(const hici::io::LoadedModel& loaded, const at::Tensor& tokens_1T, int64_t segment_length) {
  if (segment_length == 0) return loaded.model->forward_hidden(tokens_1T, {}).squeeze(0);
  const int64_t length = tokens_1T.size(1), missing = (segment_length - length % segment_length) % segment_length;
  hici::nn::ForwardOptions options;
  options.attention = hici::nn::AttentionKind::kHici;
  options.segment_length = segment_length;
  if (missing > 0) options.valid_BT = at::arange(length + missing).unsqueeze(0) < length;
  const at::Tensor padded = at::constant_pad_nd(tokens_1T, {0, missing}, 0);
  return loaded.model->forward_hidden(padded, options).squeeze(0).narrow(0, 0, length);
}

nlohmann::json logits(const hici::io::LoadedModel& loaded, const std::vector<int64_t>& ids, int64_t segment_length) {
  const at::Tensor tokens_1T = at::tensor(ids, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor hidden_TC = hidden_states(loaded, tokens_1T, segment_length);
  const at::Tensor logits_TV = at::matmul(hidden_TC, loaded.model->head_weight().t()).contiguous();
  nlohmann::json rows = nlohmann::json::array();
  for (int64_t t = 0; t < logits_TV.size(0); ++t) {
    const float* row = logits_TV.const_data_ptr<float>() + t * logits_TV.size(1);
    rows.push_back(std::vector<float>(row, row + logits_TV.size(1)));
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    int64_t segment_length = 0;
    if (argc > 2 && std::string(argv[1]) == "--segment_length") {
      segment_length = std::stoll(argv[2]);
      argv += 2;
      argc -= 2;
    }
    HICI_CHECK(argc > 4, "print_logits [--segment_length S] BASE ADAPTER CONTEXT ID...");
    hici::io::ModelRequest request;
    request.base = argv[1];
    request.adapter = argv[2];
    request.context_size = std::stoll(argv[3]);
    const at::NoGradGuard no_grad;
    const hici::io::LoadedModel loaded = hici::io::load_model(request);
    std::vector<std::vector<int64_t>> sequences(1);
    for (int i = 4; i < argc; ++i) {
      if (std::string(argv[i]) == "/") {
        sequences.emplace_back();
      } else {
        sequences.back().push_back(std::stoll(argv[i]));
      }
    }
    for (const std::vector<int64_t>& ids : sequences) std::cout << logits(loaded, ids, segment_length).dump() << "\n";
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
