# SPDX-License-Identifier: Apache-2.0
"""Rows of fine-tuning as data sets have them: tokens and learned tokens are those of transformers' apply_chat_template and
of TRL's SFTTrainer (1.16), and what would change them is refused by name."""
import datetime
import decimal
import json
import math
import unittest

from sft_runs import SftFolderTest  # first: sets what the libraries read when they are imported

import pyarrow as pa
import pyarrow.parquet
import torch
from transformers import LlamaForCausalLM

from support import metrics

HEAD = ("{%- if tools %}{{- '<|im_start|>system\\n' }}{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}"
        "{{- '<|im_end|>\\n' }}{%- endif %}")
CALLS = ("{%- if m.tool_calls %}{%- for call in m.tool_calls %}{{- '<call>' + (call.function | tojson) + '</call>' }}"
         "{%- endfor %}{%- endif %}")
# Marks what the assistant writes.
MARKED = HEAD + ("{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}{%- if m.role == 'assistant' %}{%- generation %}"
                 "{{- m.content if m.content is string else '' }}" + CALLS + "{{- '<|im_end|>\\n' }}{%- endgeneration %}"
                 "{%- else %}{{- m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
                 "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")
# Qwen3's habits: thoughts stay only behind the last question, and an empty one stands in the last turn; results of one
# round are one turn of the user. GEN and END: where generation blocks would be.
JOINED = HEAD + """{%- set ns = namespace(query=0) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.query = loop.index0 %}{%- endif %}{%- endfor %}
{%- for m in messages %}
{%- if m.role == 'user' or m.role == 'system' %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- elif m.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}GEN
{%- if loop.index0 > ns.query and (loop.last or m.reasoning_content) %}{{- '<think>\n' + (m.reasoning_content or '') + '\n</think>\n\n' }}{%- endif %}
{{- m.content or '' }}""" + CALLS + """{{- '<|im_end|>\n' }}END
{%- elif m.role == 'tool' %}{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\n<result>\n' + m.content + '\n</result>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
UNMARKED, MARKED_JOINED = JOINED.replace("GEN", "").replace("END", ""), JOINED.replace(
    "GEN", "{%- generation %}").replace("END", "{%- endgeneration %}")

TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {"port": {"type": "string"}}}}},
         {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}}}]


def user(text):
    return {"role": "user", "content": text}


def answer(text, **more):
    return {"role": "assistant", "content": text, **more}


def result(text):
    return {"role": "tool", "content": text}


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


QUESTION = user("how high is the sea")
ROUND = [answer("", tool_calls=[call("tide", port="Brest"), call("time", zone="CET")]), result("5.2"), result("12:00")]
CHAT = [QUESTION, *ROUND, answer("it is 5.2 at noon")]


class RowsTest(SftFolderTest):
    # Of weights this large every token has a loss of its own.
    CONFIG = {"max_position_embeddings": 1024, "initializer_range": 0.3}

    def use_template(self, template):
        self.tokenizer.chat_template = template
        self.tokenizer.save_pretrained(self.base)

    def loss_of(self, examples):
        """Mean loss over the learned tokens of examples of (ids, mask)."""
        model = LlamaForCausalLM.from_pretrained(self.base, dtype=torch.float32, attn_implementation="eager")
        total, count = 0.0, 0
        for ids, mask in examples:
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, :-1].double()
            losses = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
            total += sum(loss for loss, learned in zip(losses.tolist(), mask[1:]) if learned)
            count += sum(mask[1:])
        return total / count

    def encoded(self, messages, template=None, keep=lambda mask: mask, **more):
        """(ids, mask) of transformers."""
        encoded = self.tokenizer.apply_chat_template(messages, chat_template=template, return_assistant_tokens_mask=True,
                                                     return_dict=True, **more)
        return list(encoded["input_ids"]), keep(list(encoded["assistant_masks"]))

    def learn(self, data, **changes):
        options = {"attention": "full", "low_rank_training": False, "max_steps": 1, "learning_rate": 0, "hici_lr": None,
                   "lora_r": None, "num_local_slots": None, "global_slots": None, "num_heads": None, "bottleneck_dim": None,
                   "shared_compress_dim": None, "gradient_accumulation_steps": 1, "model_max_length": 1024,
                   "per_device_train_batch_size": 1, "save_strategy": "no", "save_steps": None, **changes}
        return self.train(data, **options)

    def assert_learns(self, rows, examples, name="data.jsonl"):
        """All rows in one step: number of tokens, share and loss of the learned ones are those of `examples`."""
        data = self.write(rows, name) if isinstance(rows, list) else rows
        self.runs = getattr(self, "runs", 0) + 1
        out = f"learned{self.runs}"
        done = self.learn(data, out=out, per_device_train_batch_size=len(examples))
        tokens, learned = sum(len(ids) for ids, _ in examples), sum(sum(mask[1:]) for _, mask in examples)
        self.assertIn(f"{len(examples)} example{'s' * (len(examples) > 1)}, {tokens} tokens, {100 * learned / tokens:.1f} % of "
                      "them with loss", done.stderr)
        (line,) = metrics(self.folder / out)
        self.assertLess(abs(line["loss"] / self.loss_of(examples) - 1), 1e-6)  # float32 and float64 sums
        return done

    def refuse(self, rows, *needles, name="data.jsonl"):
        done = self.run_hici(*self.options(self.write(rows, name) if isinstance(rows, list) else rows), code=1)
        self.assert_one_error_line(done, "sft", *needles)

    def save(self, table, name="arrow"):
        """As datasets.save_to_disk writes it, and as Parquet."""
        folder = self.folder / name
        folder.mkdir()
        with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table, max_chunksize=2)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
        pa.parquet.write_table(table, self.folder / f"{name}.parquet")
        return folder, self.folder / f"{name}.parquet"


class ToolsTest(RowsTest):
    def test_tools_reach_the_template_from_every_form(self):
        self.use_template(MARKED)
        wanted = [self.encoded(CHAT, tools=TOOLS)]
        self.assertNotEqual(wanted, [self.encoded(CHAT)])
        self.assert_learns([{"messages": CHAT, "tools": TOOLS}], wanted)
        self.assert_learns([{"messages": CHAT, "tools": json.dumps(TOOLS)}], wanted)
        for nothing in (None, "", " ", []):
            self.assert_learns([{"messages": CHAT, "tools": nothing}], [self.encoded(CHAT)])
        arrow_tools = pa.array([json.dumps(TOOLS)])
        for tools in (arrow_tools, arrow_tools.cast(pa.large_string()), arrow_tools.cast(pa.string_view()),
                      arrow_tools.dictionary_encode(), pa.array([TOOLS]), arrow_tools.cast(pa.json_()),
                      pa.ListArray.from_arrays([0, 2], pa.array([json.dumps(t) for t in TOOLS]).cast(pa.json_()))):
            with self.subTest(type=str(tools.type)):
                # The structs of both tools have port and zone: null where a tool has none, and absent for the template.
                self.check_arrow(pa.table({"messages": pa.array([CHAT]), "tools": tools}), wanted)

    def check_arrow(self, table, wanted):
        self.tables = getattr(self, "tables", 0) + 1
        for data in self.save(table, f"arrow{self.tables}"):
            try:
                self.assert_learns(data, wanted)
            except AssertionError as error:
                raise AssertionError(f"{data.name}: {error}")

    def test_types_of_columns(self):
        template = MARKED.replace("{{- m.content + ", "{{- (m.when | string if m.when is defined else '') + m.content + ")
        self.use_template(template)
        moment = datetime.datetime(2024, 2, 29, 13, 5, 9)
        for when, type in ((moment, pa.timestamp("s")), (moment.replace(microsecond=40), pa.timestamp("us")),
                           (moment.replace(tzinfo=datetime.timezone.utc), pa.timestamp("ms", "UTC")),
                           (datetime.datetime(1969, 12, 31, 23, 59, 58), pa.timestamp("ns")), (moment.date(), pa.date32()),
                           (moment.time(), pa.time32("s")), (decimal.Decimal("-1.50"), pa.decimal128(5, 2)), (1.5, pa.float32()),
                           (-0.25, pa.float16()), (7, pa.int8()), (2**63, pa.uint64()), (True, pa.bool_())):
            with self.subTest(type=str(type)):
                fields = [("role", pa.string()), ("content", pa.string()), ("when", type)]
                chat = [{**QUESTION, "when": when}, answer("it is high")]
                messages = pa.array([chat], pa.list_(pa.struct(fields)))
                self.check_arrow(pa.table({"messages": messages, "born": pa.array([when], type)}),
                                 [self.encoded([{**QUESTION, "when": str(when)}, chat[1]])])
        binary = pa.struct([("role", pa.binary()), ("content", pa.large_binary())])
        chat = [{k: v.encode() for k, v in message.items()} for message in (QUESTION, answer("\u65e5\u672c"))]
        self.check_arrow(pa.table({"messages": pa.array([chat], pa.list_(binary, 2))}),
                         [self.encoded([QUESTION, answer("\u65e5\u672c")])])

    def test_what_has_no_form_is_refused(self):
        self.use_template(MARKED)
        fields = [("role", pa.string()), ("content", pa.string())]
        for value, type, needle in ((math.nan, pa.float64(), "nan"), (datetime.timedelta(1), pa.duration("s"), "duration"),
                                    (datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), pa.timestamp("s", "Asia/Tokyo"), "Asia/Tokyo")):
            chat = pa.array([[{**QUESTION, "x": value}, answer("a")]], pa.list_(pa.struct([*fields, ("x", type)])))
            folder, _ = self.save(pa.table({"messages": chat}), needle.replace("/", "-"))
            self.refuse(folder, "row 0: column 'messages'", needle)

    def test_bad_tools_are_named(self):
        self.use_template(MARKED)
        self.refuse([{"messages": CHAT, "tools": "[1"}], "line 1: tools", "not JSON")
        self.refuse([{"messages": CHAT, "tools": {"name": "x"}}], "line 1: tools is an object of 1 keys, expected a list of objects")
        self.refuse([{"messages": CHAT, "tools": ["x"]}], "line 1: tools", "expected a list of objects")
        self.refuse([{"instruction": "a", "output": "b", "tools": TOOLS}], "'tools' is", "write the row as messages")

    def test_a_template_that_leaves_tools_out_is_named(self):
        self.use_template(MARKED.replace(HEAD, ""))
        done = self.assert_learns([{"messages": CHAT, "tools": TOOLS}], [self.encoded(CHAT)])
        self.assertIn("line 1: the chat template of", done.stderr)
        self.assertIn("writes nothing of the row's tools", done.stderr)

    def test_variables_of_the_template(self):
        self.use_template(MARKED.replace("'<call>'", "prefix + '<call>'"))
        self.assert_learns([{"messages": CHAT, "chat_template_kwargs": {"prefix": "of "}}], [self.encoded(CHAT, prefix="of ")])


class TurnsTest(RowsTest):
    def test_spellings_of_turns(self):
        self.use_template(MARKED)
        calls = [c["function"] for c in ROUND[0]["tool_calls"]]
        system = {"role": "system", "content": "in verse"}
        sharegpt = [{"from": "human", "value": QUESTION["content"]}, {"from": "function_call", "value": json.dumps(calls)},
                    {"from": "observation", "value": "5.2"}, {"from": "tool", "value": "12:00"}, {"from": "gpt", "value": CHAT[-1]["content"]}]
        mixed = [QUESTION, *sharegpt[1:4], CHAT[-1]]
        for rows, wanted in (([{"conversations": sharegpt}], CHAT), ([{"messages": sharegpt}], CHAT), ([{"conversations": CHAT}], CHAT),
                             ([{"messages": mixed}], CHAT), ([{"system": "in verse", "conversations": sharegpt}], [system, *CHAT]),
                             ([{"system": "in verse", "messages": CHAT}], [system, *CHAT]),
                             ([{"system": "in verse", "messages": [system, *CHAT]}], [system, *CHAT]),
                             ([{"system": "", "messages": CHAT, "conversations": sharegpt}], CHAT)):
            with self.subTest(rows=rows):
                self.assert_learns(rows, [self.encoded(wanted)])
        one = [{"from": "human", "value": "a"}, {"from": "function_call", "value": json.dumps(calls[0])}]
        self.assert_learns([{"conversations": one}], [self.encoded([user("a"), answer("", tool_calls=ROUND[0]["tool_calls"][:1])])])

    def test_what_contradicts_is_refused(self):
        self.use_template(MARKED)
        self.refuse([{"system": "x", "messages": [{"role": "system", "content": "y"}, *CHAT]}], "'system' is another text")
        self.refuse([{"messages": CHAT, "conversations": CHAT[:1] + CHAT[-1:]}], "has messages and conversations, which differ")
        self.refuse([{"messages": CHAT, "instruction": "a", "output": "b"}], "instruction with output and messages")
        self.refuse([{"instruction": "a", "output": "b", "system": "c"}], "'system' is \"c\"", "write the row as messages")
        self.refuse([{"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "tide(Brest)"}]}],
                    "line 1: conversations: not JSON")

    def test_a_role_that_the_template_passes_over_is_refused(self):
        self.use_template(MARKED.replace("{%- else %}{{- m.content", "{%- elif m.role == 'user' %}{{- m.content").replace(
            "{{- '<|im_start|>' + m.role + '\\n' }}", "{%- if m.role in ('user', 'assistant') %}{{- '<|im_start|>' + m.role + '\\n' }}{%- endif %}"))
        self.refuse([{"messages": [QUESTION, {"role": "narrator", "content": "x"}, CHAT[-1]]}], "turn 1 has the role \"narrator\"")

    def test_flags_say_which_turns_are_learned(self):
        turns = [user("a"), answer("one"), user("b"), answer("two"), user("c"), answer("three")]

        def second(mask):  # of three runs of ones
            runs, out = 0, []
            for i, learned in enumerate(mask):
                runs += learned and (i == 0 or not mask[i - 1])
                out.append(int(learned and runs == 2))
            return out

        for template, marked in ((MARKED, MARKED), (UNMARKED, MARKED_JOINED)):
            self.use_template(template)
            for no, yes in (({"weight": 0}, {"weight": 1}), ({"train": False}, {}), ({"loss": False}, {"loss": True}),
                            ({"training": False}, {"training": None}), ({"weight": 0.0}, {"weight": 1.0})):
                flagged = [{**turn, **(yes if i == 3 else no if i % 2 else {})} for i, turn in enumerate(turns)]
                with self.subTest(flag=no):
                    self.assert_learns([{"messages": flagged}], [self.encoded(turns, marked, second)])
        self.refuse([{"messages": [{**turn, "weight": 0} for turn in turns]}], "messages: marks no turn of the assistant as learned")
        self.refuse([{"messages": [*turns[:-1], answer("x", weight=0.5)]}], "weight is 0.5, expected 0 or 1")
        self.refuse([{"messages": [{**turns[0], "train": True}, *turns[1:]]}], "turn 0 of \"user\" is marked as learned")


class JoinedTurnsTest(RowsTest):
    """Templates without generation blocks that join turns or write them in another way later: the learned tokens are those
    of the same template with blocks."""

    def check(self, *chats):
        self.use_template(UNMARKED)
        self.assert_learns([{"messages": chat} for chat in chats], [self.encoded(chat, MARKED_JOINED) for chat in chats])

    def test_parallel_calls_and_results(self):
        self.check(CHAT)

    def test_several_rounds(self):
        second = [answer("", tool_calls=[call("tide", port="Calais")]), result("6.1")]
        self.check([QUESTION, *ROUND, *second, *ROUND, answer("all of it")])
        self.check([QUESTION, *ROUND, answer("it is"), user("and now"), *ROUND, *second, answer("so it is")])

    def test_thoughts_of_earlier_turns_go(self):
        thought = {"reasoning_content": "let me see"}
        rounds = [QUESTION, {**ROUND[0], **thought}, *ROUND[1:], answer("it is", **thought)]
        self.check(rounds, [*rounds, user("and now"), answer("so", **thought)], [*rounds, user("and"), *rounds[1:], user("or"), answer("no")])

    def test_keys_that_a_template_skips_are_named(self):
        self.use_template(MARKED)
        rows = [{"messages": [QUESTION, answer("it is", reasoning_content="let me see", id="7")]}] * 2
        done = self.learn(self.write(rows, "data.jsonl"))
        self.assertEqual(done.stderr.count("writes nothing of the messages' '"), 1, done.stderr)
        self.assertIn("line 1: the chat template of ", done.stderr)
        self.assertIn("writes nothing of the messages' 'reasoning_content'", done.stderr)

    def test_answers_that_follow_each_other(self):
        self.check([QUESTION, answer("one"), answer("two"), user("b"), answer("three"), answer("four", reasoning_content="hm")])

    def test_a_prompt_that_begins_a_thought(self):
        """As of DeepSeek's R1: what is asked for begins with a thought, and no turn of the conversation has one."""
        template = ("{%- for m in messages %}{{- m.role + ':' }}{%- if m.role == 'assistant' %}GEN{{- m.content.split('</think>')[-1] + '.' }}END"
                    "{%- else %}{{- m.content + '.' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- 'assistant:<think>\n' }}{%- endif %}")
        self.use_template(template.replace("GEN", "").replace("END", ""))
        marked = template.replace("GEN", "{%- generation %}").replace("END", "{%- endgeneration %}")
        for chat in ([QUESTION, answer("one"), user("b"), answer("<tag> two")], [QUESTION, answer("<think>hm</think>one"), user("b"), answer("<")]):
            self.assert_learns([{"messages": chat}], [self.encoded(chat, marked)])

    def test_results_inside_the_turn_that_called_are_not_learned(self):
        """As of Gemma 4: the calling turn goes on with the results and the answer."""
        self.use_template("{%- for m in messages %}{%- if m.role == 'user' %}{{- 'user:' + m.content + '.model:' }}{%- elif m.role == 'assistant' %}"
                          "{%- if m.tool_calls %}{{- '<call>' + m.tool_calls[0].function.name + '</call>' }}{%- if loop.last %}{{- '...' }}{%- endif %}"
                          "{%- for r in messages if r.role == 'tool' %}{{- '<r>' + r.content + '</r>' }}{%- endfor %}{%- endif %}"
                          "{{- m.content + '.' }}{%- endif %}{%- endfor %}")
        self.refuse([{"messages": [QUESTION, *ROUND[:2], answer("it is")]}], "messages: where turn 1, the assistant's, stands")

    def test_what_cannot_be_told_is_refused(self):
        # The end mark is missing where a message follows, and thoughts go: nothing shows where the turn ends.
        self.use_template("{%- for m in messages %}{{- m.role + ':' + (m.content if loop.last else m.content | upper) + ('.' if loop.last else '') }}"
                          "{%- endfor %}{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}")
        self.refuse([{"messages": [QUESTION, answer("one"), user("b"), answer("two")]}], "messages: where turn 1, the assistant's, stands")


class PromptCompletionTest(RowsTest):
    """TRL: what differs from the tokens of the prompt alone is learned. Values of TRL 1.16's SFTTrainer stand here; the rule
    is its own tokenize_fn in a few lines."""

    def trl(self, prompt_ids, ids):
        same = next((i for i, (a, b) in enumerate(zip(prompt_ids, ids)) if a != b), min(len(prompt_ids), len(ids)))
        return ids, [0] * same + [1] * (len(ids) - same)

    def test_texts(self):
        eos = self.tokenizer.eos_token
        rows = [{"prompt": "the lord said ", "completion": "unto them"}, {"prompt": "the lo", "completion": "rd said unto" + eos}]
        examples = [self.trl(self.tokenizer(r["prompt"]).input_ids, self.tokenizer(r["prompt"] + r["completion"].removesuffix(eos) + eos).input_ids)
                    for r in rows]
        self.assertEqual(examples, [([0, 294, 306, 308, 292, 304, 1], [0, 0, 0, 0, 1, 1, 1]), ([0, 294, 306, 308, 292, 1], [0, 0, 1, 1, 1, 1])])
        self.assert_learns(rows, examples)
        self.refuse([{"prompt": "a", "completion": ""}], "'completion', the answer to learn, is empty")
        self.refuse([{"prompt": "a"}], "has no 'instruction', 'messages', 'conversations' or 'prompt' with 'completion'")
        self.refuse([{"prompt": "a", "completion": [CHAT[-1]]}], "one of prompt and completion is text and the other is not")
        self.refuse([{"prompt": "a", "completion": "b", "system": "c"}], "'system' is \"c\"")

    def test_messages(self):
        for template, of_trl in ((MARKED, [(45, 14, 5286), (461, 163, 37658)]), (UNMARKED, [(62, 31, 7230), (511, 213, 41962)])):
            self.use_template(template)
            rows = [{"prompt": [QUESTION], "completion": [CHAT[-1]]}, {"prompt": [QUESTION], "completion": CHAT[1:], "tools": TOOLS},
                    {"prompt": [{"from": "human", "value": "a"}], "completion": [{"from": "gpt", "value": "b"}], "system": "c"}]
            chats = [([QUESTION], [CHAT[-1]], None), ([QUESTION], CHAT[1:], TOOLS),
                     ([{"role": "system", "content": "c"}, user("a")], [answer("b")], None)]
            examples = [self.trl(self.tokenizer.apply_chat_template(p, tools=t, add_generation_prompt=True, return_dict=True)["input_ids"],
                                 self.tokenizer.apply_chat_template(p + c, tools=t, return_dict=True)["input_ids"]) for p, c, t in chats]
            # Tokens, learned ones, sum of the ids; of a data set with Json columns, where no call has the other's arguments.
            self.assertEqual([(len(ids), sum(mask), sum(ids)) for ids, mask in examples[:2]], of_trl)
            self.assert_learns(rows, examples)

    def test_answers_of_a_conversation_alone(self):
        """TRL's assistant_only_loss with a template of blocks."""
        self.use_template(MARKED)
        for tools, of_trl in ((TOOLS, (461, 131, 37658)), (None, (194, 131, 17093))):
            ids, mask = self.encoded(CHAT, tools=tools)
            self.assertEqual((len(ids), sum(mask), sum(ids)), of_trl)
            self.assert_learns([{"messages": CHAT, "tools": tools}], [(ids, mask)])


class ColumnsTest(RowsTest):
    def test_columns_without_effect_are_named_once(self):
        self.use_template(MARKED)
        rows = [{"messages": CHAT, "id": i, "source": "x", "m\u00e9teo": 1, "prompt": "x"} for i in range(3)]
        done = self.assert_learns(rows, [self.encoded(CHAT)] * 3)
        line = "columns without effect: id, source; not known here: m\u00e9teo, prompt"
        self.assertEqual(done.stderr.count(line), 1, done.stderr)
        for data in self.save(pa.Table.from_pylist(rows)):
            done = self.assert_learns(data, [self.encoded(CHAT)] * 3)
            self.assertEqual(done.stderr.count(line), 1, done.stderr)

    def test_columns_that_would_change_something_are_refused(self):
        self.use_template(MARKED)
        for column, value, reason in (("history", [["a", "b"]], "write the row as messages"), ("weight", 0.5, "every example counts"),
                                      ("images", ["a.png"], "only text is learned"), ("input_ids", [1, 2], "hici train takes such a column"),
                                      ("functions", TOOLS, "write the column as tools"), ("completion_mask", [1], "finds the answers itself")):
            with self.subTest(column=column):
                self.refuse([{"messages": CHAT}, {"messages": CHAT, column: value}], f"line 2: '{column}' is", reason)
        self.assert_learns([{"messages": CHAT, "history": [], "weight": 1, "images": None, "input_ids": ""}], [self.encoded(CHAT)])

    def test_names_are_shown_in_their_own_writing(self):
        folder, parquet = self.save(pa.table({"\u8cea\u554f": ["a"], "r\u00e9ponse": ["b"]}))
        for data in (folder, parquet):
            self.refuse(data, "has no column instruction with output", "\u8cea\u554f (string), r\u00e9ponse (string)")
            done = self.run_hici("tokenize", "--tokenizer", self.base, "--text_file", data, "--output", self.folder / "x.bin", code=1)
            self.assert_one_error_line(done, "tokenize", "has no column 'text'", "\u8cea\u554f (string), r\u00e9ponse (string)")

    def test_an_empty_split_says_so(self):
        folder, parquet = self.save(pa.table({"messages": pa.array([CHAT])}).slice(0, 0))
        self.refuse(folder, "arrow: has no rows")
        self.refuse(parquet, "arrow.parquet: has no rows")
        (folder / "state.json").write_text(json.dumps({"_data_files": []}))
        self.refuse(folder, "arrow: has no rows (state.json lists no file)")


if __name__ == "__main__":
    unittest.main()
