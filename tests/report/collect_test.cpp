// SPDX-License-Identifier: Apache-2.0
#include "hici/report/collect.h"

#include "hici/base/json.h"
#include "hici/base/sha256.h"
#include "hici/report/tables/report_tables.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace hici::report {
namespace {

namespace fs = std::filesystem;

class CollectTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  // A result of `hici eval ppl` on data that hold `sha256`.
  static std::string result(const std::string& label, int context, const std::string& rest,
                            const std::string& sha256 = "aa11", int stride = 256) {
    return R"({"command": "eval ppl", "label": ")" + label + R"(", "attention": "hici", "seq_len": )" +
           std::to_string(context) + R"(, "sliding_window": )" + std::to_string(stride) +
           R"(, "data_path": "data/test.bin", "data_sha256": ")" + sha256 + "\"" + rest + "}";
  }

  static std::vector<std::string> texts(const std::vector<Table>& tables) {
    std::vector<std::string> all;
    for (const Table& table : tables) {
      if (!table.is_for_files) all.push_back(table.name + ": " + table.full_caption() + "\n" + table_text(table));
    }
    return all;
  }

  static std::string said(const std::function<void()>& work) {
    ::testing::internal::CaptureStderr();
    work();
    return ::testing::internal::GetCapturedStderr();
  }

  testing::TemporaryFolder root_;
};

TEST_F(CollectTest, FindsRunsAndResultsInFoldersButNotInCheckpoints) {
  write("all/base/metrics.jsonl",
        "{\"step\": 1, \"loss\": 2.5, \"tokens_per_second\": 10}\n{\"step\": 2, \"loss\": null}\n{\"step\"");
  write("all/base/checkpoint-2/metrics.jsonl", "{\"step\": 9, \"loss\": 1}\n");
  write("all/empty/metrics.jsonl", "");
  write("all/eval/a.json", result("HiCI", 512, R"(, "perplexity": 4.5, "accuracy": 0.5)"));
  write("all/eval/tokens.json", R"({"command": "tokenize"})");
  write("all/eval/list.json", "[1]");
  const ReportData data = collect({root_ / "all"});
  ASSERT_EQ(data.runs.size(), 1U);
  EXPECT_EQ(data.runs[0].name, "base");
  ASSERT_EQ(data.runs[0].steps.size(), 2U);
  EXPECT_EQ(data.runs[0].steps[0].loss, 2.5);
  EXPECT_TRUE(std::isnan(data.runs[0].steps[1].loss));
  ASSERT_EQ(data.perplexities.size(), 1U);
  EXPECT_EQ(data.perplexities[0].label, "HiCI");
  EXPECT_EQ(data.perplexities[0].attention, "HiCI");
  EXPECT_EQ(data.perplexities[0].context, 512);
  EXPECT_EQ(data.perplexities[0].perplexity, 4.5);
}

TEST_F(CollectTest, OneSegmentIsARowOfItsOwn) {
  write("a.json", result("m", 512, R"(, "eval_mode": "full_hierarchical", "perplexity": 4)"));
  EXPECT_EQ(collect({root_ / "a.json"}).perplexities.at(0).attention, "HiCI (one segment)");
}

TEST_F(CollectTest, ALaterResultForTheSameThingCountsAndIsNamed) {
  write("a.json", result("m", 512, R"(, "perplexity": 4)"));
  write("b.json", result("m", 512, R"(, "perplexity": 5)"));
  ReportData data;
  const std::string warnings = said([&] { data = collect({root_.path()}); });
  ASSERT_EQ(data.perplexities.size(), 1U);
  EXPECT_EQ(data.perplexities[0].perplexity, 5);
  EXPECT_NE(warnings.find("b.json: a second result for m, HiCI attention, context 512, test.bin, a window every 256 "
                          "tokens; this one counts, not "),
            std::string::npos)
      << warnings;
}

TEST_F(CollectTest, BrokenResultsInAFolderAreNamedAndLeftOut) {
  write("ok.json", result("m", 512, R"(, "perplexity": 4)"));
  write("torn.json", "{\"command\": ");
  write("odd.json", result("m", -5, ""));
  ReportData data;
  const std::string warnings = said([&] { data = collect({root_.path()}); });
  EXPECT_EQ(data.perplexities.size(), 1U);
  EXPECT_NE(warnings.find("torn.json"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("odd.json: seq_len"), std::string::npos) << warnings;
}

TEST_F(CollectTest, WhatIsNotThereOrNoResultIsNamed) {
  write("other.json", "{}");
  fs::create_directory(root_ / "nothing");
  EXPECT_ERROR_SAYS(collect({root_ / "none"}), "none: no such file or directory");
  EXPECT_ERROR_SAYS(collect({root_ / "other.json"}),
                    "other.json: holds no result that a report knows; give a run directory");
  EXPECT_ERROR_SAYS(collect({root_ / "nothing"}), "nothing: nothing to report, no metrics.jsonl");
  std::string warnings =
      said([&] { EXPECT_ERROR_SAYS(collect({root_ / "none", root_ / "nothing"}), "nothing to report"); });
  EXPECT_NE(warnings.find("none: no such file"), std::string::npos) << warnings;
}

// A bad path took the whole report with it, and an empty folder was passed over in silence.
TEST_F(CollectTest, WhatCannotBeTakenIsNamedAndTheRestKept) {
  write("ok/a.json", result("m", 512, R"(, "perplexity": 4)"));
  write("ok/metrics.jsonl", "{\"loss\": 1}\n");
  write("torn.json", "{\"command\": ");
  fs::create_directory(root_ / "nothing");
  ReportData data;
  const std::string warnings =
      said([&] { data = collect({root_ / "nothing", root_ / "torn.json", root_ / "none", root_ / "ok"}); });
  EXPECT_EQ(data.perplexities.size(), 1U);
  EXPECT_EQ(data.num_named_left_out, 2U);
  ASSERT_EQ(data.left_out.size(), 4U);
  const std::vector<std::string> expected = {"nothing: nothing to report", "torn.json: ", "none: no such file",
                                             "ok/metrics.jsonl: holds no step"};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NE(data.left_out[i].find(expected[i]), std::string::npos) << data.left_out[i];
    EXPECT_NE(warnings.find(data.left_out[i] + "; left out of the report"), std::string::npos) << warnings;
  }
}

TEST_F(CollectTest, AFileThatIsFoundTwiceCountsOnce) {
  write("a.json", result("m", 512, R"(, "perplexity": 4)"));
  EXPECT_EQ(said([&] { EXPECT_EQ(collect({root_.path(), root_ / "a.json"}).perplexities.size(), 1U); }), "");
}

// One column held the perplexities of both, the lower one was bold, and of one model's two results one was dropped.
TEST_F(CollectTest, EachDataSetHasATable) {
  write("a.json", result("m", 512, R"(, "perplexity": 4)"));
  write("b.json", result("m", 512, R"(, "perplexity": 3)", "bb22"));
  write("c.json", result("n", 512, R"(, "perplexity": 5)"));
  ReportData data;
  EXPECT_EQ(said([&] { data = collect({root_.path()}); }), "");
  const std::vector<Table> tables = report_tables(data);
  EXPECT_EQ(texts(tables),
            (std::vector<std::string>{"perplexity-test-bin-aa11: Perplexity by evaluation context in tokens, test.bin "
                                      "(aa11), a window every 256 tokens\n"
                                      "model  attention   512\n----------------------\n"
                                      "m      HiCI       4.00\nn      HiCI       5.00\n",
                                      "perplexity-test-bin-bb22: Perplexity by evaluation context in tokens, test.bin "
                                      "(bb22), a window every 256 tokens\n"
                                      "model  attention   512\n----------------------\n"
                                      "m      HiCI       3.00\n"}));
  EXPECT_TRUE(tables[0].is_best(0, 0));
  EXPECT_FALSE(tables[1].is_best(0, 0)) << "alone";
  EXPECT_NE(table_csv(tables[1]).find("\nm,HiCI,\"test.bin (bb22), a window every 256 tokens\",3\n"), std::string::npos)
      << table_csv(tables[1]);
}

TEST_F(CollectTest, SettingsThatChangeTheNumbersAreApart) {
  write("a.json", result("m", 512, R"(, "perplexity": 4)"));
  write("b.json", result("m", 512, R"(, "perplexity": 3)", "aa11", 64));
  write("c.json", result("m", 512, R"(, "perplexity": 2, "limit_tokens": 1000)"));
  const std::vector<Table> tables = report_tables(collect({root_.path()}));
  ASSERT_EQ(tables.size(), 3U);
  EXPECT_EQ(tables[0].conditions, ", test.bin, a window every 256 tokens");
  EXPECT_EQ(tables[1].conditions, ", test.bin, a window every 64 tokens");
  EXPECT_EQ(tables[2].conditions, ", test.bin, a window every 256 tokens, its first 1000 tokens");
  EXPECT_EQ(tables[1].name, "perplexity-test-2");
  EXPECT_EQ(tables[2].name, "perplexity-test-3");
}

TEST_F(CollectTest, WindowsSideBySideAreOneSettingAtAllContexts) {
  write("a.json", result("m", 512, R"(, "perplexity": 4)", "aa11", 512));
  write("b.json", result("m", 1024, R"(, "perplexity": 3)", "aa11", 1024));
  write("c.json", result("m", 256, R"(, "perplexity": 3)", "cc33", 256));  // where another context has that stride
  write("d.json", result("m", 512, R"(, "perplexity": 3)", "cc33", 256));
  const std::vector<Table> tables = report_tables(collect({root_.path()}));
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_EQ(tables[0].conditions, ", test.bin (aa11), windows side by side");
  EXPECT_EQ(tables[1].conditions, ", test.bin (cc33), a window every 256 tokens");
  EXPECT_EQ(tables[1].value_columns.size(), 2U);
}

TEST_F(CollectTest, ResultsThatDoNotSayTheirDataAreApartAndNoneIsTheBest) {
  const std::string old = R"({"command": "eval ppl", "label": "m", "attention": "full", "seq_len": 512, )";
  write("a.json", result("m", 512, R"(, "perplexity": 4)"));
  write("old/a.json", old + R"("perplexity": 3})");
  write("old/b.json", old + R"("perplexity": 2})");
  ReportData data;
  EXPECT_EQ(said([&] { data = collect({root_.path()}); }), "") << "both stay, for nobody knows that they are the same";
  const std::vector<Table> tables = report_tables(data);
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_EQ(tables[1].conditions, "; the files do not say the data and how far the windows are apart");
  ASSERT_EQ(tables[1].rows.size(), 2U);
  EXPECT_NE(tables[1].rows[0].names[0].find("old/a.json)"), std::string::npos) << tables[1].rows[0].names[0];
  EXPECT_FALSE(tables[1].is_best(0, 0) || tables[1].is_best(1, 0));
}

TEST_F(CollectTest, OneLabelForTwoModelsIsTwoRows) {
  write("a.json", result("m", 512, R"(, "perplexity": 4, "weights_sha256": "0123456789")"));
  write("b.json", result("m", 512, R"(, "perplexity": 5, "weights_sha256": "9876543210")"));
  write("c.json", result("n", 512, R"(, "perplexity": 6, "num_segments": 4)"));
  write("d.json", result("n", 512, R"(, "perplexity": 7, "num_segments": 8)"));
  ReportData data;
  EXPECT_EQ(said([&] { data = collect({root_.path()}); }), "");
  EXPECT_EQ(table_text(report_tables(data).at(0)),
            "model                 attention              512\n"
            "------------------------------------------------\n"
            "m (weights 01234567)  HiCI                  4.00\n"
            "m (weights 98765432)  HiCI                  5.00\n"
            "n                     HiCI, num_segments 4  6.00\n"
            "n                     HiCI, num_segments 8  7.00\n");
}

TEST_F(CollectTest, ModelsAreCalledByTheirFoldersNames) {
  const auto of = [](const std::string& path, int context, const std::string& weights) {
    return result(path, context,
                  R"(, "base_model": "models/base", "peft_model": ")" + path +
                      R"(", "perplexity": 4, "weights_sha256": ")" + weights + "\"");
  };
  write("a.json", of("/data/x/runs/hici-8k/checkpoint-100", 512, "w1"));
  write("b.json", of("runs/hici-8k/checkpoint-100/", 1024, "w1"));
  write("c.json", of("one/tiny", 512, "w2"));
  write("d.json", of("other/tiny", 512, "w3"));
  std::vector<std::string> labels;
  for (const PerplexityResult& found : collect({root_.path()}).perplexities) labels.push_back(found.label);
  EXPECT_EQ(labels,
            (std::vector<std::string>{"hici-8k/checkpoint-100", "hici-8k/checkpoint-100", "one/tiny", "other/tiny"}));
}

// The counts of the files beside the answers come from LongEval (topics) and from Python (lines).
TEST_F(CollectTest, AnswersToLongEvalAreScored) {
  const fs::path folder = HICI_SOURCE_DIR "/tests/eval/data/longeval";
  const ReportData data = collect({folder});
  nlohmann::json found = {{"topics", nlohmann::json::object()}, {"lines", nlohmann::json::object()}};
  for (const RetrievalResult& result : data.retrievals) {
    EXPECT_EQ(result.judge, "");
    const char* task = result.task == eval::RetrievalTask::kTopics ? "topics" : "lines";
    found[task][result.label][std::to_string(result.num_items) + "_response.txt"] = {result.num_correct,
                                                                                     result.num_answers};
  }
  EXPECT_EQ(found, read_json_file(folder / "scores.json"));
}

TEST_F(CollectTest, AScoreBesideItsAnswersIsNoSecondResult) {
  write("m/5_response.txt", "Label: a, Predict: a, prompt length: 9\nLabel: b, Predict: c, prompt length: 9\n");
  write("judged.json", R"({"by_rule": {"m": {"5_response.txt": [1, 2]}}, "judge_model": "j",
                           "by_judge": {"m": {"5_response.txt": [2, 2, 0]}}})");
  ReportData data;
  EXPECT_EQ(said([&] { data = collect({root_.path()}); }), "");
  ASSERT_EQ(data.retrievals.size(), 2U);
  EXPECT_EQ(data.retrievals[0].judge, "j");
  EXPECT_EQ(data.retrievals[0].num_correct, 2);
  EXPECT_EQ(data.retrievals[1].num_correct, 1);
}

// Answers to other test cases, which their right answers show, and runs on other data.
TEST_F(CollectTest, OtherTestCasesAreAnotherTable) {
  write("one/m/5_response.txt", "Label: a, Predict: a, prompt length: 9\n");
  write("one/n/5_response.txt", "Label: a, Predict: b, prompt length: 9\n");
  write("two/m/5_response.txt", "Label: b, Predict: a, prompt length: 9\n");
  write("two/m/5_response.json", R"({"command": "eval topics", "max_new_tokens": 50, "prompt_style": "chat"})");
  write("two/n/5_response.txt", "Label: b, Predict: b, prompt length: 9\n");
  write("two/n/5_response.json", R"({"command": "eval topics", "max_new_tokens": 9, "prompt_style": "continue"})");
  ReportData data;
  EXPECT_EQ(said([&] { data = collect({root_.path()}); }), "");
  const std::vector<Table> tables = retrieval_tables(data);
  ASSERT_EQ(tables.size(), 3U);
  EXPECT_EQ(tables[0].rows.size(), 2U);
  EXPECT_EQ(tables[0].conditions.substr(0, 8), ", cases ");
  EXPECT_NE(tables[0].conditions, tables[1].conditions);
  EXPECT_EQ(tables[2].conditions, ", answers of at most 9 tokens, prompts as they stand, without a chat's form");
  EXPECT_EQ(tables[1].name, "topics-2");
}

// A file of judged scores has 5 topics of other cases: the other model's 10 topics could stand beside them, its 5 not.
TEST_F(CollectTest, TheAnswersOfAModelStayInOneTable) {
  write("a.json", R"({"by_rule": {"j": {"5_response.txt": [1, 2]}}, "judge_model": "g", "by_judge": {},
                      "cases": {"j": {"5_response.txt": "ffff"}}})");
  write("m/10_response.txt", "Label: a, Predict: a, prompt length: 9\n");
  write("m/5_response.txt", "Label: a, Predict: a, prompt length: 9\n");
  const std::vector<Table> tables = retrieval_tables(collect({root_.path()}));
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_EQ(tables[0].rows.at(0).names, std::vector<std::string>{"j"});
  EXPECT_EQ(tables[0].rows.size(), 1U);
  EXPECT_EQ(tables[1].value_columns, (std::vector<std::string>{"5", "10"}));
}

TEST_F(CollectTest, PasskeysOfOtherPromptsAreAnotherTable) {
  const auto passkey = [](const std::string& label, const std::string& tests) {
    return R"({"command": "eval passkey", "label": ")" + label +
           R"(", "attention": "full", "lengths": [{"target": 4096, "rope_factor": 1, "tests": [)" + tests + "]}]}";
  };
  const auto test = [](int seed, int key) {
    return R"({"seed": )" + std::to_string(seed) + R"(, "depth": 0.5, "key": )" + std::to_string(key) +
           R"(, "answer": "", "prompt_tokens": 9, "correct": true})";
  };
  write("a.json", passkey("m", test(0, 7)));
  write("b.json", passkey("n", test(0, 7)));
  write("c.json", passkey("m", test(0, 7) + "," + test(1, 8)));
  write("d.json", passkey("m", test(0, 9)));
  const std::vector<Table> tables = report_tables(collect({root_.path()}));
  ASSERT_EQ(tables.size(), 6U) << "by length and by depth each";
  EXPECT_EQ(tables[0].rows.size(), 2U);
  EXPECT_EQ(tables[0].conditions.find(", one prompt of each length, seed 0, cases "), 0U) << tables[0].conditions;
  EXPECT_EQ(tables[1].conditions, ", 2 prompts of each length, seeds 0 to 1");
}

std::string record_of(const std::string& scores, const std::string& ratio) {
  return R"({"command": "score longbench", "code_ratio": ")" + ratio + R"(", "result_sha256": ")" + sha256_hex(scores) +
         R"("})";
}

TEST_F(CollectTest, LongBenchOfOtherSettingsIsAnotherTable) {
  const auto model = [&](const std::string& name, const std::string& scores, const std::string& settings) {
    write(name + "/result.json", scores);
    write(name + "/result_settings.json", record_of(scores, "levenshtein"));
    if (!settings.empty())
      write(name + "/lcc.json", R"({"command": "eval longbench", "data_sha256": "d")" + settings + "}");
  };
  model("a", R"({"lcc": 50})", R"(, "max_length": 3500)");
  model("b", R"({"lcc": 60})", R"(, "max_length": 3500)");
  model("c", R"({"lcc": 70})", R"(, "max_length": 31500)");
  model("d", R"({"lcc": 80})", "");
  model("e", R"({"lcc": 90})", "");
  std::vector<Table> tables;
  for (const Table& table : longbench_tables(collect({root_.path()}).longbench)) {
    if (!table.name.starts_with("longbench-datasets")) tables.push_back(table);
  }
  ASSERT_EQ(tables.size(), 3U);
  EXPECT_EQ(
      tables[0].full_caption(),
      "LongBench scores by group of data sets (lcc), code compared by levenshtein, prompts of at most 3500 tokens");
  EXPECT_TRUE(tables[0].is_best(1, 5));
  EXPECT_EQ(tables[1].conditions, ", code compared by levenshtein, prompts of at most 31500 tokens");
  EXPECT_EQ(tables[2].conditions,
            ", code compared by levenshtein; the files do not say max_length and the form of the prompts");
  EXPECT_FALSE(tables[2].is_best(1, 5));
}

// fuzz.ratio is another function where python-Levenshtein is installed, by 2 to 3 points on code.
TEST_F(CollectTest, CodeComparedInAnotherWayIsAnotherTable) {
  const auto model = [&](const std::string& name, const std::string& scores, const std::string& ratio) {
    write(name + "/result.json", scores);
    if (!ratio.empty()) write(name + "/result_settings.json", record_of(scores, ratio));
    for (const char* set : {"/lcc.json", "/qasper.json"})
      write(name + set, R"({"command": "eval longbench", "data_sha256": "d", "max_length": 3500})");
  };
  model("a", R"({"qasper": 10, "lcc": 50})", "levenshtein");
  model("b", R"({"qasper": 20, "lcc": 60})", "difflib");
  model("c", R"({"qasper": 30, "lcc": 70})", "levenshtein");
  model("d", R"({"qasper": 40, "lcc": 80})", "");
  model("e", R"({"qasper": 50})", "");
  std::vector<Table> tables;
  for (const Table& table : longbench_tables(collect({root_.path()}).longbench)) {
    if (table.name.starts_with("longbench-datasets")) tables.push_back(table);
  }
  ASSERT_EQ(tables.size(), 3U);
  EXPECT_EQ(tables[0].conditions, ", code compared by levenshtein, prompts of at most 3500 tokens");
  EXPECT_EQ(tables[0].value_columns, (std::vector<std::string>{"a", "c", "e"})) << "e has no code";
  EXPECT_EQ(tables[1].conditions, ", code compared by difflib, prompts of at most 3500 tokens");
  EXPECT_EQ(tables[2].conditions, ", prompts of at most 3500 tokens; the files do not say how code is compared");
}

// Their names are alike and their weights the same: one of them was dropped as a repeat of the other.
TEST_F(CollectTest, PredictionsInTwoFoldersAreTwoResults) {
  for (const char* folder : {"a/m/", "b/m/"}) {
    write(std::string(folder) + "result.json", R"({"lcc": 50})");
    write(std::string(folder) + "lcc.json",
          R"({"command": "eval longbench", "weights_hash": "w", "data_sha256": "d"})");
  }
  std::vector<std::string> labels;
  for (const LongBenchResult& result : collect({root_.path()}).longbench) labels.push_back(result.label);
  EXPECT_EQ(labels, (std::vector<std::string>{"a/m", "b/m"}));
}

TEST_F(CollectTest, RunsAreApartByDataAndLength) {
  const auto run = [&](const std::string& name, const std::string& options) {
    write(name + "/metrics.jsonl", "{\"step\": 1, \"loss\": 2, \"hici_grad_norm\": 0, \"hici_learning_rate\": 0.1}\n");
    if (!options.empty()) write(name + "/options.ini", options);
  };
  run("a/run", "# the options in force\ndata_path = data/pg19.bin\n# model_max_length = 8192\n");
  run("b/run", "data_path = \"pg19.bin\"\nmodel_max_length = 4096\n");
  run("c", "");
  const ReportData data = collect({root_.path()});
  ASSERT_EQ(data.runs.size(), 3U);
  EXPECT_EQ(data.runs[2].name, "c");
  EXPECT_EQ(data.runs[0].name, "a/run");
  EXPECT_EQ(data.runs[0].conditions.caption(),
            ", pg19.bin, sequences of 8192 tokens; the files do not say what the data hold");
  EXPECT_EQ(comparisons_of(data.runs).size(), 3U);
  EXPECT_TRUE(std::isnan(data.runs[0].steps[0].hici_learning_rate)) << "no HiCI parameters had gradients";
}

TEST_F(CollectTest, FilesAreTakenOneByOneToo) {
  write("run/metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n");
  write("m/7_response.txt", "Label: 12, Predict: 12, Parsed: 12, prompt length: 9\n");
  const ReportData data = collect({root_ / "run/metrics.jsonl", root_ / "m/7_response.txt"});
  EXPECT_EQ(data.runs.at(0).name, "run");
  EXPECT_EQ(data.retrievals.at(0).task, eval::RetrievalTask::kLines);
  write("m/x_response.txt", "");
  EXPECT_ERROR_SAYS(collect({root_ / "m/x_response.txt"}), "does not begin with the number of topics or lines");
}

}  // namespace
}  // namespace hici::report
