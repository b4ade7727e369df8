// SPDX-License-Identifier: Apache-2.0
// Folders that `datasets.save_to_disk` wrote: dataset_dict.json names splits, SPLIT/state.json lists Arrow IPC stream
// files.
#pragma once

#include "hici/data/text_source.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::data {

// The Arrow files of a split, in the order of state.json. Names are plain names; everything else is an error, and so is
// a split whose rows are chosen by an index file (datasets before 2.0 wrote such).
std::vector<std::filesystem::path> arrow_files(const std::filesystem::path& folder, const std::string& split);

// A document for each row of column options.text_field, which is string, large_string, string_view or a dictionary of
// them. One record batch at a time is in memory. As with JSON, a row without text (null) is an error. Rows in messages
// are counted from 0 within their file. The first file is opened at once, the others when their turn comes.
// In a binary built without libarrow this throws an error that says so.
std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& folder, const TextSourceOptions& options);

}  // namespace hici::data
