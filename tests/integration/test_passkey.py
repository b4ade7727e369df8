# SPDX-License-Identifier: Apache-2.0
"""hici eval passkey: prompts of numpy's draws, answers of transformers, and what a user sees of it."""
import json
import math
import shutil
import signal
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import numpy as np
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from support import ENVIRONMENT, HICI, TIMEOUT_SECONDS, FolderTest, last_line, stop_now, wait_until

TASK = ("There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
        "I will quiz you about the important information there.")
FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
QUESTION = "What is the pass key? The pass key is"
POSITIONS = 256
SIZES = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
         "head_dim": 8, "max_position_embeddings": POSITIONS, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1,
         "pad_token_id": 1}
FAMILIES = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
            "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM)}
# What Llama-3's and Qwen3's tokenizers split at; they differ in how many digits stand together.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<bos>", "<eos>"]

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def draw(tokens, seed):
    """(prompt, key, depth) of the published tests."""
    random = np.random.RandomState(seed)
    n = int(3.75 * tokens // 1024 * 1024)
    prefix, key = int(random.randint(0, n)), int(random.randint(1, 50000))
    filler = " ".join([FILLER] * (n // len(FILLER) + 1))
    lines = [TASK, filler[:prefix], f"The pass key is {key}. Remember it. {key} is the pass key.", filler[:n - prefix], QUESTION]
    return "\n".join(lines), key, prefix / n


def training_text():
    return [" ".join([TASK, FILLER, QUESTION, "Remember it."]), *(f" {number} is {number}." for number in range(100, 900, 7))]


def train(tokenizer, **more):
    tokenizer.train_from_iterator(training_text(), trainers.BpeTrainer(vocab_size=360, min_frequency=1, special_tokens=SPECIAL,
                                                                      show_progress=False, **more))
    return tokenizer


def bos_in_front(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    return tokenizer


def llama2_tokenizer():
    """SentencePiece's way: a space is a letter, one stands in front of every text, digits stay alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)])
    train(tokenizer, initial_alphabet=list("0123456789\n\u2581"))
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return bos_in_front(tokenizer)


def byte_level_tokenizer(digits):
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT.replace("{1,DIGITS}", "{1,3}" if digits == 3 else "")), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, initial_alphabet=[chr(c) for c in range(33, 127)] + ["\u0120", "\u010a"])


TOKENIZERS = {"llama2": llama2_tokenizer, "llama3": lambda: bos_in_front(byte_level_tokenizer(3)),
              "qwen3": lambda: byte_level_tokenizer(1)}


def key_ids(tokenizer, key):
    """Behind the question, and alone."""
    before = tokenizer.encode(QUESTION, add_special_tokens=False).ids
    joined = tokenizer.encode(f"{QUESTION} {key}", add_special_tokens=False).ids
    assert joined[:len(before)] == before
    return joined[len(before):], tokenizer.encode(str(key), add_special_tokens=False).ids


def save(folder, net, tokenizer):
    shutil.rmtree(folder, ignore_errors=True)
    net.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return net, tokenizer


def random_model(folder, family="llama", tokenizer="llama3"):
    config, model = FAMILIES[family]
    tokenizer = TOKENIZERS[tokenizer]()
    torch.manual_seed(3)
    return save(folder, model(config(vocab_size=tokenizer.get_vocab_size(), **SIZES)).eval(), tokenizer)


def follower_model(folder, tokenizer, ids):
    """Behind each of the ids comes the next one: neither attention nor MLP adds anything."""
    size = (tokenizer.get_vocab_size() + 23) // 24 * 24  # the embedding of an id is a vector of its own
    net = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZES, "vocab_size": size, "hidden_size": size}))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "o_proj" in name or "down_proj" in name or name == "lm_head.weight":
                parameter.zero_()
        net.model.embed_tokens.weight.copy_(torch.eye(size))
        for one, next_one in zip(ids, ids[1:]):
            net.lm_head.weight[next_one, one] = 5
    return save(folder, net, tokenizer)


class PasskeyTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "model"
        self.output = self.folder / "passkey.json"

    def command(self, *arguments, output=None):
        interval = [] if "--interval" in arguments else ["--interval", 300]
        return ["eval", "passkey", "--base_model", self.model, "--device", "cpu", *interval, "--output", output or self.output,
                *arguments]

    def passkey(self, *arguments, output=None, **keywords):
        done = self.run_hici(*self.command(*arguments, output=output), **keywords)
        return done, json.loads((output or self.output).read_text(), parse_constant=self.fail) if done.returncode == 0 else None

    def expected_answer(self, net, tokenizer, tokens, seed):
        prompt, key, _ = draw(tokens, seed)
        ids = tokenizer.encode(prompt).ids
        behind, alone = key_ids(tokenizer, key)
        count = max(len(behind), len(alone))
        with torch.no_grad():
            given = torch.tensor([ids])
            out = net.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=count)[0, len(ids):].tolist()
        out = out[:out.index(1)] if 1 in out else out
        return tokenizer.decode(out), out[:len(behind)] == behind or out[:len(alone)] == alone

    def test_prompts_are_those_of_numpy_and_answers_those_of_transformers_at_both_stages_of_rope(self):
        for family, name in (("llama", "llama2"), ("llama", "llama3"), ("qwen3", "qwen3")):
            random_model(self.model, family, name)
            self.output.unlink(missing_ok=True)
            done, result = self.passkey("--context_size", 500, "--max_tokens", 900, "--num_tests", 3, "--batch_size", 2)
            self.assertEqual([length["target"] for length in result["lengths"]], [300, 600, 900])
            # Up to the context of the training its factor, which Qwen3 does not round; beyond it that of the longest.
            training = 500 / POSITIONS if family == "qwen3" else 2
            self.assertEqual([length["rope_factor"] for length in result["lengths"]], [training, 4, 4])
            for length in result["lengths"]:
                config, model = FAMILIES[family]
                net = model.from_pretrained(self.model, config=config.from_pretrained(self.model, rope_parameters={
                    "rope_type": "linear", "rope_theta": 10000.0, "factor": length["rope_factor"]})).eval()
                tokenizer = Tokenizer.from_file(str(self.model / "tokenizer.json"))
                for seed, test in enumerate(length["tests"]):
                    with self.subTest(tokenizer=name, target=length["target"], seed=seed):
                        prompt, key, depth = draw(length["target"], seed)
                        answer, is_right = self.expected_answer(net, tokenizer, length["target"], seed)
                        self.assertEqual(test, {"seed": seed, "depth": depth, "key": key, "answer": answer, "correct": is_right,
                                                "prompt_tokens": len(tokenizer.encode(prompt).ids)})
                self.assertAlmostEqual(length["tokens"], sum(t["prompt_tokens"] for t in length["tests"]) / 3)

    def test_a_model_that_says_the_key_is_right_with_every_kind_of_tokenizer(self):
        for name, make in TOKENIZERS.items():
            tokenizer = make()
            for form in (0, 1) if name != "llama2" else (0,):  # behind the question with a space, and without: one for Llama-2
                for seed in range(1, 40):
                    prompt, key, _ = draw(300, seed)
                    chain = [tokenizer.encode(prompt).ids[-1], *key_ids(tokenizer, key)[form]]
                    if len(set(chain)) == len(chain):
                        break
                follower_model(self.model, tokenizer, chain)
                self.output.unlink(missing_ok=True)
                done, result = self.passkey("--context_size", 300, "--max_tokens", 300, "--num_tests", seed + 1)
                tests = result["lengths"][0]["tests"]
                with self.subTest(tokenizer=name, form=form, key=key):
                    self.assertEqual([test["seed"] for test in tests if test["correct"]], [seed])
                    self.assertIn(str(key), tests[seed]["answer"])
                    self.assertAlmostEqual(result["lengths"][0]["accuracy"], 1 / (seed + 1))

    def test_the_table_and_the_map_show_the_accuracies_by_length_and_depth(self):
        tokenizer = TOKENIZERS["llama3"]()
        chain = next(c for c in ([tokenizer.encode(draw(300, s)[0]).ids[-1], *key_ids(tokenizer, draw(300, s)[1])[0]]
                                 for s in range(20)) if len(set(c)) == len(c))
        follower_model(self.model, tokenizer, chain)
        done, result = self.passkey("--context_size", 300, "--max_tokens", 600, "--num_tests", 20, "--label", "my & <model>")
        self.assertEqual({key: result[key] for key in ("command", "label", "attention", "context_size", "max_tokens", "interval",
                                                      "num_tests")},
                         {"command": "eval passkey", "label": "my & <model>", "attention": "full", "context_size": 300,
                          "max_tokens": 600, "interval": 300, "num_tests": 20})
        rows = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual(rows[0], ["length", "tokens", *(f"{i}-{i + 10}%" for i in range(0, 100, 10)), "accuracy"])
        shown = set()
        for length, row in zip(result["lengths"], rows[2:], strict=True):
            bins = [[] for _ in range(10)]
            for test in length["tests"]:
                bins[int(test["depth"] * 10)].append(test["correct"])
            means = [sum(b) / len(b) if b else None for b in bins]
            self.assertEqual(row, [str(length["target"]), f"{length['tokens']:.0f}",
                                   *("-" if m is None else f"{m:.2f}" for m in means), f"{length['accuracy']:.2f}"])
            shown |= {f"{length['target']}, {i * 10}-{i * 10 + 10}%: {math.floor(m * 100 + 0.5)} %"
                      for i, m in enumerate(means) if m is not None}
        tree = ElementTree.fromstring(self.output.with_suffix(".svg").read_text())
        svg = "{http://www.w3.org/2000/svg}"
        self.assertEqual({title.text for title in tree.iter(f"{svg}title")}, shown)
        texts = [text.text for text in tree.iter(f"{svg}text")]
        for text in ("Passkey retrieval: my & <model>", "context length (tokens)", "depth of the key", "300", "600", "90-100%"):
            self.assertIn(text, texts)

    def test_the_files_have_the_places_that_were_given_and_none_is_needed(self):
        random_model(self.model)
        figure = self.folder / "map.svg"
        options = ["--context_size", 300, "--max_tokens", 300, "--num_tests", 2]
        done, _ = self.passkey(*options, "--figure", figure)
        self.assertTrue(figure.exists())
        self.assertFalse(self.output.with_suffix(".svg").exists())
        before = sorted(self.folder.iterdir())
        alone = self.run_hici("eval", "passkey", "--base_model", self.model, "--device", "cpu", "--interval", 300, *options)
        self.assertEqual(alone.stdout, done.stdout)
        self.assertEqual(sorted(self.folder.iterdir()), before)

    def test_a_killed_run_goes_on_where_it_was(self):
        random_model(self.model)
        options = ["--context_size", 300, "--max_tokens", 600, "--num_tests", 40, "--batch_size", 4]
        whole = self.folder / "whole.json"
        done, result = self.passkey(*options, output=whole)
        journal = self.folder / "passkey.json.part-0-of-1"
        process = subprocess.Popen([HICI, *map(str, self.command(*options))], env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.assertTrue(wait_until(process, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 10))
        stop_now(process, signal.SIGKILL)
        kept = journal.read_bytes().count(b"\n") - 1
        self.assertLess(kept, 80)
        self.assert_one_error_line(self.passkey(*options, code=1)[0], "eval passkey", "give --resume to go on")
        other = self.passkey("--context_size", 300, "--max_tokens", 600, "--num_tests", 41, "--resume", code=1)[0]
        self.assert_one_error_line(other, "eval passkey", "passkey.json.part-0-of-1: ")
        again, resumed = self.passkey(*options, "--resume")
        self.assertEqual(resumed, result)
        self.assertEqual(again.stdout, done.stdout)
        self.assertFalse(journal.exists())
        finished, _ = self.passkey(*options, "--resume")
        self.assertEqual(finished.stdout, done.stdout)
        self.assertIn("is there already", last_line(finished.stderr))

    def test_a_stop_signal_keeps_what_is_done(self):
        random_model(self.model)
        options = ["--context_size", 300, "--max_tokens", 600, "--num_tests", 40, "--batch_size", 4]
        journal = self.folder / "passkey.json.part-0-of-1"
        process = subprocess.Popen([HICI, *map(str, self.command(*options))], env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.assertTrue(wait_until(process, journal.exists))
        code, stderr = stop_now(process, signal.SIGTERM)
        self.assertEqual(code, 128 + signal.SIGTERM, stderr)
        self.assertTrue(journal.exists())
        self.assertFalse(self.output.exists())

    def test_processes_share_the_tests_and_give_the_result_of_one(self):
        random_model(self.model)
        options = ["--context_size", 300, "--max_tokens", 600, "--num_tests", 5]
        _, result = self.passkey(*options, output=self.folder / "one.json")
        processes = [subprocess.Popen([HICI, *map(str, self.command(*options))], text=True, stdin=subprocess.DEVNULL,
                                      env={**ENVIRONMENT, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE) for rank in range(2)]
        for process in processes:
            _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertEqual(process.returncode, 0, stderr)
        self.assertEqual(json.loads(self.output.read_text()), result)
        self.assertEqual(sorted(path.name for path in self.folder.glob("passkey*")), ["passkey.json", "passkey.svg"])

    def test_bad_input_is_one_line_each(self):
        random_model(self.model)
        words = self.folder / "words"
        words.mkdir()
        tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "The": 1}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(words / "tokenizer.json"))
        cases = [(2, ["--max_tokens", 600], f"--max_tokens: 600 is beyond the {POSITIONS} tokens that the model supports without "
                                            "scaling, and would need a RoPE factor of 3; give the --context_size"),
                 (2, ["--interval", 200], "--interval: 200 tokens leave no room for filler"),
                 (2, ["--max_tokens", 299], "--max_tokens: 299 is below --interval 300"),
                 (2, ["--num_tests", 0], "--num_tests: 0 is out of range"),
                 (2, ["--batch_size", -1], "--batch_size: -1 is out of range"),
                 (2, ["--attention", "hici", "--max_tokens", 300], "--attention: hici, and neither base nor adapter has HiCI modules"),
                 (2, ["--attention", "s2"], "--attention: s2 has no form over a cache"),
                 (2, ["--figure", self.folder / "map.png"], "map.png' does not end in .svg"),
                 (1, ["--tokenizer", words, "--context_size", 300, "--max_tokens", 300],
                  "tokenizer.json: cannot write the number")]
        for code, arguments, message in cases:
            with self.subTest(message=message):
                done = self.run_hici(*self.command(*arguments), code=code)
                self.assert_one_error_line(done, "eval passkey", message)
                self.assertEqual(done.stdout, "")
        no_output = subprocess.run([HICI, "eval", "passkey", "--base_model", str(self.model)], text=True, capture_output=True,
                                   env={**ENVIRONMENT, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"})
        self.assert_one_error_line(no_output, "eval passkey", "--output: missing; 2 processes share the tests")


if __name__ == "__main__":
    unittest.main()
