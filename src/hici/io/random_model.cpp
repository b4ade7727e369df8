// SPDX-License-Identifier: Apache-2.0
#include "hici/io/random_model.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/nearby.h"
#include "hici/base/signals.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/io/model_directory.h"
#include "hici/ops/types.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <map>

namespace hici::io {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokenizerBytes = size_t{512} << 20;
constexpr int64_t kMaxTokenId = int64_t{1} << 30;
constexpr double kStandardDeviation = 0.02;

// Each tensor has a stream of its own, so that the order of writing does not matter.
at::Tensor normal_tensor(const ExpectedTensor& tensor, uint64_t seed, uint64_t index) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed * 0x9E3779B97F4A7C15ULL + index);
  return at::normal(0.0, kStandardDeviation, tensor.shape, generator, at::TensorOptions(at::kFloat));
}

std::vector<TensorToWrite> random_tensors(const RandomModel& model) {
  std::vector<TensorToWrite> out;
  uint64_t index = 0;
  for (const ExpectedTensor& tensor : expected_tensors(model.config)) {
    const bool is_norm = tensor.shape.size() == 1;
    out.emplace_back(tensor.name, model.dtype, tensor.shape, [tensor, is_norm, seed = model.seed, i = index++] {
      check_stop("; nothing was written");
      return is_norm ? at::ones(tensor.shape) : normal_tensor(tensor, seed, i);
    });
  }
  return out;
}

// Ids by token, of the vocabulary and of the added tokens.
std::map<std::string, int64_t> read_ids(const json& tokenizer, const std::string& subject) {
  std::map<std::string, int64_t> ids;
  const JsonObject model = JsonObject(tokenizer, subject).object("model");
  const json& vocab = model.at("vocab");
  if (vocab.is_object()) {
    const JsonObject object(vocab, subject + ": vocab");
    for (const auto& [token, ignored] : vocab.items()) ids[token] = object.integer(token, 0, kMaxTokenId);
  } else {
    HICI_CHECK(vocab.is_array() && vocab.size() <= kMaxTokenId, subject, ": vocab is ", shown_json(vocab),
               ", expected the tokens of the model");
    for (size_t i = 0; i < vocab.size(); ++i) {
      const bool is_scored =
          vocab[i].is_array() && !vocab[i].empty() && vocab[i][0].is_string();  // Unigram: [token, score]
      ids[is_scored ? vocab[i][0].get<std::string>() : std::to_string(i)] = static_cast<int64_t>(i);
    }
  }
  if (!JsonObject(tokenizer, subject).has("added_tokens")) return ids;
  for (const json& added : tokenizer.at("added_tokens")) {
    const JsonObject object(added, subject + ": added_tokens");
    ids[object.string("content")] = object.integer("id", 0, kMaxTokenId);
  }
  return ids;
}

std::optional<int64_t> id_of(const JsonObject& config, const char* key, const std::map<std::string, int64_t>& ids) {
  if (!config.has(key)) return std::nullopt;
  const json& value = config.at(key);
  const auto found = ids.find(value.is_object() ? config.object(key).string("content") : config.string(key));
  return found == ids.end() ? std::nullopt : std::optional<int64_t>(found->second);
}

}  // namespace

TokenizerFacts read_tokenizer_facts(const fs::path& dir) {
  const FolderCheck check(dir);
  const fs::path file = dir / "tokenizer.json", config_file = dir / "tokenizer_config.json";
  HICI_CHECK(fs::exists(file), dir.string(), ": has no tokenizer.json; expected the folder of a Hugging Face tokenizer",
             found_nearby(dir, [](const fs::path& inner) { return is_there(inner / "tokenizer.json"); }));
  const auto ids = read_ids(read_companion_json(file, kMaxTokenizerBytes), file.string());
  TokenizerFacts out;
  for (const auto& [token, id] : ids) out.vocab_size = std::max(out.vocab_size, id + 1);
  HICI_CHECK(out.vocab_size > 0, file.string(), ": has no tokens; is the file whole?");
  if (!is_there(config_file)) return out;
  const json config = read_companion_json(config_file);
  const JsonObject object(config, config_file.string());
  out.bos_token_id = id_of(object, "bos_token", ids);
  out.eos_token_id = id_of(object, "eos_token", ids);
  return out;
}

void write_random_model(const fs::path& path, const RandomModel& model) {
  config::ModelConfig config = model.config;
  config.torch_dtype = ops::dtype_name(model.dtype);
  write_model_directory(path, {.config = config, .tensors = random_tensors(model), .copy_from = model.tokenizer_dir});
}

}  // namespace hici::io
