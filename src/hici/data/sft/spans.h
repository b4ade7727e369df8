// SPDX-License-Identifier: Apache-2.0
// Spans of the assistant's turns in a rendered conversation, found by rendering parts of the conversation.
#pragma once

#include "hici/text/chat_template.h"

#include <string>
#include <vector>

namespace hici::data {

// The spans of the assistant's turns in `text`, the rendering of all messages, in order. An error that begins with
// `subject` if the template does not determine them.
std::vector<text::TextSpan> assistant_spans(const text::ChatTemplate& chat_template, const text::ChatMessages& messages,
                                            const std::string& text, const std::string& subject);

}  // namespace hici::data
