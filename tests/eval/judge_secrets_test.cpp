// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/judge_secrets.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

constexpr const char* kKey = "sk-ab/cd+ef";

std::string shown(const std::string& url) { return shown_url(url, kKey); }

TEST(JudgeSecretsTest, AnAddressIsShownWithoutUserPasswordAndQuery) {
  EXPECT_EQ(shown("https://api.openai.com/v1"), "https://api.openai.com/v1");
  EXPECT_EQ(shown("https://me:pass@host:8000/v1"), "https://***@host:8000/v1");
  EXPECT_EQ(shown("https://token@host"), "https://***@host");
  EXPECT_EQ(shown("http://host/v1?key=abc#frag"), "http://host/v1?***");
  EXPECT_EQ(shown("http://host/v1#frag"), "http://host/v1#***");
  EXPECT_EQ(shown("htp:/me:pass@host"), "***@host");
  EXPECT_EQ(shown("http://me:a@b/c?d@host"), "http://***@host") << "signs that should have been escaped";
}

TEST(JudgeSecretsTest, AKeyInAnAddressIsNotShown) {
  EXPECT_EQ(shown("http://host/sk-ab%2Fcd%2Bef/v1"), "http://host/***/v1");
  EXPECT_EQ(shown("http://sk-ab%2fcd+ef.host/v1"), "http://***.host/v1");
  EXPECT_EQ(shown_url("http://host/v1/9f86d081884c7d659a2feaa0c55ad015/x", ""), "http://host/v1/***/x");
  EXPECT_EQ(shown_url("http://host/k-9f86d081884C7D659a2feaa0:x", ""), "http://host/***");
  for (const char* plain : {"http://my-resource.openai.azure.com/openai/deployments/gpt-4o-2024-08-06-evaluation/",
                            "http://10.11.12.13:8000/v1/accountsandorganizations/chat/completions", "http://h//a"})
    EXPECT_EQ(shown_url(plain, ""), plain);
  const JudgeSecrets secrets("http://host/9f86d081884c7d659a2feaa0c55ad015/v1", "");
  EXPECT_EQ(secrets.hidden("POST /9f86d081884c7d659a2feaa0c55ad015/v1: no"), "POST /***/v1: no");
}

TEST(JudgeSecretsTest, SecretsAreHiddenHoweverAServerWritesThem) {
  const JudgeSecrets secrets("http://me:p%40ss%2Fw@host/v1?key=q%26ry-value&api-version=2024", kKey);
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

// Base64 of the key alone, without padding, behind "Bearer " and one and two bytes, in the letters of URLs;
// hexadecimal; backwards; in another case; and these in escapes.
TEST(JudgeSecretsTest, TheKeyIsHiddenInOtherForms) {
  const JudgeSecrets secrets("http://host/v1", kKey);
  for (const char* echoed :
       {"c2stYWIvY2QrZWY", "QmVhcmVyIHNrLWFiL2NkK2Vm", "eHNrLWFiL2NkK2Vm", "eHhzay1hYi9jZCtlZg", "eHhzay1hYi9jZCtlZnl5",
        "736b2d61622f63642b6566", "736B2D61622F63642B6566", "fe+dc/ba-ks", "fe%2Bdc%2Fba-ks", "SK-AB/CD+EF",
        "sk-ab%2Fcd%2BEF", "%63%32stYWIvY2QrZWY", "\\x73k-ab\\x2fcd+ef", "%73%6b%2d%61%62%2f%63%64%2b%65%66"}) {
    const std::string hidden = secrets.hidden(std::string("<") + echoed + ">");
    EXPECT_NE(hidden.find("***"), std::string::npos) << echoed << ": " << hidden;
    EXPECT_LT(hidden.size(), sizeof "<QmVhcmVy***>") << hidden << ": more is left than what stood beside it";
  }
  EXPECT_EQ(secrets.hidden("<c2stYWIvY2QrZWY=>"), "<***=>");
  const JudgeSecrets odd("http://host/v1", "~~~?\?\?>>>key");
  EXPECT_EQ(odd.hidden("fn5-Pz8_Pj4-a2V5 fn5+Pz8/Pj4+a2V5"), "*** ***") << "both alphabets";
}

TEST(JudgeSecretsTest, ShortSecretsHideNoMoreThanThemselves) {
  const JudgeSecrets secrets("http://host/v1?v=2024", "");
  EXPECT_EQ(secrets.hidden("2024, 4202, 32303234, MjAyNA"), "***, 4202, 32303234, MjAyNA");
}

TEST(JudgeSecretsTest, NothingIsHiddenWhereThereIsNoSecret) {
  const JudgeSecrets none("https://api.openai.com/v1", "");
  EXPECT_EQ(none.hidden("as it is %41"), "as it is %41");
  EXPECT_EQ(none.hidden(""), "");
}

}  // namespace
}  // namespace hici::eval
