// SPDX-License-Identifier: Apache-2.0
// Finds what run directories hold: `metrics.jsonl` of training, and JSON files that `hici eval ppl` wrote.
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::report {

// Each path is a directory, searched with its subfolders (three levels, no checkpoints), or a result file. Throws
// hici::Error for a path that is not there, a file that is no result, and when nothing at all is found. Of two results
// for the same model, attention and context the later one counts, and a warning says so.
ReportData collect(const std::vector<std::filesystem::path>& paths);

// Text of unknown origin for a page or a terminal: no control characters, valid UTF-8.
std::string clean_text(std::string_view text);

}  // namespace hici::report
