// SPDX-License-Identifier: Apache-2.0
// Stands in for source.cpp, rows.cpp and ids.cpp where libarrow was not found.
#include "hici/base/error.h"
#include "hici/base/version.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/ids.h"
#include "hici/data/arrow/rows.h"
#include "hici/data/arrow/source.h"

namespace hici::data {
namespace {

[[noreturn]] void no_arrow(const std::filesystem::path& path) {
  fail(path.string(), is_parquet(path) ? ": is Parquet; reading it" : ": is a folder; reading an Arrow data set",
       " needs libarrow, and here it is ", kArrowSummary,
       ": install the pyarrow wheel, configure and build again, or save the data set as .jsonl");
}

}  // namespace

std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& path, const TextSourceOptions&) {
  no_arrow(path);
}

std::unique_ptr<JsonRows> open_arrow_rows(const std::filesystem::path& path, const std::string&) { no_arrow(path); }

std::unique_ptr<IdRows> open_arrow_ids(const std::filesystem::path& path, const std::string&, const std::string&,
                                       int64_t, bool) {
  no_arrow(path);
}

}  // namespace hici::data
