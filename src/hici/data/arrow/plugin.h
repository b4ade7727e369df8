// SPDX-License-Identifier: Apache-2.0
// The Arrow plug-in, libhici_arrow_VERSION.so, and with it libarrow and libparquet of an installed pyarrow. It is
// loaded when the first Arrow data set is opened, so that the program needs no pyarrow before, and there may be one
// plug-in for each version of libarrow, whose C++ interface changes with every release.
//
// Both sides of this interface are compiled from it. The plug-in has its own copies of what it uses of base/, and no
// LibTorch.
#pragma once

#include "hici/data/arrow/ids.h"
#include "hici/data/json_rows.h"
#include "hici/data/text_source.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::data {

struct ArrowFile {
  std::filesystem::path path;
  bool is_parquet = false;  // else an Arrow IPC stream
};

struct ArrowPlugin {
  const char* version;  // of hici; another one may have another interface
  // arrow/source.h, arrow/rows.h and arrow/ids.h, for files that are chosen already.
  std::unique_ptr<TextSource> (*open_source)(std::vector<ArrowFile> files, const std::string& text_field);
  std::unique_ptr<JsonRows> (*open_rows)(std::vector<ArrowFile> files);
  // `hint`: empty, or a line for a data set that holds both text and ids.
  std::unique_ptr<IdRows> (*open_ids)(std::vector<ArrowFile> files, const std::string& text_field, int64_t vocab_size,
                                      std::string& hint);
};

// Loads the plug-in once. An error that begins with `subject` where there is no pyarrow, or one that no plug-in beside
// the program is for.
const ArrowPlugin& arrow_plugin(const std::string& subject);

// Of the libarrow in a pyarrow's folder, "2600"; empty: there is none.
std::string libarrow_version(const std::filesystem::path& folder);
// Versions of libarrow for which `folder` has a plug-in, as pyarrow counts them: "26.0".
std::vector<std::string> plugin_versions(const std::filesystem::path& folder);

// The plug-in in folder `plugins` for the libarrow in folder `pyarrow`; errors as of arrow_plugin().
std::filesystem::path arrow_plugin_path(const std::string& subject, const std::filesystem::path& plugins,
                                        const std::filesystem::path& pyarrow);

// What the plug-in's table points to; defined in the plug-in alone.
std::unique_ptr<TextSource> open_source_files(std::vector<ArrowFile> files, const std::string& text_field);
std::unique_ptr<JsonRows> open_rows_files(std::vector<ArrowFile> files);
std::unique_ptr<IdRows> open_ids_files(std::vector<ArrowFile> files, const std::string& text_field, int64_t vocab_size,
                                       std::string& hint);

}  // namespace hici::data

// The one symbol that the plug-in exports.
extern "C" __attribute__((visibility("default"))) const hici::data::ArrowPlugin* hici_arrow_plugin();
