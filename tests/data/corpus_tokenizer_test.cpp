// SPDX-License-Identifier: Apache-2.0
#include "hici/data/corpus_tokenizer.h"

#include "text/trained.h"

#include <gtest/gtest.h>

namespace hici::data {
namespace {

using hici::testing::mixed_text;
using hici::testing::TemporaryFolder;
using hici::testing::train_small_tokenizer;

// What was read but waits to be encoded is not done: the last batch is most of a small corpus.
TEST(CorpusTokenizerTest, CountsWhatIsEncodedAndNotWhatIsRead) {
  const TemporaryFolder folder;
  size_t num_ids = 0;
  CorpusTokenizer corpus(train_small_tokenizer(folder), {},
                         [&](std::span<const uint32_t> ids) { num_ids += ids.size(); });
  EXPECT_EQ(corpus.share_encoded(), 0);
  for (int i = 0; i < 3; ++i) corpus.add({mixed_text(), true});
  EXPECT_EQ(num_ids, 0u);
  EXPECT_EQ(corpus.share_encoded(), 0) << "all three wait for a batch";
  const std::string piece(300'000, 'a');
  corpus.add({piece, false});
  EXPECT_GT(num_ids, 0u) << "a long document comes after those before it";
  EXPECT_NEAR(corpus.share_encoded(), 3.0 * static_cast<double>(mixed_text().size()) / 300'000, 0.01);
  corpus.add({" and an end", true});
  EXPECT_EQ(corpus.share_encoded(), 1);
  corpus.add({mixed_text(), true});
  EXPECT_LT(corpus.share_encoded(), 1);
  EXPECT_EQ(corpus.finish().num_documents, 5);
  EXPECT_EQ(corpus.share_encoded(), 1);
}

// Short and long documents, ids, and what begins with a text that needs no frame.
TEST(CorpusTokenizerTest, SaysWhereDocumentsEndAndFramesThoseThatDoNotBeginWithTheirFrame) {
  const TemporaryFolder folder;
  const text::Tokenizer tokenizer = train_small_tokenizer(folder);
  const std::string text = mixed_text().substr(0, 100), framed = "a" + text, long_text(1'100'000, 'a');
  std::vector<uint32_t> ids;
  std::vector<int64_t> ends;
  CorpusTokenizer corpus(
      tokenizer, {.before = {1}, .after = {2}, .unless_text_begins = "a"},
      [&](std::span<const uint32_t> more) { ids.insert(ids.end(), more.begin(), more.end()); },
      [&](int64_t end) { ends.push_back(end); });
  corpus.add({framed, true});
  corpus.add({"", true});
  corpus.add_ids(std::vector<uint32_t>{7, 8});
  corpus.add({long_text, false});
  corpus.add({" b", true});
  EXPECT_EQ(corpus.finish().num_documents, 4);
  const auto size_of = [&](const std::string& one) {
    return static_cast<int64_t>(tokenizer.encode(one, false).size());
  };
  const int64_t first = size_of(framed), last = size_of(long_text + " b");
  EXPECT_EQ(ends, (std::vector<int64_t>{first, first + 2, first + 4, first + 4 + last}));
  EXPECT_EQ((std::vector<uint32_t>(ids.begin() + first, ids.begin() + first + 4)), (std::vector<uint32_t>{1, 2, 7, 8}));
}

}  // namespace
}  // namespace hici::data
