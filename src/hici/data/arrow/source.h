// SPDX-License-Identifier: Apache-2.0
// Documents of an Arrow data set (arrow/files.h): a folder that `datasets.save_to_disk` wrote, a .arrow or a Parquet
// file.
#pragma once

#include "hici/data/text_source.h"

#include <filesystem>
#include <memory>

namespace hici::data {

// A document for each row of column options.text_field, which is text, binary that is UTF-8, or a dictionary of them.
// One batch at a time is in memory. As with JSON, a row without text (null) is an error. Rows in messages are counted
// from 0 within their file. The first file is opened at once, the others when their turn comes.
// Without libarrow (arrow/plugin.h) this throws an error that says so.
std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& path, const TextSourceOptions& options);

}  // namespace hici::data
