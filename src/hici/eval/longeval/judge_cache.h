// SPDX-License-Identifier: Apache-2.0
// Verdicts of a judge, one JSON object per line, in a file beside the answers. Each verdict is appended when it
// arrives, so a crash loses at most one. The same question to the same model is answered from this file.
#pragma once

#include "hici/base/append_file.h"
#include "hici/eval/longeval/answers.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace hici::eval {

class JudgeCache {
 public:
  // Reads earlier verdicts of `model`. The file is created at the first added verdict.
  JudgeCache(std::filesystem::path file, std::string model);

  std::optional<bool> find(const RetrievalAnswer& answer) const;
  void add(const RetrievalAnswer& answer, bool verdict, const std::string& words);

  // FILE.judge.jsonl
  static std::filesystem::path beside(const std::filesystem::path& answers);

 private:
  void open();

  std::filesystem::path file_;
  std::string model_;
  std::unordered_map<std::string, bool> verdicts_;  // by label and answer
  std::unique_ptr<AppendFile> writer_;
};

}  // namespace hici::eval
