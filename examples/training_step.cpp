// SPDX-License-Identifier: Apache-2.0
// Adds new LoRA adapters and HiCI modules to a model and runs three training steps on one sequence of random tokens:
//   training_step models/Llama-2-7b-hf
#include "hici/base/error.h"
#include "hici/io/load_model.h"
#include "hici/io/opened_model.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/adamw.h"
#include "hici/optim/trainable.h"
#include "hici/train/gradient_accumulator.h"

#include <ATen/ATen.h>

#include <cstdio>

namespace {

constexpr int64_t kTokens = 256, kSegmentLength = 64;

void run(const char* base) {
  hici::io::ModelRequest request;
  request.base = base;
  request.fresh_hierarchy = true;
  request.lora = hici::config::LoraConfig{};  // rank 8 on q, k, v, o and the HiCI modules
  hici::config::HiciConfig settings;
  settings.bottleneck_dim = 128;
  const hici::io::LoadedModel loaded = hici::io::build_model(request, hici::io::open_model(request), settings);

  const auto trained = hici::optim::select_trainable(*loaded.model, {});
  hici::optim::AdamW optimizer(trained, {});
  hici::train::GradientAccumulator gradients(trained);

  at::manual_seed(1);
  const at::Tensor tokens_BT = at::randint(loaded.model->config().vocab_size, {1, kTokens}, at::kLong);
  hici::nn::ForwardOptions forward;
  forward.attention = hici::nn::AttentionKind::kHici;
  forward.segment_length = kSegmentLength;

  for (int step = 1; step <= 3; ++step) {
    const at::Tensor hidden_BTC = loaded.model->forward_hidden(tokens_BT, forward);
    const at::Tensor inputs = hidden_BTC.narrow(1, 0, kTokens - 1).flatten(0, 1);  // each row predicts the next token
    const at::Tensor labels = tokens_BT.narrow(1, 1, kTokens - 1).flatten();
    const at::Tensor loss =
        hici::ops::linear_cross_entropy(inputs, loaded.model->head_weight(), labels) / (kTokens - 1);
    loss.backward();
    gradients.collect();
    optimizer.step(gradients.sums(), {/*HiCI modules*/ 2e-3, /*the rest*/ 2e-3});
    gradients.clear();
    std::printf("step %d: loss %.4f\n", step, loss.item<double>());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s MODEL\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const hici::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
