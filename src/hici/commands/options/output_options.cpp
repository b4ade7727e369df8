// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/output_options.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/live_line.h"
#include "hici/base/log.h"
#include "hici/data/token_sidecar.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <system_error>

namespace hici::commands {
namespace {

bool says_yes(const std::string& question) {
  stderr_live_line().erase();
  std::fputs(question.c_str(), stderr);
  std::fflush(stderr);
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "Y" || answer == "yes");
}

}  // namespace

void OverwriteOption::bind(CLI::App& app) {
  add_bool(app, "overwrite", *this,
           "Replace output files that are there; False: a terminal is asked, without one it is an error");
}

void OverwriteOption::check(const std::vector<std::filesystem::path>& files) const {
  if (value) return;
  const bool can_ask = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
  for (const std::filesystem::path& file : files) {
    std::error_code ignored;
    if (file.empty() || !std::filesystem::exists(file, ignored)) continue;
    if (can_ask && says_yes(file.string() + " is there already; replace it? [y/N] ")) continue;
    fail(file.string(), ": is there already; give --overwrite True to replace it, or another name");
  }
}

void add_read_places(ReadPlaces& places, const fs::path& path, const std::string& option) {
  if (path.empty()) return;
  places.push_back({path, option});
  if (path.filename() == "tokenizer.json") {
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"})
      places.push_back({folder_of(path) / name, option});
  }
  std::error_code problem;
  for (fs::directory_iterator at(path, problem), end; !problem && at != end; at.increment(problem)) {
    std::error_code ignored;
    const bool is_part =
        at->path().filename().string().starts_with("checkpoint-") || fs::exists(at->path() / "state.json", ignored);
    if (is_part && at->is_directory(ignored)) places.push_back({at->path(), option});
  }
}

ReadPlaces read_places_of_model(const fs::path& base_model, const fs::path& peft_model) {
  ReadPlaces places;
  add_read_places(places, base_model, "--base_model");
  add_read_places(places, peft_model, "--peft_model");
  return places;
}

ReadPlaces read_places_of_shapes(const std::string& model) {
  if (!fs::is_directory(model)) return {};
  return {{model, "--model"}};
}

ReadPlaces read_places_of_windows(const fs::path& base_model, const fs::path& peft_model, const fs::path& data_path) {
  ReadPlaces places = read_places_of_model(base_model, peft_model);
  places.push_back({data_path, "--data_path"});
  places.push_back({data::sidecar_path(data_path), "of --data_path"});
  return places;
}

void write_result(const fs::path& file, const std::function<std::string()>& text) {
  if (file.empty()) return;
  write_output_file(file, text());
  log_info("wrote ", file.string());
}

void show_and_write(const std::string& text, const std::function<void()>& write) {
  try {
    write();
  } catch (...) {
    write_stdout(text);
    throw;
  }
  write_stdout(text);
}

}  // namespace hici::commands
