// SPDX-License-Identifier: Apache-2.0
// Reads what was measured on models from files of any origin: JSON that `hici eval` and `hici score` wrote, answers to
// LongEval's retrieval. Each function gives what one file holds, or an hici::Error that names file and field.
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>

namespace hici::report {

// Known are results of `hici eval ppl`, `passkey` and `attention` (by their "command"), `hici score topics --output`
// with a judge, and files called result.json that name data sets of LongBench. Nothing for JSON about something else.
ReportData read_result_file(const std::filesystem::path& file);

// Scores answers by rule; whether they are about topics or lines is seen in them. The name must begin with the number
// of topics or lines: 5_response.txt.
ReportData read_response_file(const std::filesystem::path& file);

}  // namespace hici::report
