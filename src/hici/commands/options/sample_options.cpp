// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/sample_options.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/config/rope.h"
#include "hici/generate/answer_text.h"
#include "hici/generate/generator.h"
#include "hici/generate/prompt_encoder.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/io/generation_config.h"
#include "hici/text/utf8.h"
#include "hici/text/chat_template_files.h"

#include <ATen/core/grad_mode.h>

#include <memory>
#include <utility>

namespace hici::commands {
namespace {

// What is the same at every evaluation.
struct Continuation {
  const nn::CausalLm& model;
  text::Tokenizer tokenizer;
  generate::Ids prompt;
  generate::GenerateOptions options;

  // A new generator each time: what an older one has in its cache is of other weights.
  train::Sample sample() const {
    const at::NoGradGuard no_grad;
    generate::Generator generator(model);
    generate::AnswerText text(tokenizer, {}, /*skip_special_tokens=*/true);
    const auto answers = generator.generate({prompt}, options, [&](size_t, int64_t id) {
      text.push(id);
      return true;
    });
    text.finish();
    return {text.text(), static_cast<int64_t>(answers[0].ids.size()), name_of(answers[0].finish_reason)};
  }
};

// As `hici generate` takes it, in fine-tuning in the form of the examples.
generate::Ids encoded_prompt(const std::string& text, const train::TrainingRunSpec& spec,
                             const text::Tokenizer& tokenizer, bool is_chat) {
  std::optional<text::ChatTemplate> chat;
  std::optional<data::PromptStyle> style;
  if (spec.sft && is_chat) chat = text::load_chat_template(spec.model);
  if (spec.sft && !is_chat) style = parse_enum<data::PromptStyle>(spec.sft->prompt_style, "`prompt_style`");
  return generate::PromptEncoder(tokenizer, chat, "", style).encode({text, nullptr, "`sample_prompt`"});
}

train::Sampler make_sampler(const std::string& text, int64_t tokens, const train::TrainingRunSpec& spec,
                            const io::LoadedModel& loaded, bool is_chat) {
  const config::ModelConfig& config = loaded.model->config();
  const io::FolderCheck check(spec.model);
  const text::Tokenizer tokenizer = text::Tokenizer::from_path(spec.model);
  const int64_t context = config::rope_context(config);
  HICI_CHECK_USAGE(tokens < context, "`sample_tokens`: ", tokens, " leaves no room for a prompt in the context of ",
                   context, "; use fewer");
  generate::Ids prompt = generate::fit_prompt(encoded_prompt(text, spec, tokenizer, is_chat), context - tokens,
                                              generate::Truncation::kError, "`sample_prompt`");
  for (const int64_t id : prompt) {
    HICI_CHECK(id < config.vocab_size, spec.model.string(), ": its tokenizer has token ", id,
               " for `sample_prompt`, and the vocabulary of its config.json ", config.vocab_size, "; leave it out");
  }
  const io::GenerationConfig wishes = io::read_generation_config(spec.model, config);
  generate::GenerateOptions options;
  options.max_new_tokens = tokens;
  options.stop_ids = wishes.stop_ids;
  options.sampling.repetition_penalty = wishes.repetition_penalty;
  options.records_graph = false;  // for one answer it takes longer than it saves
  options.validate();
  const auto continuation =
      std::make_shared<const Continuation>(Continuation{*loaded.model, tokenizer, std::move(prompt), options});
  return [continuation] { return continuation->sample(); };
}

}  // namespace

void SampleOptions::bind(CLI::App& app) {
  add_option(
      app, "sample_prompt", prompt,
      "At every evaluation the model writes on behind this text, each token the most probable one; in the log and "
      "in samples.jsonl");
  add_tokens(app, "sample_tokens", tokens, "Tokens of that at the most", kTokensFromOne);
}

std::optional<train::SampleSpec> SampleOptions::resolve(const train::TrainingRunSpec& spec) const {
  HICI_CHECK_USAGE(prompt.typed() || !tokens.typed(), tokens.name(), ": has no effect without --sample_prompt");
  if (!prompt.typed()) return std::nullopt;
  HICI_CHECK_USAGE(!prompt.value.empty(), prompt.name(), ": is empty; give a text, or leave it out");
  const size_t valid = text::valid_utf8_prefix(prompt.value).valid_bytes;
  HICI_CHECK_USAGE(valid == prompt.value.size(), prompt.name(), ": is not UTF-8 at byte ", valid, "; convert it first");
  HICI_CHECK_USAGE(spec.evaluation.has_value(), prompt.name(),
                   ": is for evaluations, and there are none; give --eval_data_path");
  HICI_CHECK_USAGE(is_there(spec.model / "tokenizer.json"), prompt.name(), ": ", spec.model.string(),
                   " has no tokenizer.json; leave it out, or add the tokenizer of the model");
  HICI_CHECK_USAGE(
      !spec.sharding.moves_frozen(), prompt.name(),
      ": generation needs all weights in one process, not --shard full or --offload weights; leave it out");
  return train::SampleSpec{prompt.value, [text = prompt.value, count = tokens.value](
                                             const train::TrainingRunSpec& run, const io::LoadedModel& loaded,
                                             bool is_chat) { return make_sampler(text, count, run, loaded, is_chat); }};
}

}  // namespace hici::commands
