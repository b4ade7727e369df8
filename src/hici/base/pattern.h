// SPDX-License-Identifier: Apache-2.0
// Regular expressions from files of other programs (PEFT's target_modules, rank_pattern), in Python's syntax. A text is
// matched in time linear in its length, whatever the expression: no state is tried twice.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hici {

// Literals, `.`, classes, \d \w \s \b and their opposites, groups, alternatives, * + ? {m,n} also lazy, ^ $ \A \Z.
// Whether a whole text matches does not depend on greediness. Not supported: what looks around or back, flags,
// possessive quantifiers, characters outside ASCII.
class Pattern {
 public:
  // An hici::Error that begins with `subject` for an expression that is not of the above, or of more than 10,000
  // states.
  Pattern(std::string_view text, const std::string& subject);

  // Python's re.fullmatch().
  bool matches(std::string_view text) const;

 private:
  friend class PatternParser;
  enum class Kind : uint8_t { kCharacter, kFork, kBegin, kEnd, kWordEdge, kNoWordEdge, kMatch };
  struct State {
    Kind kind;
    uint32_t next = 0, other = 0;  // of a fork
    uint32_t characters = 0;       // index in sets_
  };

  void follow(uint32_t state, std::string_view text, size_t at, std::vector<uint32_t>& open,
              std::vector<size_t>& seen) const;

  std::vector<State> states_;
  std::vector<std::bitset<256>> sets_;
  uint32_t start_ = 0;
};

}  // namespace hici
