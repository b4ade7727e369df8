// SPDX-License-Identifier: Apache-2.0
// Files and errors; what templates give is compared with transformers in chat_parity_test.py.
#include "hici/text/chat_template.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "text/scoped_cpu_bound.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace hici::text {
namespace {

using hici::testing::ScopedCpuBound;
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

// Many times what any of these would take without a bound fits into no machine. Each is refused within a fraction of a
// second and with less than 300 MB.
TEST(ChatTemplateBoundsTest, WorkWithoutEndIsRefused) {
  const std::string doubled = "{% set ns = namespace(x='12345678') %}{% for i in range(64) %}{% set ns.x = ";
  const std::string end = " %}{% endfor %}{{ ns.x|length }}";
  for (const std::string& source :
       {std::string("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"),
        doubled + "ns.x ~ ns.x" + end, doubled + "ns.x + ns.x" + end, doubled + "ns.x * 2" + end,
        doubled + "[ns.x, ns.x]|join" + end, doubled + "ns.x.replace('1', ns.x)" + end,
        doubled + "ns.x|replace('1', ns.x)" + end, doubled + "'%s%s'|format(ns.x, ns.x)" + end,
        std::string("{{ '%1000000000d'|format(3) }}"),
        std::string(
            "{% set x %}{% for a in range(100000) %}{% for b in range(100000) %}some text{% endfor %}{% endfor %}"
            "{% endset %}"),
        std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
                    "{{ ns.x|tojson }}")}) {
    const std::string message = testing::error_message([&] { template_of(source).render(kMessages); });
    const bool names_bound =
        message.starts_with("here: takes more than 40") || message.starts_with("here: takes more than 256");
    EXPECT_TRUE(names_bound) << source << ": " << message;
    EXPECT_TRUE(message.ends_with("; take the template that the model came with")) << source << ": " << message;
  }
}

TEST(ChatTemplateBoundsTest, TextWithoutEndIsRefused) {
  const std::string lists =
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  for (const std::string& source : {std::string("{{ '1234567890' * 9999999 }}"), lists + "{{ ns.x }}"})
    EXPECT_ERROR_SAYS(template_of(source).render(kMessages), "here: writes more than 167");
  EXPECT_ERROR_SAYS(template_of("{{ '{:2000000000}'.format('x') }}").render(kMessages),
                    "here: takes more than 256 MiB of memory");
  EXPECT_LT(
      testing::error_message([&] { template_of(lists + "{{ raise_exception(ns.x) }}").render(kMessages); }).size(),
      1000u);
}

// What the engine does not count meets the bound on processor time.
TEST(ChatTemplateBoundsTest, OneOperationWithoutEndIsRefused) {
  const std::string lists =
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  const ScopedCpuBound bound(100);
  for (const char* operation : {"{{ ns.x ~ 'a' }}", "{{ ','.join([ns.x]) }}", "{{ ns.x|upper }}", "{{ {ns.x: 1} }}"})
    EXPECT_ERROR_SAYS(template_of(lists + operation).render(kMessages), "here: takes more than 0.1 s");
  std::string sum = "{{ a";
  for (int i = 0; i < 300'000; ++i) sum += "~a";
  EXPECT_ERROR_SAYS(template_of(sum + "}}"), "here: cannot be used: takes more than 0.1 s");
}

// None of these may end in an overflow of the stack, which nobody catches.
TEST(ChatTemplateBoundsTest, DepthIsNoDanger) {
  const std::string deep =
      "{% set ns = namespace(x=[1]) %}{% for a in range(10) %}{% for b in range(20000) %}{% set ns.x = [ns.x] %}{% "
      "endfor "
      "%}{% endfor %}";
  EXPECT_EQ(template_of(deep).render(kMessages), "");
  EXPECT_EQ(template_of(deep + "{{ ns.x }}").render(kMessages).size(), 400'003u);
  EXPECT_ERROR_SAYS(template_of(deep + "{{ ns.x|tojson }}").render(kMessages), "nested deeper than 100 levels");
  std::string filters = "{{ a";
  for (int i = 0; i < 100'000; ++i) filters += "|e";
  EXPECT_EQ(template_of(filters + "}}").render(kMessages), "");
  EXPECT_ERROR_SAYS(template_of("{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}").render(kMessages),
                    "recursion limit exceeded");
  EXPECT_ERROR_SAYS(template_of(std::string(100'000, '(').insert(0, "{{ ")), "here: cannot be used");
  EXPECT_ERROR_SAYS(template_of(std::string(2'000'000, ' ')),
                    "here: cannot be used: has 2000000 bytes, more than 1048576");
}

// Whatever a byte of a template becomes: it ends soon, as text or as one clean line in plain words.
TEST(ChatTemplateBoundsTest, MutatedTemplatesEndCleanly) {
  const std::vector<std::string> seeds = {
      "{{- bos_token }}{%- set ns = namespace(n=0) %}{%- for m in messages[::-1] if m.role != 'tool' %}{%- set ns.n = "
      "ns.n + m.content|length * 2 %}{%- endfor %}{% for message in messages %}{{ '<|' + message['role'] + '|>' ~ "
      "(message.content | trim) }}{% if loop.last and add_generation_prompt %}{{ '%s-%05d' | format(ns.n, 7) }}{% "
      "endif %}{% endfor %}",
      "{% macro show(items, level=0) %}{% for i in items %}{{ ' ' * level }}{{ i.name.upper() }}{{ i | "
      "tojson(indent=2, sort_keys=true) }}{% endfor %}{% endmacro %}{{ show(tools, level=range(3)|sum) }}{% for m in "
      "messages %}{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% else %}{{ "
      "m.content.replace('B', 'bb').title() }}{% endif %}{% endfor %}{{ strftime_now('%d %b %Y')|length }}",
      "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.thinking }}{{ m.content }}{% "
      "endgeneration %}{% elif m.role == 'tool' %}{{ raise_exception('no tools: ' + m.role) }}{% else %}{{ "
      "m.items()|list|join(',') }}{% continue %}{% endif %}{% break %}{% endfor %}{{ [3, 1, 2]|sort|map('string')|"
      "join('-') }}{{ {'a': [1, {'b': none}]}|tojson }}"};
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same mutations every time
  ChatRequest request{.add_generation_prompt = true};
  request.variables["tools"] = {{{"name", "f"}, {"parameters", {{"type", "object"}, {"required", {"x"}}}}}};
  const ScopedCpuBound bound(500);
  size_t num_refused = 0;
  for (const std::string& seed : seeds) {
    EXPECT_NO_THROW(template_of(seed).render(kMessages, request));
    for (size_t i = 0; i < 300; ++i) {
      std::string mutated = seed;
      mutated[random() % seed.size()] = static_cast<char>(' ' + random() % 95);
      if (i % 3 == 0) mutated.erase(random() % seed.size(), random() % 20);
      if (i % 3 == 1) mutated.insert(random() % seed.size(), seed.substr(random() % seed.size(), random() % 40));
      const std::string message = testing::error_message([&] { template_of(mutated).render(kMessages, request); });
      num_refused += message != "nothing was thrown";
      EXPECT_TRUE(testing::is_one_clean_line(message)) << mutated << ": " << message;
      for (const char* word : {"panic", "unwrap", ".rs:"}) EXPECT_EQ(message.find(word), std::string::npos) << message;
    }
  }
  EXPECT_GT(num_refused, 100u);
}

// A look from every message at all behind it, and megabytes of text, are what real templates have to do with.
TEST(ChatTemplateBoundsTest, LongConversationsAreNotRefused) {
  ChatMessages messages = ChatMessages::array();
  for (int i = 0; i < 1000; ++i)
    messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", std::string(4000, 'x') + "</think> y"}});
  const std::string source =
      "{% for m in messages %}{% set ns = namespace(last=true) %}{% for n in messages[loop.index:] %}{% if n.role == "
      "'user' %}{% set ns.last = false %}{% endif %}{% endfor %}<{{ m.role }}>{{ "
      "m.content.split('</think>')[-1].strip() "
      "}}{{ m|tojson(indent=2) }}{{ ns.last }}{% endfor %}";
  EXPECT_GT(template_of(source).render(messages).size(), 4'000'000u);
}

}  // namespace
}  // namespace hici::text
