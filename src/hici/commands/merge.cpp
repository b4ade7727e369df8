// SPDX-License-Identifier: Apache-2.0
// `hici merge`: base and adapter to one model directory.
#include "hici/base/enum_names.h"
#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/memory.h"
#include "hici/base/output_place.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/option.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/io/merge.h"

#include <iomanip>
#include <memory>
#include <optional>
#include <sstream>

namespace hici::commands {
namespace {

enum class MergeFormat { kSafetensors, kGguf };
constexpr EnumNames<MergeFormat, 2> names_of(MergeFormat) {
  return {"format", {{{MergeFormat::kSafetensors, "safetensors"}, {MergeFormat::kGguf, "gguf"}}}};
}

struct MergeOptions {
  std::string base_model;
  std::string peft_model;
  std::string save_path;
  std::string format = name_of(MergeFormat::kSafetensors);
  Option<std::string> gguf_type{"auto"};
  Option<std::string> torch_dtype{"auto"};
  Option<uint64_t> max_shard_bytes{5000000000};
  int64_t context_size = -1;
  Option<int64_t> compress_dim{512};
  bool with_hici = false;
  HiciOptions hici;
  CLI::App* app = nullptr;  // the command, for the text of its options
};

std::optional<at::ScalarType> parse_dtype(const std::string& name) {
  if (name == "auto") return std::nullopt;
  if (name == "float16") return at::kHalf;
  if (name == "bfloat16") return at::kBFloat16;
  HICI_CHECK_USAGE(name == "float32", "--torch_dtype: '", name,
                   "' is not known; use auto, float16, bfloat16 or float32");
  return at::kFloat;
}

// What the options say of a GGUF file; nothing for a directory of safetensors.
std::optional<io::GgufRequest> gguf_request(const MergeOptions& o) {
  if (parse_enum<MergeFormat>(o.format, "--format") == MergeFormat::kSafetensors) {
    HICI_CHECK_USAGE(!o.gguf_type.typed(), "--gguf_type: has no effect without --format gguf; leave it out");
    return std::nullopt;
  }
  HICI_CHECK_USAGE(!o.with_hici,
                   "--format gguf: llama.cpp has no HiCI attention; leave out --with_hici for a model "
                   "with full attention, or use --format safetensors, whose Python files compute it");
  HICI_CHECK_USAGE(!o.torch_dtype.typed(), "--torch_dtype: has no effect with --format gguf; use --gguf_type");
  HICI_CHECK_USAGE(!o.max_shard_bytes.typed(), "--max_shard_size: --format gguf writes one file; leave it out");
  io::GgufRequest out;
  if (o.gguf_type.value != "auto") out.type = parse_enum<io::gguf::TensorType>(o.gguf_type.value, "--gguf_type");
  return out;
}

// The research code has one width for local construction and another name for the integrator's; here they are one.
void check_compress_dim(const MergeOptions& o, const config::HiciConfig& hici) {
  HICI_CHECK_USAGE(!o.compress_dim.typed() || o.compress_dim.value == hici.bottleneck_dim,
                   "--compress_dim: ", o.compress_dim.value, " contradicts the adapter, which has ",
                   hici.bottleneck_dim, "; leave the option out");
}

// What no tensor shows, where no file says it.
std::string assumed_text(const MergeOptions& o, const config::HiciConfig& hici) {
  return detail::concat(o.peft_model, ": has no hici_config.json; the merged one says ",
                        counted(hici.num_heads, "head"), ", ", counted(hici.num_segments, "segment"),
                        " and causal mode ", name_of(hici.causal_mode), " (--num_heads, --num_chunks, --causal_mode)");
}

// One line for each stage, and a way out between two tensors.
class Stages {
 public:
  void update(const std::string& what, uint64_t total, uint64_t done) {
    check_stop("; nothing was written");
    if (what != what_) {
      line_.reset();
      const bool is_bytes = what == "merging";
      line_.emplace(is_bytes ? what : what + ": layers", static_cast<int64_t>(total),
                    is_bytes ? ProgressUnit::kBytes : ProgressUnit::kItems);
      what_ = what;
    }
    line_->update(static_cast<int64_t>(done));
  }
  void finish() { line_.reset(); }

 private:
  std::string what_;
  std::optional<Progress> line_;
};

std::string result_text(const MergeOptions& o, const io::MergeResult& result) {
  std::ostringstream out;
  out << o.save_path << ": " << name_of(result.config.family) << " in "
      << (result.gguf_type ? detail::concat("GGUF ", name_of(*result.gguf_type)) : result.config.torch_dtype) << ", "
      << human_bytes(static_cast<int64_t>(result.bytes)) << "; LoRA folded into "
      << counted(static_cast<int64_t>(result.folded), "weight") << ", " << result.replaced << " from the adapter whole";
  if (result.hici_tensors > 0) out << ", " << result.hici_tensors << " of HiCI modules in hici_modules.safetensors";
  out << "; peak memory " << human_bytes(peak_resident_bytes()) << "\n" << std::setprecision(3);
  for (const io::LogitsDifference& d : result.check.logits)
    out << "checked: logits of " << counted(result.check.tokens, result.check.is_text ? "token" : "random id")
        << (result.check.is_text ? " of text" : "") << ", " << d.attention
        << " attention, against base and adapter: largest difference " << d.max_abs << " (largest logit " << d.max_logit
        << "), relative " << d.relative << ", rounding explains up to " << d.bound << "\n";
  return out.str();
}

int run_merge(const MergeOptions& o) {
  io::MergeRequest request;
  request.gguf = gguf_request(o);
  request.dtype = parse_dtype(o.torch_dtype.value);
  request.max_shard_bytes = o.max_shard_bytes.value;
  HICI_CHECK_USAGE(o.context_size == -1 || o.context_size > 0, "--context_size: ", o.context_size,
                   " is no context; use the tokens of a training sequence, or -1 for what the adapter says");
  check_new_folder(o.save_path, read_places_of_model(o.base_model, o.peft_model));
  const StopSignals signals;
  request.model.base = o.base_model;
  request.model.adapter = o.peft_model;
  request.model.context_size = std::max<int64_t>(0, o.context_size);
  const io::OpenedModel opened = io::open_model(request.model);
  request.model.uses_hierarchy = o.with_hici;
  if (opened.hici.config) check_compress_dim(o, *opened.hici.config);
  const config::HiciConfig hici = o.hici.resolve(opened, o.with_hici);
  request.output = o.save_path;
  request.with_hici = o.with_hici;
  request.options = effective_options(*o.app);
  Stages stages;
  request.progress = [&](const char* what, uint64_t total, uint64_t done) { stages.update(what, total, done); };
  const io::MergeResult result = io::merge_adapter(request, opened, hici);
  stages.finish();
  if (o.with_hici && opened.hici.config && !opened.hici.is_complete) log_info(assumed_text(o, hici));
  write_stdout(result_text(o, result));
  return 0;
}

}  // namespace

CommandEntry merge_command() {
  return {"merge", "Fold an adapter into its base model: one directory that other programs load",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<MergeOptions>();
            o->app = &app;
            add_option(app, "base_model", o->base_model, "Directory of the base model")->required();
            add_option(app, "peft_model", o->peft_model, "Directory of the adapter, checkpoint or run")->required();
            add_option(app, "save_path", o->save_path, "Directory to make; must not exist, or be empty")->required();
            add_tokens(app, "context_size", o->context_size,
                       "Tokens of a training sequence, which decide the RoPE factor; -1: what the adapter says",
                       {-1, config::kMaxSequenceTokens});
            add_bool(app, "with_hici", o->with_hici,
                     "Keep the HiCI modules, in hici_modules.safetensors and hici_config.json of the same directory, "
                     "with Python "
                     "files by which transformers computes HiCI attention");
            with_choices(add_option(app, "torch_dtype", o->torch_dtype,
                                    "Type of the merged weights: auto (the base's), float16, bfloat16 or float32"),
                         {"auto", "float16", "bfloat16", "float32"});
            o->max_shard_bytes.declare(add_bytes(app, "max_shard_size", o->max_shard_bytes.value, "5GB",
                                                 "Largest file of weights, as in 5GB or 5GiB"));
            with_choices(
                add_option(app, "format", o->format,
                           "safetensors: a directory as transformers has it. gguf: one file for llama.cpp, with the "
                           "tokenizer, in a directory; without HiCI modules"),
                {"safetensors", "gguf"});
            with_choices(add_option(app, "gguf_type", o->gguf_type,
                                    "Type of the matrices of a GGUF file: auto (the base's), F32, F16, BF16 or Q8_0"),
                         {"auto", "F32", "F16", "BF16", "Q8_0"});
            add_option(app, "compress_dim", o->compress_dim, "Another name of --bottleneck_dim, checked like it",
                       {1, config::kMaxDim});
            add_inherited(app, "cache_dir", "nothing is downloaded");
            add_inherited(app, "use_local_constructor_flash",
                          "local construction never makes the scores' keys and values");
            add_inherited(app, "use_flash_plus", "the merged weights are the same");
            o->hici.bind(app);
            return [o] { return run_merge(*o); };
          }};
}

}  // namespace hici::commands
