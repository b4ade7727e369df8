// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/files.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/shown_name.h"
#include "hici/data/arrow/parquet_folder.h"
#include "hici/data/byte_stream.h"

#include <algorithm>
#include <fstream>
#include <string_view>

namespace hici::data {
namespace {

constexpr size_t kMaxStateBytes = size_t{16} << 20;

// The folder that holds state.json: the data set itself, or one of its splits.
std::filesystem::path split_folder(const std::filesystem::path& folder, const std::string& split) {
  const std::filesystem::path dict = folder / "dataset_dict.json";
  if (!is_there(dict)) return folder;
  const nlohmann::json value = read_companion_json(dict, kMaxStateBytes);
  const std::vector<std::string> splits = JsonObject(value, dict.string()).strings("splits");
  std::string names;
  for (const std::string& name : splits) names.append(names.empty() ? "" : ", ").append(shown_name(name));
  HICI_CHECK(std::find(splits.begin(), splits.end(), split) != splits.end(), folder.string(), ": has no split '", split,
             "'; `split` takes one of ", names.empty() ? "none, there is no split in it" : names);
  HICI_CHECK(is_plain_name(split), dict.string(), ": split '", shown_name(split), "' is no plain name");
  return folder / split;
}

// What people give in place of a folder of save_to_disk.
std::string folder_hint(const std::filesystem::path& folder) {
  std::error_code problem;
  for (std::filesystem::recursive_directory_iterator at(folder, problem), end; !problem && at != end;
       at.increment(problem)) {
    if (at.depth() > 2) at.pop();
    if (at == end) break;
    const std::filesystem::path name = at->path().filename();
    if (name == "state.json" || name == "dataset_dict.json")
      return "; " + at->path().parent_path().string() + " is one: give that";
  }
  return "";
}

}  // namespace

bool is_parquet(const std::filesystem::path& path) {
  if (format_ending(path) == ".parquet") return true;
  constexpr std::string_view kMagic = "PAR1";
  char begin[kMagic.size()] = {};
  std::error_code problem;
  if (std::filesystem::is_regular_file(path, problem)) std::ifstream(path, std::ios::binary).read(begin, sizeof begin);
  return std::string_view(begin, sizeof begin) == kMagic;
}

bool is_arrow_data(const std::filesystem::path& path) {
  if (is_there(path / "dataset_dict.json") || is_there(path / "state.json")) return true;
  if (std::filesystem::is_directory(path)) return is_parquet_folder(path);
  return format_ending(path) == ".arrow" || is_parquet(path);
}

std::vector<std::filesystem::path> arrow_files(const std::filesystem::path& path, const std::string& split) {
  if (std::filesystem::is_regular_file(path)) return {path};
  const std::filesystem::path place = split_folder(path, split);
  const std::filesystem::path state = place / "state.json";
  if (!is_there(state) && is_parquet_folder(path)) return parquet_files(path, split);
  HICI_CHECK(std::filesystem::exists(state), place.string(),
             ": has no state.json; expected a folder that datasets.save_to_disk wrote", folder_hint(place));
  const nlohmann::json value = read_companion_json(state, kMaxStateBytes);
  const JsonObject object(value, state.string());
  HICI_CHECK(!object.has("_indices_data_files") || object.at("_indices_data_files").empty(), state.string(),
             ": chooses its rows by an index file, which is not supported; call flatten_indices() and save it again");
  const nlohmann::json& files = object.at("_data_files");
  HICI_CHECK(files.is_array(), state.string(), ": _data_files is ", shown_json(files), ", expected a list of files");
  HICI_CHECK(!files.empty(), place.string(), ": has no rows (state.json lists no file); give another split or folder");
  std::vector<std::filesystem::path> paths;
  for (const nlohmann::json& file : files) {
    const std::string name = JsonObject(file, state.string() + ": _data_files").string("filename");
    HICI_CHECK(is_plain_name(name), state.string(), ": file name ", shown_json(name),
               " is no plain name; it may not leave its folder");
    HICI_CHECK(std::filesystem::exists(place / name), state.string(), ": lists ", shown_json(name),
               ", which is not there");
    paths.push_back(place / name);
  }
  return paths;
}

}  // namespace hici::data
