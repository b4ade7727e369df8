// SPDX-License-Identifier: Apache-2.0
// What `hici eval topics`, `lines` and `longbench` wrote beside their answers, NAME.json beside NAME.txt or NAME.jsonl,
// as the conditions of a result. Answers of other programs have no such file.
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>
#include <string>

namespace hici::report {

// Conditions and model of a file of answers to topics or lines. `labels_sha256` identifies its test cases: it is known
// for files of any origin.
void set_retrieval_settings(RetrievalResult& result, const std::filesystem::path& answers,
                            const std::string& labels_sha256);

// Conditions and model of the scores of a folder of predictions, from the files of all its data sets that were scored.
void set_longbench_settings(LongBenchResult& result, const std::filesystem::path& folder);

}  // namespace hici::report
