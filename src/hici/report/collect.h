// SPDX-License-Identifier: Apache-2.0
// Finds what run directories hold: `metrics.jsonl` of training, and files of results (result_files.h).
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>
#include <vector>

namespace hici::report {

// Each path is a directory, searched with its subfolders (three levels, no checkpoints), or a file. In a directory a
// bad file is left out with a warning. Throws hici::Error for a path that is not there, a file that is no result, and
// when nothing at all is found. Of two results for the same thing the later one counts, and a warning says so.
ReportData collect(const std::vector<std::filesystem::path>& paths);

}  // namespace hici::report
