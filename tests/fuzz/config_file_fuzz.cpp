// SPDX-License-Identifier: Apache-2.0
// A file of options for --config.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/commands/options/config_file.h"

namespace hici::fuzz {

void read_config_file(std::string_view bytes) {
  static const ScratchFolder folder;
  for (const commands::ConfigLine& line : commands::read_config_file(folder.write("run.ini", bytes), "train")) {
    require(!line.name.empty() && line.name.find('-') == std::string::npos, "an option without a name of ours");
    require(!line.values.empty(), "an option without a value");
  }
}

std::vector<std::string> config_file_seeds() {
  return {"# a run\n[train]\nlearning-rate = 2e-5 ; small\n\ndata_path=\"a \\\"b\\\" # c.bin\" \"d\"\r\nbf16 = True\n",
          "\xef\xbb\xbf[default]\nseed = 1"};
}

}  // namespace hici::fuzz
