// SPDX-License-Identifier: Apache-2.0
// Names of models on a page: given labels, else the last part of a path, preceded by as many folders as make it unique.
#pragma once

#include "hici/report/report_data.h"

#include <string>
#include <vector>

namespace hici::report {

// "runs/hici-8k/" -> "hici-8k". A checkpoint includes its run: "hici-8k/checkpoint-100". A snapshot in the Hub's cache
// has the repository's name. A path without a name (".", "/") is unchanged.
std::string short_name(const std::string& path);

// A name per path: short_name(), preceded by folders if two different paths would have the same name.
std::vector<std::string> distinct_names(const std::vector<std::string>& paths);

// "HiCI" -> "HiCI attention", also in front of settings: "HiCI attention, num_segments 4".
std::string attention_in_words(const std::string& attention);

// Replaces labels of perplexities, passkeys and attention shares that are paths (ModelOrigin::path). Different weights
// with the same name get a mark. Equal weights with the same end of their paths are one model.
void name_models(ReportData& data);

}  // namespace hici::report
