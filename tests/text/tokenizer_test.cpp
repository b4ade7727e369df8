// SPDX-License-Identifier: Apache-2.0
#include "hici/text/bpe_training.h"
#include "hici/text/tokenizer.h"

#include "hici/base/error.h"
#include "hici/text/utf8.h"
#include "support/error_message.h"
#include "text/scoped_cpu_bound.h"
#include "text/trained.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace hici::text {
namespace {

using hici::testing::mixed_text;
using hici::testing::TemporaryFolder;
using hici::testing::train_small_tokenizer;

TEST(TokenizerTest, DecodesWhatItEncodes) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  EXPECT_EQ(tokenizer.vocab_size(), 400);
  const Ids ids = tokenizer.encode(mixed_text(), true);
  EXPECT_EQ(tokenizer.decode(ids, true), mixed_text());
  EXPECT_LT(ids.size(), mixed_text().size());
  EXPECT_TRUE(tokenizer.encode("", true).empty());
}

TEST(TokenizerTest, KnowsItsSpecialTokens) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder, true);
  EXPECT_EQ(tokenizer.bos_id(), 0u);
  EXPECT_EQ(tokenizer.eos_id(), 1u);
  EXPECT_EQ(tokenizer.token_to_id("</s>"), 1u);
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(0), "<s>");
  EXPECT_EQ(tokenizer.id_to_token(100000), std::nullopt);
  EXPECT_EQ(tokenizer.special_ids_before(), Ids{0});
  EXPECT_TRUE(tokenizer.special_ids_after().empty());
  const Ids plain = tokenizer.encode("The dog", false);
  Ids with_bos = tokenizer.encode("The dog", true);
  EXPECT_EQ(with_bos.front(), 0u);
  with_bos.erase(with_bos.begin());
  EXPECT_EQ(with_bos, plain);
  EXPECT_EQ(tokenizer.encode("a</s>b", false)[1], 1u) << "a special token in the text is that token, as in Python";
}

TEST(TokenizerTest, ABatchIsItsTextsOneByOne) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i)
    texts.push_back(mixed_text().substr(0, static_cast<size_t>(i % 30)) + std::to_string(i));
  texts.push_back("");
  const std::vector<Ids> batch = tokenizer.encode_batch(texts, true);
  ASSERT_EQ(batch.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(batch[i], tokenizer.encode(texts[i], true));
  EXPECT_TRUE(tokenizer.encode_batch({}, true).empty());
}

// encode_with_offsets() is the crate's own way, which remembers no words.
void expect_ids_of_the_crate(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  const std::vector<Ids> encoded = tokenizer.encode_batch(texts, false);
  for (size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(encoded[i], tokenizer.encode_with_offsets(texts[i]).ids) << texts[i].substr(0, 100);
}

TEST(TokenizerTest, RememberedWordsChangeNoId) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder, false, 1);
  const std::vector<std::string> texts{
      mixed_text(), mixed_text(), "<s>a</s> < s><s", "e\u0301 \u00e9 \u212b", " \n ", ""};
  expect_ids_of_the_crate(tokenizer, texts);
  nlohmann::json json = nlohmann::json::parse(read_file(folder / "tokenizer.json", 1 << 20));
  json["normalizer"] = {{"type", "NFC"}};
  json["pre_tokenizer"] = nlohmann::json::parse(
      R"({"type": "Sequence", "pretokenizers": [
           {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|\\p{L}+"}, "behavior": "Isolated", "invert": false},
           {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})");
  write_file_atomically(folder / "tokenizer.json", json.dump());
  expect_ids_of_the_crate(Tokenizer::from_path(folder.path(), 1), texts);
}

TEST(TokenizerTest, MoreWordsThanAreRemembered) {
  const TemporaryFolder folder;
  std::vector<std::string> texts(40);
  for (int i = 0; i < 80'000; ++i) texts[static_cast<size_t>(i / 2000)] += " " + std::to_string(i);
  expect_ids_of_the_crate(train_small_tokenizer(folder, false, 1), texts);
}

TEST(TokenizerTest, TextThatIsNoUtf8IsAnError) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  EXPECT_ERROR_SAYS(tokenizer.encode("abc\xff", false), "text 0: byte 3 is not UTF-8");
}

TEST(TokenizerTest, AFileThatIsNoTokenizerIsAnError) {
  const TemporaryFolder folder;
  const auto message_for = [&](const std::string& content) {
    write_file_atomically(folder / "tokenizer.json", content);
    return hici::testing::error_message([&] { Tokenizer::from_path(folder.path()); });
  };
  for (const std::string content : {"", "{}", "[1, 2", "{\"model\": {\"type\": \"BPE\"}}", "\xff\xfe", "null"}) {
    const std::string message = message_for(content);
    EXPECT_NE(message.find("tokenizer.json: is no tokenizer that can be used"), std::string::npos) << message;
    EXPECT_TRUE(hici::testing::is_one_clean_line(message));
  }
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "[";
  EXPECT_NE(message_for(deep).find("is no tokenizer"), std::string::npos);
  EXPECT_ERROR_SAYS(Tokenizer::from_file(folder / "none.json"), "none.json: cannot open");
}

// A tokenizer of the letters a to z and the space, with a normalizer, a pre-tokenizer and a decoder.
std::string letters_json(const std::string& normalizer, const std::string& pre_tokenizer = "null",
                         const std::string& decoder = "null") {
  std::string vocab = "\" \":0";
  for (char c = 'a'; c <= 'z'; ++c) vocab += std::string(",\"") + c + "\":" + std::to_string(c - 'a' + 1);
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":)" + normalizer +
         R"(,"pre_tokenizer":)" + pre_tokenizer + R"(,"post_processor":null,"decoder":)" + decoder +
         R"(,"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":)"
         R"(null,"fuse_unk":false,"byte_fallback":false,"vocab":{)" +
         vocab + R"(},"merges":[]}})";
}

std::string replace_json(const std::string& pattern, const std::string& content) {
  return R"({"type":"Replace","pattern":{"Regex":")" + pattern + R"("},"content":")" + content + "\"}";
}

std::string sequence_json(const std::string& kind, const std::string& item, int count) {
  std::string items = item;
  for (int i = 1; i < count; ++i) items += "," + item;
  return R"({"type":"Sequence",")" + kind + "\":[" + items + "]}";
}

class HostileTokenizerTest : public ::testing::Test {
 protected:
  std::string error_of(const std::string& json, const std::string& text, bool decodes = false) {
    write_file_atomically(folder_ / "tokenizer.json", json);
    const std::string message = hici::testing::error_message([&] {
      const Tokenizer tokenizer = Tokenizer::from_path(folder_.path(), 2);
      if (decodes) tokenizer.decode(Ids(text.size(), 1), false);
      tokenizer.encode(text, false);
    });
    EXPECT_TRUE(hici::testing::is_one_clean_line(message)) << message;
    EXPECT_NE(message.find("tokenizer.json: "), std::string::npos) << message;
    for (const char* word : {"panic", "unwrap", "Result", "Onig", "untagged", "enum", "variant", "expected value", "`"})
      EXPECT_EQ(message.find(word), std::string::npos) << message;
    return message;
  }

  TemporaryFolder folder_;
};

// Ten letters for each of ten for each of ten ...; what a tokenizer does to "a b" is tried when it is loaded.
TEST_F(HostileTokenizerTest, TextThatGrowsWithoutEndIsRefused) {
  const auto growing = [](const char* kind, const std::string& letter) {
    return sequence_json(kind, replace_json(letter, std::string(10, letter[0])), 30);
  };
  EXPECT_NE(error_of(letters_json(growing("normalizers", "x")), "fox").find("cannot encode: takes more than 64 MiB of"),
            std::string::npos);
  EXPECT_NE(error_of(letters_json(growing("normalizers", "a")), "fox")
                .find("is no tokenizer that can be used: takes more than 256 MiB of memory"),
            std::string::npos);
  EXPECT_NE(error_of(letters_json("null", "null", growing("decoders", "a")), "fox", true)
                .find("cannot decode: takes more than 64 MiB of memory"),
            std::string::npos);
}

TEST_F(HostileTokenizerTest, RegularExpressionsWithoutEndAreRefused) {
  const std::string text = std::string(2000, 'a') + "b";
  const std::string split =
      R"({"type":"Split","pattern":{"Regex":"(a|aa|a?)+$"},"behavior":"Isolated","invert":false})";
  EXPECT_NE(error_of(letters_json("null", split), text).find("tries too many ways to match this text"),
            std::string::npos);
  EXPECT_NE(error_of(letters_json(replace_json("(a|aa|a?)+$", "")), text).find("tries too many ways"),
            std::string::npos);
  // Each place tries long, but none too long.
  const hici::testing::ScopedCpuBound bound(100);
  const std::string slow =
      R"({"type":"Split","pattern":{"Regex":"a(?=(a|b)*c)|a"},"behavior":"Isolated","invert":false})";
  EXPECT_NE(error_of(letters_json("null", slow), std::string(100'000, 'a')).find("takes more than 0.1 s"),
            std::string::npos);
}

TEST_F(HostileTokenizerTest, AfterABoundTheSameErrorComesAtOnce) {
  write_file_atomically(folder_ / "tokenizer.json",
                        letters_json(sequence_json("normalizers", replace_json("x", "xxxxxxxxxx"), 30)));
  const Tokenizer tokenizer = Tokenizer::from_path(folder_.path(), 2);
  EXPECT_EQ(tokenizer.encode("b", false), Ids{2});
  const std::string first = hici::testing::error_message([&] { tokenizer.encode("x", false); });
  EXPECT_NE(first.find("cannot encode: takes more than"), std::string::npos);
  EXPECT_EQ(hici::testing::error_message([&] { tokenizer.encode("b", false); }), first);
}

// `letters_json` with another value of a section.
std::string with_section(const std::string& name, const std::string& value) {
  std::string json = letters_json("null");
  const std::string begin = "\"" + name + "\":";
  const size_t at = json.find(begin) + begin.size();
  return json.replace(at, json.find(name == "added_tokens" ? "]" : ",", at) + (name == "added_tokens" ? 1 : 0) - at,
                      value);
}

std::string template_json(int num_pieces) {
  std::string pieces;
  for (int i = 0; i < num_pieces; ++i) pieces += R"({"SpecialToken":{"id":"a","type_id":0}},)";
  return R"({"type":"TemplateProcessing","single":[)" + pieces + R"({"Sequence":{"id":"A","type_id":0}}],"pair":[)" +
         R"({"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"a":{"id":"a","ids":[1],)" +
         R"("tokens":["a"]}}})";
}

// Thousands of pieces are read in a fraction of a second, and too many are not read at all.
TEST_F(HostileTokenizerTest, PartsAreCounted) {
  const hici::testing::ScopedCpuBound bound(3000);
  write_file_atomically(folder_ / "tokenizer.json", with_section("post_processor", template_json(2000)));
  EXPECT_EQ(Tokenizer::from_path(folder_.path()).special_ids_before(), Ids(2000, 1));
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"post_processor", template_json(2600)},
                                    {"normalizer", sequence_json("normalizers", replace_json("x", "y"), 2100)},
                                    {"pre_tokenizer", sequence_json("pretokenizers", R"({"type":"Whitespace"})", 5100)},
                                    {"decoder", sequence_json("decoders", R"({"type":"Fuse"})", 5100)}}) {
    const std::string message = error_of(with_section(name, value), "a");
    EXPECT_NE(message.find("its '" + name + "' holds 1"), std::string::npos) << message;
    EXPECT_NE(message.find(" values, more than 10000; "), std::string::npos) << message;
  }
}

TEST_F(HostileTokenizerTest, ThePartThatCannotBeReadIsNamed) {
  const std::string token =
      R"({"id":30,"content":"<x>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true})";
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"normalizer", R"({"type":"Magic"})", "its 'normalizer' cannot be read: there is no such type as 'Magic'"},
      {"normalizer", R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Ma\u001b[2Jgic"}]})",
       "its 'normalizer.normalizers[1]' cannot be read: there is no such type as 'Ma [2Jgic'"},
      {"normalizer", replace_json("(a", "b"), "its 'normalizer' has a regular expression that cannot be read: '(a'"},
      {"normalizer", "[]", "its 'normalizer' cannot be read: it names no type"},
      {"pre_tokenizer",
       R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[z-a]"},"behavior":"Isolated","invert":false}]})",
       "its 'pre_tokenizer.pretokenizers[0]' has a regular expression that cannot be read: '[z-a]'"},
      {"post_processor", R"({"type":"TemplateProcessing"})", "its 'post_processor' cannot be read"},
      {"decoder", R"({"type":"Nothing"})", "its 'decoder' cannot be read: there is no such type as 'Nothing'"},
      {"truncation", R"({"max_length":"x"})", "its 'truncation' cannot be read"},
      {"version", R"("2.0")", "its 'version' is \"2.0\", expected \"1.0\""},
      {"added_tokens", "[" + token + R"(,{"id":31}])", "its 'added_tokens[1]' cannot be read: a token has 'content'"}};
  for (const auto& [name, value, expected] : cases) {
    const std::string message = error_of(with_section(name, value), "a");
    EXPECT_NE(message.find("is no tokenizer that can be used: " + expected), std::string::npos) << message;
  }
  const std::string whole = letters_json("null");
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string json = whole;
    return json.replace(json.find(from), from.size(), to);
  };
  const std::vector<std::pair<std::string, std::string>> models = {
      {changed("\"BPE\"", "\"XYZ\""), "its 'model' cannot be read: there is no such type as 'XYZ'"},
      {changed("\"merges\":[]", "\"merges\":[\"x \\u00e9\"]"),
       "one of its 'merges' names a token that is not in 'vocab'"},
      {changed("\"vocab\":", "\"words\":"), "its 'model' cannot be read: "},
      {"{\"version\":\"1.0\"}", "it has no 'model'"},
      {whole.substr(0, 100), "it ends at line 1, column 100, in the middle of its JSON"},
      {changed(",\"normalizer\"", ";\"normalizer\""), "it is no JSON at line 1, column "},
      {"[1]", "it is no JSON object"}};
  for (const auto& [json, expected] : models) {
    const std::string message = error_of(json, "a");
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  }
}

TEST_F(HostileTokenizerTest, PartsThatBreakTheLibraryAreOneLine) {
  const std::string precompiled = R"({"type":"Precompiled","precompiled_charsmap":"AAAA"})";
  EXPECT_NE(error_of(letters_json(precompiled), "a").find("is no tokenizer that can be used"), std::string::npos);
  EXPECT_NE(error_of(letters_json("{\"type\":\"Magic\"}"), "a").find("is no tokenizer that can be used"),
            std::string::npos);
  std::string nested = "{\"type\":\"NFC\"}";
  for (int i = 0; i < 1000; ++i) nested = R"({"type":"Sequence","normalizers":[)" + nested + "]}";
  EXPECT_NE(error_of(letters_json(nested), "a").find("is no tokenizer that can be used"), std::string::npos);
}

// What a stream hands out, and a check that each part is whole characters.
std::string streamed(const Tokenizer& tokenizer, const Ids& ids) {
  StreamingDecoder decoder(tokenizer, true);
  std::string all;
  for (const uint32_t id : ids) {
    const std::string part = decoder.push(id);
    EXPECT_EQ(valid_utf8_prefix(part).valid_bytes, part.size());
    all += part;
  }
  return all + decoder.finish();
}

TEST(StreamingDecoderTest, GivesTheWholeTextInWholeCharacters) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder, true);
  // Characters that training never saw come as single bytes, so most of these ids end inside a character.
  const std::string rare = "𝄞𐍈 한글자모 ༄༅ ሰላም 𓂀!";
  for (const std::string& text : {mixed_text(), rare, std::string("x"), std::string()}) {
    EXPECT_EQ(streamed(tokenizer, tokenizer.encode(text, true)), text);
  }
}

TEST(StreamingDecoderTest, BytesThatAreNoCharacterDoNotHoldBackTheRest) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  const Ids whole = tokenizer.encode("𝄞", false);
  ASSERT_EQ(whole.size(), 4u);
  StreamingDecoder decoder(tokenizer, true);
  EXPECT_EQ(decoder.push(whole[0]), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  Ids broken(10, whole[1]);  // continuation bytes without a start
  const Ids tail = tokenizer.encode(" fox", false);
  broken.insert(broken.end(), tail.begin(), tail.end());
  const std::string text = streamed(tokenizer, broken);
  EXPECT_EQ(text, tokenizer.decode(broken, true));
  EXPECT_EQ(text.substr(text.size() - 4), " fox");
}

TEST(BpeTrainingTest, DependsOnNeitherOrderNorThreads) {
  const auto trained = [](int num_threads, bool reversed) {
    std::vector<std::string> texts;
    for (int i = 0; i < 300; ++i) texts.push_back(mixed_text() + " word" + std::to_string(i * i) + "\n");
    if (reversed) std::reverse(texts.begin(), texts.end());
    BpeTraining training({.vocab_size = 600, .num_threads = num_threads});
    for (const std::string& text : texts) training.feed(std::span(&text, 1));
    return training.finish();
  };
  const std::string json = trained(1, false);
  EXPECT_EQ(trained(4, true), json);
  EXPECT_EQ(trained(2, false), json);
}

TEST(BpeTrainingTest, RefusesWhatCannotWork) {
  EXPECT_ERROR_SAYS(BpeTraining({.vocab_size = 100}), "use at least 259");
  EXPECT_ERROR_SAYS(BpeTraining({.special_tokens = {""}}), "a special token is empty");
  EXPECT_ERROR_SAYS(BpeTraining({.bos_token = "<x>"}), "'<x>' is not among the special tokens");
  BpeTraining training({.vocab_size = 300});
  EXPECT_ERROR_SAYS(training.finish(), "no text to learn from");
}

}  // namespace
}  // namespace hici::text
