// SPDX-License-Identifier: Apache-2.0
// The cases of an evaluation. One process of a run answers each case once, across stops and resumes.
//
//   eval::CaseJournal journal("5_response.txt", {{"model", "..."}}, 50, process_rank(), resume);
//   for (const int64_t i : journal.open_cases()) journal.add(i, answer_to(i));
//   journal.finish([](const std::vector<nlohmann::json>& answers) { write_file_atomically("5_response.txt", ...); });
//
// Until the file is complete, each process keeps its answers in a journal beside it, FILE.part-RANK-of-WORLD: a JSON
// line with the identity of the work, then one line per answer. Case i belongs to process i mod WORLD, so processes do
// not communicate. The process that finds all answers merges them. Journals of another WORLD are read too.
#pragma once

#include "hici/base/append_file.h"
#include "hici/base/process_rank.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hici::eval {

// The settings of a result that must be the same on resume. Left out are: label and folders; the device, and how many
// processes share a window or take part, which change rounding only; the version of hici, because otherwise no work
// could be resumed after an update; and whether base and adapter fit, because their hashes determine that. The record
// keeps all of them.
nlohmann::json identity_of(nlohmann::json settings);

// The key of a record for the SHA-256 of the file beside it; CaseJournal checks it.
constexpr const char* kAnswersSha256 = "answers_sha256";

// The JSON with the settings that the writer of finish() makes: the journal's `file` itself, or a file beside it.
struct FinishedRecord {
  std::filesystem::path path = {};         // empty: no record
  std::vector<std::string> required = {};  // keys of every version; a record without one is damaged, not old
};

class CaseJournal {
 public:
  // `file`: the output of finish(); its folder is created at the first add(). `identity`: an object with everything
  // that affects answers (model, data, settings). A journal with another identity is an hici::Error that names the
  // field. Without `resume` a finished file (unless `replaces_file`) or an earlier journal is an error; with `resume`
  // their answers are kept. A journal that another process is writing is always an error. `record`: a finished file is
  // compared with it; settings that an older record lacks are not compared. A file that changed after it was written is
  // an error if its record has its hash.
  CaseJournal(std::filesystem::path file, nlohmann::json identity, int64_t num_cases, ProcessRank process, bool resume,
              bool replaces_file = false, const FinishedRecord& record = {});

  // Unanswered cases of this process, ascending. None if the file exists.
  const std::vector<int64_t>& open_cases() const { return open_cases_; }
  // True if the file existed: no process has work left.
  bool is_finished() const { return is_finished_; }
  // Number of answers found at the start, of all processes.
  int64_t num_found() const { return num_found_; }

  // Stores an answer (any JSON value except null). A full disk is an hici::Error; earlier answers are kept.
  void add(int64_t case_index, const nlohmann::json& answer);

  // If every case has an answer: calls `write` with the answers in the order of the cases, removes the journals and
  // returns true. `write` must write the file atomically. False if other processes have work left, or if one of them
  // has already written the file. Two processes that finish at the same moment write the same file.
  bool finish(const std::function<void(const std::vector<nlohmann::json>& answers)>& write);

 private:
  using Answers = std::vector<nlohmann::json>;  // by case; a discarded value for a missing answer

  std::vector<std::filesystem::path> journals() const;
  std::filesystem::path own_journal() const;
  Answers read_answers(const std::vector<std::filesystem::path>& journals) const;
  void read_journal(const std::filesystem::path& journal, Answers& answers) const;
  void check_finished(const FinishedRecord& record) const;
  void check_is_whole(const nlohmann::json& found, const FinishedRecord& record) const;
  void check_identity(const nlohmann::json& found, const std::filesystem::path& journal) const;
  void open();

  std::filesystem::path file_;
  nlohmann::json identity_;
  int64_t num_cases_;
  ProcessRank process_;
  std::vector<int64_t> open_cases_;
  bool is_finished_ = false;
  int64_t num_found_ = 0;
  std::unique_ptr<AppendFile> own_;  // opened by the first add()
};

}  // namespace hici::eval
