// SPDX-License-Identifier: Apache-2.0
// state.json of a data set in Arrow files.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/data/arrow/files.h"

namespace hici::fuzz {
namespace {

constexpr const char* kDataFile = "data-00000-of-00001.arrow";

class DataSetFolder {
 public:
  DataSetFolder() { folder_.write(kDataFile, "x"); }
  const ScratchFolder& folder() const { return folder_; }

 private:
  ScratchFolder folder_;
};

}  // namespace

void read_arrow_state(std::string_view bytes) {
  static const DataSetFolder data;
  data.folder().write("state.json", bytes);
  for (const std::filesystem::path& file : data::arrow_files(data.folder().path(), "train"))
    require(file.parent_path() == data.folder().path(), "a data file that leaves its folder");
}

std::vector<std::string> arrow_state_seeds() {
  const std::string file = std::string(R"({"filename": ")") + kDataFile + "\"}";
  return {R"({"_data_files": [)" + file + R"(], "_fingerprint": "0123456789abcdef", "_split": "train"})"};
}

}  // namespace hici::fuzz
