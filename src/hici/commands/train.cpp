// SPDX-License-Identifier: Apache-2.0
// `hici train`: pre-training on token files, with LoRA or of all parameters.
#include "hici/base/error.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/data_options.h"
#include "hici/commands/options/training_options.h"
#include "hici/config/divides.h"

#include <memory>

namespace hici::commands {
namespace {

struct TrainOptions : TrainingOptions {
  Option<std::string> data_mix;
  std::string packing = "blocks";
  std::string token_type;
  Option<int64_t> segment_length{0};  // 0: --num_chunks decides
};

// Segments are checked here, before any file is read, unless an adapter decides their number.
void check_segments(const TrainOptions& o) {
  if (o.segment_length.typed()) {
    HICI_CHECK_USAGE(!o.hici.num_chunks.typed(), "--segment_length: says the same as --num_chunks; give one of them");
    HICI_CHECK_USAGE(o.attention != "full", "--segment_length: has no effect with --attention full; leave it out");
  }
  const bool is_said = o.segment_length.value != 0 || o.hici.num_chunks.typed();
  const bool from_files = !is_said && (!o.init_adapter.empty() || !o.spec.resume.empty());
  if (o.attention == "full" || from_files) return;
  config::check_segments(o.segment_length.value, o.hici.values.num_segments, "--model_max_length",
                         o.spec.train.sequence_length);
}

void resolve_data(TrainOptions& o) {
  HICI_CHECK_USAGE(!o.data_mix.typed() || o.data_path.empty(),
                   "--data_mix: stands in place of --data_path; give one of them");
  HICI_CHECK_USAGE(o.packing == "blocks" || o.packing == "document", "--packing: unknown way '", o.packing,
                   "'; use blocks or document");
  o.spec.packs_documents = o.packing == "document";
  HICI_CHECK_USAGE(!o.spec.packs_documents || !o.data_mix.typed(),
                   "--packing: document has no form with --data_mix; leave one of them out");
  HICI_CHECK_USAGE(!o.spec.packs_documents || !o.spec.train.stream_segments,
                   "--stream_segments: cannot be used with --packing document; leave out one of them");
  if (o.data_mix.typed()) o.spec.mix = data::parse_mix(o.data_mix.value, "--data_mix");
}

int run_train(TrainOptions& o) {
  resolve_data(o);
  check_segments(o);
  if (!o.token_type.empty()) o.spec.token_type = data::parse_token_type(o.token_type, "--token_type");
  o.resolve();
  return train::with_processes(o.spec, [&](const parallel::World& world) {
    train::TrainingRun run(o.spec, world);
    config::HiciConfig hici = o.hici.resolve(run.model());
    if (o.segment_length.value > 0) hici.num_segments = o.spec.train.sequence_length / o.segment_length.value;
    return run.run(hici);
  });
}

void bind_train(CLI::App& app, TrainOptions& o) {
  CLI::Option* const data = o.bind_model_and_data(
      app,
      "Token file (hici tokenize makes one), or text or ids: .txt, .jsonl, .json (also .gz, .zst), .parquet, a "
      "folder of them or of save_to_disk");
  add_option(app, "data_mix", o.data_mix,
             "Several data sets in place of --data_path, with the weights by which sequences are drawn from them: "
             "a.bin:0.7,b.bin:0.3")
      ->excludes(data);
  with_choices(
      add_option(
          app, "packing", o.packing,
          "blocks: the tokens in a row, cut every --model_max_length; document: whole documents, which end with EOS or "
          "begin with BOS, fill sequences and do not see each other; those of an evaluation too"),
      {"blocks", "document"});
  add_option(app, "text_field", o.spec.text_field, kTextFieldHelp);
  bind_token_type(app, o.token_type);
  o.bind_what_to_train(app);
  o.bind_how_to_train(app);
  add_tokens(app, "segment_length", o.segment_length,
             "Tokens of a segment, instead of --num_chunks; 0: --num_chunks decides");
  o.bind_rest(app);
}

}  // namespace

CommandEntry train_command() {
  return {"train", "Train a model for long context: LoRA and HiCI, or all parameters", [](CLI::App& app) -> Runner {
            auto o = std::make_shared<TrainOptions>();
            bind_train(app, *o);
            return [o] { return run_train(*o); };
          }};
}

}  // namespace hici::commands
