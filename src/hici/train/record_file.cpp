// SPDX-License-Identifier: Apache-2.0
#include "hici/train/record_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"

#include <string>

namespace hici::train {
namespace {

namespace fs = std::filesystem;

// Under a name that is free.
void keep_aside(const fs::path& file) {
  for (int number = 1;; ++number) {
    const fs::path aside =
        file.parent_path() / hici::detail::concat(file.stem().string(), ".", number, file.extension().string());
    if (fs::exists(aside)) continue;
    fs::rename(file, aside);
    log_info(file.string(), ": lines of an earlier run, kept as ", aside.filename().string());
    return;
  }
}

std::vector<JsonLine> cut_after(const fs::path& file, int64_t resume_step) {
  std::string text;
  std::vector<JsonLine> kept;
  for (const JsonLine& line : read_json_lines(file)) {
    const auto step = line.value.find("step");
    const bool is_kept = step != line.value.end() && step->is_number_integer() && step->get<int64_t>() <= resume_step;
    if (!is_kept) continue;
    text += line.text + "\n";
    kept.push_back(line);
  }
  write_file_atomically(file, text);
  return kept;
}

}  // namespace

std::vector<JsonLine> prepare_record_file(const fs::path& file, int64_t resume_step) {
  if (!fs::exists(file)) return {};
  if (resume_step > 0) return cut_after(file, resume_step);
  keep_aside(file);
  return {};
}

}  // namespace hici::train
