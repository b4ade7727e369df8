// SPDX-License-Identifier: Apache-2.0
// The columns of a row of fine-tuning, by what they can do to the learned tokens. One list of each kind; what is in
// none changes nothing and is named in the log (columns_without_effect()). Messages are another matter: all that a
// message has reaches the chat template, as with transformers.
#pragma once

#include <nlohmann/json.hpp>

#include <array>
#include <set>
#include <string>
#include <string_view>

namespace hici::data {

// For messages about a row that has none of them.
constexpr const char* kSftForms = "instruction with output, messages, conversations, or prompt with completion";

// What rows are made of.
constexpr std::array<std::string_view, 11> kSftColumns{
    "instruction", "input",  "output",        "messages", "conversations",       "prompt",
    "completion",  "system", "system_prompt", "tools",    "chat_template_kwargs"};

struct RefusedColumn {
  std::string_view name;
  std::string_view why;
};

// What would change the learned tokens and is not done, unless it is null, empty, a weight of 1, or a flag that is no
// false.
constexpr std::array<RefusedColumn, 19> kRefusedSftColumns{{
    {"history", "earlier turns of an instruction: write the row as messages"},
    {"functions", "an older form of tools: write the column as tools, [{\"type\": \"function\", \"function\": ...}]"},
    {"function_call", "an older form: write messages with tool_calls"},
    {"chat_template", "a template of one row: give it to the model's folder as chat_template.jinja"},
    {"enable_thinking",
     "a variable of the template: write it as {\"chat_template_kwargs\": {\"enable_thinking\": ...}}"},
    {"input_ids", "the row is tokenized already: hici train takes such a column, hici sft makes ids itself"},
    {"completion_mask", "a mask of tokens: hici sft finds the answers itself"},
    {"assistant_masks", "a mask of tokens: hici sft finds the answers itself"},
    {"loss_mask", "a mask of tokens: hici sft finds the answers itself"},
    {"image", "an image: only text is learned"},
    {"images", "images: only text is learned"},
    {"videos", "videos: only text is learned"},
    {"audio", "sound: only text is learned"},
    {"audios", "sound: only text is learned"},
    {"train", "a flag of the row: leave rows out that are not learned"},
    {"loss", "a flag of the row: leave rows out that are not learned"},
    {"weight", "a weight of the row: every example counts by its tokens; leave rows out, or repeat them"},
    {"sample_weight", "a weight of the row: every example counts by its tokens; leave rows out, or repeat them"},
    {"loss_weight", "a weight of the row: every example counts by its tokens; leave rows out, or repeat them"},
}};

// Known to change nothing: where a row comes from, and what was measured of it.
constexpr std::array<std::string_view, 22> kNeutralSftColumns{
    "id",       "idx",     "index",    "uuid",       "prompt_id", "conversation_id", "conversation_hash",
    "source",   "dataset", "category", "topic",      "task",      "language",        "lang",
    "license",  "url",     "model",    "created_at", "timestamp", "score",           "file",
    "num_turns"};

// Whether no line is due when a chat template writes nothing of a message's key: what is looked at elsewhere
// (text/template_check.h), and what changes nothing.
bool is_neutral_in_message(std::string_view key);

// Whether parse_sft_row() looks at the column: the first two lists.
bool is_sft_column(std::string_view name);

// An error that names the first column of kRefusedSftColumns that says something. `subject` names the row.
void check_no_refused_column(const nlohmann::json& row, const std::string& subject);

// "id, source, and notes, which is not known here"; for the log.
std::string columns_without_effect(const std::set<std::string>& names);

}  // namespace hici::data
