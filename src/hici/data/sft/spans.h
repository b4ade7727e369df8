// SPDX-License-Identifier: Apache-2.0
// Spans of the assistant's turns in a rendered conversation.
#pragma once

#include "hici/text/chat_template.h"

#include <string>
#include <vector>

namespace hici::data {

struct Conversation {
  const text::ChatTemplate& chat_template;
  const text::ChatMessages& messages;
  const nlohmann::ordered_json& variables;  // tools and the like: ChatRequest::variables
  const text::RenderedChat& rendered;       // all messages
};

// A turn of the assistant: messages [begin, end), of which a template may join several.
struct AssistantTurn {
  size_t begin = 0, end = 0;
  std::vector<text::TextSpan> spans;  // in the rendered text, in order
};

// The turns in order. For a template with generation blocks the spans are what these wrote; else they are found by
// rendering parts of the conversation and changed copies of it:
// - A turn begins behind the text of the messages before it and add_generation_prompt. Where the prompt ends in another
//   way than the turn begins (with the mark of a thought), it begins where the two part. Where the template writes the
//   messages before in another way without the turn, it begins behind the one place where the generation prompt's own
//   text stands between the turn before and the turn's content.
// - It ends with the text, or where the text of the messages up to it ends. Where the template writes a turn in another
//   way once messages follow, it ends behind its content and the end mark, which is what follows the content when the
//   turn is the last. The next message must stand behind it.
// An error that begins with `subject` if the template does not determine them.
std::vector<AssistantTurn> assistant_turns(const Conversation& conversation, const std::string& subject);

// The spans of the turns of which every message is learned. A turn of which some are and others not is an error.
std::vector<text::TextSpan> learned_spans(const Conversation& conversation, const std::vector<bool>& is_learned,
                                          const std::string& subject);

}  // namespace hici::data
