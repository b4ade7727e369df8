// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/case_journal.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/json_lines.h"
#include "hici/base/log.h"
#include "hici/base/sha256.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <utility>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kIdentity = "identity";
constexpr const char* kNumCases = "cases";
constexpr const char* kCase = "case";
constexpr const char* kAnswer = "answer";
constexpr const char* kWeightsHash = "weights_hash";
constexpr const char* kConfigHash = "config_hash";
constexpr const char* kDamaged =
    ", so that it is damaged or no result of this command; remove it and what is beside it, or use another place for "
    "the output";
constexpr const char* kWayOut =
    "; use model, data and settings of the earlier work, or another place for the output, or remove the file";

// Results of an older hici have LibTorch's names of types.
json in_present_spelling(const std::string& key, const json& value) {
  static const std::map<std::string, std::string> kTypes{
      {"Float", "float32"}, {"BFloat16", "bfloat16"}, {"Double", "float64"}};
  if (key != "dtype" || !value.is_string()) return value;
  const auto found = kTypes.find(value.get<std::string>());
  return found == kTypes.end() ? value : json(found->second);
}

// Written before results had hashes of weights and settings, when they had fewer keys too.
bool is_of_older_hici(const json& result) { return !result.contains(kWeightsHash) && !result.contains(kConfigHash); }

// A process that died while it wrote may have left a line without its end.
bool ends_in_the_middle_of_a_line(const fs::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || file.tellg() <= 0) return false;
  file.seekg(-1, std::ios::end);
  return file.get() != '\n';
}

}  // namespace

json identity_of(json settings) {
  for (const char* key : {"label", "base_model", "peft_model", "tokenizer", "data_path", "device", "library_version",
                          "other_base", "other_tokenizer", "segment_parallel", "processes"})
    settings.erase(key);
  return settings;
}

CaseJournal::CaseJournal(fs::path file, json identity, int64_t num_cases, ProcessRank process, bool resume,
                         bool replaces_file, const FinishedRecord& record)
    : file_(std::move(file)), identity_(std::move(identity)), num_cases_(num_cases), process_(process) {
  HICI_ASSERT(identity_.is_object() && num_cases >= 0, "identity ", identity_.dump(), ", cases ", num_cases);
  if (process_.rank >= std::max<int64_t>(num_cases, 1)) return;  // more processes than cases
  const std::vector<fs::path> earlier = journals();
  // A run of one process that was to replace the file left a journal: that is what is gone on from.
  const bool keeps_file = resume ? process_.world > 1 || earlier.empty() : !replaces_file;
  is_finished_ = fs::exists(file_) && keeps_file;
  HICI_CHECK(resume || !is_finished_, file_.string(),
             ": is there already; give `resume` to keep it, or another place for the output, or remove it");
  if (is_finished_) {
    check_finished(record);
    num_found_ = num_cases;
    return;
  }
  if (resume && fs::exists(own_journal())) open();  // and it is ours alone, before it is read
  for (const fs::path& journal : earlier) {
    // Another process of this run may have begun already: only a journal of its own place or of another run is old.
    const bool is_of_this_run =
        journal != own_journal() && journal.string().ends_with("-of-" + std::to_string(process_.world));
    HICI_CHECK(resume || is_of_this_run, journal.string(),
               ": answers of earlier work that was stopped; give `resume` to go on from them, or remove the file");
  }
  const Answers answers = read_answers(earlier);
  for (int64_t i = 0; i < num_cases; ++i) {
    const bool is_open = answers[static_cast<size_t>(i)].is_discarded();
    num_found_ += is_open ? 0 : 1;
    if (is_open && i % process_.world == process_.rank) open_cases_.push_back(i);
  }
}

fs::path CaseJournal::own_journal() const {
  fs::path path = file_;
  path += ".part-" + std::to_string(process_.rank) + "-of-" + std::to_string(process_.world);
  return path;
}

std::vector<fs::path> CaseJournal::journals() const {
  const fs::path folder = folder_of(file_);
  const std::string prefix = file_.filename().string() + ".part-";
  std::vector<fs::path> found;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    fs::path path = file_;
    found.push_back(path.replace_filename(name));
  }
  HICI_CHECK(!problem || problem == std::errc::no_such_file_or_directory, folder.string(), ": cannot be read (",
             problem.message(), "); choose another place for the output");
  std::sort(found.begin(), found.end());
  return found;
}

CaseJournal::Answers CaseJournal::read_answers(const std::vector<fs::path>& journals) const {
  Answers answers(static_cast<size_t>(num_cases_), json(json::value_t::discarded));
  for (const fs::path& journal : journals) read_journal(journal, answers);
  return answers;
}

void CaseJournal::read_journal(const fs::path& journal, Answers& answers) const {
  bool is_first = true;
  for (const JsonLine& line : read_json_lines(journal)) {
    if (std::exchange(is_first, false)) {
      check_identity(line.value, journal);
      continue;
    }
    const JsonObject object(line.value, journal.string());
    answers[static_cast<size_t>(object.integer(kCase, 0, num_cases_ - 1))] = object.at(kAnswer);
  }
}

void CaseJournal::check_is_whole(const json& found, const FinishedRecord& record) const {
  const JsonObject finished(found, record.path.string());
  for (const std::string& key : record.required)
    HICI_CHECK(found.contains(key), record.path.string(), ": has no ", key, kDamaged);
  if (record.path == file_) return;  // else the answers are in a file of their own
  if (!found.contains(kAnswersSha256)) {
    HICI_CHECK(is_of_older_hici(found), record.path.string(), ": has no ", kAnswersSha256, kDamaged);
    return;
  }
  const std::string expected = finished.string(kAnswersSha256), now = sha256_hex_of_file(file_);
  HICI_CHECK(now == expected, file_.string(), ": was changed after it was finished: its SHA-256 is ", now, ", ",
             record.path.filename().string(), " says ", printable(expected),
             "; put the finished file back, or remove it to have it made again");
}

void CaseJournal::check_finished(const FinishedRecord& record) const {
  if (record.path.empty()) return;
  if (!is_there(record.path)) {
    log_warning(file_.string(), ": is there already, without ", record.path.filename().string(),
                ", so that nothing says of which model and settings it is; it stays");
    return;
  }
  const json found = read_json_file(record.path);
  check_is_whole(found, record);
  for (const auto& [key, value] : identity_.items()) {
    const auto other = found.find(key);
    HICI_CHECK(other != found.end() || is_of_older_hici(found), record.path.string(), ": has no ", key, kDamaged);
    HICI_CHECK(other == found.end() || in_present_spelling(key, *other) == value, file_.string(),
               ": is finished, with ", key, " ", shown_json(*other), ", now it is ", shown_json(value), kWayOut);
  }
  if (identity_.contains(kWeightsHash) && is_of_older_hici(found))
    log_warning(record.path.string(), ": does not say of which weights it is, as an older hici wrote it; it stays");
}

void CaseJournal::check_identity(const json& found, const fs::path& journal) const {
  const JsonObject header(found, journal.string() + ": line 1");
  HICI_CHECK(header.integer(kNumCases, 0, INT64_MAX) == num_cases_, journal.string(), ": is of ",
             header.integer(kNumCases, 0, INT64_MAX), " cases, now there are ", num_cases_, kWayOut);
  const JsonObject theirs = header.object(kIdentity);
  for (const auto& [key, value] : identity_.items()) {
    const auto other = theirs.value().find(key);
    HICI_CHECK(other != theirs.value().end() && in_present_spelling(key, *other) == value, journal.string(),
               ": answers with ", key, " ", other == theirs.value().end() ? "not known" : shown_json(*other),
               ", now it is ", shown_json(value), kWayOut);
  }
}

void CaseJournal::open() {
  const fs::path path = own_journal();
  check_replaceable(path);
  const bool is_new = read_json_lines(path).empty();
  if (is_new) fs::remove(path);  // not even its first line is whole
  const bool is_torn = ends_in_the_middle_of_a_line(path);
  std::error_code ignored;  // opening says what is wrong
  fs::create_directories(folder_of(path), ignored);
  own_ = std::make_unique<AppendFile>(path, AppendFile::Open::kAlone);
  const json header = {{kIdentity, identity_}, {kNumCases, num_cases_}};
  const std::string begin = is_new ? header.dump() + "\n" : is_torn ? "\n" : "";
  HICI_CHECK(begin.empty() || own_->append(begin), path.string(),
             ": cannot be written; free some space, then `resume`");
}

void CaseJournal::add(int64_t case_index, const json& answer) {
  HICI_ASSERT(case_index >= 0 && case_index < num_cases_, "case ", case_index, " of ", num_cases_);
  if (own_ == nullptr) open();
  const json line = {{kCase, case_index}, {kAnswer, answer}};
  HICI_CHECK(own_->append(one_line(line) + "\n"), own_->path().string(), ": the answer to case ", case_index,
             " cannot be written; free some space, then `resume`");
}

bool CaseJournal::finish(const std::function<void(const std::vector<json>& answers)>& write) {
  if (is_finished_) return false;
  own_.reset();
  const std::vector<fs::path> parts = journals();
  std::vector<json> answers;
  try {
    answers = read_answers(parts);
  } catch (const Error&) {
    if (fs::exists(file_)) return false;  // another process merged while this one was reading
    throw;
  }
  for (const json& answer : answers) {
    if (answer.is_discarded()) return false;
  }
  write(answers);
  std::error_code ignored;
  for (const fs::path& part : parts) fs::remove(part, ignored);
  is_finished_ = true;
  return true;
}

}  // namespace hici::eval
