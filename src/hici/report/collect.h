// SPDX-License-Identifier: Apache-2.0
// Finds what run directories hold: `metrics.jsonl` of training, and files of results (result_files.h).
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>
#include <vector>

namespace hici::report {

// Each path is a directory, searched with its subfolders (three levels, no checkpoints), or a file; a file that is
// found twice counts once. What cannot be taken is left out, named in a warning and in ReportData::left_out: a path
// that is not there, a file that was named and is no result, a bad file anywhere, a directory with nothing in it. An
// hici::Error when nothing at all is found. Models, runs and data have the names of a page (model_names.h,
// conditions.h); results that look alike are told apart (tell_apart.h).
ReportData collect(const std::vector<std::filesystem::path>& paths);

}  // namespace hici::report
