// SPDX-License-Identifier: Apache-2.0
// result.json in a folder of predictions: ours, with a record beside it of how code was compared, or somebody else's,
// whose scores are compared with ours before it is replaced.
#pragma once

#include "hici/eval/longbench/scores.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::eval {

constexpr const char* kLongBenchResultName = "result.json";
// What result.json, which has the form of LongBench's eval.py, cannot say of itself.
constexpr const char* kLongBenchRecordName = "result_settings.json";

// The files' contents. The record belongs to the result with this text alone.
std::string longbench_result_text(const LongBenchModelScores& scores, bool by_length);
std::string longbench_record_text(const LongBenchModelScores& scores, bool by_length, const std::string& result_text);

// How code was compared in the result.json that is there. Nothing without a record, and where result.json was changed
// since. A bad record is named in a warning.
std::optional<CodeRatio> recorded_code_ratio(const std::filesystem::path& folder);

// What somebody else's result.json in `folder` says otherwise than `scores`, a line for each data set, and one for what
// it has beyond them; none if there is no such file or it says the same. Where the other ratio of code explains the
// difference, the line says so. A file that cannot be compared is one line with the reason. Throws nothing for its
// content.
std::vector<std::string> differences_from_stored(const std::filesystem::path& folder,
                                                 const LongBenchModelScores& scores, const LongBenchScoring& scoring);

// A name in `folder` that is free: result.others.json, result.others-2.json ...
std::filesystem::path free_name_for_stored(const std::filesystem::path& folder);

}  // namespace hici::eval
