// SPDX-License-Identifier: Apache-2.0
// Where the turns of an assistant stand in a rendered conversation, found by rendering parts of it.
#pragma once

#include "hici/text/chat_template.h"

#include <string>
#include <vector>

namespace hici::data {

// The places of an assistant's turns in the text of all messages, in its order. A template that does not tell them is
// an error that begins with `subject`.
std::vector<text::TextSpan> assistant_spans(const text::ChatTemplate& chat_template, const text::ChatMessages& messages,
                                            const std::string& text, const std::string& subject);

}  // namespace hici::data
