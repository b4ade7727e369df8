// SPDX-License-Identifier: Apache-2.0
#include "hici/text/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace hici::text {
namespace {

TEST(Utf8Test, AcceptsEveryCharacterAndCutsNone) {
  for (const std::string character : {"a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                      "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    const std::string text = "0123456789" + character;
    EXPECT_EQ(valid_utf8_prefix(text + "z").valid_bytes, text.size() + 1);
    for (size_t cut = 1; cut < character.size(); ++cut) {
      const Utf8Prefix prefix = valid_utf8_prefix(text.substr(0, 10 + cut));
      EXPECT_EQ(prefix.valid_bytes, 10u);
      EXPECT_TRUE(prefix.is_cut);
    }
  }
}

TEST(Utf8Test, RefusesWhatUnicodeRefuses) {
  for (const std::string bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                                "\xF4\x90\x80\x80", "\xF5", "\xFF", "\xE2\x82z"}) {
    const Utf8Prefix prefix = valid_utf8_prefix("ab" + bad + "c");
    EXPECT_EQ(prefix.valid_bytes, 2u);
    EXPECT_FALSE(prefix.is_cut);
  }
  EXPECT_EQ(valid_utf8_prefix("").valid_bytes, 0u);
}

}  // namespace
}  // namespace hici::text
