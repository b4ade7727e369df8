# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning: its losses and updates are those of a few lines of transformers, it resumes bit for bit, starts
from pre-training, and says what is wrong with its data."""
import json
import random
import shlex
import signal
import unittest

from sft_runs import STEPS, WORDS, SftFolderTest  # first: sets what the libraries read when they are imported

import pyarrow
import torch
from transformers import LlamaForCausalLM

from support import metrics, num_metric_lines, start_hici, stop_now, wait_until

CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
# Qwen3's habit: what an assistant thought is left out of all turns but the last.
FORGETFUL = ("{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
             "{% if message.role == 'assistant' and not loop.last %}{{ message.content.split('</think>')[-1] }}"
             "{% else %}{{ message.content }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
MARKED = ("{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}{% if message.role == 'assistant' %}"
          "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{% else %}"
          "{{ message.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}")


def sentence(chance, num_words):
    return " ".join(chance.choice(WORDS) for _ in range(num_words))


def instruction_rows(count, seed=1):
    chance, rows = random.Random(seed), []
    for number in range(count):
        row = {"instruction": sentence(chance, chance.randint(3, 12)), "output": sentence(chance, chance.randint(2, 9))}
        rows.append({**row, "input": sentence(chance, 5)} if number % 3 == 0 else row)
    return rows


def chat_rows(count):
    chance, rows = random.Random(5), []
    for number in range(count):
        turns = [{"role": role, "content": sentence(chance, chance.randint(2, 6))} for role in ("user", "assistant") * 2]
        turns[1]["content"] = "<think>hm</think>" + turns[1]["content"]
        rows.append({"messages": turns[:2 + 2 * (number % 2)]})
    return rows


def prompt_of(row):
    text = row["instruction"] + ("\n" + row["input"] if row.get("input") else "")
    return f"[INST]{text}[/INST]"


class SftTest(SftFolderTest):
    def instruction_examples(self, rows):
        examples = []
        for row in rows:
            source = self.tokenizer(prompt_of(row)).input_ids
            ids = self.tokenizer(prompt_of(row) + row["output"] + self.tokenizer.eos_token).input_ids
            examples.append((ids, [-100] * len(source) + ids[len(source):]))
        return examples

    def test_instructions_give_the_losses_and_updates_of_transformers(self):
        rows = instruction_rows(10)
        examples = self.instruction_examples(rows)
        done = self.check_against_transformers(self.write(rows), examples)
        tokens = sum(len(ids) for ids, _ in examples)
        learned = sum(label != -100 for _, labels in examples for label in labels)
        self.assertIn(f"10 examples, {tokens} tokens, {100 * learned / tokens:.1f} % of them with loss; 0 truncated to 128, "
                      "0 of these dropped", done.stderr)
        self.assertEqual(metrics(self.folder / "out")[0]["tokens"], sum(len(ids) for ids, _ in examples[:4]))

    def test_packed_examples_give_the_losses_and_updates_of_transformers(self):
        rows = instruction_rows(4)
        done = self.check_against_transformers(self.write(rows), self.instruction_examples(rows), packing=True,
                                               model_max_length=256, per_device_train_batch_size=1,
                                               gradient_accumulation_steps=1)
        self.assertIn("packed into 1 sequence", done.stderr)

    def test_losses_of_evaluations_are_those_of_transformers_on_the_checkpoints(self):
        """Of examples of many lengths: the mean over the tokens of all answers. Packed, and a batch of several, the same."""
        rows, held_out = self.write(instruction_rows(10)), instruction_rows(7, seed=2)
        changes = {"attention": "full", "low_rank_training": False, "num_local_slots": None, "global_slots": None,
                   "num_heads": None, "bottleneck_dim": None, "shared_compress_dim": None, "lora_r": None, "max_steps": 4,
                   "save_steps": 2, "eval_data_path": self.write(held_out, "eval.json"), "eval_on_start": True}
        self.train(rows, **changes)
        evaluations = {line["step"]: line for line in metrics(self.folder / "out") if "eval_loss" in line}
        self.assertEqual(sorted(evaluations), [0, 2, 4])
        for step, line in evaluations.items():
            model = LlamaForCausalLM.from_pretrained(self.folder / "out" / f"checkpoint-{step}" if step else self.base,
                                                     dtype=torch.float32, attn_implementation="eager")
            total, targets = 0, 0
            with torch.no_grad():
                for ids, labels in self.instruction_examples(held_out):
                    logits, wanted = model(torch.tensor([ids])).logits[0, :-1], torch.tensor(labels[1:])
                    total += torch.nn.functional.cross_entropy(logits.double(), wanted, ignore_index=-100, reduction="sum").item()
                    targets += (wanted != -100).sum().item()
            self.assertEqual(line["eval_tokens"], targets)
            self.assertAlmostEqual(line["eval_loss"], total / targets, delta=1e-6)
        for name, layout in (("packed", {"packing": True, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}),
                             ("three", {"per_device_eval_batch_size": 3})):
            self.train(rows, name, **{**changes, **layout, "max_steps": 1})
            self.assertAlmostEqual(metrics(self.folder / name)[0]["eval_loss"], evaluations[0]["eval_loss"], delta=1e-6)

    def test_samples_of_evaluations_are_what_generate_says_of_the_checkpoints(self):
        rows = self.write(instruction_rows(10))
        words = {"eval_data_path": rows, "eval_steps": 2, "save_steps": 2, "max_steps": 4, "sample_tokens": 12}
        prompt = "of the lord"
        done = self.train(rows, **words, sample_prompt=prompt)
        lines = [json.loads(line) for line in (self.folder / "out" / "samples.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], [2, 4])
        for line in lines:
            answer = self.run_hici("generate", prompt, "--base_model", self.base, "--peft_model",
                                   self.folder / "out" / f"checkpoint-{line['step']}", "--prompt_style", "llama2",
                                   "--max_new_tokens", 12, "--device", "cpu").stdout
            self.assertEqual(line["text"] + "\n", answer)
            self.assertIn(f"step {line['step']}  sample {json.dumps(line['text'], ensure_ascii=False)}\n", done.stderr)
            self.assertEqual((line["prompt"], line["finish_reason"] in ("length", "stop")), (prompt, True))
        self.train(rows, "without", **{**words, "sample_tokens": None})
        self.assertEqual(metrics(self.folder / "out"), metrics(self.folder / "without"), "it changes no number")
        self.train(rows, **{**words, "max_steps": 6}, sample_prompt=prompt, resume_from_checkpoint="latest")
        more = [json.loads(line) for line in (self.folder / "out" / "samples.jsonl").read_text().splitlines()]
        self.assertEqual(more[:2], lines)
        self.assertEqual([line["step"] for line in more], [2, 4, 6])

    def test_samples_without_what_they_need(self):
        rows = self.write(instruction_rows(4))
        for told, changes in (
                ("--sample_prompt: is for evaluations, and there are none; give --eval_data_path", {}),
                ("--sample_tokens: has no effect without --sample_prompt", {"sample_prompt": None, "sample_tokens": 3}),
                ("--sample_prompt: is empty", {"sample_prompt": "", "eval_data_path": rows}),
                ("--sample_tokens: 300 leaves no room for a prompt in the context of 256; use fewer",
                 {"sample_tokens": 300, "eval_data_path": rows}),
                ("--sample_prompt: generation needs all weights in one process, not --shard full",
                 {"shard": "full", "eval_data_path": rows})):
            with self.subTest(told=told):
                done = self.run_hici(*self.options(rows, **{"sample_prompt": "a", **changes}), code=2)
                self.assert_one_error_line(done, "sft", told)
        (self.base / "tokenizer.json").unlink()
        tokens = self.folder / "tokens.bin"
        tokens.write_bytes(b"\1\0" * 512)
        done = self.run_hici(*self.options(tokens, command="train", eval_data_path=tokens, sample_prompt="a"), code=2)
        self.assert_one_error_line(done, "train", f"--sample_prompt: {self.base} has no tokenizer.json; leave it out")

    def chat_examples(self, rows, template):
        self.tokenizer.chat_template = template
        examples = []
        for row in rows:
            encoded = self.tokenizer.apply_chat_template(row["messages"], return_assistant_tokens_mask=True, return_dict=True)
            labels = [i if m else -100 for i, m in zip(encoded["input_ids"], encoded["assistant_masks"])]
            examples.append((encoded["input_ids"], labels))
        return examples

    def test_a_template_that_marks_generations_gives_the_mask_of_transformers(self):
        rows = chat_rows(9)
        examples = self.chat_examples(rows, MARKED)
        self.tokenizer.save_pretrained(self.base)
        self.check_against_transformers(self.write(rows, "chats.jsonl"), examples)

    def test_turns_are_found_without_marks(self):
        rows = chat_rows(9)
        for template in (CHATML, FORGETFUL):
            with self.subTest(template=template):
                self.tokenizer.chat_template = template
                self.tokenizer.save_pretrained(self.base)
                examples = []
                for row in rows:
                    ids, labels = [], []
                    for number, message in enumerate(row["messages"]):
                        content, last = message["content"], number == len(row["messages"]) - 1
                        if template == FORGETFUL and not last:
                            content = content.split("</think>")[-1]
                        start = self.tokenizer(f"<|im_start|>{message['role']}\n", add_special_tokens=False).input_ids
                        rest = self.tokenizer(content + "<|im_end|>\n", add_special_tokens=False).input_ids
                        learned = message["role"] == "assistant"
                        ids += start + rest
                        labels += [-100] * len(start) + (rest if learned else [-100] * len(rest))
                    examples.append((ids, labels))
                out = f"out{len(template)}"
                conversations = [{"conversations": [{"from": {"user": "human", "assistant": "gpt"}[m["role"]],
                                                     "value": m["content"]} for m in row["messages"]]} for row in rows]
                self.check_against_transformers(self.write(conversations), examples)
                (self.folder / "out").rename(self.folder / out)

    # ---- the hierarchy, and packing -----------------------------------------------------------------------------

    def test_padding_and_packing_change_nothing(self):
        """The loss of a batch is that of its examples one by one, in every layout and causal mode."""
        data = self.write(instruction_rows(6))
        layouts = {"alone": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 6},
                   "padded": {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 1},
                   "two rows": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2}}
        for segment, mode in ((16, "none"), (16, "causal_gi"), (16, "causal_shift"), (0, "causal_gi"), (0, "none")):
            losses = {}
            for name, layout in layouts.items():
                self.train(data, out=f"{name}{segment}{mode}", sft_segment_length=segment, causal_mode=mode, max_steps=2, **layout)
                losses[name] = self.losses(f"{name}{segment}{mode}")
            for packed_length in (128, 256):
                # All examples in a number of rows that the log tells; the rows of one step are as many.
                out = f"packed{packed_length}{segment}{mode}"
                done = self.train(data, out=out + "count", sft_segment_length=segment, causal_mode=mode, packing=True,
                                  model_max_length=packed_length, max_steps=1)
                rows = int(done.stderr.split("packed into ")[1].split(" ")[0])
                self.assertLess(rows, 6)
                self.train(data, out=out, sft_segment_length=segment, causal_mode=mode, packing=True, max_steps=2,
                           model_max_length=packed_length, per_device_train_batch_size=rows, gradient_accumulation_steps=1)
                losses[out] = self.losses(out)
            for name, values in losses.items():
                for value, expected in zip(values, losses["alone"], strict=True):
                    # float32 sums in another order
                    self.assertLess(abs(value / expected - 1), 2e-6, (name, segment, mode, losses))

    def test_dropout_of_adapters_is_the_same_in_every_layout_but_packing(self):
        """A row has the masks of its number in the step; a packed one is another row."""
        data = self.write(instruction_rows(6))
        layouts = {"alone": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 6},
                   "padded": {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 1}}
        for segment, mode in ((16, "causal_shift"), (16, "none"), (0, "causal_gi")):
            settings = {"sft_segment_length": segment, "causal_mode": mode, "max_steps": 3, "dtype": "float64"}
            losses = {}
            for name, changes in {**{name: {"lora_dropout": 0.3, **layout} for name, layout in layouts.items()},
                                  "none": layouts["alone"], "packed": {"lora_dropout": 0.3, "packing": True}}.items():
                self.train(data, out=f"{name}{segment}{mode}", **settings, **changes)
                losses[name] = self.losses(f"{name}{segment}{mode}")
            for value, expected in zip(losses["padded"], losses["alone"], strict=True):
                self.assertLess(abs(value / expected - 1), 2e-6, losses)  # float32 sums in another order
            self.assertGreater(abs(losses["none"][2] / losses["alone"][2] - 1), 1e-5, losses)
            self.assertTrue(all(0 < value < 10 for value in losses["packed"]), losses)

    def test_shifted_sparse_attention_does_not_see_padding(self):
        data = self.write(instruction_rows(6))
        plain = {"attention": "s2", "sft_segment_length": 16, "max_steps": 2, "num_local_slots": None, "global_slots": None,
                 "num_heads": None, "bottleneck_dim": None, "shared_compress_dim": None}
        self.train(data, out="alone", per_device_train_batch_size=1, gradient_accumulation_steps=6, **plain)
        self.train(data, out="padded", per_device_train_batch_size=6, gradient_accumulation_steps=1, **plain)
        for value, expected in zip(self.losses("padded"), self.losses("alone"), strict=True):
            self.assertLess(abs(value / expected - 1), 2e-6)  # float32 sums in another order

    def test_streamed_segments_give_the_same_losses(self):
        data = self.write(instruction_rows(8))
        self.train(data, sft_segment_length=16, causal_mode="causal_gi", max_steps=3)
        self.train(data, out="streamed", sft_segment_length=16, causal_mode="causal_gi", max_steps=3, stream_segments=True)
        for value, expected in zip(self.losses("streamed"), self.losses(), strict=True):
            self.assertLess(abs(value / expected - 1), 1e-5)  # float32 sums in another order, three steps of them

    def test_twenty_steps_lower_the_loss(self):
        self.train(self.write(instruction_rows(6)), max_steps=20, learning_rate=1e-2, low_rank_training=False, lora_r=None)
        losses = self.losses()
        self.assertLess(sum(losses[-3:]), 0.8 * sum(losses[:3]))

    # ---- resuming -------------------------------------------------------------------------------------------------

    def test_a_stopped_run_goes_on_bit_for_bit(self):
        data = self.write(instruction_rows(12))
        for name, changes in {"padded": {}, "packed": {"packing": True, "sft_segment_length": 16}}.items():
            with self.subTest(layout=name):
                self.train(data, out=name, **changes)
                process = start_hici(*self.options(data, out=name + "2", **changes))
                self.assertTrue(wait_until(process, lambda: num_metric_lines(self.folder / (name + "2")) >= 2))
                stop_now(process, signal.SIGTERM)
                self.train(data, out=name + "2", resume_from_checkpoint="latest", **changes)
                self.assert_same_training(self.folder / (name + "2"), self.folder / name, STEPS)

    def test_other_data_or_style_is_another_run(self):
        self.train(self.write(instruction_rows(12)), max_steps=3)
        again = {"resume_from_checkpoint": "latest"}
        done = self.run_hici(*self.options(self.write(instruction_rows(11), "other.json"), **again), code=1)
        self.assert_one_error_line(done, "sft", "cannot go on exactly", "the data is", "11 samples")
        done = self.run_hici(*self.options(self.folder / "data.json", prompt_style="alpaca", **again), code=1)
        self.assert_one_error_line(done, "sft", "--prompt_style is alpaca, the checkpoint has llama2")

    def pretrain(self, **changes):
        text = self.folder / "text.txt"
        text.write_text(sentence(random.Random(2), 3000))
        self.train(text, out="pretrained", command="train", max_steps=3, num_chunks=4, model_max_length=64, **changes)
        return self.folder / "pretrained" / "checkpoint-3"

    def test_starts_from_the_weights_of_pre_training(self):
        checkpoint = self.pretrain()
        data = self.write(instruction_rows(12))
        done = self.train(data, out="resumed", resume_from_checkpoint=checkpoint, max_steps=3, num_local_slots=None,
                          model_max_length=64)
        self.assertIn(f"{checkpoint}: is a checkpoint of pre-training after 3 steps; fine-tuning starts from its weights",
                      done.stderr)
        self.assertEqual(metrics(self.folder / "resumed")[0]["step"], 1)
        self.train(data, out="started", pretrained_hici_path=self.folder / "pretrained", max_steps=3, lora_r=None,
                   model_max_length=64)
        self.assertEqual(self.losses("resumed"), self.losses("started"))
        self.train(data, out="fresh", max_steps=3, model_max_length=64)
        self.assertNotEqual(self.losses("fresh")[0], self.losses("started")[0])
        # Its own checkpoints stand alone, and pre-training does not go on from them.
        self.train(data, out="resumed", resume_from_checkpoint="latest", max_steps=4, model_max_length=64)
        done = self.run_hici(*self.options(self.folder / "text.txt", out="pretrained", command="train", max_steps=5, num_chunks=4,
                                           model_max_length=64, resume_from_checkpoint=self.folder / "resumed" / "checkpoint-3"),
                             code=1)
        self.assert_one_error_line(done, "train", "cannot go on exactly", "--sft_segment_length is not set")
        done = self.run_hici(*self.options(data, out="pretrained", resume_from_checkpoint=checkpoint), code=1)
        self.assert_one_error_line(done, "sft", "already holds checkpoint-3; use another --output_dir")

    def test_the_next_command_asks_in_the_form_of_the_examples(self):
        (self.base / "chat_template.jinja").write_text(CHATML)
        for name, rows, form in (("alpaca", instruction_rows(3), "--prompt_style alpaca"), ("chats", chat_rows(3), "--chat")):
            with self.subTest(name):
                done = self.train(self.write(rows, name + ".json"), out=name, max_steps=1, prompt_style="alpaca")
                (line,) = [line for line in done.stderr.splitlines() if line.startswith("next: hici generate ")]
                self.assertIn(form, line)
                self.run_hici(*shlex.split(line)[2:], "--max_new_tokens", 4)

    def test_one_command_starts_from_pre_training_and_goes_on(self):
        data = self.write(instruction_rows(9))
        start = {"pretrained_hici_path": self.folder / "pretrained", "lora_r": None, "model_max_length": 64}
        self.pretrain()
        self.train(data, out="undisturbed", max_steps=4, save_steps=2, **start)
        job = {"out": "job", "save_steps": 2, "resume_from_checkpoint": "latest", **start}
        first = self.train(data, max_steps=2, **job)
        self.assertIn("job: no whole checkpoint yet; starting from the beginning", first.stderr)
        second = self.train(data, max_steps=4, **job)
        self.assertIn("job/checkpoint-2: 2 of 4 steps are done", second.stderr)
        self.assert_same_training(self.folder / "job", self.folder / "undisturbed", 4)
        self.assertIn("nothing to do: all 4 steps are done", self.train(data, max_steps=4, **job).stderr)

    def test_starts_from_a_whole_model_of_pre_training(self):
        whole = {"low_rank_training": False, "lora_r": None}
        checkpoint = self.pretrain(**whole)
        data = self.write(instruction_rows(8))
        self.train(data, resume_from_checkpoint=checkpoint, max_steps=2, model_max_length=64, **whole)
        # A checkpoint of all parameters is a model directory: fine-tuning of that gives the same.
        self.train(data, out="from_directory", model_name_or_path=checkpoint, max_steps=2, model_max_length=64, **whole)
        self.assertEqual(self.losses(), self.losses("from_directory"))
        done = self.run_hici(*self.options(data, out="lora", resume_from_checkpoint=checkpoint), code=2)
        self.assert_one_error_line(done, "sft", "is a whole model; give it as --model_name_or_path")
        self.train(data, out="lora", model_name_or_path=checkpoint, max_steps=1, model_max_length=64)

    # ---- data ---------------------------------------------------------------------------------------------------

    def test_counts_what_is_cut_and_dropped(self):
        rows = [{"instruction": "the " * 200, "output": "lord"}, {"instruction": "the", "output": "lord " * 200},
                *instruction_rows(4)]
        done = self.train(self.write(rows), max_steps=1, model_max_length=64)
        self.assertIn("5 examples, ", done.stderr)
        self.assertIn("2 truncated to 64, 1 of these dropped (no token of the answer left)", done.stderr)
        done = self.train(self.write(rows), out="some", max_steps=1, model_max_length=64, max_samples=3)
        self.assertIn("2 examples, ", done.stderr)
        done = self.run_hici(*self.options(self.write(rows), out="none", model_max_length=64, max_samples=1), code=1)
        self.assert_one_error_line(done, "sft", "no token of an answer is left of any of its 1 example", "--model_max_length 64")

    def test_long_strings_and_arrow_give_the_same_run(self):
        rows = instruction_rows(5) + [{"instruction": "the lord said " * 8000, "output": "unto them"}]
        self.train(self.write(rows), max_steps=2)
        self.train(self.write(rows, "data.jsonl"), out="lines", max_steps=2)
        self.assertEqual(self.losses(), self.losses("lines"))
        self.write_arrow("arrow", rows)
        self.train(self.folder / "arrow", out="arrow_out", max_steps=2)
        self.assertEqual(self.losses(), self.losses("arrow_out"))
        self.tokenizer.chat_template = MARKED
        self.tokenizer.save_pretrained(self.base)
        chats = chat_rows(6)
        self.train(self.write(chats, "chats.json"), out="chats_out", max_steps=2)
        self.write_arrow("arrow_chats", chats)
        self.train(self.folder / "arrow_chats", out="arrow_chats_out", max_steps=2)
        self.assertEqual(self.losses("chats_out"), self.losses("arrow_chats_out"))

    def write_arrow(self, name, rows):
        """As datasets.save_to_disk writes a data set."""
        folder = self.folder / name
        folder.mkdir()
        table = pyarrow.Table.from_pylist(rows)
        with pyarrow.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink:
            with pyarrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))

    def refuse(self, rows, *needles, name="data.json", code=1, **changes):
        path = self.write(rows, name) if not isinstance(rows, str) else self.folder / name
        if isinstance(rows, str):
            path.write_text(rows)
        done = self.run_hici(*self.options(path, **changes), code=code)
        self.assert_one_error_line(done, "sft", *needles)
        self.assertFalse(list((self.folder / "out").glob("checkpoint*")))

    def test_bad_rows_are_named(self):
        good = instruction_rows(2)
        self.refuse(good + [{"instruction": "why"}], "data.json: element 2: has no 'output'")
        self.refuse(good + [{"instruction": "why", "output": ""}], "data.jsonl: line 3: 'output', the answer to learn, is empty",
                    name="data.jsonl")
        self.refuse(good + [{"instruction": 3, "output": "x"}], "element 2", "instruction")
        self.refuse(good + [{"question": "why"}], "element 2: has no 'instruction', 'messages', 'conversations' or 'prompt' with 'completion'")
        self.refuse([{"conversations": [{"from": "narrator", "value": "x"}]}], "element 0: conversations", "narrator")
        self.refuse([{"messages": [{"role": "user", "content": "x"}]}], "element 0: messages: has no turn of the assistant")
        self.refuse([], "data.json: has no rows")
        self.refuse("", "data.json: is empty, expected a JSON list")
        self.refuse('{"instruction": "x"}', "data.json: begins with '{', expected a JSON list")
        self.refuse('[{"instruction": "x", "output": "y"}', "data.json: ends inside its list")
        self.refuse('[{"instruction": "x", "output": "y"}, {"instr', "data.json: ends inside element 1")
        self.refuse('[{"instruction": "x", "output": "y"},]', "element 1", "the list ends instead")
        self.refuse('[{"instruction": "x", "output": "y"}] x', "unexpected 'x' behind its list")
        self.refuse("x", "ending '.csv' is not known", name="data.csv")

    def test_bad_templates_say_why(self):
        chats = chat_rows(2)
        self.refuse(chats, "base: has no chat template")
        for template, message in (("{{ raise_exception('one question, please') }}", "one question, please"),
                                  ("{% for message in messages %}", "cannot be used: syntax error"),
                                  ("{{ messages|length }}{{ messages[-1].content }}", "messages: where turn 1, the assistant's, stands")):
            self.tokenizer.chat_template = template
            self.tokenizer.save_pretrained(self.base)
            self.refuse(chats, "chat_template.jinja: chat template: " + message if "turn" not in message else "element 0: " + message)

    def test_bad_options_are_refused_before_anything_is_written(self):
        rows = instruction_rows(2)
        self.refuse(rows, "--prompt_style: unknown style 'chat'; use llama2, llama2_chat, alpaca or vicuna", code=2, prompt_style="chat")
        self.refuse(rows, "--sft_segment_length: 48 does not divide --model_max_length 128", code=2, sft_segment_length=48)
        self.refuse(rows, "--stream_segments: needs several segments", code=2, stream_segments=True)
        self.refuse(rows, "--sft_segment_length: 0 leaves no slots to see", code=2, causal_mode="causal_shift")
        self.refuse(rows, "--attention s2: needs segments of one length", code=2, attention="s2")
        self.refuse(rows, "--max_seq_length: 64 says another thing than --model_max_length 128", code=2, max_seq_length=64)
        self.assertFalse((self.folder / "out" / "metrics.jsonl").exists())

    def test_takes_the_flags_of_the_research_scripts(self):
        deepspeed = self.folder / "stage2.json"
        deepspeed.write_text(json.dumps({"train_micro_batch_size_per_gpu": "auto", "gradient_clipping": "auto",
                                         "bf16": {"enabled": "auto", "loss_scale": 0},
                                         "zero_optimization": {"stage": 2, "overlap_comm": True, "reduce_bucket_size": 1e9}}))
        flags = {"bf16": False, "use_flash_attn": True, "per_device_eval_batch_size": 2, "deepspeed": deepspeed, "tf32": True,
                 "num_chunks": 4, "max_seq_length": 128, "model_max_length": None, "lora_alpha": 16, "max_samples": 5,
                 "cache_dir": self.folder, "trainable_params": "embed,norm", "gradient_checkpointing": True}
        done = self.train(self.write(instruction_rows(9)), max_steps=2, **flags)
        self.assertIn("stage2.json: shard optimizer\n", done.stderr)
        self.assertIn("stage2.json: without meaning here: loss_scale, overlap_comm, reduce_bucket_size\n", done.stderr)
        self.assertIn("5 examples", done.stderr)


if __name__ == "__main__":
    unittest.main()
