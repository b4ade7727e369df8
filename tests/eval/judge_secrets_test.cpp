// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/judge_secrets.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

TEST(JudgeSecretsTest, AnAddressIsShownWithoutUserPasswordAndQuery) {
  EXPECT_EQ(shown_url("https://api.openai.com/v1"), "https://api.openai.com/v1");
  EXPECT_EQ(shown_url("https://me:pass@host:8000/v1"), "https://***@host:8000/v1");
  EXPECT_EQ(shown_url("https://token@host"), "https://***@host");
  EXPECT_EQ(shown_url("http://host/v1?key=abc#frag"), "http://host/v1?***");
  EXPECT_EQ(shown_url("http://host/v1#frag"), "http://host/v1#***");
  EXPECT_EQ(shown_url("htp:/me:pass@host"), "***@host");
  EXPECT_EQ(shown_url("http://me:a@b/c?d@host"), "http://***@host") << "signs that should have been escaped";
}

TEST(JudgeSecretsTest, SecretsAreHiddenHoweverAServerWritesThem) {
  const JudgeSecrets secrets("http://me:p%40ss%2Fw@host/v1?key=q%26ry-value&api-version=2024", "sk-ab/cd+ef");
  const auto hides = [&](const std::string& text) { return secrets.hidden("<" + text + ">"); };
  for (const char* echoed : {"sk-ab/cd+ef", "sk-ab%2Fcd%2Bef", "sk-ab%2fcd%2bef", "%73k-ab/cd+ef",  // raw, percent
                             "sk-ab%252Fcd%252Bef", "sk-ab\\/cd+ef", "sk-ab\\u002fcd\\u002Bef",     // twice; JSON
                             "sk-ab&#47;cd&#x2B;ef", "p%40ss%2Fw", "p@ss/w", "p@ss%2fw",            // the password
                             "q&ry-value", "q%26ry-value", "q&amp;ry-value", "2024",                // the query
                             "me:p@ss/w", "bWU6cEBzcy93"}) {  // Basic authorization
    EXPECT_EQ(hides(echoed), "<***>") << echoed;
  }
  EXPECT_EQ(secrets.hidden("key sk-ab/cd+ef, again sk-ab/cd+ef."), "key ***, again ***.");
  EXPECT_EQ(secrets.hidden("sk-ab/cd+e"), "sk-ab/cd+e") << "not the whole of it";
  EXPECT_EQ(secrets.hidden("100% of me, \\ & \\u12 &#; %"), "100% of me, \\ & \\u12 &#; %");
}

TEST(JudgeSecretsTest, NothingIsHiddenWhereThereIsNoSecret) {
  const JudgeSecrets none("https://api.openai.com/v1", "");
  EXPECT_EQ(none.hidden("as it is %41"), "as it is %41");
  EXPECT_EQ(none.hidden(""), "");
}

}  // namespace
}  // namespace hici::eval
