// SPDX-License-Identifier: Apache-2.0
#include "hici/data/held_out_text.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/data/text_source.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace hici::data {
namespace {

constexpr size_t kHeldOutPart = 10;  // one of so many

bool is_inside_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

std::string read_text(const std::filesystem::path& file, const HeldOutSizes& sizes) {
  const std::unique_ptr<TextSource> source = open_text_source(file, {});
  std::string text;
  bool is_new_document = false;
  for (TextPiece piece; source->next(piece); is_new_document = piece.ends_document) {
    if (is_new_document && !text.empty() && text.back() != '\n') text += '\n';
    text += piece.text;
    HICI_CHECK(text.size() <= sizes.most_text, file.string(), ": has more than ",
               human_bytes(static_cast<int64_t>(sizes.most_text)),
               " of text, the most that is taken; give a part of it");
  }
  return text;
}

}  // namespace

HeldOutText read_held_out_text(const std::filesystem::path& file, const HeldOutSizes& sizes) {
  std::string text = read_text(file, sizes);
  HICI_CHECK(!text.empty(), file.string(), ": is empty; give a text of at least ", sizes.least_text, " bytes");
  const size_t nul = text.find('\0');
  HICI_CHECK(nul == std::string::npos, file.string(), ": has a NUL at byte ", nul, " of its text; give a text");
  HICI_CHECK(text.size() >= sizes.least_text, file.string(), ": has ", text.size(), " bytes of text; give at least ",
             sizes.least_text);
  size_t cut = text.size() - std::min(sizes.most_held_out, text.size() / kHeldOutPart);
  while (cut < text.size() && is_inside_character(text[cut])) ++cut;
  HeldOutText parts{.training = {}, .held_out = text.substr(cut)};
  text.resize(cut);
  parts.training = std::move(text);
  return parts;
}

}  // namespace hici::data
