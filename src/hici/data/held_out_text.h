// SPDX-License-Identifier: Apache-2.0
// A text in two parts: the one that a model learns from, and its end, which is held out for evaluation.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace hici::data {

// In bytes of UTF-8, decompressed.
struct HeldOutSizes {
  size_t least_text = 0;
  size_t most_text = 0;
  size_t most_held_out = 0;
};

struct HeldOutText {
  std::string training;
  std::string held_out;
};

// The documents of `file` (text_source.h), a line end between those that have none. The last tenth of the text is held
// out, `most_held_out` at most, from the beginning of a character on. A text that is empty, shorter or longer than
// `sizes` says, or has a NUL is an error that names the file.
HeldOutText read_held_out_text(const std::filesystem::path& file, const HeldOutSizes& sizes);

}  // namespace hici::data
