// SPDX-License-Identifier: Apache-2.0
// Somebody else's result.json in a folder of predictions, whose scores are compared with ours before it is replaced.
#pragma once

#include "hici/eval/longbench/result_record.h"

#include <filesystem>
#include <string>
#include <vector>

namespace hici::eval {

// The content of result.json.
std::string longbench_result_text(const LongBenchModelScores& scores, bool by_length);

// What somebody else's result.json in `folder` says otherwise than `scores`, a line for each data set, and one for what
// it has beyond them; none if there is no such file or it says the same. Where the other ratio of code explains the
// difference, the line says so. A file that cannot be compared is one line with the reason. Throws nothing for its
// content.
std::vector<std::string> differences_from_stored(const std::filesystem::path& folder,
                                                 const LongBenchModelScores& scores, const LongBenchScoring& scoring);

// A name in `folder` that is free: result.others.json, result.others-2.json ...
std::filesystem::path free_name_for_stored(const std::filesystem::path& folder);

}  // namespace hici::eval
