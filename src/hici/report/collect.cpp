// SPDX-License-Identifier: Apache-2.0
#include "hici/report/collect.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/json_lines.h"
#include "hici/base/log.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>

namespace hici::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kMaxDepth = 3;
constexpr size_t kMaxResultBytes = size_t{1} << 20;  // a larger .json in a run directory is data, not a result
constexpr int64_t kMaxContext = int64_t{1} << 40;
constexpr const char* kMetricsName = "metrics.jsonl";
constexpr const char* kPerplexityCommand = "eval ppl";

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

TrainingRun read_run(const fs::path& metrics) {
  TrainingRun run{.name = clean_text(fs::weakly_canonical(metrics).parent_path().filename().string()), .steps = {}};
  for (const JsonLine& line : read_json_lines(metrics)) {
    const auto step = line.value.find("step");
    if (step != line.value.end() && step->is_number_integer()) run.steps.push_back(parse_step(line.value));
  }
  return run;
}

// As papers write it; the two ways to cut for HiCI attention are two rows.
std::string attention_of(const JsonObject& result) {
  const std::string name = clean_text(result.string("attention"));
  const std::string attention = name == "hici" ? "HiCI" : name == "s2" ? "S2" : name == "dca" ? "DCA" : name;
  return result.string_or("eval_mode", "") == "full_hierarchical" ? attention + " (one segment)" : attention;
}

// Nothing for JSON that is about something else.
std::optional<PerplexityResult> parse_result(const json& value, const std::string& subject) {
  if (!value.is_object() || value.value("command", json()) != kPerplexityCommand) return std::nullopt;
  const JsonObject object(value, subject);
  return PerplexityResult{.label = clean_text(object.string("label")),
                          .attention = attention_of(object),
                          .context = object.integer("seq_len", 1, kMaxContext),
                          .perplexity = object.number_or("perplexity", kNotANumber),
                          .accuracy = object.number_or("accuracy", kNotANumber)};
}

bool is_searched(const fs::directory_entry& folder) {
  const std::string name = folder.path().filename().string();
  return !name.starts_with(".") && !name.starts_with("checkpoint-");
}

// Files of the folder and its subfolders in the order of their paths, so that the same runs give the same report.
void list_files(const fs::path& folder, int depth, std::vector<fs::path>& files) {
  std::vector<fs::directory_entry> entries(fs::directory_iterator(folder), fs::directory_iterator{});
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_directory() && depth < kMaxDepth && is_searched(entry)) list_files(entry.path(), depth + 1, files);
  }
}

class Collector {
 public:
  void add_directory(const fs::path& directory) {
    std::vector<fs::path> files;
    list_files(directory, 0, files);
    for (const fs::path& file : files) {
      if (file.filename() == kMetricsName) add_run(file);
      if (file.extension() == ".json" && fs::file_size(file) <= kMaxResultBytes) add_result_if_any(file);
    }
  }

  void add_file(const fs::path& file) {
    const std::optional<PerplexityResult> result = parse_result(read_json_file(file), file.string());
    HICI_CHECK(result, file.string(), ": is no result of 'hici eval ppl'; give a run directory or such a file");
    add(*result, file);
  }

  ReportData take() { return std::move(data_); }

 private:
  void add_run(const fs::path& metrics) {
    TrainingRun run = read_run(metrics);
    if (!run.steps.empty()) data_.runs.push_back(std::move(run));
  }

  void add_result_if_any(const fs::path& file) {
    try {
      if (const auto result = parse_result(read_json_file(file), file.string())) add(*result, file);
    } catch (const Error& e) {
      log_warning(e.what(), "; left out of the report");
    }
  }

  void add(const PerplexityResult& result, const fs::path& file) {
    const auto same = std::find_if(data_.perplexities.begin(), data_.perplexities.end(), [&](const auto& other) {
      return other.label == result.label && other.attention == result.attention && other.context == result.context;
    });
    if (same == data_.perplexities.end()) {
      data_.perplexities.push_back(result);
      return;
    }
    log_warning(file.string(), ": a second result for ", result.label, ", ", result.attention, " attention, context ",
                result.context, "; this one counts");
    *same = result;
  }

  ReportData data_;
};

// Length in bytes of the valid UTF-8 character at the start of the text, 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto is_next = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return is_next(1) ? 2 : 0;
  if ((first & 0xF0) == 0xE0) {
    const bool is_overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool is_surrogate = first == 0xED && byte(1) >= 0xA0;
    return is_next(1) && is_next(2) && !is_overlong && !is_surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool is_out_of_range = (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90);
    return is_next(1) && is_next(2) && is_next(3) && !is_out_of_range ? 4 : 0;
  }
  return 0;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  const bool is_c1 = character.size() == 2 && first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
  return first < 0x20 || first == 0x7F || is_c1;
}

}  // namespace

std::string clean_text(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    clean += length == 0 || is_control(character) ? "?" : character;
    text.remove_prefix(character.size());
  }
  return clean;
}

ReportData collect(const std::vector<fs::path>& paths) {
  Collector collector;
  for (const fs::path& path : paths) {
    HICI_CHECK(fs::exists(path), path.string(), ": no such file or directory; give run directories or result files");
    if (fs::is_directory(path)) {
      collector.add_directory(path);
    } else {
      collector.add_file(path);
    }
  }
  ReportData data = collector.take();
  HICI_CHECK(!data.runs.empty() || !data.perplexities.empty(), paths.front().string(), paths.size() > 1 ? " ..." : "",
             ": nothing to report, no ", kMetricsName, " and no result of 'hici eval ppl --output FILE'");
  return data;
}

}  // namespace hici::report
