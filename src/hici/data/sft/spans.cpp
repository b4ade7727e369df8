// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/spans.h"

#include "hici/base/error.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace hici::data {
namespace {

using Json = nlohmann::ordered_json;
using text::ChatMessages;

// In no text of a conversation that a template would write.
constexpr const char* kProbe = "\u2042\u203B\u2042";

bool is_assistant(const ChatMessages& message) { return message.at("role") == "assistant"; }

ChatMessages first(const ChatMessages& messages, size_t count) {
  auto part = ChatMessages::array();
  for (size_t i = 0; i < count; ++i) part.push_back(messages[i]);
  return part;
}

size_t common_prefix(const std::string& a, const std::string& b) {
  const size_t size = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(size), b.begin()).first -
                             a.begin());
}

size_t common_suffix(const std::string& a, const std::string& b) {
  const auto size = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return static_cast<size_t>(std::mismatch(a.rbegin(), a.rbegin() + size, b.rbegin()).first - a.rbegin());
}

void put_probe(Json& text, bool in_front) {
  const std::string old = text.is_string() ? text.get<std::string>() : "";
  text = in_front ? kProbe + old : old + kProbe;
}

// Many templates write what stands behind a thought alone.
void put_probe_behind_thought(const Json& message, std::vector<Json>& copies) {
  constexpr std::string_view kEnd = "</think>";
  std::string content = message["content"].get<std::string>();
  const size_t at = content.rfind(kEnd);
  if (at == std::string::npos) return;
  copies.emplace_back(message)["content"] = content.insert(at + kEnd.size(), kProbe);
}

// Copies of a message that differ in its content, or in the name of a call: at its beginning, or at its end.
std::vector<Json> changed(const Json& message, bool in_front) {
  std::vector<Json> copies;
  const auto content = message.find("content"), calls = message.find("tool_calls");
  const bool has_parts = content != message.end() && content->is_array();
  if (!has_parts) put_probe(copies.emplace_back(message)["content"], in_front);
  if (in_front && content != message.end() && content->is_string()) put_probe_behind_thought(message, copies);
  const size_t parts = has_parts ? content->size() : 0;
  for (size_t i = 0; i < parts; ++i) {
    const size_t at = in_front ? i : parts - 1 - i;
    if (!content->at(at).is_object() || !content->at(at).contains("text")) continue;
    put_probe(copies.emplace_back(message)["content"][at]["text"], in_front);
  }
  if (calls == message.end() || !calls->is_array() || calls->empty()) return copies;
  Json copy = message;
  Json& call = in_front ? copy["tool_calls"].front() : copy["tool_calls"].back();
  if (!call.is_object()) return copies;
  const bool is_wrapped = call.contains("function") && call["function"].is_object();
  put_probe(is_wrapped ? call["function"]["name"] : call["name"], in_front);
  copies.push_back(std::move(copy));
  return copies;
}

class SpanFinder {
 public:
  explicit SpanFinder(const Conversation& conversation)
      : conversation_(conversation), messages_(conversation.messages), text_(conversation.rendered.text) {}

  // The span of messages [begin, end), all of the assistant and behind byte `after`; nullopt: the template does not
  // determine it.
  std::optional<text::TextSpan> of_turn(size_t begin, size_t end, size_t after) const {
    const std::optional<size_t> start = start_of_turn(begin, after);
    const std::optional<size_t> stop = start ? end_of_turn(end, *start) : std::nullopt;
    if (!stop || *stop <= *start || *start < after) return std::nullopt;
    // Several messages that the template did not join have headers of their own, which nobody learns.
    const bool is_joined =
        end == begin + 1 || text_.substr(*start, *stop - *start).find(generation_prompt(begin)) == std::string::npos;
    return is_joined ? std::optional(text::TextSpan{*start, *stop}) : std::nullopt;
  }

 private:
  std::optional<size_t> start_of_turn(size_t begin, size_t after) const {
    const std::optional<std::string> before = render(first(messages_, begin), true);
    if (before && text_.starts_with(*before)) return before->size();
    const std::string prompt = generation_prompt(begin);
    if (prompt.empty()) return std::nullopt;
    for (const Json& copy : changed(messages_[begin], true)) {
      const std::optional<std::string> other = render(with(messages_.size(), begin, copy), false);
      if (!other || *other == text_) continue;
      const size_t content = common_prefix(text_, *other);
      // The prompt goes on in another way than any turn does, such as with the beginning of a thought. The changed copy
      // keeps a turn from agreeing by chance.
      const size_t parted = whole_characters(std::min(common_prefix(text_, *before), common_prefix(*other, *before)));
      if (parted > before->size() - prompt.size() && parted <= content) return parted;
      if (content < after) return std::nullopt;
      const std::string between = text_.substr(after, content - after);
      const size_t at = between.find(prompt);
      if (at == std::string::npos || between.find(prompt, at + 1) != std::string::npos) return std::nullopt;
      return after + at + prompt.size();
    }
    return std::nullopt;
  }

  std::optional<size_t> end_of_turn(size_t end, size_t start) const {
    if (end == messages_.size()) return text_.size();
    const std::optional<std::string> with_turn = render(first(messages_, end), false);
    if (!with_turn) return std::nullopt;
    if (text_.starts_with(*with_turn)) return with_turn->size();
    for (const Json& copy : changed(messages_[end - 1], false)) {
      const std::optional<std::string> last = render(with(end, end - 1, copy), false),
                                       other = render(with(messages_.size(), end - 1, copy), false);
      if (!last || !other || *last == *with_turn || *other == text_) continue;
      const size_t mark = common_suffix(*with_turn, *last), content = text_.size() - common_suffix(text_, *other);
      const std::string end_mark = with_turn->substr(with_turn->size() - mark);
      const bool is_found = !end_mark.empty() && content >= start && text_.compare(content, mark, end_mark) == 0;
      if (is_found && is_before_message(end, content + mark)) return content + mark;
    }
    return std::nullopt;
  }

  // Whether message i stands behind that byte. Some templates write results into the turn that called.
  bool is_before_message(size_t i, size_t stop) const {
    for (const Json& copy : changed(messages_[i], true)) {
      const std::optional<std::string> other = render(with(messages_.size(), i, copy), false);
      if (other && *other != text_) return common_prefix(text_, *other) >= stop;
    }
    return true;
  }

  size_t whole_characters(size_t size) const {
    while (size > 0 && size < text_.size() && (static_cast<unsigned char>(text_[size]) & 0xC0) == 0x80) --size;
    return size;
  }

  // What add_generation_prompt adds; empty where that cannot be told.
  std::string generation_prompt(size_t begin) const {
    const ChatMessages before = first(messages_, begin);
    const std::optional<std::string> without = render(before, false), with = render(before, true);
    return without && with && with->starts_with(*without) ? with->substr(without->size()) : "";
  }

  ChatMessages with(size_t count, size_t place, const Json& message) const {
    ChatMessages messages = first(messages_, count);
    messages[place] = message;
    return messages;
  }

  // nullopt: the template does not take such a conversation.
  std::optional<std::string> render(const ChatMessages& messages, bool add_generation_prompt) const {
    if (messages.empty() && !add_generation_prompt) return "";
    try {
      return conversation_.chat_template.render(
          messages, {.add_generation_prompt = add_generation_prompt, .variables = conversation_.variables});
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  const Conversation& conversation_;
  const ChatMessages& messages_;
  const std::string& text_;
};

// Each message for itself, and where that is not determined all that follow each other as one.
std::vector<AssistantTurn> found_turns(const Conversation& conversation, const std::string& subject) {
  const ChatMessages& messages = conversation.messages;
  const SpanFinder finder(conversation);
  std::vector<AssistantTurn> turns;
  size_t after = 0;
  for (size_t begin = 0, end = 0; begin < messages.size(); begin = end) {
    for (end = begin; end < messages.size() && is_assistant(messages[end]); ++end) {
    }
    std::vector<AssistantTurn> run;
    size_t at = after;
    for (size_t i = begin; i < end && run.size() == i - begin; ++i) {
      if (const auto span = finder.of_turn(i, i + 1, at)) run.push_back({i, i + 1, {*span}}), at = span->end;
    }
    if (run.size() < end - begin) {
      const std::optional<text::TextSpan> span = end - begin > 1 ? finder.of_turn(begin, end, after) : std::nullopt;
      HICI_CHECK(
          span, subject, ": where turn ", begin + run.size(),
          ", the assistant's, stands in the text cannot be told from the chat template, which writes the "
          "messages in another way when some are missing; put {% generation %} around what the assistant writes");
      run = {{begin, end, {*span}}};
    }
    if (!run.empty()) after = run.back().spans.back().end;
    turns.insert(turns.end(), run.begin(), run.end());
    end = std::max(end, begin + 1);
  }
  return turns;
}

// Which blocks are whose: a message adds its own to those of the messages up to it.
std::vector<AssistantTurn> marked_turns(const Conversation& conversation, const std::string& subject) {
  const ChatMessages& messages = conversation.messages;
  const std::vector<text::TextSpan>& all = conversation.rendered.generation;
  std::vector<AssistantTurn> turns;
  size_t done = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!is_assistant(messages[i])) continue;
    const size_t count =
        conversation.chat_template.render_marked(first(messages, i + 1), {.variables = conversation.variables})
            .generation.size();
    HICI_CHECK(count > done && count <= all.size(), subject,
               ": which {% generation %} block of the chat template is turn ", i,
               "'s cannot be told; leave out the flags that say which turns are learned");
    turns.push_back(
        {i,
         i + 1,
         {all.begin() + static_cast<std::ptrdiff_t>(done), all.begin() + static_cast<std::ptrdiff_t>(count)}});
    done = count;
  }
  HICI_CHECK(done == all.size(), subject, ": the chat template has ", all.size(), " {% generation %} blocks for ", done,
             " of the assistant's; leave out the flags that say which turns are learned");
  return turns;
}

}  // namespace

std::vector<AssistantTurn> assistant_turns(const Conversation& conversation, const std::string& subject) {
  return conversation.chat_template.marks_generation() ? marked_turns(conversation, subject)
                                                       : found_turns(conversation, subject);
}

std::vector<text::TextSpan> learned_spans(const Conversation& conversation, const std::vector<bool>& is_learned,
                                          const std::string& subject) {
  const auto learned = [&](size_t i) { return static_cast<bool>(is_learned[i]); };
  bool is_every_turn = true;
  for (size_t i = 0; i < is_learned.size(); ++i) is_every_turn &= learned(i) || !is_assistant(conversation.messages[i]);
  if (is_every_turn && conversation.chat_template.marks_generation()) return conversation.rendered.generation;
  std::vector<text::TextSpan> spans;
  for (const AssistantTurn& turn : assistant_turns(conversation, subject)) {
    for (size_t i = turn.begin + 1; i < turn.end; ++i) {
      HICI_CHECK(learned(i) == learned(turn.begin), subject, ": turns ", turn.begin, " and ", i,
                 " are one turn in the chat template, and one of them is marked as not learned; mark both or none");
    }
    if (learned(turn.begin)) spans.insert(spans.end(), turn.spans.begin(), turn.spans.end());
  }
  return spans;
}

}  // namespace hici::data
