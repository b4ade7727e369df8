// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/files.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"

#include <algorithm>

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
  for (const std::string& name : splits) names += (names.empty() ? "" : ", ") + shown_json(name);
  HICI_CHECK(std::find(splits.begin(), splits.end(), split) != splits.end(), folder.string(), ": has no split '", split,
             "'; `split` takes one of ", names);
  HICI_CHECK(is_plain_name(split), dict.string(), ": split ", shown_json(split), " is no plain name");
  return folder / split;
}

}  // namespace

std::vector<std::filesystem::path> arrow_files(const std::filesystem::path& folder, const std::string& split) {
  const std::filesystem::path place = split_folder(folder, split);
  const std::filesystem::path state = place / "state.json";
  HICI_CHECK(std::filesystem::exists(state), place.string(),
             ": has no state.json; expected a folder that datasets.save_to_disk wrote");
  const nlohmann::json value = read_companion_json(state, kMaxStateBytes);
  const JsonObject object(value, state.string());
  HICI_CHECK(!object.has("_indices_data_files") || object.at("_indices_data_files").empty(), state.string(),
             ": chooses its rows by an index file, which is not supported; call flatten_indices() and save it again");
  const nlohmann::json& files = object.at("_data_files");
  HICI_CHECK(files.is_array() && !files.empty(), state.string(), ": _data_files is ", shown_json(files),
             ", expected a list of files");
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
