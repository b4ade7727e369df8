// SPDX-License-Identifier: Apache-2.0
// Reads what a directory of `hici train` or `hici sft` says of its run.
#pragma once

#include "hici/report/report_data.h"

#include <filesystem>

namespace hici::report {

constexpr const char* kMetricsName = "metrics.jsonl";

// The steps in a metrics.jsonl; and from its directory, where they are there, the data and the length of sequences: of
// the newest checkpoint's state, else of options.ini. A learning rate of HiCI parameters is kept only where such
// parameters had gradients.
TrainingRun read_run(const std::filesystem::path& metrics);

}  // namespace hici::report
