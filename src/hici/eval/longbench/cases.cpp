// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/cases.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/json.h"
#include "hici/data/json_rows.h"

#include <utility>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMaxLength = int64_t{1} << 40;
constexpr int64_t kMaxNewTokens = int64_t{1} << 24;

LongBenchCase read_case(const data::JsonRow& line, const LongBenchTask& task) {
  const json value = parse_json(line.text, line.subject);
  const JsonObject row(value, line.subject);
  LongBenchCase out{.context = row.string("context"),
                    .input = row.string("input"),
                    .answers = row.strings("answers"),
                    .classes = nullptr,
                    .length = row.integer("length", 0, kMaxLength),
                    .subject = line.subject};
  HICI_CHECK(!out.answers.empty(), line.subject, ": answers is an empty list, expected a right answer or more");
  // Needed where classes are the score; kept wherever they are.
  if (task.metric == LongBenchMetric::kClassification || row.has("all_classes")) {
    out.classes = row.strings("all_classes");
  }
  return out;
}

std::string dumped_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + one_line(text);
  return "[" + out + "]";
}

}  // namespace

LongBenchPrompt::LongBenchPrompt(std::string_view format, const std::string& subject) {
  pieces_.emplace_back();
  for (size_t at = 0; at < format.size(); ++at) {
    const char c = format[at];
    const bool is_doubled = at + 1 < format.size() && format[at + 1] == c;
    if ((c != '{' && c != '}') || is_doubled) {
      pieces_.back().text += c;
      if (c == '{' || c == '}') ++at;
      continue;
    }
    const size_t end = format.find('}', at);
    HICI_CHECK(c == '{' && end != std::string_view::npos, subject, ": has a '", c, "' without its other half at byte ",
               at, "; use {context} and {input}, {{ and }} for braces");
    const std::string_view name = format.substr(at + 1, end - at - 1);
    HICI_CHECK(name == "context" || name == "input", subject, ": asks for {", printable(name, 40),
               "}; use {context} and {input}, {{ and }} for braces");
    pieces_.back().behind = name == "context" ? Field::kContext : Field::kInput;
    pieces_.emplace_back();
    at = end;
  }
}

std::string LongBenchPrompt::fill(const std::string& context, const std::string& input) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    out += piece.text;
    if (piece.behind == Field::kContext) out += context;
    if (piece.behind == Field::kInput) out += input;
  }
  return out;
}

fs::path longbench_data_file(const fs::path& folder, const LongBenchTask& task, bool is_e) {
  return folder / "data" / (std::string(task.name) + (is_e ? "_e.jsonl" : ".jsonl"));
}

// The folder of the benchmark's data is often inside the one that was cloned or downloaded.
std::string inner_folder_hint(const fs::path& folder) {
  std::error_code problem;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    if (fs::is_directory(at->path() / "data", problem) || fs::is_directory(at->path() / "config", problem))
      found.push_back(at->path());
    problem.clear();
  }
  if (found.size() != 1) return "";
  return "; " + found.front().string() + " in it has " +
         (fs::is_directory(found.front() / "data", problem) ? "data/: give that" : "config/: data/ belongs beside it");
}

std::vector<const LongBenchTask*> find_longbench_data(const fs::path& folder, bool is_e) {
  std::vector<const LongBenchTask*> found;
  for (const LongBenchTask& task : longbench_tasks()) {
    if (fs::exists(longbench_data_file(folder, task, is_e))) found.push_back(&task);
  }
  HICI_CHECK(!found.empty(), (folder / "data").string(), ": has no data set of LongBench; expected files like ",
             longbench_data_file(folder, longbench_tasks().front(), is_e).filename().string(),
             inner_folder_hint(folder), hub_hint(folder, HubKind::kDataSet));
  return found;
}

std::vector<LongBenchCase> read_longbench_cases(const fs::path& file, const LongBenchTask& task) {
  const std::unique_ptr<data::JsonRows> rows = data::open_json_rows(file);
  std::vector<LongBenchCase> cases;
  for (data::JsonRow row; rows->next(row);) cases.push_back(read_case(row, task));
  HICI_CHECK(!cases.empty(), file.string(), ": is empty; expected a case on each line");
  return cases;
}

LongBenchData read_longbench_data(const fs::path& folder, const LongBenchTask& task, bool is_e) {
  const std::string name(task.name);
  const fs::path prompts_file = folder / "config" / "dataset2prompt.json";
  const fs::path lengths_file = folder / "config" / "dataset2maxlen.json";
  HICI_CHECK(fs::exists(prompts_file), prompts_file.string(),
             ": is not there; config/ of LongBench's repository belongs beside data/", inner_folder_hint(folder));
  const json prompts = read_companion_json(prompts_file), lengths = read_companion_json(lengths_file);
  LongBenchPrompt prompt(JsonObject(prompts, prompts_file.string()).string(name), prompts_file.string() + ": " + name);
  const int64_t max_new_tokens = JsonObject(lengths, lengths_file.string()).integer(name, 1, kMaxNewTokens);
  const fs::path file = longbench_data_file(folder, task, is_e);
  return {&task, file, std::move(prompt), max_new_tokens, read_longbench_cases(file, task)};
}

std::string longbench_prediction_line(const LongBenchCase& answered, const std::string& prediction) {
  const std::string classes =
      answered.classes.is_null() ? "null" : dumped_list(answered.classes.get<std::vector<std::string>>());
  return R"({"pred": )" + one_line(prediction) + R"(, "answers": )" + dumped_list(answered.answers) +
         R"(, "all_classes": )" + classes + R"(, "length": )" + std::to_string(answered.length) + "}";
}

}  // namespace hici::eval
