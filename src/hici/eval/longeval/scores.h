// SPDX-License-Identifier: Apache-2.0
// Scores of LongEval's topics and lines by rule. A topic is right if the answer contains its label, ignoring the case
// of ASCII letters. A line is right if the last number of the answer is its number.
#pragma once

#include "hici/eval/longeval/answers.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

bool has_retrieved(const RetrievalAnswer& answer, RetrievalTask task);
// The digits of the last number in a text, without leading zeros; empty when there is none.
std::string last_number(std::string_view text);

struct RetrievalScore {
  std::string model;  // name of the file's folder
  std::filesystem::path file;
  int64_t num_correct = 0;
  int64_t num_answers = 0;
};

RetrievalScore score_retrieval(const std::filesystem::path& file, const std::vector<RetrievalAnswer>& answers,
                               RetrievalTask task);

// What identifies the test cases of a file of answers: the right answers in their order. 64 hex digits.
std::string labels_sha256(const std::vector<RetrievalAnswer>& answers);

// True for NAME_response.txt.
bool is_response_file(const std::filesystem::path& file);

// `path` itself when it is a file; else the files NAME_response.txt in it and its folders (two levels), by folder and
// by the number that the name begins with. None is an hici::Error.
std::vector<std::filesystem::path> find_response_files(const std::filesystem::path& path);

// {model: {file: [correct, answers]}}; two files of one model and name are an hici::Error.
nlohmann::ordered_json retrieval_result(const std::vector<RetrievalScore>& scores);

}  // namespace hici::eval
