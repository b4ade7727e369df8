// SPDX-License-Identifier: Apache-2.0
// What `hici eval topics`, `hici eval lines` and `hici eval longbench` share: a model that answers greedily, the form
// of prompts, where answers go and how work is taken up again.
#pragma once

#include "hici/base/output_place.h"
#include "hici/commands/options/answering_options.h"
#include "hici/eval/benchmark_prompts.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::commands {

struct BenchmarkOptions {
  AnsweringOptions answering;
  std::string output_dir;
  std::string label;
  std::string prompt_style = "chat";
  Option<std::string> chat_template{"auto"};
  int64_t batch_size = 1;
  bool resume = false;

  // The members' values at this moment are the defaults.
  void bind(CLI::App& app);
  // Checks all that the options alone decide, before any file is read.
  void check();

  // --label, else the name of the model's folder: of the adapter where there is one, with the run's in front of a
  // checkpoint's. The folder of the answers has this name.
  std::string model_label() const;
  // Nothing for --prompt_style continue. "auto" is the model's own template where it has one, else llama2.
  std::optional<eval::ChatForm> chat_form() const;
  eval::BenchmarkPrompts prompts(const AnsweringModel& model) const;
  // All that decides the answers of `command` but the data and the lengths, and names: for the JSON beside answers, and
  // by eval::identity_of() for CaseJournal.
  nlohmann::json settings(const std::string& command, const AnsweringModel& model) const;
  // Before any work: a file of `answers` is never replaced, only the JSON beside it. Neither may be among `data`, and
  // the JSON not among what the model is read from.
  void check_places(const std::vector<std::filesystem::path>& answers, const ReadPlaces& data) const;
};

// The JSON beside a file of answers, which says what they are of.
std::filesystem::path record_of(std::filesystem::path answers);

// The names given to --datasets; an unknown one is a usage error. None: empty.
std::vector<std::string> longbench_dataset_names(const std::vector<std::string>& words);

}  // namespace hici::commands
