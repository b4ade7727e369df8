// SPDX-License-Identifier: Apache-2.0
// Reads run directories: `metrics.jsonl` of training, and files of results (result_files.h).
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>
#include <vector>

namespace hici::report {

// Each path is a file or a directory, which is searched with its subfolders (three levels, no checkpoints). A file that
// is found twice counts once. Left out, and named in a warning and in ReportData::left_out, are: a path that does not
// exist, a named file that is not a result, a damaged file, a directory without results. Finding nothing at all is an
// hici::Error. Models, runs and data get the names of the page (model_names.h, conditions.h); results with the same
// name are distinguished (tell_apart.h).
ReportData collect(const std::vector<std::filesystem::path>& paths);

}  // namespace hici::report
