// SPDX-License-Identifier: Apache-2.0
#include "hici/base/pattern.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace hici {
namespace {

using Set = std::bitset<256>;

constexpr size_t kMaxStates = 10'000;
constexpr int kMaxGroups = 50;  // inside each other
constexpr uint32_t kMaxRepeats = 1000;
constexpr uint32_t kNoEnd = ~uint32_t{0};

template <typename Predicate>
Set set_of(const Predicate& has) {
  Set out;
  for (size_t c = 0; c < 128; ++c) out[c] = has(static_cast<int>(c));
  return out;
}

bool is_word(int c) { return std::isalnum(c) != 0 || c == '_'; }

// \d, \w, \s and their opposites; nothing for another letter.
std::optional<Set> named_set(char letter) {
  const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  Set out;
  if (lower == 'd') {
    out = set_of([](int c) { return c >= '0' && c <= '9'; });
  } else if (lower == 'w') {
    out = set_of(is_word);
  } else if (lower == 's') {
    out = set_of([](int c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
  } else {
    return std::nullopt;
  }
  return letter == lower ? out : ~out;
}

bool is_word_at(std::string_view text, size_t at) {
  return at < text.size() && is_word(static_cast<unsigned char>(text[at]));
}

}  // namespace

// Recursive descent. Each function gives the states of its part with one loose end: `next` of state `end` is not set.
class PatternParser {
 public:
  PatternParser(Pattern& out, std::string_view text, const std::string& subject)
      : out_(out), text_(text), subject_(subject) {}

  void run() {
    const Part all = alternatives();
    if (at_ < text_.size()) refuse("an unmatched ')'");
    out_.start_ = all.start;
    join(all, add({Pattern::Kind::kMatch}));
  }

 private:
  using Kind = Pattern::Kind;
  using State = Pattern::State;
  // An empty state (a fork of which both ways are one) ends each part.
  struct Part {
    uint32_t start, end;
  };

  [[noreturn]] void refuse(const std::string& what) const {
    fail(subject_, ": the regular expression '", printable(text_), "' has ", what, " at byte ", at_,
         ", which is not supported; write it with groups, alternatives, classes, *, +, ? and {m,n}");
  }
  uint32_t add(State state) {
    if (out_.states_.size() >= kMaxStates) refuse("more than 10000 states");
    out_.states_.push_back(state);
    return static_cast<uint32_t>(out_.states_.size() - 1);
  }
  uint32_t add_empty() { return add({Kind::kFork}); }
  void set_next(uint32_t state, uint32_t next) { out_.states_[state].next = out_.states_[state].other = next; }
  void join(const Part& part, uint32_t next) { set_next(part.end, next); }
  bool more() const { return at_ < text_.size(); }
  bool take(char c) {
    if (!more() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Part empty() {
    const uint32_t state = add_empty();
    return {state, state};
  }
  Part single(State state) {
    const uint32_t first = add(state), end = add_empty();
    set_next(first, end);
    return {first, end};
  }
  Part characters(const Set& set) {
    out_.sets_.push_back(set);
    return single({Kind::kCharacter, 0, 0, static_cast<uint32_t>(out_.sets_.size() - 1)});
  }

  Part alternatives() {
    Part all = sequence();
    while (take('|')) {
      const Part other = sequence();
      const uint32_t fork = add({Kind::kFork, all.start, other.start}), end = add_empty();
      join(all, end);
      join(other, end);
      all = {fork, end};
    }
    return all;
  }

  Part sequence() {
    Part all = empty();
    while (more() && text_[at_] != '|' && text_[at_] != ')') {
      const Part next = repeated();
      join(all, next.start);
      all.end = next.end;
    }
    return all;
  }

  // The part is read again from its first byte for each further repetition, so that every copy has states of its own.
  Part repeated() {
    const size_t from = at_;
    const Part first = atom();
    uint32_t low = 1, high = 1;
    if (!quantifier(low, high)) return first;
    if (more() && (text_[at_] == '+' || text_[at_] == '*')) refuse("a quantifier after a quantifier");
    take('?');  // lazy
    const size_t to = at_;
    Part all = empty();
    const uint32_t copies = high == kNoEnd ? std::max<uint32_t>(1, low) : high;
    for (uint32_t i = 0; i < copies; ++i) {
      at_ = from;
      const Part copy = i == 0 ? first : atom();
      const bool is_loop = high == kNoEnd && i + 1 == copies;
      const Part next = is_loop ? loop(copy, i < low) : i < low ? copy : maybe(copy);
      join(all, next.start);
      all.end = next.end;
    }
    at_ = to;
    return all;
  }

  Part loop(const Part& part, bool at_least_once) {
    const uint32_t end = add_empty(), fork = add({Kind::kFork, part.start, end});
    join(part, fork);
    return {at_least_once ? part.start : fork, end};
  }
  Part maybe(const Part& part) {
    const uint32_t end = add_empty(), fork = add({Kind::kFork, part.start, end});
    join(part, end);
    return {fork, end};
  }

  bool quantifier(uint32_t& low, uint32_t& high) {
    const char c = more() ? text_[at_] : ' ';
    if (c == '*' || c == '+' || c == '?') {
      ++at_;
      low = c == '+' ? 1 : 0;
      high = c == '?' ? 1 : kNoEnd;
      return true;
    }
    const size_t brace = at_;
    if (!take('{')) return false;
    const std::optional<uint32_t> first = number();
    low = first.value_or(0);
    std::optional<uint32_t> second = first;
    const bool has_comma = take(',');
    if (has_comma) second = number();
    if (!take('}') || (!first && !second)) {  // Python takes such a brace as it stands
      at_ = brace;
      return false;
    }
    high = has_comma && !second ? kNoEnd : *second;
    if (high < low) refuse("a largest number below the smallest");
    return true;
  }

  std::optional<uint32_t> number() {
    std::optional<uint32_t> out;
    while (more() && text_[at_] >= '0' && text_[at_] <= '9') {
      out = out.value_or(0) * 10 + static_cast<uint32_t>(text_[at_++] - '0');
      if (*out > kMaxRepeats) refuse("more than 1000 repetitions");
    }
    return out;
  }

  Part atom() {
    const char c = text_[at_];
    if (static_cast<unsigned char>(c) >= 128) refuse("a character outside ASCII");
    if (c == '*' || c == '+' || c == '?') refuse("a quantifier of nothing");
    ++at_;
    switch (c) {
      case '(':
        return group();
      case '[':
        return characters(bracket());
      case '.':
        return characters(~set_of([](int byte) { return byte == '\n'; }));
      case '^':
        return single({Kind::kBegin});
      case '$':
        return single({Kind::kEnd});
      case '\\':
        return escape();
      default:
        return characters(set_of([&](int byte) { return byte == c; }));
    }
  }

  Part group() {
    if (++depth_ > kMaxGroups) refuse("more than 50 groups inside each other");
    if (take('?') && !take(':')) {
      if (!take('P') || !take('<')) refuse("a look around or a flag");
      while (more() && text_[at_] != '>') ++at_;
      if (!take('>')) refuse("a name without its end");
    }
    const Part part = alternatives();
    if (!take(')')) refuse("a group without its end");
    --depth_;
    return part;
  }

  Part escape() {
    if (!more()) refuse("a '\\' at its end");
    const char c = text_[at_++];
    if (c == 'b') return single({Kind::kWordEdge});
    if (c == 'B') return single({Kind::kNoWordEdge});
    if (c == 'A') return single({Kind::kBegin});
    if (c == 'Z') return single({Kind::kEnd});
    return characters(escaped_set(c));
  }

  Set escaped_set(char c) {
    if (const std::optional<Set> named = named_set(c)) return *named;
    const std::string_view letters = "ntrfv", meant = "\n\t\r\f\v";
    const size_t known = letters.find(c);
    if (known == std::string_view::npos && std::isalnum(static_cast<unsigned char>(c)) != 0)
      refuse("the escape '\\" + std::string(1, c) + "'");
    const char literal = known == std::string_view::npos ? c : meant[known];
    return set_of([&](int byte) { return byte == literal; });
  }

  // One member of a class, `first` its only character where it has one.
  Set member(std::optional<char>& first) {
    if (!more()) refuse("a class without its end");
    const char c = text_[at_++];
    if (static_cast<unsigned char>(c) >= 128) refuse("a character outside ASCII");
    const Set set = c == '\\' && more() ? escaped_set(text_[at_++]) : set_of([&](int byte) { return byte == c; });
    first = std::nullopt;
    for (size_t i = 0; i < 128 && set.count() == 1; ++i)
      if (set[i]) first = static_cast<char>(i);
    return set;
  }

  Set bracket() {
    const bool is_negated = take('^');
    Set out;
    bool is_first = true;
    while (is_first || !take(']')) {
      std::optional<char> low, high;
      Set next = member(low);
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        ++at_;
        member(high);
        if (!low || !high || *high < *low) refuse("a range that is none");
        next = set_of([&](int byte) { return byte >= *low && byte <= *high; });
      }
      out |= next;
      is_first = false;
    }
    return is_negated ? ~out : out;
  }

  Pattern& out_;
  std::string_view text_;
  const std::string& subject_;
  size_t at_ = 0;
  int depth_ = 0;
};

Pattern::Pattern(std::string_view text, const std::string& subject) { PatternParser(*this, text, subject).run(); }

// Adds `state` and what follows from it without a character; `seen` holds for each state the place it was added at.
void Pattern::follow(uint32_t state, std::string_view text, size_t at, std::vector<uint32_t>& open,
                     std::vector<size_t>& seen) const {
  std::vector<uint32_t> stack{state};
  const bool is_edge = is_word_at(text, at) != (at > 0 && is_word_at(text, at - 1));
  while (!stack.empty()) {
    const uint32_t i = stack.back();
    stack.pop_back();
    if (seen[i] == at + 1) continue;
    seen[i] = at + 1;
    const State& s = states_[i];
    const bool passes = s.kind == Kind::kFork || (s.kind == Kind::kBegin && at == 0) ||
                        (s.kind == Kind::kEnd && at == text.size()) || (s.kind == Kind::kWordEdge && is_edge) ||
                        (s.kind == Kind::kNoWordEdge && !is_edge);
    if (passes) {
      stack.push_back(s.other);
      stack.push_back(s.next);
    } else if (s.kind == Kind::kCharacter || s.kind == Kind::kMatch) {
      open.push_back(i);
    }
  }
}

bool Pattern::matches(std::string_view text) const {
  std::vector<size_t> seen(states_.size(), 0);
  std::vector<uint32_t> open, next;
  follow(start_, text, 0, open, seen);
  for (size_t at = 0; at < text.size() && !open.empty(); ++at) {
    next.clear();
    for (const uint32_t i : open) {
      const State& s = states_[i];
      if (s.kind == Kind::kCharacter && sets_[s.characters][static_cast<unsigned char>(text[at])])
        follow(s.next, text, at + 1, next, seen);
    }
    open.swap(next);
  }
  for (const uint32_t i : open)
    if (states_[i].kind == Kind::kMatch) return true;
  return false;
}

}  // namespace hici
