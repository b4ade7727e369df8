// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/spans.h"

#include "hici/base/error.h"

#include <optional>

namespace hici::data {
namespace {

using text::ChatMessages;
using text::ChatTemplate;

bool is_assistant(const ChatMessages& message) { return message.at("role") == "assistant"; }

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

ChatMessages first(const ChatMessages& messages, size_t count) {
  auto part = ChatMessages::array();
  for (size_t i = 0; i < count; ++i) part.push_back(messages[i]);
  return part;
}

class SpanFinder {
 public:
  SpanFinder(const ChatTemplate& chat_template, const ChatMessages& messages, const std::string& text)
      : template_(chat_template), messages_(messages), text_(text) {}

  // The span of messages [begin, end), all of the assistant; nullopt: the template does not determine it.
  std::optional<text::TextSpan> of_turn(size_t begin, size_t end) const {
    const std::string before = render(first(messages_, begin), true);
    if (!starts_with(text_, before)) return std::nullopt;
    const std::optional<size_t> stop = end_of_turn(begin, end);
    if (!stop || *stop <= before.size()) return std::nullopt;
    return text::TextSpan{before.size(), *stop};
  }

 private:
  std::optional<size_t> end_of_turn(size_t begin, size_t end) const {
    if (end == messages_.size()) return text_.size();
    const std::string with_turn = render(first(messages_, end), false);
    if (starts_with(text_, with_turn)) return with_turn.size();
    // The template renders the turn differently once a message follows, so the turn ends where that message begins. The
    // text of that message is what it adds when it replaces the turn.
    const std::string with_next = render(first(messages_, end + 1), false),
                      start = render(first(messages_, begin), false);
    ChatMessages in_its_place = first(messages_, begin);
    in_its_place.push_back(messages_[end]);
    const std::string next_alone = render(in_its_place, false);
    if (!starts_with(text_, with_next) || !starts_with(next_alone, start)) return std::nullopt;
    const std::string next = next_alone.substr(start.size());
    const bool ends_so = with_next.size() >= next.size() && with_next.ends_with(next);
    return ends_so && !next.empty() ? std::optional(with_next.size() - next.size()) : std::nullopt;
  }

  std::string render(const ChatMessages& messages, bool add_generation_prompt) const {
    if (messages.empty() && !add_generation_prompt) return "";
    return template_.render(messages, {.add_generation_prompt = add_generation_prompt});
  }

  const ChatTemplate& template_;
  const ChatMessages& messages_;
  const std::string& text_;
};

}  // namespace

std::vector<text::TextSpan> assistant_spans(const ChatTemplate& chat_template, const ChatMessages& messages,
                                            const std::string& text, const std::string& subject) {
  const SpanFinder finder(chat_template, messages, text);
  std::vector<text::TextSpan> spans;
  for (size_t begin = 0, end = 0; begin < messages.size(); begin = end) {
    for (end = begin; end < messages.size() && is_assistant(messages[end]); ++end) {
    }
    if (end == begin) {
      ++end;
      continue;
    }
    const std::optional<text::TextSpan> span = finder.of_turn(begin, end);
    HICI_CHECK(span, subject, ": where turn ", begin,
               ", the assistant's, stands in the text cannot be told from the chat template, which writes the messages "
               "before it in another way without it; put {% generation %} around what the assistant writes");
    spans.push_back(*span);
  }
  return spans;
}

}  // namespace hici::data
