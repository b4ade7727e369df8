// SPDX-License-Identifier: Apache-2.0
#include "hici/io/model_facts.h"

#include "hici/base/sha256.h"

namespace hici::io {

parallel::Facts facts_of_run(const parallel::Facts& data, const ModelIdentity& model) {
  parallel::Facts facts = data;
  facts.emplace_back("the tokenizer's SHA-256", model.tokenizer_sha256);
  for (const auto& [name, value] : model.config) facts.emplace_back("config.json's " + name, value);
  facts.emplace_back("the hash of all files of the model", sha256_hex(identity_text(model)).substr(0, 16));
  return facts;
}

}  // namespace hici::io
