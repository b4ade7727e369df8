// SPDX-License-Identifier: Apache-2.0
#include "hici/report/run_files.h"

#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json_lines.h"
#include "hici/base/log.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/report/origin.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <utility>

namespace hici::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kEvaluationLoss = "eval_loss";
constexpr const char* kHiciGradient = "hici_grad_norm";
constexpr std::string_view kCheckpoint = "checkpoint-";
constexpr size_t kMaxOptionsBytes = size_t{1} << 20;

double number_or_nan(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : kNotANumber;
}

LoggedStep parse_step(const json& line) {
  return {.step = static_cast<int64_t>(number_or_nan(line, "step")),
          .loss = number_or_nan(line, "loss"),
          .learning_rate = number_or_nan(line, "learning_rate"),
          .hici_learning_rate = number_or_nan(line, "hici_learning_rate"),
          .tokens_per_second = number_or_nan(line, "tokens_per_second"),
          .epoch = number_or_nan(line, "epoch"),
          .tokens = number_or_nan(line, "tokens"),
          .peak_memory_bytes = number_or_nan(line, "peak_memory_bytes"),
          .seconds = number_or_nan(line, "seconds")};
}

// Every run logs a rate for HiCI parameters. Without any the norm of their gradients is 0 at every step.
bool trains_hici(const std::vector<JsonLine>& lines) {
  const auto has_norm = [](const JsonLine& line) { return line.value.contains(kHiciGradient); };
  const auto is_zero = [](const JsonLine& line) {
    return line.value.contains(kEvaluationLoss) || number_or_nan(line.value, kHiciGradient) == 0;
  };
  return std::none_of(lines.begin(), lines.end(), has_norm) || !std::all_of(lines.begin(), lines.end(), is_zero);
}

// Of checkpoint-N the largest N; an empty path where there is none.
fs::path newest_checkpoint(const fs::path& folder) {
  fs::path newest;
  int64_t newest_step = -1;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kCheckpoint)) continue;
    int64_t step = -1;
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kCheckpoint.size(), end, step);
    if (error != std::errc() || stop != end || step <= newest_step) continue;
    newest_step = step;
    newest = entry.path();
  }
  return newest;
}

// name -> value of all lines "name = value"; defaults stand behind a '#'.
std::map<std::string, std::string> read_options(const fs::path& file) {
  const auto trimmed = [](std::string text, const char* extra) {
    const std::string spaces = std::string(" \t\r") + extra;
    text.erase(0, text.find_first_not_of(spaces));
    return text.erase(text.find_last_not_of(spaces) + 1);
  };
  std::map<std::string, std::string> options;
  std::istringstream lines(read_file(file, kMaxOptionsBytes));
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = trimmed(line.substr(0, equals), "#");
    const std::string value = trimmed(line.substr(equals + 1), "\"'");
    if (trimmed(line, "")[0] == '#') {
      options.try_emplace(name, value);
    } else {
      options[name] = value;
    }
  }
  return options;
}

Conditions conditions_of(const std::string& data, const std::string& sha256, const std::string& length) {
  Conditions conditions{.data = file_name_of(data), .data_sha256 = clean_text(sha256)};
  if (!length.empty()) conditions.settings = {"sequences of " + clean_text(length) + " tokens"};
  if (sha256.empty()) conditions.unstated = {data.empty() ? "the data" : "what the data hold"};
  return conditions;
}

Conditions read_conditions(const fs::path& folder) {
  const fs::path state_file = newest_checkpoint(folder) / io::kTrainingStateName;
  if (state_file.has_parent_path() && is_there(state_file)) {
    const io::TrainingState state = io::read_training_state(state_file.parent_path());
    return conditions_of(state.data.path, state.data.fingerprint, std::to_string(state.sequence_length));
  }
  const fs::path options_file = folder / "options.ini";
  if (!is_there(options_file)) return conditions_of("", "", "");
  std::map<std::string, std::string> options = read_options(options_file);
  return conditions_of(options["data_path"], "", options["model_max_length"]);
}

}  // namespace

TrainingRun read_run(const fs::path& metrics) {
  const fs::path folder = fs::weakly_canonical(metrics).parent_path();
  TrainingRun run{.name = clean_text(folder.filename().string()),
                  .steps = {},
                  .evaluations = {},
                  .conditions = {},
                  .folder = clean_text(folder.string())};
  const std::vector<JsonLine> lines = read_json_lines(metrics);
  const bool has_hici = trains_hici(lines);
  for (const JsonLine& line : lines) {
    const auto step = line.value.find("step");
    constexpr double kMostSteps = 0x1p53;  // beyond it a double, and a file of ours, counts no steps
    if (step == line.value.end() || !step->is_number_integer() || std::abs(step->get<double>()) > kMostSteps) continue;
    if (line.value.contains(kEvaluationLoss)) {
      run.evaluations.push_back({step->get<int64_t>(), number_or_nan(line.value, kEvaluationLoss)});
      continue;
    }
    run.steps.push_back(parse_step(line.value));
    if (!has_hici) run.steps.back().hici_learning_rate = kNotANumber;
  }
  try {
    run.conditions = read_conditions(folder);
  } catch (const Error& e) {
    log_warning(e.what(), "; data and length of the run are taken as not stated");
    run.conditions = conditions_of("", "", "");
  }
  return run;
}

}  // namespace hici::report
