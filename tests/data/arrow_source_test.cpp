// SPDX-License-Identifier: Apache-2.0
// Hostile files; what a whole one holds is compared with Python in tests/integration/test_arrow.py.
#include "hici/data/arrow/source.h"

#include "hici/text/utf8.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_dict.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/util/compression.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

namespace hici::data {
namespace {

using hici::testing::TemporaryFolder;

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = {"a", "", "some words that are longer than a view holds",
                                               "e\u0301 日本語"};
  return all;
}

template <typename Builder>
std::shared_ptr<arrow::Array> column() {
  Builder builder;
  for (const std::string& text : texts()) EXPECT_TRUE(builder.Append(text).ok());
  return builder.Finish().ValueOrDie();
}

// Two batches of the column, as the bytes of a stream.
std::string stream_of(const std::shared_ptr<arrow::Array>& column,
                      arrow::Compression::type compression = arrow::Compression::UNCOMPRESSED) {
  const auto schema = arrow::schema({arrow::field("text", column->type())});
  const auto batch = arrow::RecordBatch::Make(schema, column->length(), {column});
  arrow::ipc::IpcWriteOptions options = arrow::ipc::IpcWriteOptions::Defaults();
  if (compression != arrow::Compression::UNCOMPRESSED)
    options.codec = arrow::util::Codec::Create(compression).ValueOrDie();
  const auto out = arrow::io::BufferOutputStream::Create().ValueOrDie();
  const auto writer = arrow::ipc::MakeStreamWriter(out, schema, options).ValueOrDie();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(writer->WriteRecordBatch(*batch).ok());
  EXPECT_TRUE(writer->Close().ok());
  return out->Finish().ValueOrDie()->ToString();
}

std::vector<std::string> streams() {
  return {stream_of(column<arrow::StringBuilder>()),
          stream_of(column<arrow::LargeStringBuilder>()),
          stream_of(column<arrow::StringViewBuilder>()),
          stream_of(column<arrow::StringDictionaryBuilder>()),
          stream_of(column<arrow::StringBuilder>(), arrow::Compression::ZSTD),
          stream_of(column<arrow::LargeStringBuilder>(), arrow::Compression::LZ4_FRAME)};
}

class ArrowSourceTest : public ::testing::Test {
 protected:
  ArrowSourceTest() { std::ofstream(folder_ / "state.json") << R"({"_data_files": [{"filename": "a.arrow"}]})"; }

  void save(const std::string& stream) {
    std::filesystem::remove(folder_ /
                            "a.arrow");  // a file that is written anew is flushed to disk by some file systems
    std::ofstream(folder_ / "a.arrow", std::ios::binary) << stream;
  }

  std::vector<std::string> read() {
    const std::unique_ptr<TextSource> source = open_arrow_source(folder_.path(), {});
    std::vector<std::string> rows;
    for (TextPiece piece; source->next(piece);) {
      EXPECT_EQ(text::valid_utf8_prefix(piece.text).valid_bytes, piece.text.size());
      EXPECT_TRUE(piece.ends_document);
      rows.push_back(piece.text);
    }
    EXPECT_EQ(source->bytes_consumed(), source->total_bytes());
    return rows;
  }

  // Reads a damaged stream: rows that are text, or an error of one clean line.
  void expect_no_crash(const std::string& stream) {
    save(stream);
    const std::string message = hici::testing::error_message([&] { read(); });
    EXPECT_TRUE(hici::testing::is_one_clean_line(message));
    num_errors_ += message != "nothing was thrown";
  }

  TemporaryFolder folder_;
  int num_errors_ = 0;
};

TEST_F(ArrowSourceTest, GivesTheRowsOfEveryBatch) {
  std::vector<std::string> twice = texts();
  twice.insert(twice.end(), texts().begin(), texts().end());
  for (const std::string& stream : streams()) {
    save(stream);
    EXPECT_EQ(read(), twice);
  }
}

TEST_F(ArrowSourceTest, EveryCutIsAnError) {
  for (const std::string& stream : streams()) {
    for (size_t size = 0; size < stream.size(); size += 1 + size / 50) {
      save(stream.substr(0, size));
      EXPECT_ERROR_SAYS(read(), "a.arrow: ");
    }
  }
}

TEST_F(ArrowSourceTest, ChangedBytesAreRowsOrAnError) {
  std::mt19937 random(1);
  int num_streams = 0;
  for (const std::string& stream : streams()) {
    for (int i = 0; i < 300; ++i, ++num_streams) {
      std::string damaged = stream;
      // Lengths and offsets are where the harm is: bits low and high, and whole words.
      for (unsigned change = 0; change <= random() % 3; ++change) {
        const size_t at = random() % (damaged.size() / 4) * 4;
        if (random() % 2)
          damaged.replace(at, 4, random() % 2 ? "\xff\xff\xff\x7f" : std::string(4, '\xff'));
        else
          damaged[at + random() % 4] = static_cast<char>(random());
      }
      expect_no_crash(damaged);
    }
  }
  EXPECT_GT(num_errors_, num_streams / 4);
}

}  // namespace
}  // namespace hici::data
