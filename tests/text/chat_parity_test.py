# SPDX-License-Identifier: Apache-2.0
"""Chat templates give what transformers' apply_chat_template gives: chat_parity_test.py RENDER_CHAT_BINARY

Templates in the style of Llama-2, Llama-3.1, ChatML and Qwen3 (thinking, tools), one that marks generations, one that
uses what transformers and Python add to Jinja, and some that fail.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

RENDER = sys.argv.pop(1)
TIMEOUT_SECONDS = 120

LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""

LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message, if there is one. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

CHATML = """{% for message in messages %}
    {% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}
    {% endif %}
{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}
"""

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nYou are provided with function signatures within <tools></tools> XML tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nFor each function call, return a json object<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

MARKED = """{% for message in messages %}
    {%- if message.role == 'assistant' %}
<|im_start|>assistant
{% generation %}
{{ message.content }}<|im_end|>
    {% endgeneration %}
{{ loop.index }} of {{ loop.length }}
    {%- else %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{% endfor %}
{%- for message in messages if message.role == 'assistant' %}{%- generation -%}  again {{ message.role | upper }} {%- endgeneration -%} . {% endfor %}
"""

# What transformers and Python give beyond plain Jinja, a line each.
EXTRAS = """{% for message in messages %}
{% if message.role == 'skipped' %}{% continue %}{% endif %}
{% if message.role == 'last' %}{% break %}{% endif %}
{{ message | tojson }} {{ message|tojson(indent=2) }} {{ message | tojson(ensure_ascii=True, separators=(',', ':'), sort_keys=True) }}
{{ message.content.title() }} {{ message.content.upper().lower() }} {{ message.content.replace('a', 'b', 1) }}
{{ message.content.split() | join('|') }} {{ message.content.split(' ', 1)[1] }} {{ message.get('none', 'absent') }}
{{ message.content.removeprefix('It') }} {{ message.content.removesuffix('.') }} {{ message.content.find('i') }}
{{ message.items() | list | length }} {{ message.keys() | join(',') }} {{ 'role' in message }} {{ message.content[:3] }}{{ message.content[-2:] }}
{{ message.content is sequence }} {{ message is iterable }} {{ message is mapping }} {{ message.content is string }} {{ none }} {{ true and not false }}
{% endfor %}
{{ [1, 2.5, 1e20, 1e-7, 0.1, true, none, 'x', {'a': [], 'b': {}}] | tojson }} {{ dict(a=1, b='<&>') | tojson }}
{{ range(3) | list }} {{ ['a', 'b'] }} {{ {'k': 'v', 'n': none} }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ -7 % 3 }} {{ 1.0 }} {{ 'a' ~ 1 ~ none }}
{%- set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% endfor %} sum {{ ns.n }}
{% macro shout(text, mark='!') %}{{ text | upper }}{{ mark }}{% endmacro %}{{ shout('hey') }}{{ shout('ho', mark='?') }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | map(attribute='role') | unique | join(', ') }}
{{ (messages | first).role }} {{ (messages | last).role }} {{ messages[-1]['role'] }} {{ undefined_name is defined }} [{{ undefined_name }}]
{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ strftime_now('%Y') }} {{ "%s-%d" | format('x', 3) }} {{ '  x ' | trim }}.
"""

# Blocks that set what stands outside, as DeepSeek's and gpt-oss's do.
COUNTED = """{% set ns = namespace(count=0) %}{% set last = namespace(role=none) %}{{ tools is iterable }} {{ missing is iterable }}
{%- for message in messages %}{{ last.role }}:
{%- if message.role == 'assistant' %}
    {% generation -%}
    {% set ns.count = ns.count + 1 %}{{ message.content }}{% set last.role = message.role %}
    {%- endgeneration %}
{% else %}{%- generation %}
{%- set last.role = 'other' %} {{ ns.count }} {% endgeneration %}
{% endif %}{%- endfor %} {{ ns.count }} {{ last.role }}"""

UNDER_TEST = {"counted": COUNTED, "llama2": LLAMA2, "llama3": LLAMA3, "chatml": CHATML, "qwen3": QWEN3, "marked": MARKED, "extras": EXTRAS}

SYSTEM = {"role": "system", "content": " Be brief. "}
USER = {"role": "user", "content": "It is \"1 < 2\" & 'so' \u00e9\u65e5\U0001f600 on?\n "}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt is a plain yes.\n"}
AGAIN = {"role": "user", "content": "And 3 > 2?"}
CALL = {"role": "assistant", "content": "Let me see.", "tool_calls": [
    {"type": "function", "function": {"name": "compare", "arguments": {"z": [3, 2.0], "a": "<b> \u00e9", "n": None}}}]}
RESULT = {"role": "tool", "content": "{\"greater\": true}"}
TOOL = {"type": "function", "function": {"name": "compare", "description": "Compares <two> numbers & says \u00e9.",
                                         "parameters": {"type": "object", "properties": {"z": {"type": "array"}, "a": {}},
                                                        "required": []}}}
CHATS = {
    "one turn": ([USER, ANSWER], {}),
    "question": ([USER], {"add_generation_prompt": True}),
    "system": ([SYSTEM, USER, ANSWER, AGAIN], {"add_generation_prompt": True}),
    "many turns": ([SYSTEM, USER, ANSWER, AGAIN, {"role": "assistant", "content": "Yes."}], {}),
    "reasoning": ([USER, {"role": "assistant", "content": "Yes.", "reasoning": "Count\nthem."}], {}),
    "no thinking": ([USER], {"add_generation_prompt": True, "enable_thinking": False}),
    "tools": ([SYSTEM, USER, CALL, RESULT, {"role": "assistant", "content": "So it is."}, AGAIN],
              {"tools": [TOOL], "add_generation_prompt": True}),
    "long": ([{"role": "user", "content": "word " * 30_000}, ANSWER], {}),
}


def tokenizer_with(template):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>",
                                        pad_token="<pad>")
    tokenizer.chat_template = template
    return tokenizer


def ours(folder, jobs):
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run([RENDER, folder], input=lines, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def job_of(messages, options):
    variables = {name: value for name, value in options.items() if name != "add_generation_prompt"}
    return {"messages": messages, "add_generation_prompt": options.get("add_generation_prompt", False), "variables": variables}


class ChatParityTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hici-chat-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def compare(self, template, chats):
        """Texts where transformers gives one, its exception's message where it raises. Returns how many of each."""
        tokenizer = tokenizer_with(template)
        tokenizer.save_pretrained(self.folder)
        counts = {"text": 0, "error": 0}
        for (name, (messages, options)), got in zip(chats.items(), ours(self.folder, [job_of(*chat) for chat in chats.values()])):
            with self.subTest(chat=name):
                try:
                    expected = tokenizer.apply_chat_template(messages, tokenize=False, **options)
                except Exception as error:
                    self.assertTrue(got["error"].endswith(": chat template: " + str(error)), (got, error))
                    counts["error"] += 1
                else:
                    self.assertEqual(got.get("text", got), expected)
                    counts["text"] += 1
        return counts

    def test_gives_the_text_of_transformers(self):
        failing = {"counted": 0, "llama2": 1, "llama3": 0, "chatml": 0, "qwen3": 0, "marked": 0, "extras": 0}
        for name, template in UNDER_TEST.items():
            with self.subTest(template=name):
                counts = self.compare(template, CHATS)
                self.assertEqual(counts, {"text": len(CHATS) - failing[name], "error": failing[name]})

    def test_loop_controls(self):
        roles = ["user", "skipped", "assistant", "last", "user"]
        chat = [{"role": role, "content": f"it is {role} a."} for role in roles]
        self.assertEqual(self.compare(EXTRAS, {"controls": (chat, {})}), {"text": 1, "error": 0})

    def test_says_what_the_template_raises(self):
        template = "{% if messages|length > 1 %}{{ raise_exception('Only one message, please: ' + messages[1].role) }}{% endif %}ok"
        self.assertEqual(self.compare(template, CHATS), {"text": 2, "error": len(CHATS) - 2})

    def test_marks_what_the_assistant_writes(self):
        tokenizer = tokenizer_with(MARKED)
        tokenizer.save_pretrained(self.folder)
        messages = CHATS["many turns"][0]
        (got,) = ours(self.folder, [job_of(messages, {})])
        from transformers.utils.chat_template_utils import render_jinja_template
        (text,), (spans,) = render_jinja_template([messages], chat_template=MARKED, return_assistant_tokens_mask=True)
        self.assertEqual(got["text"], text)
        # transformers counts characters and what was written before; ours are bytes of the text.
        marked = [got["text"].encode()[begin:end].decode() for begin, end in got["generation"]]
        self.assertEqual(marked, [text[begin:end] for begin, end in spans])
        self.assertEqual(len(marked), 4)

    def test_finds_the_template_where_transformers_does(self):
        tokenizer_with("plain {{ messages[0].content }}").save_pretrained(self.folder)
        config = json.loads((self.folder / "tokenizer_config.json").read_text())
        jinja = self.folder / "chat_template.jinja"
        self.assertTrue(jinja.exists())

        def text(tools=False):
            options = {"tools": [TOOL]} if tools else {}
            expected = PreTrainedTokenizerFast.from_pretrained(self.folder).apply_chat_template([AGAIN], tokenize=False, **options)
            (got,) = ours(self.folder, [job_of([AGAIN], options)])
            self.assertEqual(got["text"], expected)
            return expected

        config["chat_template"] = "old {{ messages[0].role }}"
        (self.folder / "tokenizer_config.json").write_text(json.dumps(config))
        self.assertTrue(text().startswith("plain"))
        jinja.unlink()
        self.assertEqual(text(), "old user")
        config["chat_template"] = [{"name": "default", "template": "default"}, {"name": "tool_use", "template": "with tools"}]
        (self.folder / "tokenizer_config.json").write_text(json.dumps(config))
        self.assertEqual(text(), "default")
        self.assertEqual(text(tools=True), "with tools")


if __name__ == "__main__":
    unittest.main()
