// SPDX-License-Identifier: Apache-2.0
// The cases of an evaluation, each answered once by one of the processes of a run, whatever stops them in between.
//
//   eval::CaseJournal journal("5_response.txt", {{"model", "..."}}, 50, process_rank(), resume);
//   for (const int64_t i : journal.open_cases()) journal.add(i, answer_to(i));
//   journal.finish([](const std::vector<nlohmann::json>& answers) { write_file_atomically("5_response.txt", ...); });
//
// Until the file is whole, each process keeps its answers in a journal beside it, FILE.part-RANK-of-WORLD: a JSON line
// with the identity of the work, then one for each answer. Case i belongs to process i mod WORLD, so that processes
// need not speak with each other; the one that finds all answers merges them. Journals of another WORLD are read too.
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

// What of the settings of a result decides its answers. Left out are names and places (label, folders), and what
// answers may change with but are not made wrong by: the device, whose rounding is another one, and the version of
// hici, or else no work could be taken up after an update; and how base and adapter fit, which their hashes decide. The
// record keeps them.
nlohmann::json identity_of(nlohmann::json settings);

// Under this key a record says of the file beside it what it holds (SHA-256), for CaseJournal.
constexpr const char* kAnswersSha256 = "answers_sha256";

// The JSON that finish() writes, with the settings among its keys: `file` of the journal itself, or beside it.
struct FinishedRecord {
  std::filesystem::path path = {};         // empty: there is none
  std::vector<std::string> required = {};  // keys that it has in every version; one without them is damaged, not old
};

class CaseJournal {
 public:
  // `file`: what finish() writes; its folder is made at the first add(). `identity`: an object of all that decides the
  // answers (model, data, settings); a journal that says otherwise is an hici::Error that names the field. Without
  // `resume` a finished file (unless `replaces_file`) or a journal of earlier work is an error; with it what they hold
  // is kept. So is a journal that another process is writing, always. `record`: against it a finished file is held; of
  // the settings what an older one does not say is not compared. A file that has changed since it was written is an
  // error where its record says what it held.
  CaseJournal(std::filesystem::path file, nlohmann::json identity, int64_t num_cases, ProcessRank process, bool resume,
              bool replaces_file = false, const FinishedRecord& record = {});

  // Cases of this process without an answer, ascending. None when the file is there.
  const std::vector<int64_t>& open_cases() const { return open_cases_; }
  // True when nothing was left to do for anybody: the file was there.
  bool is_finished() const { return is_finished_; }
  // Answers that were found, of all processes.
  int64_t num_found() const { return num_found_; }

  // Keeps an answer (any JSON value but null). An hici::Error when the disk is full; what was added before is kept.
  void add(int64_t case_index, const nlohmann::json& answer);

  // When every case has its answer: `write` gets them in the order of the cases and must write the file atomically;
  // then the journals go, and the result is true. False while other processes have work left, or when one of them was
  // here first. Two that finish in the same moment write the same file.
  bool finish(const std::function<void(const std::vector<nlohmann::json>& answers)>& write);

 private:
  using Answers = std::vector<nlohmann::json>;  // by case; discarded values where there is none

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
