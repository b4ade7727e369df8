// SPDX-License-Identifier: Apache-2.0
// What models are called on a page: names that somebody gave, else the last part of a path, with as many folders in
// front as tell it from others.
#pragma once

#include "hici/report/report_data.h"

#include <string>
#include <vector>

namespace hici::report {

// "runs/hici-8k/" -> "hici-8k"; of a checkpoint with its run: "hici-8k/checkpoint-100"; of a snapshot in the Hub's
// cache the repository's name. A path without a name (".", "/") stays as it is.
std::string short_name(const std::string& path);

// A name for each path: short_name(), and folders in front where two different paths would have the same one.
std::vector<std::string> distinct_names(const std::vector<std::string>& paths);

// "HiCI" -> "HiCI attention", also in front of settings: "HiCI attention, num_segments 4".
std::string attention_in_words(const std::string& attention);

// Sets the labels of perplexities, passkeys and attention shares that are paths (ModelOrigin::path). Other weights
// under one name get a mark; the same weights under paths that end alike are one model.
void name_models(ReportData& data);

}  // namespace hici::report
