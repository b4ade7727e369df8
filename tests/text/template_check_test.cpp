// SPDX-License-Identifier: Apache-2.0
#include "hici/text/template_check.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::text {
namespace {

// As Qwen3's own: a content that is no text counts as none.
constexpr const char* kSkips =
    "{% for m in messages %}{% if m.role in ['system', 'user', 'assistant', 'tool'] %}<{{ m.role }}>"
    "{{ m.content if m.content is string else '' }}{% endif %}{% endfor %}";
// Writes parts and calls.
constexpr const char* kWrites =
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% elif m.content is sequence %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{{ m.tool_calls | default('') }}{% endfor %}";

void check(const char* source, const char* messages) {
  const ChatTemplate chat = ChatTemplate::from_source(source, "here", NamedSpecialTokens::object());
  const ChatMessages turns = ChatMessages::parse(messages);
  check_all_is_written(chat, turns, {}, chat.render(turns));
}

constexpr const char* kParts = R"([{"role": "user", "content": [{"type": "text", "text": "a"}]}])";
constexpr const char* kNumber = R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": 4}])";
constexpr const char* kCall = R"([{"role": "assistant", "content": null, "tool_calls": [{"name": "f"}]}])";

TEST(TemplateCheckTest, WhatATemplateSkipsIsAnError) {
  EXPECT_ERROR_SAYS(check(kSkips, kParts),
                    "turn 0 has as its content a list of 1 items, of which the chat template writes nothing");
  EXPECT_ERROR_SAYS(check(kSkips, kNumber), "turn 1 has as its content 4, of which the chat template writes nothing");
  EXPECT_ERROR_SAYS(check(kSkips, kCall), "turn 0 has tool_calls, of which the chat template writes nothing");
  EXPECT_ERROR_SAYS(check(kSkips, R"([{"role": "developer", "content": "a"}])"), "turn 0 has the role \"developer\"");
}

TEST(TemplateCheckTest, WhatItWritesIsNone) {
  check(kWrites, kParts);
  check(kWrites, kCall);
  check(kWrites, R"([{"role": "developer", "content": "a"}])");
  check(kSkips, R"([{"role": "user", "content": ""}, {"role": "assistant", "content": null}])");
  check(kSkips, R"([{"role": "user", "content": "a", "tool_calls": []}])");
}

// One rendering answers for all turns, and yet each is known.
TEST(TemplateCheckTest, EveryTurnWithCallsIsLookedAt) {
  constexpr const char* kLastAlone =
      "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}"
      "{% if loop.last %}{{ m.tool_calls | default('') }}{% endif %}{% endfor %}";
  constexpr const char* kTwoCalls =
      R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},)"
      R"( {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}])";
  EXPECT_ERROR_SAYS(check(kLastAlone, kTwoCalls), "turn 0 has tool_calls, of which the chat template writes nothing");
  check(kWrites, kTwoCalls);
  // Calls without a name, or under names that a template knows.
  check(kWrites, R"([{"role": "assistant", "tool_calls": [{"x": 1}]}])");
  check("{% for m in messages %}{% if m.tool_calls and m.tool_calls[0].name == 'f' %}call{% endif %}{% endfor %}",
        kCall);
}

TEST(TemplateCheckTest, AnImageIsNoText) {
  EXPECT_ERROR_SAYS(
      check(kWrites, R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}])"),
      "turn 0 has a part of type \"image\"; only text is read");
}

}  // namespace
}  // namespace hici::text
