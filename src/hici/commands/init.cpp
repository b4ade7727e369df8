// SPDX-License-Identifier: Apache-2.0
// `hici init`: a randomly initialised model directory from sizes.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/signals.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/option_choices.h"
#include "hici/io/random_model.h"

namespace hici::commands {
namespace {

struct InitOptions {
  std::string output_dir;
  std::string family = "llama";
  std::string tokenizer;
  int64_t vocab_size = 0;
  int64_t hidden_size = 128;
  int64_t intermediate_size = 344;
  int64_t num_hidden_layers = 4;
  int64_t num_attention_heads = 4;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 256;
  double rope_theta = 0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  uint64_t seed = 42;
  std::string dtype = "float32";
};

config::Family parse_family(const std::string& name) {
  HICI_CHECK_USAGE(name == "llama" || name == "qwen3", "--family: '", name, "' is not known; use llama or qwen3");
  return name == "llama" ? config::Family::kLlama : config::Family::kQwen3;
}

at::ScalarType parse_init_dtype(const std::string& name) {
  if (name == "float32" || name == "fp32") return at::kFloat;
  if (name == "bfloat16" || name == "bf16") return at::kBFloat16;
  if (name == "float16" || name == "fp16") return at::kHalf;
  HICI_CHECK_USAGE(name == "float64", "--dtype: '", name, "' is not known; use float32, bfloat16, float16 or float64");
  return at::kDouble;
}

// The vocabulary: the tokenizer's, or what was given, which may be larger (padding) and not smaller.
void apply_vocabulary(const InitOptions& o, config::ModelConfig& config) {
  HICI_CHECK_USAGE(o.vocab_size > 0 || !o.tokenizer.empty(),
                   "--vocab_size: is not given; give it, or --tokenizer DIR to take it from");
  config.vocab_size = o.vocab_size;
  if (o.tokenizer.empty()) return;
  const io::TokenizerFacts facts = io::read_tokenizer_facts(o.tokenizer);
  HICI_CHECK_USAGE(o.vocab_size == 0 || o.vocab_size >= facts.vocab_size, "--vocab_size: ", o.vocab_size,
                   " is less than the ", facts.vocab_size, " ids of --tokenizer ", o.tokenizer,
                   "; leave it out, or give at least that");
  config.vocab_size = std::max(o.vocab_size, facts.vocab_size);
  config.bos_token_id = facts.bos_token_id;
  if (facts.eos_token_id) config.eos_token_id = {*facts.eos_token_id};
}

config::ModelConfig make_config(const InitOptions& o) {
  config::ModelConfig config;
  config.family = parse_family(o.family);
  const bool is_llama = config.family == config::Family::kLlama;
  HICI_CHECK_USAGE(o.num_attention_heads > 0 && (o.head_dim > 0 || o.hidden_size % o.num_attention_heads == 0),
                   "--num_attention_heads: ", o.num_attention_heads, " does not divide --hidden_size ", o.hidden_size,
                   "; give --head_dim");
  // transformers' LlamaConfig insists on it even when head_dim is given.
  HICI_CHECK_USAGE(!is_llama || o.hidden_size % o.num_attention_heads == 0,
                   "--num_attention_heads: ", o.num_attention_heads, " does not divide --hidden_size ", o.hidden_size,
                   ", which a llama needs; use --family qwen3 or other sizes");
  config.hidden_size = o.hidden_size;
  config.intermediate_size = o.intermediate_size;
  config.num_hidden_layers = o.num_hidden_layers;
  config.num_attention_heads = o.num_attention_heads;
  config.num_key_value_heads = o.num_key_value_heads > 0 ? o.num_key_value_heads : o.num_attention_heads;
  config.head_dim = o.head_dim > 0 ? o.head_dim : o.hidden_size / o.num_attention_heads;
  config.max_position_embeddings = o.max_position_embeddings;
  config.rms_norm_eps = o.rms_norm_eps;
  config.tie_word_embeddings = o.tie_word_embeddings;
  config.rope.theta = o.rope_theta > 0 ? o.rope_theta : is_llama ? 10000 : 1000000;
  apply_vocabulary(o, config);
  try {
    config.validate("--family " + o.family);
  } catch (const Error& e) {
    detail::throw_usage_error(e.what());  // the sizes came from options
  }
  return config;
}

int run_init(const InitOptions& o) {
  const io::RandomModel model{
      .config = make_config(o), .dtype = parse_init_dtype(o.dtype), .seed = o.seed, .tokenizer_dir = o.tokenizer};
  check_new_folder(o.output_dir);
  const StopSignals signals;
  io::write_random_model(o.output_dir, model);
  write_stdout(detail::concat(o.output_dir, ": ", o.family, " with ", model.config.num_parameters(),
                              " parameters, vocabulary ", model.config.vocab_size, ", ", o.dtype, "\n"));
  return 0;
}

}  // namespace

CommandEntry init_command() {
  return {"init", "Make a randomly initialised model directory from sizes", [](CLI::App& app) -> Runner {
            auto o = std::make_shared<InitOptions>();
            add_option(app, "output_dir", o->output_dir, "Directory to make; must not exist, or be empty")->required();
            with_choices_of<config::Family>(add_option(app, "family", o->family, "llama or qwen3"));
            add_option(app, "tokenizer", o->tokenizer,
                       "Folder of a tokenizer: its files are copied, its vocabulary size is taken");
            add_option(app, "vocab_size", o->vocab_size, "Rows of the embedding; 0: the tokenizer's", kFromZero);
            add_option(app, "hidden_size", o->hidden_size, "Width of the model", {1, config::kMaxDim});
            add_option(app, "intermediate_size", o->intermediate_size, "Width of the MLP", kFromOne);
            add_option(app, "num_hidden_layers", o->num_hidden_layers, "Decoder layers", kFromOne);
            add_option(app, "num_attention_heads", o->num_attention_heads, "Query heads", {1, config::kMaxDim});
            add_option(app, "num_key_value_heads", o->num_key_value_heads,
                       "Key and value heads; 0: as many as query heads", {0, config::kMaxDim});
            add_option(app, "head_dim", o->head_dim, "Width of a head; 0: hidden_size / num_attention_heads",
                       {0, config::kMaxDim});
            add_tokens(app, "max_position_embeddings", o->max_position_embeddings, "Context that the model is made for",
                       kTokensFromOne);
            add_option(app, "rope_theta", o->rope_theta,
                       "Base of the rotary embedding; 0: 10000 for llama, 1000000 for qwen3", {0, 1e15});
            add_option(app, "rms_norm_eps", o->rms_norm_eps, "Epsilon of the norms, 1e-12 to 0.1", {1e-12, 0.1});
            add_bool(app, "tie_word_embeddings", o->tie_word_embeddings, "The output head is the embedding");
            add_option(app, "seed", o->seed, "The same seed gives the same weights", kSeeds);
            with_choices(
                add_option(app, "dtype", o->dtype, "Type of the weights: float32, bfloat16, float16 or float64"),
                {"float32", "bfloat16", "float16", "float64"});
            return [o] { return run_init(*o); };
          }};
}

}  // namespace hici::commands
