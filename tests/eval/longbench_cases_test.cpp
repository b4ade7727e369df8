// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/cases.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

const std::string kGood =
    R"({"input": "Type?", "context": "Questions", "answers": ["Date"], "length": 5, "dataset": "trec", )"
    R"("language": "en", "all_classes": ["Date", "Sport"], "_id": "7f"})";

class LongBenchCasesTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& content) {
    fs::create_directories((folder_ / name).parent_path());
    write_file_atomically(folder_ / name, content);
    return folder_ / name;
  }
  std::vector<LongBenchCase> read(const std::string& content, const char* dataset = "trec") {
    return read_longbench_cases(write("x.jsonl", content), *find_longbench_task(dataset));
  }

  testing::TemporaryFolder folder_;
};

TEST_F(LongBenchCasesTest, ReadsWhatThePromptAndThePredictionNeed) {
  const auto cases = read(kGood + "\n" + kGood + "\n");
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[1].context, "Questions");
  EXPECT_EQ(cases[1].input, "Type?");
  EXPECT_EQ(cases[1].length, 5);
  EXPECT_TRUE(cases[1].subject.ends_with("x.jsonl: line 2"));
  const std::string no_classes = R"({"input": "", "context": "", "answers": ["a"], "length": 0, "all_classes": null})";
  EXPECT_TRUE(read(no_classes, "qasper")[0].classes.is_null());
}

TEST_F(LongBenchCasesTest, NamesTheLineAndTheField) {
  const auto second = [&](const char* row) { return read(kGood + "\n" + row); };
  EXPECT_ERROR_SAYS(second(R"({"context": "a", "answers": ["b"], "length": 1})"), "x.jsonl: line 2: has no 'input'");
  EXPECT_ERROR_SAYS(second(R"({"input": "a", "answers": ["b"], "length": 1})"), "line 2: has no 'context'");
  EXPECT_ERROR_SAYS(second(R"({"input": "a", "context": 3, "answers": ["b"], "length": 1})"),
                    "line 2: context is 3, expected a string");
  EXPECT_ERROR_SAYS(second(R"({"input": "a", "context": "c", "answers": "b", "length": 1})"),
                    "line 2: answers is \"b\", expected a list of strings");
  EXPECT_ERROR_SAYS(second(R"({"input": "a", "context": "c", "answers": [], "length": 1})"),
                    "line 2: answers is an empty list");
  EXPECT_ERROR_SAYS(second(R"({"input": "a", "context": "c", "answers": ["b"], "length": "1"})"),
                    "line 2: length is \"1\", expected a whole number");
  EXPECT_ERROR_SAYS(second(R"({"input": "a", "context": "c", "answers": ["b"], "length": 1, "all_classes": null})"),
                    "line 2: has no 'all_classes'");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a"})"), "line 2: has no 'context'");
  EXPECT_ERROR_SAYS(second("{"), "line 2: not JSON");
  EXPECT_ERROR_SAYS(read(""), "x.jsonl: is empty");
}

TEST_F(LongBenchCasesTest, ADataSetNeedsItsPromptAndItsLength) {
  write("data/trec.jsonl", kGood);
  write("data/qasper_e.jsonl", kGood);
  write("config/dataset2prompt.json", R"({"trec": "{context}: {input}", "qasper": "{question}", "lcc": 5})");
  write("config/dataset2maxlen.json", R"({"trec": 64, "qasper": 128, "lcc": 0})");
  const fs::path folder = folder_ / "";
  const auto data = read_longbench_data(folder, *find_longbench_task("trec"), false);
  EXPECT_EQ(data.max_new_tokens, 64);
  EXPECT_EQ(data.prompt.fill(data.cases[0].context, data.cases[0].input), "Questions: Type?");
  EXPECT_EQ(find_longbench_data(folder, false), std::vector{find_longbench_task("trec")});
  EXPECT_EQ(find_longbench_data(folder, true), std::vector{find_longbench_task("qasper")});
  const auto read_task = [&](const char* name) {
    return read_longbench_data(folder, *find_longbench_task(name), true);
  };
  EXPECT_ERROR_SAYS(read_task("musique"), "dataset2prompt.json: has no 'musique'");
  EXPECT_ERROR_SAYS(read_task("qasper"), "dataset2prompt.json: qasper: asks for {question}; use {context} and {input}");
  EXPECT_ERROR_SAYS(read_task("lcc"), "dataset2prompt.json: lcc is 5, expected a string");
  EXPECT_ERROR_SAYS(read_task("trec"), "trec_e.jsonl");
  fs::remove(folder_ / "config" / "dataset2maxlen.json");
  EXPECT_ERROR_SAYS(read_task("trec"), "dataset2maxlen.json");
  EXPECT_ERROR_SAYS(find_longbench_data(folder_ / "config", false), "data: has no data set of LongBench");
  // The repository's folder, or that of the archive, with the benchmark one deeper.
  write("outer/inner/data/trec.jsonl", kGood);
  EXPECT_ERROR_SAYS(find_longbench_data(folder_ / "outer", false), "outer/inner in it has data/: give that");
  EXPECT_ERROR_SAYS(read_longbench_data(folder_ / "outer" / "inner", *find_longbench_task("trec"), false),
                    "config/dataset2prompt.json: is not there; config/ of LongBench's repository belongs beside data/");
}

TEST(LongBenchPromptTest, IsPythonsFormat) {
  const auto filled = [](const char* format) { return LongBenchPrompt(format, "trec").fill("{input}", "}q{"); };
  EXPECT_EQ(filled("a {context} b {input}{input}"), "a {input} b }q{}q{");  // texts are not looked into
  EXPECT_EQ(filled("{{context}} {{{context}}}"), "{context} {{input}}");
  EXPECT_EQ(filled(""), "");
  for (const char* bad : {"{", "}", "a { b", "{context", "a } b", "{}", "{0}", "{context!r}", "{input:10}", "{answers}",
                          "{ context}", "{{}", "{context}}"}) {
    EXPECT_ERROR_SAYS(LongBenchPrompt(bad, "trec"), "use {context} and {input}, {{ and }} for braces");
  }
}

// Rows that pred.py wrote, read and written again, are the same bytes.
TEST(LongBenchPredictionLineTest, IsThatOfPythonsJson) {
  int num_lines = 0;
  for (const LongBenchTask& task : longbench_tasks()) {
    const fs::path file = fs::path(HICI_SOURCE_DIR) / "tests/eval/data/longbench" / (std::string(task.name) + ".jsonl");
    const std::string content = read_file(file, size_t{1} << 24);
    for (size_t at = 0; at < content.size();) {
      const size_t end = std::min(content.find('\n', at), content.size());
      const std::string line = content.substr(at, end - at);
      const nlohmann::json row = parse_json(line, "row");
      const LongBenchCase answered{.context = "",
                                   .input = "",
                                   .answers = row["answers"].get<std::vector<std::string>>(),
                                   .classes = row["all_classes"],
                                   .length = row["length"].get<int64_t>(),
                                   .subject = ""};
      EXPECT_EQ(longbench_prediction_line(answered, row["pred"].get<std::string>()), line) << file;
      at = end + 1;
      ++num_lines;
    }
  }
  EXPECT_GT(num_lines, 200);
}

}  // namespace
}  // namespace hici::eval
