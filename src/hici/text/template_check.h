// SPDX-License-Identifier: Apache-2.0
// What a chat template leaves out without a word: a turn must not be learned or answered without it.
#pragma once

#include "hici/text/chat_template.h"

#include <string>

namespace hici::text {

// `rendered` is what `chat` makes of `messages` with `request`. An error where that has nothing of
// - a turn of a role that not every template knows (a system message that a template leaves out is its rule);
// - a content that is no text (parts, objects, numbers);
// - the tool calls of a turn;
// and where a part of a content is no text (an image). transformers renders the same text, and says nothing.
void check_all_is_written(const ChatTemplate& chat, const ChatMessages& messages, const ChatRequest& request,
                          const std::string& rendered);

}  // namespace hici::text
