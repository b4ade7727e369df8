// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/answers.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace hici::eval {
namespace {

constexpr size_t kMaxAnswersBytes = size_t{1} << 30;
constexpr std::string_view kLabel = "Label: ";
constexpr std::string_view kPredict = ", Predict: ";
constexpr std::string_view kParsed = ", Parsed: ";
constexpr std::string_view kLength = ", prompt length: ";
constexpr std::string_view kAccuracy = "Accuracy: ";

void append_utf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int num_more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint32_t kLeads[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLeads[num_more] | (code >> (6 * num_more)));
  for (int i = num_more - 1; i >= 0; --i) out += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
}

// The number of `digits` hexadecimal digits at the start, when it is a character.
std::optional<uint32_t> hexadecimal(std::string_view text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  uint32_t code = 0;
  for (const char c : text.substr(0, digits)) {
    const size_t value = std::string_view("0123456789abcdef").find(c);
    if (value == std::string_view::npos) return std::nullopt;
    code = code * 16 + static_cast<uint32_t>(value);
  }
  const bool is_character = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  return is_character ? std::optional(code) : std::nullopt;
}

// One escape of Python's repr() behind its backslash; returns the bytes of `rest` that it takes, 0 when it is none.
size_t unescape(std::string_view rest, std::string& out) {
  if (rest.empty()) return 0;
  constexpr std::string_view kNames = "ntr\\'\"";
  constexpr std::string_view kMeanings = "\n\t\r\\'\"";
  if (const size_t at = kNames.find(rest.front()); at != std::string_view::npos) {
    out += kMeanings[at];
    return 1;
  }
  const size_t digits = rest.front() == 'x' ? 2 : rest.front() == 'u' ? 4 : rest.front() == 'U' ? 8 : 0;
  const std::optional<uint32_t> code = hexadecimal(rest.substr(1), digits);
  if (digits == 0 || !code) return 0;
  append_utf8(*code, out);
  return 1 + digits;
}

std::string_view without_line_end(std::string_view line) { return line.substr(0, line.find_last_not_of("\r\n") + 1); }

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

RetrievalAnswer read_answer(std::string_view line, RetrievalTask task, const std::string& subject) {
  const bool is_lines = task == RetrievalTask::kLines;
  HICI_CHECK(line.starts_with(kLabel), subject, ": does not begin with 'Label: ' but with '", printable(line, 20),
             "'; expected an answer file of LongEval");
  const size_t predict = line.find(kPredict);
  HICI_CHECK(predict != std::string_view::npos, subject, ": has no 'Predict: '; expected 'Label: ..., Predict: ...'");
  const size_t length = line.rfind(kLength);
  HICI_CHECK(length != std::string_view::npos && length > predict, subject,
             ": has no 'prompt length: ' behind the answer; the line was cut");
  const std::string_view prompt_length = line.substr(length + kLength.size());
  HICI_CHECK(prompt_length == "-1" || is_digits(prompt_length), subject, ": prompt length is '",
             printable(prompt_length, 40), "', expected a whole number");
  size_t end = length;
  if (is_lines) {
    end = line.substr(0, length).rfind(kParsed);
    HICI_CHECK(end != std::string_view::npos && end > predict, subject,
               ": has no 'Parsed: '; expected an answer file of LongEval's lines task");
  }
  const size_t begin = predict + kPredict.size();
  HICI_CHECK(end >= begin, subject, ": has no answer behind 'Predict: '; the line was cut");
  const std::string label(line.substr(kLabel.size(), predict - kLabel.size()));
  HICI_CHECK(!label.empty(), subject, ": label is empty, expected the right answer");
  HICI_CHECK(!is_lines || is_digits(label), subject, ": label is '", printable(label, 60),
             "', expected a whole number; answers to the topics task are for 'hici score topics'");
  const std::string_view answer = line.substr(begin, end - begin);
  return {.label = label, .answer = is_lines ? std::string(answer) : without_python_quotes(answer)};
}

std::vector<RetrievalAnswer> read_answers(std::string_view content, RetrievalTask task, const std::string& file) {
  std::vector<RetrievalAnswer> answers;
  int64_t number = 0;
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    const std::string_view line = without_line_end(content.substr(at, end - at));
    const std::string subject = detail::concat(file, ": line ", ++number);
    at = end + 1;
    const bool is_last = at >= content.size();
    if (is_last && task == RetrievalTask::kLines && line.starts_with(kAccuracy)) break;
    answers.push_back(read_answer(line, task, subject));
  }
  HICI_CHECK(!answers.empty(), file, ": holds no answer; the predictions were not made, or not to their end");
  return answers;
}

// A line's answer is a number and has what LongEval parsed from the prediction; a topic's has neither.
RetrievalTask task_of(std::string_view line) {
  const size_t predict = line.find(kPredict);
  const bool is_lines = line.starts_with(kLabel) && predict != std::string_view::npos &&
                        is_digits(line.substr(kLabel.size(), predict - kLabel.size())) &&
                        line.rfind(kParsed) != std::string_view::npos;
  return is_lines ? RetrievalTask::kLines : RetrievalTask::kTopics;
}

}  // namespace

std::string without_python_quotes(std::string_view text) {
  std::string_view inner = text;
  if (inner.size() >= 4 && inner.front() == '[' && inner.back() == ']') inner = inner.substr(1, inner.size() - 2);
  const char quote = inner.empty() ? '\0' : inner.front();
  if (inner.size() < 2 || (quote != '\'' && quote != '"') || inner.back() != quote) return std::string(text);
  inner = inner.substr(1, inner.size() - 2);
  std::string out;
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] == quote) return std::string(text);  // several strings, or none
    const size_t taken = inner[i] == '\\' ? unescape(inner.substr(i + 1), out) : 0;
    if (taken == 0) out += inner[i];
    i += taken;
  }
  return out;
}

std::vector<RetrievalAnswer> read_retrieval_answers(const std::filesystem::path& file, RetrievalTask task) {
  return read_answers(read_file(file, kMaxAnswersBytes), task, file.string());
}

RetrievalFile read_retrieval_file(const std::filesystem::path& file) {
  const std::string content = read_file(file, kMaxAnswersBytes);
  const RetrievalTask task = task_of(std::string_view(content).substr(0, content.find('\n')));
  return {.task = task, .answers = read_answers(content, task, file.string())};
}

}  // namespace hici::eval
