// SPDX-License-Identifier: Apache-2.0
// The record beside a result.json of ours: what that file, which has the form of LongBench's eval.py, cannot say of
// itself.
#pragma once

#include "hici/eval/longbench/scores.h"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace hici::eval {

constexpr const char* kLongBenchResultName = "result.json";
constexpr const char* kLongBenchRecordName = "result_settings.json";
constexpr size_t kMaxResultBytes = size_t{4} << 20;

// The record's content. It belongs to the result with this text alone.
std::string longbench_record_text(const LongBenchModelScores& scores, bool by_length, const std::string& result_text);

// How code was compared in the result.json that is there. Nothing without a record, and where result.json was changed
// since. A bad record is named in a warning.
std::optional<CodeRatio> recorded_code_ratio(const std::filesystem::path& folder);

}  // namespace hici::eval
