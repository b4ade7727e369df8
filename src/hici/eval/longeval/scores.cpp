// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/scores.h"

#include "hici/base/error.h"
#include "hici/base/sha256.h"
#include "hici/eval/longeval/numbered_files.h"

#include <algorithm>
#include <cctype>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kResponseEnd = "_response.txt";
constexpr std::string_view kDigits = "0123456789";

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return c < 0x80 ? static_cast<char>(std::tolower(c)) : static_cast<char>(c); });
  return out;
}

}  // namespace

std::string last_number(std::string_view text) {
  const size_t end = text.find_last_of(kDigits);
  if (end == std::string_view::npos) return "";
  const size_t before = text.substr(0, end + 1).find_last_not_of(kDigits);
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  return std::string(without_leading_zeros(text.substr(begin, end + 1 - begin)));
}

bool has_retrieved(const RetrievalAnswer& answer, RetrievalTask task) {
  if (task == RetrievalTask::kTopics)
    return lower_case(answer.answer).find(lower_case(answer.label)) != std::string::npos;
  return last_number(answer.answer) == without_leading_zeros(answer.label);
}

RetrievalScore score_retrieval(const fs::path& file, const std::vector<RetrievalAnswer>& answers, RetrievalTask task) {
  const auto correct = std::count_if(answers.begin(), answers.end(),
                                     [&](const RetrievalAnswer& answer) { return has_retrieved(answer, task); });
  return {.model = fs::absolute(file).parent_path().filename().string(),
          .file = file,
          .num_correct = correct,
          .num_answers = static_cast<int64_t>(answers.size())};
}

std::string labels_sha256(const std::vector<RetrievalAnswer>& answers) {
  std::string labels;
  for (const RetrievalAnswer& answer : answers) labels += answer.label + "\n";
  return sha256_hex(labels);
}

bool is_response_file(const fs::path& file) { return file.filename().string().ends_with(kResponseEnd); }

std::vector<fs::path> find_response_files(const fs::path& path) {
  HICI_CHECK(fs::exists(path), path.string(), ": is not there; expected a file of answers or a folder of such files");
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files = find_numbered_files(path, kResponseEnd);
  HICI_CHECK(!files.empty(), path.string(), ": has no answer files; expected names like 5_response.txt");
  return files;
}

nlohmann::ordered_json retrieval_result(const std::vector<RetrievalScore>& scores) {
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  for (const RetrievalScore& score : scores) {
    const std::string name = score.file.filename().string();
    HICI_CHECK(!result.contains(score.model) || !result[score.model].contains(name), score.file.string(), ": a second ",
               name, " of a model called ", score.model, "; score one of them at a time");
    result[score.model][name] = {score.num_correct, score.num_answers};
  }
  return result;
}

}  // namespace hici::eval
