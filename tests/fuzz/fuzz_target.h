// SPDX-License-Identifier: Apache-2.0
// What all fuzz targets share. A target reads one input as the program would; it may refuse it with an hici::Error of
// one clean line and nothing else. Each NAME_fuzz.cpp holds a target and valid inputs to start from. All are
// part of fuzz_tests; with libfuzzer_entry.cpp they become fuzz_targets, under clang's libFuzzer (HICI_FUZZ=ON).
#pragma once

#include "hici/base/clean_text.h"
#include "hici/base/error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hici::fuzz {

using Target = void(std::string_view bytes);

struct TargetEntry {
  const char* name;
  Target* read;
  std::vector<std::string> (*seeds)();  // all are accepted
  size_t num_runs;                      // of each kind of mutation and each seed in fuzz_tests; more for fast readers
};
std::span<const TargetEntry> all_targets();

// Whether the target took the input. An error that is no clean refusal (a bug of ours, a message of several lines, an
// exception of another library) leaves as std::logic_error or as what it is.
inline bool accepts(Target* read, std::string_view bytes) {
  try {
    read(bytes);
    return true;
  } catch (const InternalError& e) {
    throw std::logic_error(e.what());
  } catch (const Error& e) {
    // Names out of the input may stand in it in their own writing (base/shown_name.h).
    if (clean_line(e.what()) != e.what())
      throw std::logic_error(std::string("a message that is no clean line: ") + e.what());
    return false;
  }
}

// For what must hold of accepted inputs.
inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

// A folder of this process for readers that need a path; removed at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view bytes) const;

 private:
  std::filesystem::path path_;
};

}  // namespace hici::fuzz
