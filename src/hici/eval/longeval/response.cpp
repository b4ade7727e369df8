// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/response.h"

#include "hici/base/error.h"
#include "hici/eval/longeval/scores.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

namespace hici::eval {
namespace {

struct CodeRange {
  uint32_t first, last;
};

// What str.isprintable() of Python 3.11 calls unprintable, above ASCII: categories Cc, Cf, Co, Zl, Zp and Zs.
constexpr std::array<CodeRange, 24> kUnprintable = {
    {{0x80, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},     {0x6dd, 0x6dd},
     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},     {0x1680, 0x1680},   {0x180e, 0x180e},
     {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},   {0xd800, 0xf8ff},
     {0xfeff, 0xfeff},   {0xfff9, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x13438},
     {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0001, 0xe007f}, {0xf0000, 0x10fffd}}};

bool is_printable(uint32_t code) {
  if (code < 0x80) return code >= ' ' && code != 0x7f;
  return std::none_of(kUnprintable.begin(), kUnprintable.end(),
                      [&](const CodeRange& range) { return code >= range.first && code <= range.last; });
}

// The character at `at`, whose bytes are counted in `size`; what is no UTF-8 is a character of one byte.
uint32_t character_at(std::string_view text, size_t at, size_t& size) {
  const auto lead = static_cast<unsigned char>(text[at]);
  size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (at + size > text.size()) size = 1;
  if (size == 1) return lead;
  uint32_t code = lead & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) code = (code << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
  return code;
}

std::string escaped(uint32_t code) {
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  if (code == '\t') return "\\t";
  std::array<char, 12> out{};
  std::snprintf(out.data(), out.size(), code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
  return out.data();
}

std::string on_one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

}  // namespace

std::string with_python_quotes(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos,
             has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  size_t size = 0;
  for (size_t at = 0; at < text.size(); at += size) {
    const uint32_t code = character_at(text, at, size);
    if (code == '\\' || code == static_cast<uint32_t>(quote)) out += '\\';
    out += is_printable(code) ? std::string(text.substr(at, size)) : escaped(code);
  }
  return out + quote;
}

std::string response_line(const RetrievalAnswer& answer, int64_t prompt_length, RetrievalTask task) {
  const std::string length = ", prompt length: " + std::to_string(prompt_length);
  const std::string begin = "Label: " + answer.label + ", Predict: ";
  if (task == RetrievalTask::kTopics) return begin + "[" + with_python_quotes(answer.answer) + "]" + length;
  const std::string number = last_number(answer.answer);
  return begin + on_one_line(answer.answer) + ", Parsed: " + (number.empty() ? "-1" : number) + length;
}

std::string accuracy_line(int64_t num_correct, int64_t num_answers) {
  HICI_ASSERT(num_answers > 0, "no answers");
  // A JSON number has the digits of Python's repr(): the fewest that give the same float64.
  return "Accuracy: " + nlohmann::json(static_cast<double>(num_correct) / static_cast<double>(num_answers)).dump();
}

}  // namespace hici::eval
