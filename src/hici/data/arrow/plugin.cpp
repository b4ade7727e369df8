// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/plugin.h"

#include "hici/base/dl_message.h"
#include "hici/base/error.h"
#include "hici/base/installed_data.h"
#include "hici/base/joined.h"
#include "hici/base/log.h"
#include "hici/base/version.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/rows.h"
#include "hici/data/arrow/source.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace hici::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLibrary = "libarrow.so.", kPluginBegin = "libhici_arrow_", kPluginEnd = ".so";

// Where packages are installed, by the LibTorch of this process: SITE_PACKAGES/torch/lib/libc10.so.
fs::path folder_of_packages() {
  void* const handle = dlopen("libc10.so", RTLD_LAZY | RTLD_NOLOAD);
  link_map* library = nullptr;
  const bool is_found = handle != nullptr && dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&library)) == 0;
  const fs::path path = is_found ? fs::path(library->l_name) : fs::path();
  if (handle != nullptr) dlclose(handle);
  return path.parent_path().parent_path().parent_path();
}

// The user's word, else where it was when this was built, else beside torch.
fs::path pyarrow_folder() {
  if (const char* folder = std::getenv("HICI_PYARROW")) return folder;
  return kArrowFolder[0] != '\0' ? fs::path(kArrowFolder) : folder_of_packages() / "pyarrow";
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.size() <= 6 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "2600" is 26.0.
std::string release_of(const std::string& so_version) {
  const int number = std::stoi(so_version);
  return detail::concat(number / 100, ".", number % 100);
}

const ArrowPlugin* load(const std::string& subject) {
  const fs::path pyarrow = pyarrow_folder();
  const fs::path path = arrow_plugin_path(subject, program_folder(), pyarrow);
  // By their paths: the plug-in names them without. Never closed: objects of theirs may live as long as the program.
  const std::string version = libarrow_version(pyarrow);
  for (const char* name : {"libarrow.so.", "libparquet.so."}) {
    const std::string library = (pyarrow / detail::concat(name, version)).string();
    HICI_CHECK(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL), subject, ": libarrow cannot be loaded: ", dl_message());
  }
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  HICI_CHECK(handle, subject, ": the Arrow plug-in cannot be loaded: ", dl_message());
  const auto entry = reinterpret_cast<decltype(&hici_arrow_plugin)>(dlsym(handle, "hici_arrow_plugin"));
  HICI_CHECK(entry && std::string_view(entry()->version) == kVersion, subject, ": ", path.string(),
             " is of another hici than this ", kVersion, "; install hici again");
  return entry();
}

// Which files a data set has is found here; the plug-in reads them.
std::vector<ArrowFile> files_of(const std::filesystem::path& path, const std::string& split) {
  std::vector<ArrowFile> files;
  for (const std::filesystem::path& file : arrow_files(path, split)) files.push_back({file, is_parquet(file)});
  return files;
}

}  // namespace

std::string libarrow_version(const fs::path& folder) {
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kLibrary) && is_digits(std::string_view(name).substr(kLibrary.size())))
      return name.substr(kLibrary.size());
  }
  return "";
}

std::vector<std::string> plugin_versions(const fs::path& folder) {
  std::vector<std::string> versions;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (name.size() <= kPluginBegin.size() + kPluginEnd.size() || !name.starts_with(kPluginBegin) ||
        !name.ends_with(kPluginEnd))
      continue;
    const std::string number = name.substr(kPluginBegin.size(), name.size() - kPluginBegin.size() - kPluginEnd.size());
    if (is_digits(number)) versions.push_back(release_of(number));
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

fs::path arrow_plugin_path(const std::string& subject, const fs::path& plugins, const fs::path& pyarrow) {
  const std::string versions = joined(plugin_versions(plugins));
  HICI_CHECK(!versions.empty(), subject, ": needs libarrow, and here it is ", kArrowSummary,
             ": install the pyarrow wheel, configure and build again, or save the data set as .jsonl");
  const std::string found = libarrow_version(pyarrow);
  const std::string way_out =
      detail::concat("; pip install a pyarrow of ", versions, ", or save the data set as .jsonl");
  HICI_CHECK(!found.empty(), subject, ": needs pyarrow, which is not in ", pyarrow.string(), way_out,
             " (HICI_PYARROW names another folder of it)");
  fs::path path = plugins / detail::concat(kPluginBegin, found, kPluginEnd);
  HICI_CHECK(fs::exists(path), subject, ": ", pyarrow.string(), " is pyarrow ", release_of(found),
             ", which this hici does not read with", way_out);
  return path;
}

const ArrowPlugin& arrow_plugin(const std::string& subject) {
  static const ArrowPlugin* plugin = nullptr;  // a failure is told again for the next data set
  if (plugin == nullptr) plugin = load(subject);
  return *plugin;
}

std::unique_ptr<TextSource> open_arrow_source(const std::filesystem::path& path, const TextSourceOptions& options) {
  std::vector<ArrowFile> files = files_of(path, options.split);
  return arrow_plugin(path.string()).open_source(std::move(files), options.text_field);
}

std::unique_ptr<JsonRows> open_arrow_rows(const std::filesystem::path& path, const std::string& split) {
  std::vector<ArrowFile> files = files_of(path, split);
  return arrow_plugin(path.string()).open_rows(std::move(files));
}

std::unique_ptr<IdRows> open_arrow_ids(const std::filesystem::path& path, const std::string& split,
                                       const std::string& text_field, int64_t vocab_size, bool says_choice) {
  std::vector<ArrowFile> files = files_of(path, split);
  std::string hint;
  std::unique_ptr<IdRows> rows = arrow_plugin(path.string()).open_ids(std::move(files), text_field, vocab_size, hint);
  if (says_choice && !hint.empty()) log_info(hint);
  return rows;
}

}  // namespace hici::data
