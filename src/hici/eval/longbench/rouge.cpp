// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/rouge.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace hici::eval {
namespace {

using Sentence = std::vector<int32_t>;  // numbers of words

// White space of Python's str.split() that takes two or three bytes in UTF-8.
constexpr std::array<std::string_view, 19> kWideSpaces = {
    "\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
    "\u2007", "\u2008", "\u2009", "\u200A", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"};

// Bytes of the white space at the start of `text`, 0 when there is none.
size_t space_size(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text.front());
  if (byte == ' ' || (byte >= '\t' && byte <= '\r') || (byte >= 0x1C && byte <= 0x1F)) return 1;
  if (byte < 0x80) return 0;
  for (const std::string_view space : kWideSpaces) {
    if (text.starts_with(space)) return space.size();
  }
  return 0;
}

class Vocabulary {
 public:
  // A sentence of white space alone has one word, the empty one: that is how the package splits it.
  Sentence read(std::string_view text) {
    Sentence words;
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t space = space_size(text.substr(at));
      if (space > 0 && at > begin) words.push_back(number_of(text.substr(begin, at - begin)));
      at += space > 0 ? space : 1;
      if (space > 0) begin = at;
    }
    if (begin < text.size()) words.push_back(number_of(text.substr(begin)));
    if (words.empty()) words.push_back(number_of(""));
    return words;
  }

  size_t size() const { return numbers_.size(); }

 private:
  int32_t number_of(std::string_view word) {
    return numbers_.try_emplace(std::string(word), static_cast<int32_t>(numbers_.size())).first->second;
  }

  std::unordered_map<std::string, int32_t> numbers_;
};

// The parts between full stops; those without a character are left out.
std::vector<Sentence> read_sentences(std::string_view text, Vocabulary& vocabulary) {
  std::vector<Sentence> sentences;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('.', at), text.size());
    if (end > at) sentences.push_back(vocabulary.read(text.substr(at, end - at)));
    at = end + 1;
  }
  return sentences;
}

size_t count_different(const std::vector<Sentence>& sentences, size_t vocabulary_size) {
  std::vector<bool> seen(vocabulary_size, false);
  size_t count = 0;
  for (const Sentence& sentence : sentences) {
    for (const int32_t word : sentence) {
      count += seen[static_cast<size_t>(word)] ? 0 : 1;
      seen[static_cast<size_t>(word)] = true;
    }
  }
  return count;
}

// Marks the words of a longest common subsequence; of several, the one that the package walks back to.
void mark_common(const Sentence& reference, const Sentence& text, std::vector<int32_t>& table,
                 std::vector<bool>& marked) {
  const size_t width = text.size() + 1;
  table.assign((reference.size() + 1) * width, 0);
  for (size_t i = 1; i <= reference.size(); ++i) {
    for (size_t j = 1; j < width; ++j) {
      table[i * width + j] = reference[i - 1] == text[j - 1]
                                 ? table[(i - 1) * width + j - 1] + 1
                                 : std::max(table[(i - 1) * width + j], table[i * width + j - 1]);
    }
  }
  for (size_t i = reference.size(), j = text.size(); i > 0 && j > 0;) {
    if (reference[i - 1] == text[j - 1]) {
      marked[static_cast<size_t>(text[j - 1])] = true;
      --i;
      --j;
    } else if (table[(i - 1) * width + j] > table[i * width + j - 1]) {
      --i;
    } else {
      --j;
    }
  }
}

}  // namespace

double rouge_l(std::string_view text, std::string_view reference) {
  Vocabulary vocabulary;
  const std::vector<Sentence> text_sentences = read_sentences(text, vocabulary);
  const std::vector<Sentence> reference_sentences = read_sentences(reference, vocabulary);
  if (text_sentences.empty() || reference_sentences.empty()) return 0;
  std::vector<bool> marked(vocabulary.size(), false);
  std::vector<int32_t> table;
  for (const Sentence& from : reference_sentences) {
    for (const Sentence& to : text_sentences) mark_common(from, to, table, marked);
  }
  const auto common = static_cast<double>(std::count(marked.begin(), marked.end(), true));
  const double recall = common / static_cast<double>(count_different(reference_sentences, vocabulary.size()));
  const double precision = common / static_cast<double>(count_different(text_sentences, vocabulary.size()));
  return 2.0 * ((precision * recall) / (precision + recall + 1e-8));
}

}  // namespace hici::eval
