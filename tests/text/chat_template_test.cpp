// SPDX-License-Identifier: Apache-2.0
// Files and errors; what templates give is compared with transformers in chat_parity_test.py.
#include "hici/text/chat_template.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::text {
namespace {

using hici::testing::TemporaryFolder;

const ChatMessages kMessages = {{{"role", "user"}, {"content", "hi"}}, {{"role", "assistant"}, {"content", "Größe"}}};

ChatTemplate template_of(const std::string& source) { return ChatTemplate::from_source(source, "here", {}); }

TEST(ChatTemplateTest, SaysThatADirectoryHasNone) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(ChatTemplate::load(folder.path()),
                    "has no chat template (chat_template.jinja, or chat_template in");
  write_file_atomically(folder / "tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_ERROR_SAYS(ChatTemplate::load(folder.path()), "chat_template is 3, expected text or a list");
  write_file_atomically(folder / "tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_ERROR_SAYS(ChatTemplate::load(folder.path()), "has no chat template named 'default'");
}

TEST(ChatTemplateTest, GivesTheSpecialTokensOfBothForms) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "tokenizer_config.json",
                        R"({"bos_token": {"content": "<s>"}, "add_bos_token": true, "eos_token": null})");
  write_file_atomically(folder / "special_tokens_map.json", R"({"bos_token": "other", "unk_token": "<unk>"})");
  write_file_atomically(folder / "chat_template.json",
                        R"({"chat_template": "{{ bos_token }}{{ unk_token }}{{ eos_token is defined }}"})");
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(kMessages), "<s><unk>False");
}

TEST(ChatTemplateTest, AnErrorIsOneLineWithTheTemplatesMessage) {
  EXPECT_ERROR_SAYS(template_of("{% for x in %}"), "here: cannot be used: syntax error");
  EXPECT_EQ(testing::error_message([] { template_of("{{ raise_exception('no\nsystem role') }}").render(kMessages); }),
            "here: no system role");
  EXPECT_ERROR_SAYS(template_of("{{ messages[0].content.frobnicate() }}").render(kMessages), "frobnicate");
  EXPECT_ERROR_SAYS(template_of("{{ missing.attribute.of }}").render(kMessages), "here: undefined value");
}

TEST(ChatTemplateTest, GenerationBlocksAreBytesOfTheText) {
  const ChatTemplate marked = template_of(
      "{% for m in messages %}{% if m.role == 'assistant' %}é{% generation %}{{ m.content }}.{% endgeneration %}|{% "
      "else %}"
      "{{ m.content }}{% endif %}{% endfor %}");
  EXPECT_TRUE(marked.marks_generation());
  const RenderedChat rendered = marked.render_marked(kMessages);
  EXPECT_EQ(rendered.text, "hiéGröße.|");
  EXPECT_EQ(rendered.generation, (std::vector<TextSpan>{{4, 12}}));
  EXPECT_ERROR_SAYS(marked.render({{{"role", "user"}, {"content", "\uFDD0"}}}), "hold the characters U+FDD0");
  EXPECT_FALSE(template_of("{{ messages[0].content }} {% if true %}generation{% endif %}").marks_generation());
}

}  // namespace
}  // namespace hici::text
