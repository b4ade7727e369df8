// SPDX-License-Identifier: Apache-2.0
// Stands in for source.cpp and rows.cpp where libarrow was not found.
#include "hici/base/error.h"
#include "hici/base/version.h"
#include "hici/data/arrow/rows.h"
#include "hici/data/arrow/source.h"

namespace hici::data {
namespace {

[[noreturn]] void no_arrow(const std::filesystem::path& folder) {
  fail(folder.string(), ": is a folder; reading an Arrow data set needs libarrow, and here it is ", kArrowSummary,
       ": install the pyarrow wheel, configure and build again, or save the data set as .jsonl");
}

}  // namespace

std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& folder, const TextSourceOptions&) {
  no_arrow(folder);
}

std::unique_ptr<JsonRows> open_arrow_rows(const std::filesystem::path& folder, const std::string&) { no_arrow(folder); }

}  // namespace hici::data
