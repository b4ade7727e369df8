# SPDX-License-Identifier: Apache-2.0
"""hici eval topics, lines and longbench: the files that LongEval's and LongBench's own scripts write with transformers."""
import json
import os
import random
import re
import subprocess
import unittest

import torch
import transformers

from models import ascii_tokenizer
from support import ENVIRONMENT, HICI, TIMEOUT_SECONDS, FolderTest, start_hici, stop_now, wait_until

CONTEXT = 512
VICUNA = ("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
          "polite answers to the user's questions. USER: {} ASSISTANT:")
WORDS = ("I would like to discuss the topic of art and sports in society. line torpid-kid: REGISTER_CONTENT is <2416> Tell me "
         "the number, summary and question\n").split(" ")
TEMPLATE = ("{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def make_model(folder):
    tokenizer = ascii_tokenizer([VICUNA, " ".join(WORDS)] * 3, 300, "\u010a")  # a newline is a token too
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=48, intermediate_size=80, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2, head_dim=8, max_position_embeddings=CONTEXT, initializer_range=0.3,
        bos_token_id=0, eos_token_id=1, pad_token_id=1)
    torch.manual_seed(11)
    net = transformers.LlamaForCausalLM(config).eval()
    newline = tokenizer.encode("\n", add_special_tokens=False).ids[-1]
    with torch.no_grad():
        net.lm_head.weight[newline] *= 1.8  # so that it is often the most probable token
    net.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|bos|>", "eos_token": "<|eos|>"}))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), bos_token="<|bos|>",
                                                eos_token="<|eos|>", clean_up_tokenization_spaces=False)
    return net, fast


def words(chance, count):
    return " ".join(chance.choice(WORDS) for _ in range(count))


def generate(net, ids, **options):
    ids = torch.tensor([ids])
    with torch.no_grad():
        out = net.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
    return out[0, ids.shape[1]:]


def longeval_response(net, tokenizer, case, prompt, max_new_tokens):
    """A line of LongEval's test_topics_one_sample and test_lines_one_sample, and whether the latter counts it."""
    ids = tokenizer(prompt).input_ids
    output = tokenizer.batch_decode([generate(net, ids, max_new_tokens=max_new_tokens)], skip_special_tokens=True)
    if "topics" in case:
        label, predict, parsed, is_right = case["topics"][0], output, "", None
    else:
        numbers = re.findall(r"\d+", output[0])
        number = int(numbers[-1]) if numbers else -1
        label, predict, parsed, is_right = case["expected_number"], output[0], f", Parsed: {number}", number == case["expected_number"]
    summary = f"Label: {label}, Predict: {predict}{parsed}, prompt length: {len(ids)}".replace("\n", " ")
    return summary, is_right


def longbench_prediction(net, tokenizer, case, prompt_format, dataset, max_length, max_gen, chat):
    """What LongBench's pred.py writes for a case."""
    prompt = prompt_format.format(**case)
    ids = tokenizer(prompt, truncation=False).input_ids
    if len(ids) > max_length:
        half = int(max_length / 2)
        prompt = (tokenizer.decode(ids[:half], skip_special_tokens=True) + tokenizer.decode(ids[-half:], skip_special_tokens=True))
    if dataset not in ["trec", "triviaqa", "samsum", "lsht", "lcc", "repobench-p"]:
        prompt = chat.format(prompt)
    ids = tokenizer(prompt, truncation=False).input_ids
    options = {}
    if dataset == "samsum":
        options = {"min_length": len(ids) + 1,
                   "eos_token_id": [tokenizer.eos_token_id, tokenizer.encode("\n", add_special_tokens=False)[-1]]}
    pred = tokenizer.decode(generate(net, ids, max_new_tokens=max_gen, **options), skip_special_tokens=True)
    return json.dumps({"pred": pred, "answers": case["answers"], "all_classes": case["all_classes"], "length": case["length"]},
                      ensure_ascii=False) + "\n"


class BenchmarkTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "tiny-llama"
        self.net, self.tokenizer = make_model(self.model)

    def common(self):
        return ["--base_model", self.model, "--device", "cpu", "--output_dir", self.folder / "out"]

    def run_two(self, *arguments):
        """Two processes of one run, at the same time."""
        processes = [subprocess.Popen([HICI, *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={**ENVIRONMENT, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"})
                     for rank in range(2)]
        for process in processes:
            _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertEqual(process.returncode, 0, stderr)

    def assert_only_whole_files(self, folder, names):
        self.assertEqual(sorted(os.listdir(folder)), sorted(names))


class LongEvalTest(BenchmarkTest):
    def write_cases(self, name, count, length=20):
        chance = random.Random(name)
        rows = []
        for i in range(count):
            row = {"test_id": i, "prompt": words(chance, length + i) + " \n ASSISTANT: What is it? ", "prompt_length": -1}
            more = {"topics": ["The role of art", "Sports"]} if "topics" in name else {"expected_number": chance.randrange(10)}
            rows.append({**row, **more})
        path = self.folder / "testcases" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def expected(self, cases, max_new_tokens, form=VICUNA):
        lines = [longeval_response(self.net, self.tokenizer, case, form.format(case["prompt"]), max_new_tokens) for case in cases]
        text = "".join(line + "\n" for line, _ in lines)
        right = [is_right for _, is_right in lines]
        return text if right[0] is None else text + f"Accuracy: {sum(right) / len(right)}"

    def response(self, name, label="tiny-llama"):
        return (self.folder / "out" / label / name).read_text()

    def test_files_are_those_of_longeval_with_transformers(self):
        for task, numbers, default in (("topics", (5, 10), 50), ("lines", (200, 300), 100)):
            cases = {number: self.write_cases(f"{number}_{task}.jsonl", 3 + i) for i, number in enumerate(numbers)}
            done = self.run_hici("eval", task, self.folder / "testcases", *self.common(), "--batch_size", 3)
            for number, rows in cases.items():
                name = f"{number}_response.txt"
                self.assertEqual(self.response(name), self.expected(rows, default), name)
                result = json.loads(self.response(f"{number}_response.json"))
                self.assertEqual((result["command"], result["label"], result["cases"], result["chat_template"]),
                                 (f"eval {task}", "tiny-llama", len(rows), "vicuna"))
                self.assertIn(f"{name}  correct {result['correct']}/{len(rows)}", done.stdout)
            self.assert_only_whole_files(self.folder / "out" / "tiny-llama",
                                         [f"{n}_response.{end}" for n in numbers for end in ("txt", "json")])
            scores = self.folder / "scores.json"
            self.run_hici("score", task, self.folder / "out", "--output", scores)
            found = json.loads(scores.read_text())["tiny-llama"]
            self.assertEqual(found[f"{numbers[0]}_response.txt"][1], 3)
            (self.folder / "out").rename(self.folder / f"out-{task}")

    def test_prompt_styles(self):
        rows = self.write_cases("5_topics.jsonl", 2)
        file = self.folder / "testcases" / "5_topics.jsonl"
        (self.model / "chat_template.jinja").write_text(TEMPLATE)
        forms = {"continue": (["--prompt_style", "continue"], "{}"),
                 "llama2": (["--chat_template", "llama2"], "[INST]{}[/INST]"),
                 "model": (["--chat_template", "model"], "<|user|>{}<|assistant|>")}
        for label, (options, form) in forms.items():
            self.run_hici("eval", "topics", "--testcases", file, *self.common(), "--label", label, "--max_new_tokens", 12, *options)
            self.assertEqual(self.response("5_response.txt", label), self.expected(rows, 12, form), label)

    def test_work_that_was_killed_goes_on_and_nothing_is_done_twice(self):
        rows = self.write_cases("5_topics.jsonl", 24, length=60)
        command = ["eval", "topics", self.folder / "testcases", *self.common(), "--max_new_tokens", 150]
        self.run_hici(*command, "--label", "whole")
        journal = self.folder / "out" / "tiny-llama" / "5_response.txt.part-0-of-1"
        process = start_hici(*command)
        self.assertTrue(wait_until(process, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 3))
        stop_now(process)
        self.assertFalse((journal.parent / "5_response.txt").exists())
        done = self.run_hici(*command, code=1)
        self.assert_one_error_line(done, "eval topics", "part-0-of-1: answers of earlier work that was stopped; give --resume")
        done = self.run_hici(*command[:-1], 149, "--resume", code=1)
        self.assert_one_error_line(done, "eval topics", "part-0-of-1: answers with max_new_tokens 150, now it is 149")
        # A mark in an answer that is there, and half a line at the end, as a process that dies leaves it.
        lines = journal.read_text().split("\n")
        marked = json.loads(lines[1])
        marked["answer"]["answer"] = "done before"
        journal.write_text("\n".join([lines[0], json.dumps(marked), *lines[2:]]) + '{"case": 2')
        self.run_hici(*command, "--resume")
        expected = self.response("5_response.txt", "whole").splitlines()
        got = self.response("5_response.txt").splitlines()
        self.assertEqual(len(got), len(rows))
        case = marked["case"]
        self.assertIn("Predict: ['done before'], ", got[case])
        self.assertEqual(got[:case] + got[case + 1:], expected[:case] + expected[case + 1:])
        self.assert_only_whole_files(journal.parent, ["5_response.txt", "5_response.json"])
        done = self.run_hici(*command, code=1)
        self.assert_one_error_line(done, "eval topics", "5_response.txt: is there already; give --resume to keep it")
        self.assertIn("is there already and stays", self.run_hici(*command, "--resume").stderr)

    def test_two_processes_write_what_one_writes(self):
        for name in ("200_lines.jsonl", "300_lines.jsonl"):
            self.write_cases(name, 5)
        command = ["eval", "lines", self.folder / "testcases", *self.common(), "--max_new_tokens", 15]
        self.run_hici(*command, "--label", "one")
        self.run_two(*command, "--label", "two")
        for name in ("200_response.txt", "300_response.txt"):
            self.assertEqual(self.response(name, "two"), self.response(name, "one"))
        self.assert_only_whole_files(self.folder / "out" / "two", os.listdir(self.folder / "out" / "one"))

    def test_bad_input_is_one_line_each(self):
        self.write_cases("5_topics.jsonl", 2)
        self.write_cases("10_topics.jsonl", 2, length=400)
        file, long_file = (self.folder / "testcases" / f"{n}_topics.jsonl" for n in (5, 10))
        ids = len(self.tokenizer(VICUNA.format(json.loads(long_file.read_text().splitlines()[1])["prompt"])).input_ids)
        bad = self.folder / "bad.jsonl"
        bad.write_text('{"prompt": "a", "topics": ["b"]}\n{"prompt": "a"}\n')
        other = self.folder / "other" / "5_topics.jsonl"
        other.parent.mkdir()
        other.write_text(file.read_text())
        cases = [(2, [], "hici eval topics: no test cases given"),
                 (1, [self.folder / "none"], "none: is not there"),
                 (1, [bad], "bad.jsonl: line 2: has no 'topics'"),
                 (2, [file, other], "would be answered in"),
                 (2, [file, "--prompt_style", "talk"], "--prompt_style: unknown style 'talk'; use chat or continue"),
                 (2, [file, "--chat_template", "x"], "--chat_template: unknown template 'x'"),
                 (2, [file, "--prompt_style", "continue", "--chat_template", "vicuna"], "--chat_template: has no effect"),
                 (2, [file, "--label", "a/b"], "--label: 'a/b' is no name for a folder"),
                 (2, [file, "--batch_size", 0], "--batch_size: 0 is out of range"),
                 (1, [file, "--chat_template", "model"], "has no chat template"),
                 (1, [file, long_file], f"10_topics.jsonl: line 2: a prompt of {ids} tokens, the longest, and an answer of 50 "
                  f"are more than the model's context of {CONTEXT}; give --context_size {ids + 50} (RoPE factor "
                  f"{-(-(ids + 50) // CONTEXT)})")]
        for code, arguments, message in cases:
            with self.subTest(message=message):
                done = self.run_hici("eval", "topics", *arguments, *self.common(), code=code)
                self.assert_one_error_line(done, "eval topics", message)
        self.run_hici("eval", "topics", long_file, *self.common(), "--context_size", ids + 50)
        done = self.run_hici("eval", "lines", file, *self.common(), code=1)
        self.assert_one_error_line(done, "eval lines", "line 1: has 'topics', a case of the other task; use 'hici eval topics'")


class LongBenchTest(BenchmarkTest):
    PROMPTS = {"qasper": "Article: {context}\n\nQuestion: {input}\n\nAnswer {{briefly}}:", "trec": "Types:\n\n{context}\n{input}",
               "samsum": "Summarize.\n\n{context}\n\n{input}", "lcc": "Complete. \n{context}Next line:\n",
               "gov_report": "Report: {context} Summary:"}
    LENGTHS = {"qasper": 20, "trec": 12, "samsum": 12, "lcc": 16, "gov_report": 40}

    def setUp(self):
        super().setUp()
        self.bench = self.folder / "longbench"
        (self.bench / "data").mkdir(parents=True)
        (self.bench / "config").mkdir()
        (self.bench / "config" / "dataset2prompt.json").write_text(json.dumps(self.PROMPTS))
        (self.bench / "config" / "dataset2maxlen.json").write_text(json.dumps(self.LENGTHS))
        self.rows = {}

    def write_data(self, dataset, count, end="", length=300):
        chance = random.Random(dataset)
        rows = [{"input": "" if dataset == "gov_report" else words(chance, 6), "context": words(chance, 10 if i == 0 else length + i),
                 "answers": ["Caf\u00e9 \u732b", "b"], "length": 100 * i, "dataset": dataset, "language": "en",
                 "all_classes": ["Date", "Sport"] if dataset == "trec" else None, "_id": f"{i:032x}"} for i in range(count)]
        (self.bench / "data" / f"{dataset}{end}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.rows[dataset] = rows
        return rows

    def expected(self, dataset, max_length, chat="[INST]{}[/INST]"):
        return "".join(longbench_prediction(self.net, self.tokenizer, case, self.PROMPTS[dataset], dataset, max_length,
                                            self.LENGTHS[dataset], chat) for case in self.rows[dataset])

    def predict(self, *arguments, **keywords):
        return self.run_hici("eval", "longbench", "--longbench_dir", self.bench, *self.common(), *arguments, **keywords)

    def pred(self, dataset, label="tiny-llama", folder="pred"):
        return (self.folder / "out" / folder / label / f"{dataset}.jsonl").read_text()

    def test_predictions_are_those_of_pred_py_with_transformers(self):
        for dataset in self.PROMPTS:
            self.write_data(dataset, 4)
        self.write_data("samsum", 24, length=60)
        self.predict("--max_length", 301, "--batch_size", 3)
        for dataset in self.PROMPTS:
            self.assertEqual(self.pred(dataset), self.expected(dataset, 301), dataset)
        # Both rules of samsum were needed: an end at a newline, and not at the first token.
        ends = [json.loads(line)["pred"].endswith("\n") for line in self.pred("samsum").splitlines()]
        self.assertTrue(any(ends))
        self.assertFalse(all(ends))
        newline = self.tokenizer.encode("\n", add_special_tokens=False)[-1]
        firsts = [generate(self.net, self.tokenizer(self.PROMPTS["samsum"].format(**case)).input_ids, max_new_tokens=1)
                  for case in self.rows["samsum"]]
        self.assertIn(newline, [first[0].item() for first in firsts])
        self.run_hici("score", "longbench", self.folder / "out" / "pred" / "tiny-llama")
        scores = json.loads((self.folder / "out" / "pred" / "tiny-llama" / "result.json").read_text())
        self.assertEqual(set(scores), set(self.PROMPTS))

    def test_without_a_length_prompts_fill_the_context(self):
        for dataset in ("qasper", "trec"):
            self.write_data(dataset, 3, length=700)
        self.predict("--suffix", "-long", "--prompt_style", "continue")
        for dataset in ("qasper", "trec"):
            room = CONTEXT - self.LENGTHS[dataset]
            self.assertEqual(self.pred(dataset, "tiny-llama-long"), self.expected(dataset, room, "{}"), dataset)
        settings = json.loads((self.folder / "out" / "pred" / "tiny-llama-long" / "trec.json").read_text())
        self.assertEqual((settings["command"], settings["dataset"], settings["cases"], settings["max_length"]),
                         ("eval longbench", "trec", 3, 0))

    def test_the_models_own_template_is_taken_where_there_is_one(self):
        (self.model / "chat_template.jinja").write_text(TEMPLATE)
        for dataset in ("qasper", "trec"):
            self.write_data(dataset, 2)
        self.predict("--max_length", 200)
        for dataset in ("qasper", "trec"):
            self.assertEqual(self.pred(dataset), self.expected(dataset, 200, "<|user|>{}<|assistant|>"), dataset)

    def test_longbench_e_has_files_of_its_own(self):
        self.write_data("trec", 3, end="_e")
        self.write_data("qasper", 2)
        self.predict("-e", "--max_length", 100)
        self.assertEqual(self.pred("trec", folder="pred_e"), self.expected("trec", 100))
        self.assertEqual(os.listdir(self.folder / "out"), ["pred_e"])
        self.run_hici("score", "longbench", "-e", self.folder / "out" / "pred_e" / "tiny-llama")

    def test_work_that_was_killed_goes_on_without_duplicates(self):
        for dataset in ("qasper", "gov_report"):
            self.write_data(dataset, 16)
        command = ["eval", "longbench", "--longbench_dir", self.bench, *self.common(), "--max_length", 400]
        self.run_hici(*command, "--label", "whole")
        folder = self.folder / "out" / "pred" / "tiny-llama"
        journal = folder / "gov_report.jsonl.part-0-of-1"
        process = start_hici(*command)
        self.assertTrue(wait_until(process, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 3))
        stop_now(process)
        self.assertEqual(self.pred("qasper"), self.pred("qasper", "whole"))
        self.assertFalse((folder / "gov_report.jsonl").exists())
        self.run_two(*command, "--resume")  # journals of one process serve two
        for dataset in ("qasper", "gov_report"):
            self.assertEqual(self.pred(dataset), self.pred(dataset, "whole"))
        self.assert_only_whole_files(folder, [f"{name}.{end}" for name in ("qasper", "gov_report") for end in ("jsonl", "json")])

    def test_two_processes_write_what_one_writes(self):
        self.write_data("samsum", 7)
        self.predict("--label", "one")
        self.run_two("eval", "longbench", "--longbench_dir", self.bench, *self.common(), "--label", "two")
        self.assertEqual(self.pred("samsum", "two"), self.pred("samsum", "one"))

    def test_bad_input_is_one_line_each(self):
        self.write_data("trec", 2)
        self.write_data("qasper", 2)
        self.write_data("musique", 2)
        with open(self.bench / "data" / "lcc.jsonl", "w") as file:
            file.write('{"input": "", "context": "a", "answers": ["b"], "length": 1, "all_classes": null}\n{"input": "", "context": "a"}\n')
        cases = [(2, ["--datasets", "trek"], "--datasets: 'trek' is no data set of LongBench; known: narrativeqa"),
                 (1, ["--datasets", "lcc"], "lcc.jsonl: line 2: has no 'answers'"),
                 (1, ["--datasets", "musique"], "dataset2prompt.json: has no 'musique'"),
                 (1, ["--datasets", "samsum"], "samsum.jsonl"),
                 (1, ["-e"], "data: has no data set of LongBench; expected files like narrativeqa_e.jsonl"),
                 (2, ["--datasets", "trec", "--max_length", -1], "--max_length: -1 is out of range"),
                 (2, ["--datasets", "trec", "--max_length", 1], "--max_length: 1 tokens have no half"),
                 (2, ["--datasets", "trec", "--max_length", CONTEXT - 11],
                  f"--max_length: {CONTEXT - 11} tokens and an answer of 12 (trec) are more than the model's context of {CONTEXT}"),
                 (1, ["--datasets", "qasper", "--max_length", CONTEXT - 20, "--chat_template", "vicuna"],
                  "qasper.jsonl: line 2: has "),
                 (2, ["--datasets", "trec", "--suffix", "/x"], "--suffix: '/x' is no part of a folder's name")]
        for code, arguments, message in cases:
            with self.subTest(message=message):
                self.assert_one_error_line(self.predict(*arguments, code=code), "eval longbench", message)
        (self.bench / "config" / "dataset2maxlen.json").unlink()
        self.assert_one_error_line(self.predict("--datasets", "trec", code=1), "eval longbench", "dataset2maxlen.json")
        self.assertFalse((self.folder / "out" / "pred" / "tiny-llama" / "trec.jsonl").exists())


if __name__ == "__main__":
    unittest.main()
