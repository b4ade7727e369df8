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

}  // namespace
}  // namespace hici::data
