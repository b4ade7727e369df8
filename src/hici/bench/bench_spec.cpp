// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/bench_spec.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/joined.h"
#include "hici/config/divides.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/train/segment_streaming.h"

#include <filesystem>

namespace hici::bench {
namespace {

// Meta-Llama-3 and Llama-2 by Meta, Qwen3 by Alibaba: what their config.json say.
config::ModelConfig llama2(int64_t hidden, int64_t intermediate, int64_t layers, int64_t heads) {
  config::ModelConfig config;
  config.vocab_size = 32000;
  config.hidden_size = hidden;
  config.intermediate_size = intermediate;
  config.num_hidden_layers = layers;
  config.num_attention_heads = config.num_key_value_heads = heads;
  config.head_dim = 128;
  config.max_position_embeddings = 4096;
  config.rms_norm_eps = 1e-5;
  return config;
}

config::ModelConfig llama3_8b() {
  config::ModelConfig config = llama2(4096, 14336, 32, 32);
  config.vocab_size = 128256;
  config.num_key_value_heads = 8;
  config.max_position_embeddings = 8192;
  config.rope.theta = 500000;
  return config;
}

config::ModelConfig llama2_70b() {
  config::ModelConfig config = llama2(8192, 28672, 80, 64);
  config.num_key_value_heads = 8;
  return config;
}

config::ModelConfig llama3_70b() {
  config::ModelConfig config = llama2_70b();
  config.vocab_size = 128256;
  config.max_position_embeddings = 8192;
  config.rope.theta = 500000;
  return config;
}

config::ModelConfig qwen3(int64_t hidden, int64_t intermediate, int64_t layers, int64_t heads) {
  config::ModelConfig config = llama2(hidden, intermediate, layers, heads);
  config.family = config::Family::kQwen3;
  config.vocab_size = 151936;
  config.num_key_value_heads = 8;
  config.max_position_embeddings = 40960;
  config.rms_norm_eps = 1e-6;
  config.rope.theta = 1000000;
  return config;
}

// The model of `make quickstart`.
config::ModelConfig quickstart() {
  config::ModelConfig config;
  config.vocab_size = 1024;
  config.hidden_size = 128;
  config.intermediate_size = 344;
  config.num_hidden_layers = 4;
  config.num_attention_heads = config.num_key_value_heads = 4;
  config.head_dim = 32;
  config.max_position_embeddings = 256;
  return config;
}

config::HiciConfig quickstart_hici() {
  config::HiciConfig config;
  config.num_heads = 4;
  config.bottleneck_dim = 64;
  config.shared_compress_dim = 32;
  return config;
}

const std::vector<BenchModel>& presets() {
  static const std::vector<BenchModel> models{{"llama2-7b", llama2(4096, 11008, 32, 32), {}},
                                              {"llama2-13b", llama2(5120, 13824, 40, 40), {}},
                                              {"llama3-8b", llama3_8b(), {}},
                                              {"llama2-70b", llama2_70b(), {}},
                                              {"llama3-70b", llama3_70b(), {}},
                                              {"qwen3-8b", qwen3(4096, 12288, 36, 32), {}},
                                              {"qwen3-32b", qwen3(5120, 25600, 64, 64), {}},
                                              {"quickstart", quickstart(), quickstart_hici()}};
  return models;
}

// A case that no memory holds says so in its row; only what 64 bits do not count is refused.
void check_tokens(int64_t batch, int64_t length) {
  constexpr int64_t kMostTokens = int64_t{1} << 46;
  HICI_CHECK_USAGE(length <= kMostTokens / batch, "`seq_len`: ", length, " with `batch_size` ", batch,
                   " is more than can be counted; use up to ", kMostTokens, " tokens in all");
}

}  // namespace

nn::AttentionKind parse_attention(std::string_view name, const std::string& subject) {
  return nn::attention_kind_from_name(name, subject,
                                      {.names = {"hici", "full", "full_attn", "s2", "longlora", "segments"},
                                       .way_out = "use hici, full (also full_attn), s2 (also longlora) or segments"});
}

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const BenchModel& model : presets()) all.push_back(model.name);
    return all;
  }();
  return names;
}

std::string model_help() { return joined(preset_names()) + ", or a model directory (config.json alone is read)"; }

BenchModel find_bench_model(const std::string& name, const std::string& subject) {
  for (const BenchModel& model : presets()) {
    if (model.name == name) return model;
  }
  HICI_CHECK_USAGE(std::filesystem::exists(std::filesystem::path(name) / "config.json"), subject, ": '", name,
                   "' is no preset and no directory with a config.json; the presets are ", joined(preset_names()),
                   hub_hint(name, HubKind::kModel));
  const io::FolderCheck check(name);
  return {name, config::read_model_config(name), {}};
}

std::string offloading_text(const config::Sharding& sharding) {
  return detail::concat(sharding.offload_weights ? ", frozen weights in host memory" : "",
                        sharding.offload_optimizer ? ", optimizer's state in host memory" : "");
}

void BenchSpec::validate() const {
  HICI_CHECK_USAGE(repetitions >= 1 && warmup >= 0, "`repetitions`: ", repetitions, " with `warmup` ", warmup,
                   "; use 1 or more, and 0 or more for the warm-up");
  HICI_CHECK_USAGE(pause_ms >= 0, "`pause_ms`: ", pause_ms, " is negative; use 0 or more");
  HICI_CHECK_USAGE(batch_size >= 1, "`batch_size`: ", batch_size, " is not positive; use 1 or more");
  HICI_CHECK_USAGE(prefix_slots >= 0 && attention_tokens >= 0, "`prefix_slots` and `tokens`: negative; use 0 or more");
  for (const int64_t length : lengths) {
    check_tokens(batch_size, length);
    for (const int64_t batch : batch_sizes) check_tokens(batch, length);
  }
  HICI_CHECK_USAGE(new_tokens >= 1, "`new_tokens`: ", new_tokens, " is not positive; use 1 or more");
  HICI_CHECK_USAGE(segment_length >= 0, "`segment_length`: ", segment_length, " is negative; use 1 or more");
  for (const nn::AttentionKind attention : attentions) {
    if (stream_segments) train::check_streamable(attention, model.hici);
    if (attention == nn::AttentionKind::kFull) continue;
    for (const int64_t length : lengths)
      config::check_segments(segment_length, model.hici.num_segments, "`seq_len`", length);
  }
}

}  // namespace hici::bench
