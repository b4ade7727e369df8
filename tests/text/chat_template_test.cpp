// SPDX-License-Identifier: Apache-2.0
// Files and errors; what templates give is compared with transformers in chat_parity_test.py.
#include "hici/text/chat_template_files.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "text/scoped_cpu_bound.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <utility>
#include <vector>

namespace hici::text {
namespace {

using hici::testing::ScopedCpuBound;
using hici::testing::TemporaryFolder;

const ChatMessages kMessages = {{{"role", "user"}, {"content", "hi"}}, {{"role", "assistant"}, {"content", "Größe"}}};

ChatTemplate template_of(const std::string& source) { return ChatTemplate::from_source(source, "here", {}); }

TEST(ChatTemplateTest, SaysThatADirectoryHasNone) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(load_chat_template(folder.path()),
                    "has no chat template (chat_template.jinja, or chat_template in");
  write_file_atomically(folder / "tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_ERROR_SAYS(load_chat_template(folder.path()), "chat_template is 3, expected text or a list");
  write_file_atomically(folder / "tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_ERROR_SAYS(load_chat_template(folder.path()), "has no chat template named 'default'");
}

TEST(ChatTemplateTest, GivesTheSpecialTokensOfBothForms) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "tokenizer_config.json",
                        R"({"bos_token": "other", "pad_token": "", "add_bos_token": true, "eos_token": null})");
  write_file_atomically(folder / "special_tokens_map.json",
                        R"({"bos_token": {"content": "<s>"}, "unk_token": "<unk>"})");
  write_file_atomically(folder / "chat_template.json",
                        R"({"chat_template": "{{ bos_token }}{{ unk_token }}{{ eos_token is defined }}"})");
  EXPECT_EQ(load_chat_template(folder.path()).render(kMessages), "<s><unk>False");
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

// A list that holds a list twice, which holds a list twice ...: 2^60 items in the memory of 60.
std::string lists_without_end() {
  std::string source = "{% set x = [1] %}";
  for (int i = 0; i < 60; ++i) source += "{% set x = [x, x] %}";
  return source;
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
                    "{{ ns.x|tojson }}"),
        lists_without_end() + "{{ x|tojson }}"}) {
    const std::string message = testing::error_message([&] { template_of(source).render(kMessages); });
    const bool names_bound =
        message.starts_with("here: takes more than 40") || message.starts_with("here: takes more than 256");
    EXPECT_TRUE(names_bound) << source << ": " << message;
    EXPECT_TRUE(message.ends_with("; take the template that the model came with")) << source << ": " << message;
  }
}

TEST(ChatTemplateBoundsTest, TextWithoutEndIsRefused) {
  const std::string lists = lists_without_end();
  EXPECT_ERROR_SAYS(template_of("{{ '1234567890' * 9999999 }}").render(kMessages), "here: writes more than 167");
  EXPECT_ERROR_SAYS(template_of(lists + "{{ x }}").render(kMessages), "here: writes more than 167");
  EXPECT_ERROR_SAYS(template_of("{{ '{:2000000000}'.format('x') }}").render(kMessages),
                    "here: takes more than 256 MiB of memory");
  EXPECT_LT(testing::error_message([&] { template_of(lists + "{{ raise_exception(x) }}").render(kMessages); }).size(),
            1000u);
}

// What the engine does not count meets the bound on processor time.
TEST(ChatTemplateBoundsTest, OneOperationWithoutEndIsRefused) {
  const std::string lists = lists_without_end();
  const ScopedCpuBound bound(100);
  for (const char* operation : {"{{ x ~ 'a' }}", "{{ ','.join([x]) }}", "{{ x|upper }}", "{{ {x: 1} }}"})
    EXPECT_ERROR_SAYS(template_of(lists + operation).render(kMessages), "here: takes more than 0.1 s");
  std::string sum = "{{ a";
  for (int i = 0; i < 300'000; ++i) sum += "~a";
  EXPECT_ERROR_SAYS(template_of(sum + "}}"), "here: cannot be used: takes more than 0.1 s");
}

// A list in a list in a list, as deep as a namespace may hold it and one level more.
TEST(ChatTemplateBoundsTest, DepthHasABound) {
  const auto deep = [](int levels) {
    return detail::concat("{% set ns = namespace(x=[1]) %}{% for a in range(", levels - 1,
                          ") %}{% set ns.x = [ns.x] %}{% endfor %}");
  };
  EXPECT_EQ(template_of(deep(100) + "{{ ns.x }}").render(kMessages).size(), 201u);
  EXPECT_EQ(template_of(deep(100) + "{{ ns.x|tojson }}{{ ns.x == ns.x }}").render(kMessages).size(), 205u);
  EXPECT_ERROR_SAYS(template_of(deep(101)).render(kMessages),
                    "a namespace cannot hold lists nested deeper than 100 levels");
  EXPECT_ERROR_SAYS(template_of("{% set ns = namespace(x={}) %}{% for a in range(101) %}{% set ns.x = {'y': ns.x} %}{% "
                                "endfor %}")
                        .render(kMessages),
                    "nested deeper than 100 levels");
}

// Whatever the value hides it in.
TEST(ChatTemplateBoundsTest, ANamespaceHoldsNoNamespace) {
  const std::string begin = "{% set ns = namespace(x=1) %}{% set other = namespace(y=2) %}";
  for (const char* value :
       {"other", "[other]", "{'a': other}", "{'a': [1, (2, other)]}", "1, other", "[1] + [other]", "[other, 1][:1]",
        "[[other]|list]", "{'a': other}.items()", "{'a': other}|items", "[other]|batch(1)", "[other] if true else 1",
        "(other)", "[other] or (1)", "1 and [other]", "dict(a=other)", "[other]|select", "[1]|zip([other])"}) {
    EXPECT_ERROR_SAYS(template_of(begin + "{% set ns.x = " + value + " -%} {{ 'kept' }}").render(kMessages),
                      "here: invalid operation: a namespace cannot hold another");
  }
  for (const char* rest :
       {"{% set ns.x|zip([other]) %}ab{% endset %}", "{%set ns.x=[other]%}", "{%- set  ns . x  = [other] -%}",
        "{% set (a, ns.x) = (1, other) %}", "{% set a, ns.x = 1, other %}",
        "{% set ns.x = '%}' ~ 1 %}{% set ns.y = [other] %}", "{% raw %}{% set {% endraw %}{% set ns.x = other %}",
        "{# {% #}{% set ns.x = other %}", "{{ '{%' }}{% set ns.x = other %}",
        "{% for m in [other] %}{% set ns.x = {'a': m} %}{% endfor %}",
        "{% for m in [1, other] %}{% set ns.x = loop %}{% endfor %}",
        "{% macro f(n, m) %}{% set n.x = m %}{% endmacro %}{{ f(ns, other) }}"})
    EXPECT_ERROR_SAYS(template_of(begin + rest).render(kMessages), "a namespace cannot hold another");
  for (const char* rest :
       {"{% set ns.x = %}", "{% set ns.x = 1) + (2 %}", "{% set ns.x = [other]) or (1 %}", "{% set ns.x = (1 %}"})
    EXPECT_ERROR_SAYS(template_of(begin + rest), "here: cannot be used: syntax error");
}

// What templates do with namespaces gives what it gave.
TEST(ChatTemplateBoundsTest, NamespacesKeepOtherValues) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"{% set ns.x = 1 %}{{ ns.x }}", "1"},
      {"{% set ns.x = 1, 2 %}{{ ns.x }}", "(1, 2)"},
      {"{% set ns.x, y = 1, 2 %}{{ ns.x }}{{ y }}", "12"},
      {"{% set ns.x = 'a' if false else 'b' %}{{ ns.x }}", "b"},
      {"{% set ns.x %} text {% endset %}{{ ns.x }}", " text "},
      {"{% set ns.x | trim | upper %} text {% endset %}{{ ns.x }}", "TEXT"},
      {"{% for m in messages %}{% set ns.x = ns.x + [m.role] %}{% endfor %}{{ ns.x }}{{ ns.x|length }}",
       "['user', 'assistant']2"},
      {"{% set ns.x = messages[1:] %}{{ ns.x[0].role }}", "assistant"},
      {"{% set ns.x = messages|map(attribute='role') %}{{ ns.x|join(' ') }}", "user assistant"},
      {"{% set ns.x = {'b': 1, 'a': (2, 3)} %}{{ ns.x }}", "{'b': 1, 'a': (2, 3)}"},
      {"{% macro f(a) %}<{{ a }}>{% endmacro %}{% set ns.x = f %}{{ ns.x(2) }}", "<2>"},
      {"{% set ns.x = missing %}{{ ns.x is defined }}", "False"},
      {"{% set inner = namespace(y=1) %}{% set outer = namespace(n=inner) %}{% set inner.y = 2 %}{{ outer.n.y }}",
       "2"}};
  for (const auto& [source, expected] : cases)
    EXPECT_EQ(template_of(std::string("{% set ns = namespace(x=[]) %}") + source).render(kMessages), expected)
        << source;
}

// None of these may end in an overflow of the stack, which nobody catches.
TEST(ChatTemplateBoundsTest, DepthIsNoDanger) {
  std::string filters = "{{ a";
  for (int i = 0; i < 100'000; ++i) filters += "|e";
  EXPECT_EQ(template_of(filters + "}}").render(kMessages), "");
  EXPECT_ERROR_SAYS(template_of("{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}").render(kMessages),
                    "recursion limit exceeded");
  EXPECT_ERROR_SAYS(template_of(std::string(100'000, '(').insert(0, "{{ ")), "here: cannot be used");
  EXPECT_ERROR_SAYS(template_of(std::string(2'000'000, ' ')),
                    "here: cannot be used: has 2000000 bytes, more than 1048576");
}

// Parts of templates as models have them, drawn and put together.
class TemplateMaker {
 public:
  explicit TemplateMaker(unsigned seed) : random_(seed) {}

  std::string draw() {
    std::string source;
    for (const char* part : kBefore) source += below(3) == 0 ? part : "";
    return source + pick(kHeads) + pick(kBodies) + pick(kTails) + pick(kPrompts);
  }

  // With one byte another one, and in two of three cases a piece left out, or one of it twice.
  std::string mutate(std::string source) {
    const std::string whole = source;
    source[below(whole.size())] = static_cast<char>(' ' + below(95));
    const size_t kind = below(3);
    if (kind == 0) source.erase(below(whole.size()), below(20));
    if (kind == 1) source.insert(below(whole.size()), whole.substr(below(whole.size()), below(40)));
    return source;
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }
  template <size_t N>
  const char* pick(const std::array<const char*, N>& parts) {
    return parts[below(N)];
  }

  static constexpr std::array<const char*, 7> kBefore = {
      "{{- bos_token }}",
      "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content']|trim %}{%- set messages = "
      "messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}\n{{- system }}",
      "{%- set ns = namespace(multi_step_tool=true, last=messages|length - 1) %}{%- for m in messages[::-1] %}{%- set "
      "index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and m.role == 'user' %}{%- set "
      "ns.multi_step_tool = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}{{ ns.last }}",
      "{%- if tools %}{{- '<tools>' }}{%- for tool in tools %}{{- tool | tojson(indent=4) }}{%- endfor %}{{- "
      "'</tools>\\n' }}{%- endif %}",
      "{% macro show(items, level=0) %}{% for i in items %}{{ ' ' * level }}{{ i.name.upper() }}{{ i | "
      "tojson(sort_keys=true) }}{% endfor %}{% endmacro %}{{ show(tools, level=range(3)|sum) }}",
      "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y')|length %}{%- endif %}{{ "
      "date_string }}",
      "{%- set ns = namespace(seen=[], text='') %}{%- for m in messages %}{%- set ns.seen = ns.seen + [m.role] %}{%- "
      "set "
      "ns.text = ns.text ~ m.content %}{%- endfor %}{{ ns.seen|unique|join('/') }}{{ ns.text|length }}"};
  static constexpr std::array<const char*, 3> kHeads = {
      "{% for message in messages %}", "{%- for message in messages if message.role != 'tool' -%}",
      "{%- for message in messages %}{%- if loop.first %}{{ '<first>' }}{%- endif %}"};
  static constexpr std::array<const char*, 6> kBodies = {
      "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}",
      "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot|>' "
      "}}",
      "{%- if message.role == 'assistant' %}{% generation %}{{ message.thinking }}{{ message.content }}{% "
      "endgeneration "
      "%}{%- else %}{{ message.items()|list|join(',') }}{% continue %}{%- endif %}",
      "{%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' "
      "%}{%- endif %}{%- if '</think>' in content %}{{ content.split('</think>')[-1].lstrip('\\n') }}{%- else %}{{ "
      "content.replace('B', 'bb').title() }}{%- endif %}",
      "{%- if message.tool_calls is defined and message.tool_calls %}{%- for call in message.tool_calls %}{{ "
      "call.function.arguments|tojson }}{%- endfor %}{%- else %}{{ '[INST] ' ~ message.content.strip() ~ ' [/INST]' "
      "}}{%- endif %}",
      "{%- set role = {'assistant': 'model'}.get(message.role, message.role) %}{{ '<start_of_turn>' ~ role ~ '\\n' ~ "
      "(message.content | trim) ~ '%s-%05d' | format(loop.index, 7) }}"};
  static constexpr std::array<const char*, 3> kTails = {
      "{% endfor %}", "{%- if not loop.last %}{{ '\\n' }}{%- endif %}{%- endfor %}", "\n{%- endfor -%}\n"};
  static constexpr std::array<const char*, 3> kPrompts = {
      "", "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
      "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- if enable_thinking is defined and not enable_thinking "
      "%}{{- '<think></think>' }}{%- endif %}{%- endif %}{{ [3, 1, 2]|sort|map('string')|join('-') }}"};

  std::mt19937 random_;
};

// 200 templates as models have them are rendered, and whatever their bytes become: it ends soon, as text or as one
// clean line in plain words. The rest of fuzzing is without chat templates, as the Rust crate is not instrumented.
TEST(ChatTemplateBoundsTest, MutatedTemplatesEndCleanly) {
  TemplateMaker maker(1);  // the same ones every time
  ChatRequest request{.add_generation_prompt = true};
  request.variables["tools"] = {{{"name", "f"}, {"parameters", {{"type", "object"}, {"required", {"x"}}}}}};
  const ScopedCpuBound bound(500);
  size_t num_refused = 0, num_rendered = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string source = maker.draw();
    EXPECT_EQ(testing::error_message([&] { template_of(source).render(kMessages, request); }), "nothing was thrown")
        << source;
    for (int j = 0; j < 5; ++j) {
      const std::string mutated = maker.mutate(source);
      const std::string message = testing::error_message([&] { template_of(mutated).render(kMessages, request); });
      ++(message == "nothing was thrown" ? num_rendered : num_refused);
      EXPECT_TRUE(testing::is_one_clean_line(message)) << mutated << ": " << message;
      for (const char* word : {"panic", "unwrap", ".rs:"}) EXPECT_EQ(message.find(word), std::string::npos) << message;
    }
  }
  EXPECT_GT(num_refused, 200u);
  EXPECT_GT(num_rendered, 100u);
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
