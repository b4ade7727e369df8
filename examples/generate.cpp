// SPDX-License-Identifier: Apache-2.0
// Loads a model directory, with an adapter if one is given, and continues a prompt:
//   generate models/Llama-2-7b-hf "In the beginning" [runs/hici-8k]
#include "hici/base/error.h"
#include "hici/generate/generator.h"
#include "hici/io/load_model.h"
#include "hici/text/tokenizer.h"

#include <cstdio>

namespace {

void run(const char* base, const char* prompt, const char* adapter) {
  const hici::io::LoadedModel loaded = hici::io::load_model({.base = base, .adapter = adapter});
  const auto tokenizer = hici::text::Tokenizer::from_path(base);

  hici::generate::GenerateOptions options;
  options.max_new_tokens = 64;
  if (const auto eos = tokenizer.eos_id()) options.stop_ids = {*eos};

  const auto ids = tokenizer.encode(prompt, /*add_special_tokens=*/true);
  hici::generate::Generator generator(*loaded.model);
  const auto answers = generator.generate({{ids.begin(), ids.end()}}, options);

  const std::vector<uint32_t> answer(answers[0].ids.begin(), answers[0].ids.end());
  std::printf("%s\n", tokenizer.decode(answer, /*skip_special_tokens=*/true).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: %s MODEL PROMPT [ADAPTER]\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], argc == 4 ? argv[3] : "");
  } catch (const hici::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
