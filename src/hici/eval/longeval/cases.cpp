// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/cases.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/byte_stream.h"
#include "hici/data/json_rows.h"
#include "hici/eval/longeval/numbered_files.h"

#include <cstdint>
#include <limits>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

std::string name_end(RetrievalTask task) { return std::string("_") + name_of(task); }

std::string first_topic(const JsonObject& row) {
  const std::vector<std::string> topics = row.strings("topics");
  HICI_CHECK(!topics.empty() && !topics.front().empty(), row.subject(),
             ": topics has no first topic; it is the right answer");
  // It stands in a line of the answer file, in front of ", Predict: ".
  const bool fits_a_line = topics.front().find_first_of("\r\n") == std::string::npos &&
                           topics.front().find(", Predict: ") == std::string::npos;
  HICI_CHECK(fits_a_line, row.subject(), ": topics begins with '", printable(topics.front(), 60),
             "', which cannot stand in a line of an answer file");
  return topics.front();
}

RetrievalCase read_case(const data::JsonRow& line, RetrievalTask task) {
  const nlohmann::json value = parse_json(line.text, line.subject);
  const JsonObject row(value, line.subject);
  RetrievalCase out{.prompt = row.string("prompt"), .label = {}, .subject = line.subject};
  HICI_CHECK(!out.prompt.empty(), line.subject, ": prompt is empty, expected the text that the model is asked");
  const bool is_lines = task == RetrievalTask::kLines;
  const char* other = is_lines ? "topics" : "expected_number";
  HICI_CHECK(row.has(is_lines ? "expected_number" : "topics") || !row.has(other), line.subject, ": has '", other,
             "', a case of the other task; use 'hici eval ", is_lines ? "topics" : "lines", "'");
  out.label = is_lines ? std::to_string(row.integer("expected_number", 0, std::numeric_limits<int64_t>::max()))
                       : first_topic(row);
  return out;
}

}  // namespace

std::vector<RetrievalCase> read_retrieval_cases(const fs::path& file, RetrievalTask task) {
  const std::unique_ptr<data::JsonRows> rows = data::open_json_rows(file);
  std::vector<RetrievalCase> cases;
  for (data::JsonRow row; rows->next(row);) cases.push_back(read_case(row, task));
  HICI_CHECK(!cases.empty(), file.string(), ": holds no test case; the file was cut");
  return cases;
}

std::vector<fs::path> find_retrieval_cases(const fs::path& path, RetrievalTask task) {
  HICI_CHECK(fs::exists(path), path.string(),
             ": is not there; expected a file of test cases or a folder of such files");
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files = find_numbered_files(path, name_end(task) + ".jsonl");
  HICI_CHECK(!files.empty(), path.string(), ": has no test cases; expected names like ",
             task == RetrievalTask::kTopics ? "5" : "200", name_end(task), ".jsonl");
  return files;
}

std::string response_file_name(const fs::path& cases_file, RetrievalTask task) {
  std::string name = cases_file.filename().string();
  name.resize(name.rfind(data::format_ending(cases_file)));
  const std::string end = name_end(task);
  if (name.size() > end.size() && name.ends_with(end)) name.resize(name.size() - end.size());
  return name + "_response.txt";
}

}  // namespace hici::eval
