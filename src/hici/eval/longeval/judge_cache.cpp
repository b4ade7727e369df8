// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/judge_cache.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/json_lines.h"
#include "hici/base/log.h"

#include <utility>

namespace hici::eval {
namespace {

std::string key_of(const std::string& label, const std::string& answer) {
  return one_line(nlohmann::json::array({label, answer}));
}

bool ends_inside_a_line(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file) || std::filesystem::file_size(file) == 0) return false;
  char last = '\n';
  const MappedFile mapped(file);
  mapped.copy(mapped.size() - 1, &last, 1);
  return last != '\n';
}

}  // namespace

JudgeCache::JudgeCache(std::filesystem::path file, std::string model)
    : file_(std::move(file)), model_(std::move(model)) {
  for (const JsonLine& line : read_json_lines(file_)) {
    try {
      const JsonObject row(line.value, file_.string());
      if (row.string("model") != model_) continue;
      verdicts_[key_of(row.string("label"), row.string("answer"))] = row.integer("verdict", 0, 1) == 1;
    } catch (const Error& e) {
      log_warning(e.what(), "; this verdict is left out");
    }
  }
}

std::optional<bool> JudgeCache::find(const RetrievalAnswer& answer) const {
  const auto found = verdicts_.find(key_of(answer.label, answer.answer));
  return found == verdicts_.end() ? std::nullopt : std::optional(found->second);
}

void JudgeCache::add(const RetrievalAnswer& answer, bool verdict, const std::string& words) {
  if (!writer_) open();
  const nlohmann::ordered_json row = {{"model", model_},
                                      {"label", answer.label},
                                      {"answer", answer.answer},
                                      {"verdict", verdict ? 1 : 0},
                                      {"words", words}};
  writer_->append(one_line(row) + "\n");
  verdicts_[key_of(answer.label, answer.answer)] = verdict;
}

void JudgeCache::open() {
  const bool is_torn = ends_inside_a_line(file_);  // a killed process; what follows must not be joined to it
  writer_ = std::make_unique<AppendFile>(file_);
  if (is_torn) writer_->append("\n");
}

std::filesystem::path JudgeCache::beside(const std::filesystem::path& answers) {
  return answers.string() + ".judge.jsonl";
}

}  // namespace hici::eval
