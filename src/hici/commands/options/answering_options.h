// SPDX-License-Identifier: Apache-2.0
// What commands share in which a model answers prompts: its directories, how it attends to prompts, its tokenizer.
#pragma once

#include "hici/base/output_place.h"
#include "hici/commands/options/base_format_options.h"
#include "hici/commands/options/dual_chunk_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/generate/generator.h"
#include "hici/io/generation_config.h"
#include "hici/io/load_model.h"
#include "hici/text/tokenizer.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace hici::commands {

// A model that answers, with all that belongs to it.
struct AnsweringModel {
  io::LoadedModel loaded;
  text::Tokenizer tokenizer;
  io::GenerationConfig generation_config;

  int64_t unstretched_context = 0;  // with dca, whose reach RoPE does not bound: --context_size, else no bound

  // Tokens of prompt and answer together that its RoPE covers, stretched as it is now.
  int64_t context() const;
  // Puts what the model's generation_config.json says in the place of what `options` has.
  void configure(generate::GenerateOptions& options) const;
};

struct AnsweringOptions {
  std::string base_model;
  std::string peft_model;
  std::string tokenizer;  // empty: base_model
  int64_t context_size = 0;
  std::string attention = "full";
  BaseFormatOptions base_format;
  generate::GenerateOptions generation;
  Option<bool&> cache_slots{generation.cache_slots};
  DualChunkOptions dual_chunk;
  HiciOptions hici;
  DeviceOptions device;

  // --base_model, --peft_model, --tokenizer, --context_size, --attention, --cache_slots, --base_format,
  // --prefill_chunk,
  // --record_graph, those of Dual Chunk Attention, HiCI's and the device's. The members' values at this moment are the
  // defaults.
  void bind(CLI::App& command);
  // Checks all that the options alone decide, before any file is read, and fills `generation` from them.
  void check();
  // All that decides the answers but the prompts, and names of the model: for whoever must not mix answers of different
  // settings.
  nlohmann::json settings(const AnsweringModel& model) const;
  // What is read of the model, for check_output_file().
  ReadPlaces read_places() const;
  const std::string& tokenizer_folder() const { return tokenizer.empty() ? base_model : tokenizer; }
  // Tokenizer first, then the model.
  AnsweringModel load() const;
  // Without the model, for what can be wrong in prompts.
  text::Tokenizer load_tokenizer() const;
};

}  // namespace hici::commands
