// SPDX-License-Identifier: Apache-2.0
#include "hici/base/enum_names.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici {
namespace testing_enums {

enum class Colour { kRed, kGreen, kBlue };
constexpr EnumNames<Colour, 3> names_of(Colour) {
  return {"colour", {{{Colour::kRed, "red"}, {Colour::kGreen, "green"}, {Colour::kBlue, "blue"}}}};
}

}  // namespace testing_enums

namespace {

using testing_enums::Colour;

TEST(EnumNamesTest, NamesAreReadBack) {
  for (const Colour colour : {Colour::kRed, Colour::kGreen, Colour::kBlue})
    EXPECT_EQ(parse_enum<Colour>(name_of(colour), "--colour"), colour);
  EXPECT_EQ(find_enum<Colour>("green"), Colour::kGreen);
  EXPECT_EQ(find_enum<Colour>("Green"), std::nullopt);
}

TEST(EnumNamesTest, AnUnknownNameIsRefusedWithTheKnownOnes) {
  EXPECT_ERROR_SAYS(parse_enum<Colour>("pink", "--colour"), "--colour: unknown colour 'pink'; use red, green or blue");
  EXPECT_ERROR_SAYS(parse_enum<Colour>("a\nb", "x.json: colour"), "x.json: colour: unknown colour 'a?b'; use red");
}

TEST(EnumNamesTest, OfAnOptionItIsAUsageErrorAndOfAFileABadFile) {
  EXPECT_THROW(parse_enum<Colour>("pink", "--colour"), UsageError);
  EXPECT_THROW(parse_enum<Colour>("pink", "`colour`"), UsageError);
  try {
    parse_enum<Colour>("pink", "x.json: colour");
    FAIL() << "no error";
  } catch (const UsageError&) {
    FAIL() << "a usage error";
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace hici
