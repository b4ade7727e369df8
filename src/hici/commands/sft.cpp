// SPDX-License-Identifier: Apache-2.0
// `hici sft`: supervised fine-tuning on instructions and conversations.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/training_options.h"
#include "hici/config/divides.h"
#include "hici/data/sft/prompt.h"

#include <memory>

namespace hici::commands {
namespace {

struct SftOptions : TrainingOptions {
  train::SftSpec sft;
  Option<int64_t> max_seq_length{0};  // 0: --model_max_length
  std::string pretrained_hici_path;
};

// Two names of one thing.
void join_aliases(SftOptions& o) {
  int64_t& length = o.spec.train.sequence_length;
  if (o.max_seq_length.typed()) {
    HICI_CHECK_USAGE(!o.model_max_length.typed() || length == o.max_seq_length.value,
                     "--max_seq_length: ", o.max_seq_length.value, " says another thing than --model_max_length ",
                     length, "; give one of them");
    length = o.max_seq_length.value;
  }
  if (o.pretrained_hici_path.empty()) return;
  HICI_CHECK_USAGE(o.init_adapter.empty(), "--pretrained_hici_path: says the same as --init_adapter; give one of them");
  o.init_adapter = o.pretrained_hici_path;
}

void check_segments(const SftOptions& o) {
  const int64_t segment = o.sft.segment_length;
  if (segment != 0)
    config::check_divides("--sft_segment_length", segment, "--model_max_length", o.spec.train.sequence_length,
                          ", or 0 for one segment");
  HICI_CHECK_USAGE(segment == 0 || o.attention != "full",
                   "--sft_segment_length: has no effect with --attention full; leave it out");
  HICI_CHECK_USAGE(segment > 0 || o.attention != "s2",
                   "--attention s2: needs segments of one length, whose heads are shifted by half; give "
                   "--sft_segment_length");
  HICI_CHECK_USAGE(!o.spec.train.stream_segments || segment > 0,
                   "--stream_segments: needs several segments; give --sft_segment_length");
  HICI_CHECK_USAGE(!o.spec.train.stream_segments || !o.sft.packing,
                   "--stream_segments: cannot be used with --packing True; leave out one of them");
  if (o.hici.num_chunks.typed())
    log_info("--num_chunks has no effect here: --sft_segment_length cuts examples into segments");
}

// The number of segments of a whole context, which evaluation takes from a checkpoint. It stays what pre-training had
// where fine-tuning has one segment.
config::HiciConfig resolve_hici(const SftOptions& o, const io::OpenedModel& opened) {
  config::HiciConfig hici = o.hici.resolve(opened);
  const io::StoredHici& stored = opened.hici;
  HICI_CHECK_USAGE(o.sft.segment_length > 0 || !hici.is_shifted() || o.spec.attention != nn::AttentionKind::kHici ||
                       !hici.use_local_constructor,
                   "--sft_segment_length: 0 leaves no slots to see, as the first segment has none in causal mode ",
                   name_of(hici.causal_mode), "; give a length, or another --causal_mode");
  if (o.sft.segment_length > 0) {
    hici.num_segments = o.spec.train.sequence_length / o.sft.segment_length;
  } else if (!stored.config || !stored.is_complete) {
    hici.num_segments = 1;
  } else {
    hici.num_segments = stored.config->num_segments;
  }
  return hici;
}

int run_sft(SftOptions& o) {
  join_aliases(o);
  check_segments(o);
  parse_enum<data::PromptStyle>(o.sft.prompt_style, "--prompt_style");  // an unknown one is an error before all else
  o.resolve();
  o.spec.sft = o.sft;
  return train::with_processes(o.spec, [&](const parallel::World& world) {
    train::TrainingRun run(o.spec, world);
    return run.run(resolve_hici(o, run.model()));
  });
}

void bind_sft(CLI::App& app, SftOptions& o) {
  o.bind_model_and_data(
      app,
      "Rows of {instruction, input?, output}, or conversations under messages {role, content} or "
      "conversations {from, value}: .json, .jsonl (also .gz, .zst), .parquet, a folder of them or of save_to_disk");
  with_choices_of<data::PromptStyle>(add_option(
      app, "prompt_style", o.sft.prompt_style,
      "How instructions are written: llama2 = [INST]{instruction}[/INST]; llama2_chat = [INST] <<SYS>> (Llama-2's "
      "system prompt) <</SYS>> {instruction} [/INST]; alpaca = Below is an instruction that describes a task. ... "
      "### Instruction: {instruction} ### Response:; vicuna = A chat between ... USER: {instruction} ASSISTANT:. An "
      "input "
      "follows its instruction on a line of its own (alpaca: "
      "under ### Input:). Conversations take the tokenizer's chat template"));
  add_option(app, "max_samples", o.sft.max_samples, "Rows that are read, the first ones; 0: all", kFromZero);
  add_tokens(app, "sft_segment_length", o.sft.segment_length,
             "Tokens of a segment; examples are padded to whole segments. 0: an example is one segment");
  add_bool(app, "packing", o.sft.packing,
           "Fill sequences of --model_max_length with several examples that do not see each other");
  add_option(app, "pretrained_hici_path,--pretrained_memory_path", o.pretrained_hici_path,
             "Start from HiCI modules and adapters of this run; the same as --init_adapter");
  o.bind_what_to_train(app);
  o.bind_how_to_train(app);
  add_tokens(app, "max_seq_length", o.max_seq_length, "The same as --model_max_length; 0: not given");
  o.bind_rest(app);
}

}  // namespace

CommandEntry sft_command() {
  return {"sft", "Fine-tune a model on instructions or conversations", [](CLI::App& app) -> Runner {
            auto o = std::make_shared<SftOptions>();
            bind_sft(app, *o);
            return [o] { return run_sft(*o); };
          }};
}

}  // namespace hici::commands
