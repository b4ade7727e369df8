// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/row.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/json_rows.h"
#include "hici/data/sft/columns.h"

#include <algorithm>
#include <set>

namespace hici::data {
namespace {

using Json = nlohmann::ordered_json;

// A row as it is read: checked, and once more with keys in their order, which a template may print.
class RowReader {
 public:
  RowReader(std::string_view json, const std::string& subject)
      : value_(parse_json(json, subject, kMaxRowBytes)), row_(value_, subject), ordered_(Json::parse(json)) {
    check_no_refused_column(value_, subject);
    row.subject = subject;
  }

  void read() {
    const bool is_pair = has("prompt") && has("completion"), is_instruction = has("instruction") && has("output");
    const int forms = is_pair + is_instruction + (has("messages") || has("conversations"));
    HICI_CHECK(forms <= 1, row.subject, ": has ", is_pair ? "prompt with completion" : "instruction with output",
               " and ", is_instruction && is_pair ? "instruction with output" : chat_column(),
               ", which may say different things; take one of them out");
    if (has("messages") || has("conversations")) {
      read_chat();
    } else if (is_pair) {
      read_pair();
    } else {
      read_instruction();
    }
    for (const auto& [name, value] : value_.items()) {
      if (!used_.contains(name) && !value.is_null()) row.unused.push_back(name);
    }
  }

  SftRow row;

 private:
  bool has(const char* column) const { return row_.has(column); }
  std::string chat_column() const { return has("messages") ? "messages" : "conversations"; }
  std::string subject_of(const std::string& column) const { return row.subject + ": " + column; }
  const Json& use(const std::string& column) {
    used_.insert(column);
    return ordered_[column];
  }
  std::string text(const char* column) {
    used_.insert(column);
    return row_.string_or(column, "");
  }

  Turns turns(const std::string& column) { return turns_of(use(column), subject_of(column)); }

  void read_chat() {
    row.form = SftForm::kChat;
    Turns chat = turns(chat_column());
    if (has("messages") && has("conversations")) {
      HICI_CHECK(turns("conversations").messages == chat.messages, row.subject,
                 ": has messages and conversations, which differ; take one of them out");
    }
    take(std::move(chat));
    const bool is_answered = std::any_of(row.messages.begin(), row.messages.end(),
                                         [](const Json& message) { return message["role"] == "assistant"; });
    HICI_CHECK(is_answered, subject_of(chat_column()),
               ": has no turn of the assistant, so that nothing can be learned; take the row out");
    HICI_CHECK(std::find(row.is_learned.begin(), row.is_learned.end(), true) != row.is_learned.end(),
               subject_of(chat_column()), ": marks no turn of the assistant as learned; take the row out");
  }

  void read_pair() {
    HICI_CHECK(ordered_["prompt"].is_string() == ordered_["completion"].is_string(), row.subject,
               ": one of prompt and completion is text and the other is not; write both as text or as messages");
    if (ordered_["prompt"].is_string()) {
      row.form = SftForm::kPrompt;
      row.prompt = text("prompt");
      row.output = text("completion");
      HICI_CHECK(!row.output.empty(), row.subject, ": 'completion', the answer to learn, is empty; take the row out");
      return refuse_chat_columns();
    }
    row.form = SftForm::kPromptChat;
    Turns chat = turns("prompt"), answer = turns("completion");
    row.num_prompt = chat.messages.size();
    for (size_t i = 0; i < answer.messages.size(); ++i) {
      HICI_CHECK(answer.is_learned[i] || answer.messages[i]["role"] != "assistant", subject_of("completion"),
                 ": marks a turn as not learned, where all of a completion is; write the row as messages");
      chat.messages.push_back(std::move(answer.messages[i]));
      chat.is_learned.push_back(true);
    }
    take(std::move(chat));
  }

  void read_instruction() {
    HICI_CHECK(has("instruction"), row.subject,
               ": has no 'instruction', 'messages', 'conversations' or 'prompt' with 'completion'; a row is "
               "{\"instruction\", \"input\"?, \"output\"}, a conversation, or {\"prompt\", \"completion\"}");
    row.instruction = row_.string("instruction");
    used_.insert("instruction");
    row.input = text("input");
    HICI_CHECK(has("output"), row.subject, ": has no 'output', the answer to learn; add it or take the row out");
    row.output = text("output");
    HICI_CHECK(!row.output.empty(), row.subject,
               ": 'output', the answer to learn, is empty; fill it in or take the row out");
    refuse_chat_columns();
  }

  // The conversation, with what stands beside it in the row.
  void take(Turns chat) {
    row.messages = std::move(chat.messages);
    row.is_learned = std::move(chat.is_learned);
    for (const char* column : {"system", "system_prompt"}) {
      if (has(column)) put_system(text(column), column);
    }
    if (has("chat_template_kwargs")) {
      row_.object("chat_template_kwargs");
      row.variables = use("chat_template_kwargs");
      for (const char* name : {"messages", "add_generation_prompt", "tools"}) {
        HICI_CHECK(!row.variables.contains(name), row.subject, ": chat_template_kwargs has ", name,
                   ", which the row itself decides; take it out");
      }
    }
    if (!has("tools")) return;
    Json tools = tools_of(use("tools"), subject_of("tools"));
    if (!tools.is_null()) row.variables["tools"] = std::move(tools);
  }

  void put_system(const std::string& system, const char* column) {
    if (system.empty()) return;
    const Json& first = row.messages.front();
    if (first["role"] == "system") {
      HICI_CHECK(first.contains("content") && first["content"] == system, row.subject, ": '", column,
                 "' is another text than the system message in front; take one of them out");
      return;
    }
    row.messages.insert(row.messages.begin(), Json{{"role", "system"}, {"content", system}});
    row.is_learned.insert(row.is_learned.begin(), false);
    if (row.form == SftForm::kPromptChat) ++row.num_prompt;
  }

  // Texts have no place for these.
  void refuse_chat_columns() {
    for (const char* column : {"system", "system_prompt", "tools", "chat_template_kwargs"}) {
      const auto found = value_.find(column);
      const bool says_something = found != value_.end() && !found->is_null() && *found != "" && *found != "[]" &&
                                  !(found->is_structured() && found->empty());
      HICI_CHECK(!says_something, row.subject, ": '", column, "' is ", shown_json(*found),
                 ", which only a chat template can take; write the row as messages");
    }
  }

  nlohmann::json value_;
  JsonObject row_;
  Json ordered_;
  std::set<std::string> used_;
};

}  // namespace

SftRow parse_sft_row(std::string_view json, const std::string& subject) {
  RowReader reader(json, subject);
  reader.read();
  return std::move(reader.row);
}

}  // namespace hici::data
