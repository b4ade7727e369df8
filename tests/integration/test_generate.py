# SPDX-License-Identifier: Apache-2.0
"""hici generate: the ids of transformers' generate(), and what a user sees of it."""
import json
import shutil
import signal
import struct
import subprocess
import time
import unittest

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from models import ascii_tokenizer
from support import (ENVIRONMENT, GOLDEN, HICI, TIMEOUT_SECONDS, FolderTest, golden_hici_options, last_line,
                     read_safetensors, write_safetensors)

VOCABULARY, NEW_TOKENS = 200, 40
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
         "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
         "initializer_range": 0.3, "rms_norm_eps": 1e-6, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
MODELS = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {}),
          "llama3": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"rope_parameters": LLAMA3_ROPE}),
          "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {"tie_word_embeddings": True})}
TEXT = ("The quick brown fox jumps over the lazy dog, and then it sleeps under a tree. When it wakes up, the sun is low; "
        "far away somebody plays the violin. ") * 8
PROMPTS = ["The quick brown fox", "a", TEXT[:400], "When it wakes up, the sun"]
CHAT = ("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}")

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def make_model(folder, name):
    config, model, more = MODELS[name]
    torch.manual_seed(11)
    net = model(config(**{**SIZES, **more})).eval()
    net.save_pretrained(folder)
    tokenizer = ascii_tokenizer([TEXT], VOCABULARY)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "chat_template": CHAT}))
    return net, tokenizer


def transformers_ids(net, ids, **options):
    ids = torch.tensor([ids])
    with torch.no_grad():
        out = net.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS, **options)
    return out[0, ids.shape[1]:].tolist()


class GenerateTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "model"
        self.net, self.tokenizer = make_model(self.model, "llama")

    def generate(self, *arguments, **keywords):
        return self.run_hici("generate", "--base_model", self.model, "--device", "cpu", *arguments, **keywords)

    def lines(self, *arguments):
        return [json.loads(line) for line in self.generate(*arguments, "--return_ids").stdout.splitlines()]

    def batch_file(self, rows):
        path = self.folder / "prompts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def test_matrices_in_8_bits(self):
        plain, = self.lines("--prompt", PROMPTS[0], "--num_return", 2, "--temperature", 1, "--max_new_tokens", 5)[:1]
        first, second = (self.lines("--prompt", PROMPTS[0], "--num_return", 2, "--temperature", 1, "--max_new_tokens", 5,
                                    "--fp8_base", "True") for _ in range(2))
        self.assertEqual(first, second)
        self.assertEqual(first[0].keys(), plain.keys())

    def test_greedy_ids_are_those_of_transformers(self):
        path = self.batch_file([{"prompt": prompt} for prompt in PROMPTS])
        for name in MODELS:
            shutil.rmtree(self.model)
            net, tokenizer = make_model(self.model, name)
            # Without EOS the answers have the full length; with it both sides end there.
            for options, more in ((["--ignore_eos"], {"eos_token_id": None}), ([], {})):
                expected = [transformers_ids(net, tokenizer.encode(p).ids, **more) for p in PROMPTS]
                for ours in (["--batch_size", 1], ["--batch_size", 4, "--prefill_chunk", 7]):
                    with self.subTest(model=name, options=options, ours=ours):
                        got = self.lines("--batch_file", path, "--max_new_tokens", NEW_TOKENS, *options, *ours)
                        for line, ids, prompt in zip(got, expected, PROMPTS, strict=True):
                            self.assertEqual(line["prompt_tokens"], len(tokenizer.encode(prompt).ids))
                            self.assertEqual(line["ids"] + ([1] if line.get("stop_token_id") == 1 else []), ids)
                            self.assertEqual(line["answer"], tokenizer.decode(line["ids"]))
                if options:
                    self.assertTrue(all(len(ids) == NEW_TOKENS for ids in expected))

    def test_weights_that_are_no_numbers_end_every_answering_command_with_their_name(self):
        name = "model.layers.1.mlp.up_proj.weight"
        tensors = read_safetensors(self.model / "model.safetensors")
        dtype, shape, data = tensors[name]
        self.assertEqual(dtype, "F32")
        tensors[name] = (dtype, shape, struct.pack("<f", float("nan")) + data[4:])
        write_safetensors(self.model / "model.safetensors", tensors)
        words = f"{self.model}/model.safetensors: tensor '{name}' holds nan, so that the choice of the next token "
        output = self.folder / "out.jsonl"
        batch = ["--batch_file", self.batch_file([{"prompt": prompt} for prompt in PROMPTS]), "--batch_size", 2]
        for options in ([PROMPTS[0]], ["--chat", "--prompt", PROMPTS[0]], ["--temperature", 1, "--prompt", PROMPTS[0]],
                        [*batch, "--output", output]):
            done = self.generate(*options, "--max_new_tokens", 4, code=1)
            self.assertEqual(done.stdout, "")
            self.assert_one_error_line(done, "generate", words)
        self.assertFalse(output.exists())

    def test_an_answer_ends_at_every_eos_id_of_the_generation_config(self):
        ids = transformers_ids(self.net, self.tokenizer.encode(PROMPTS[0]).ids, eos_token_id=None)
        config = json.loads((self.model / "generation_config.json").read_text())
        (self.model / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": [1, ids[9]]}))
        got = self.lines("--batch_file", self.batch_file([{"prompt": PROMPTS[0]}]), "--max_new_tokens", NEW_TOKENS)
        self.assertEqual(got[0]["ids"], ids[:ids.index(ids[9])])
        self.assertEqual((got[0]["finish_reason"], got[0]["stop_token_id"]), ("stop", ids[9]))

    def test_the_repetition_penalty_is_that_of_transformers(self):
        expected = transformers_ids(self.net, self.tokenizer.encode(PROMPTS[0]).ids, eos_token_id=None,
                                    repetition_penalty=1.7)
        got = self.lines("--batch_file", self.batch_file([{"prompt": PROMPTS[0]}]), "--max_new_tokens", NEW_TOKENS,
                         "--ignore_eos", "--repetition_penalty", 1.7)
        self.assertEqual(got[0]["ids"], expected)
        self.assertNotEqual(expected, transformers_ids(self.net, self.tokenizer.encode(PROMPTS[0]).ids, eos_token_id=None))

    def write_generation_config(self, **values):
        path = self.model / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    def test_the_generation_config_penalizes_repetition_unless_the_option_is_given(self):
        ids = self.tokenizer.encode(PROMPTS[0]).ids
        expected = transformers_ids(self.net, ids, eos_token_id=None, repetition_penalty=1.7)
        self.write_generation_config(repetition_penalty=1.7)
        command = ("--batch_file", self.batch_file([{"prompt": PROMPTS[0]}]), "--max_new_tokens", NEW_TOKENS, "--ignore_eos")
        self.assertEqual(self.lines(*command)[0]["ids"], expected)
        self.assertEqual(self.lines(*command, "--repetition_penalty", 1)[0]["ids"],
                         transformers_ids(self.net, ids, eos_token_id=None))

    def test_a_generation_config_that_is_not_followed_is_named_or_refused(self):
        self.write_generation_config(do_sample=True, temperature=0.6, top_p=0.9, frobnicate=1)
        self.assertRegex(self.generate(PROMPTS[0], "--max_new_tokens", 2).stderr,
                         "(?s)keys that hici does not know are not used: frobnicate.*"
                         "asks for drawn tokens with temperature 0.6, top_p 0.9; without --temperature each token")
        self.assertIn("asks for temperature 0.6, top_p 0.9; --temperature, --top_k and --top_p alone say how",
                      self.generate(PROMPTS[0], "--max_new_tokens", 2, "--temperature", 0.6).stderr)
        self.write_generation_config(do_sample=False, num_beams=4)
        done = self.generate(PROMPTS[0], "--max_new_tokens", 2, code=1)
        self.assert_one_error_line(done, "generate", "generation_config.json: num_beams 4 is not supported (beams)")
        self.write_generation_config(num_beams=1, no_repeat_ngram_size=0, bad_words_ids=None, suppress_tokens=[])
        self.generate(PROMPTS[0], "--max_new_tokens", 2)

    def test_the_prompt_comes_from_argument_file_or_stdin_and_text_goes_to_stdout(self):
        options = ["--max_new_tokens", 12, "--ignore_eos"]
        (self.folder / "prompt.txt").write_text(PROMPTS[0] + "\n")
        expected = self.tokenizer.decode(
            transformers_ids(self.net, self.tokenizer.encode(PROMPTS[0]).ids, eos_token_id=None)[:12]) + "\n"
        for source in ([PROMPTS[0]], ["--prompt", PROMPTS[0]], ["--prompt_file", self.folder / "prompt.txt"]):
            done = self.generate(*source, *options)
            self.assertEqual(done.stdout, expected)
            self.assertRegex(last_line(done.stderr),
                             r"^prefill: \d+ tokens in [\d.]+ s, [\d.]+ tokens/s; decoding: 11 tokens in [\d.]+ s, ")
        piped = subprocess.run([HICI, "generate", "--base_model", str(self.model), "--device", "cpu", *map(str, options)],
                               input=PROMPTS[0] + "\n", env=ENVIRONMENT, text=True, timeout=TIMEOUT_SECONDS,
                               capture_output=True)
        self.assertEqual((piped.returncode, piped.stdout), (0, expected), piped.stderr)

    def test_stop_strings_end_the_text_wherever_tokens_begin(self):
        options = [PROMPTS[0], "--ignore_eos", "--max_new_tokens", NEW_TOKENS]
        text = self.generate(*options).stdout[:-1]
        for start, length in ((3, 1), (5, 4), (11, 9), (len(text) - 7, 6)):
            stop = text[start:start + length]
            done = self.generate(*options[1:], "--stop", "not in the text", "--stop", stop, options[0])
            self.assertEqual(done.stdout, text[:text.find(stop)] + "\n", stop)

    def test_answers_that_are_drawn_depend_on_the_seed_alone(self):
        path = self.batch_file([{"prompt": prompt} for prompt in PROMPTS])
        options = ["--batch_file", path, "--max_new_tokens", 10, "--temperature", 1.2, "--top_k", 50, "--top_p", 0.95,
                   "--num_return", 3, "--ignore_eos"]
        first = self.lines(*options, "--seed", 5)
        self.assertEqual([(line["prompt"], line["sample"]) for line in first], [(i, s) for i in range(4) for s in range(3)])
        self.assertEqual(len({tuple(line["ids"]) for line in first}), 12)
        self.assertEqual(self.lines(*options, "--seed", 5), first)
        self.assertEqual(self.lines(*options, "--seed", 5, "--batch_size", 5), first)
        self.assertNotEqual(self.lines(*options, "--seed", 6), first)

    def test_chat_goes_through_the_template(self):
        rendered = "<|system|>Be brief.<|user|>Hello<|assistant|>"
        ids = self.tokenizer.encode(rendered, add_special_tokens=False).ids
        expected = transformers_ids(self.net, ids, eos_token_id=None)[:10]
        options = ["--chat", "--system", "Be brief.", "--max_new_tokens", 10, "--ignore_eos"]
        for words in (["Hello", *options], [*options[1:], "--chat", "Hello"], [*options[1:], "--chat", "True", "Hello"]):
            self.assertEqual(self.generate(*words).stdout, self.tokenizer.decode(expected) + "\n", words)
        chats = self.batch_file([{"messages": [{"role": "user", "content": "Hello"}]}, {"prompt": "Hello"}])
        self.assertEqual([line["ids"] for line in self.lines("--batch_file", chats, *options)], [expected, expected])

    def test_tools_of_a_batch_reach_the_template(self):
        """The number of tokens of a prompt is that of transformers' text, in the tokenizer of the model."""
        template = ("{{ bos_token }}{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for m in messages %}"
                    "{{ (prefix or '') + m.content }}{% endfor %}{% if add_generation_prompt %}:{% endif %}")
        for_tools = template.replace("}}:", "}} tools:")
        (self.model / "tokenizer_config.json").write_text(json.dumps({
            "bos_token": "<|bos|>", "eos_token": "<|eos|>", "chat_template": [{"name": "default", "template": template},
                                                                               {"name": "tool_use", "template": for_tools}]}))
        tools = [{"type": "function", "function": {"name": "tide", "arguments": {"b": 1, "a": None}}}]
        chat = [{"role": "user", "content": "Hello"}]
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.model)
        rows, wanted = [], []
        for more, given in (({}, {}), ({"tools": tools}, {"tools": tools}), ({"tools": json.dumps(tools)}, {"tools": tools}),
                            ({"tools": ""}, {}), ({"chat_template_kwargs": {"prefix": "x "}}, {"prefix": "x "})):
            rows += [{"messages": chat, **more}, {"prompt": "Hello", **more}]
            wanted += 2 * [len(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, **given)["input_ids"])]
        self.assertGreater(len(set(wanted)), 2)
        got = self.lines("--batch_file", self.batch_file(rows), "--chat", "--max_new_tokens", 1, "--ignore_eos")
        self.assertEqual([line["prompt_tokens"] for line in got], wanted)
        for row, options, message in (({"prompt": "a", "tools": tools}, [], "line 1: has tools or chat_template_kwargs"),
                                      ({"prompt": "a", "tools": [1]}, ["--chat"], "line 1: tools is [1], expected a list of objects")):
            done = self.generate("--batch_file", self.batch_file([row]), *options, code=1)
            self.assert_one_error_line(done, "generate", message)

    def test_prompt_styles_are_those_of_sft(self):
        forms = {"llama2": "[INST]Hello[/INST]",
                 "alpaca": "Below is an instruction that describes a task. Write a response that appropriately completes the "
                           "request.\n\n### Instruction:\nHello\n\n### Response:",
                 "vicuna": "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
                           "detailed, and polite answers to the user's questions. USER: Hello ASSISTANT:"}
        for style, prompt in forms.items():
            expected = transformers_ids(self.net, self.tokenizer.encode(prompt).ids, eos_token_id=None)[:10]
            done = self.lines("--batch_file", self.batch_file([{"prompt": "Hello"}]), "--prompt_style", style, "--max_new_tokens", 10,
                              "--ignore_eos")
            self.assertEqual(done[0]["ids"], expected, style)

    def test_long_prompts_are_an_error_or_cut(self):
        ids = self.tokenizer.encode(TEXT).ids
        room = 256 - NEW_TOKENS
        self.assertGreater(len(ids), room)
        (self.folder / "long.txt").write_text(TEXT)
        options = ["--prompt_file", self.folder / "long.txt", "--max_new_tokens", NEW_TOKENS, "--ignore_eos"]
        done = self.generate(*options, code=1)
        self.assert_one_error_line(done, "generate", f"long.txt: has {len(ids)} tokens, the context leaves room for {room}")
        cuts = {"middle": ids[:room // 2] + ids[-room // 2:], "left": ids[:1] + ids[-room + 1:]}
        for way, kept in cuts.items():
            self.assertEqual(len(kept), room)
            expected = self.tokenizer.decode(transformers_ids(self.net, kept, eos_token_id=None))
            self.assertEqual(self.generate(*options, "--truncate", way).stdout, expected + "\n", way)

    def test_dual_chunk_attention_goes_beyond_the_context_and_inside_one_chunk_is_full_attention(self):
        answer = ["--max_new_tokens", NEW_TOKENS, "--ignore_eos"]
        dca = [*answer, "--attention", "dca"]
        full = self.generate(PROMPTS[2], *answer).stdout
        self.assertEqual(self.generate(PROMPTS[2], *dca, "--pretraining_length", 1024).stdout, full)
        short = [*dca, "--pretraining_length", 64, "--dca_local_window", 16]
        self.assertNotEqual(self.generate(PROMPTS[2], *short).stdout, full)
        (self.folder / "long.txt").write_text(TEXT)  # more tokens than the context of 256 leaves room for
        long = ["--prompt_file", self.folder / "long.txt"]
        texts = {self.generate(*long, *dca, "--prefill_chunk", chunk).stdout for chunk in (7, 64, 2048)}
        self.assertEqual(len(texts), 1)
        self.assertGreater(len(texts.pop()), 1)
        size = ["--context_size", 270]  # the most tokens, which stretches nothing
        self.assert_one_error_line(self.generate(*long, *dca, *size, code=1), "generate", "the context leaves room for 230")
        self.assertEqual(self.generate(PROMPTS[2], *dca, "--context_size", 4096).stdout, self.generate(PROMPTS[2], *dca).stdout)
        self.assertNotEqual(self.generate(PROMPTS[2], *short, "--context_size", 1 << 20, "--dca_mscale", True).stdout,
                            self.generate(PROMPTS[2], *short).stdout)

    def test_a_question_about_a_file(self):
        """As LongLoRA's inference.py: the text of the file as it stands, a line end, the question."""
        (self.folder / "book.txt").write_text(PROMPTS[1] + "\n")
        asked = ["--material", self.folder / "book.txt", "--question", PROMPTS[0]]
        whole = PROMPTS[1] + "\n\n" + PROMPTS[0]
        self.assertEqual(self.generate(*asked).stdout, self.generate("--prompt", whole).stdout)
        self.assertNotEqual(self.generate(*asked).stdout, self.generate("--prompt", PROMPTS[1]).stdout)
        style = ["--prompt_style", "llama2"]
        length = ["--max_gen_len", 5, "--flash_attn", "True", "--cache_dir", self.folder]
        self.assertEqual(self.generate(*asked, *style, *length).stdout,
                         self.generate("--prompt", whole, *style, "--max_new_tokens", 5).stdout)

    def test_bad_input_is_one_line_each(self):
        bad_file = self.folder / "bad.jsonl"
        bad_file.write_text('{"prompt": "a"}\n\n{"text": "b"}\n')
        shutil.copytree(self.model, self.folder / "no_template")
        (self.folder / "no_template" / "tokenizer_config.json").write_text("{}")
        cases = [(2, ["a", "--temperature", -1], "--temperature: -1 is out of range; use 0 to 100"),
                 (2, ["a", "--top_k", 5], "--top_k, --top_p: have no effect with --temperature 0"),
                 (2, ["a", "--stop_token", "<|eot|>"], "--stop_token: '<|eot|>' is no token of"),
                 (2, ["a", "--stop", ""], "--stop: an empty string would stop everything"),
                 (2, ["a", "--prompt_file", "b"], "--prompt, --prompt_file, --batch_file, --material: give one of them"),
                 (2, ["--prompt_file", "b", "--material", "c"], "--prompt, --prompt_file, --batch_file, --material: give one"),
                 (2, ["a", "--question", "b"], "--question: is asked about the text of --material; give that"),
                 (2, ["a", "--system", "b"], "--system: has no effect without --chat"),
                 (2, ["a", "--prompt_style", "chatml"], "--prompt_style: unknown style 'chatml'; use llama2, llama2_chat, alpaca or"),
                 (2, ["a", "--prompt_style", "alpaca", "--chat"], "--chat, --prompt_style: give one of the two"),
                 (1, ["--prompt", "", "--prompt_style", "alpaca"], "--prompt: is empty; write something"),
                 (2, ["--chat", "a", "b"], "unexpected argument 'b'"),
                 (2, ["a", "--attention", "hici"], "--attention: hici, and neither base nor adapter has HiCI modules"),
                 (2, ["a", "--cache_slots", "False"], "--cache_slots: has no effect with --attention full"),
                 (2, ["a", "--pretraining_length", 64], "--pretraining_length: has no effect without --attention dca"),
                 (2, ["a", "--attention", "dca", "--dca_local_window", 192], "--dca_local_window: 192 leaves no chunk of the 192"),
                 (2, ["a", "--attention", "dca", "--dca_mscale", True], "--dca_mscale: depends on the tokens of prompt and"),
                 (2, ["a", "--attention", "dca", "--cache_slots", "False"], "--cache_slots: has no effect with --attention dca"),
                 (2, ["a", "--truncate", "right"], "--truncate: unknown way 'right'; use error, middle or left"),
                 (2, ["a", "--max_new_tokens", 256], "--max_new_tokens: 256 leaves no room for a prompt in the context of 256"),
                 (2, ["a", "--seed", 5], "--seed: has no effect with --temperature 0"),
                 (2, ["a", "--num_return", 2], "--num_return: 2 greedy answers would be the same"),
                 (2, ["a", "--output", "x"], "--output: has no effect with one answer"),
                 (1, ["--prompt", ""], "--prompt: is empty; write something"),
                 (1, ["--batch_file", bad_file], "bad.jsonl: line 3: has to be an object with either"),
                 (1, ["--batch_file", self.batch_file([{"messages": [{"role": "user", "content": "a"}]}])],
                  "prompts.jsonl: line 1: has messages; give --chat"),
                 (1, ["a", "--chat", "--tokenizer", self.folder / "no_template"], "no_template")]
        for code, arguments, message in cases:
            with self.subTest(message=message):
                done = self.generate(*arguments, code=code)
                self.assert_one_error_line(done, "generate", message)
                self.assertEqual(done.stdout, "")

    def test_a_cache_beyond_the_memory_says_what_it_needs(self):
        path = self.batch_file([{"prompt": "a"}] * 3000)
        done = self.generate("--batch_file", path, "--batch_size", 3000, "--context_size", 1 << 32, "--max_new_tokens",
                             1 << 24, "--output", self.folder / "answers.jsonl", code=1)
        self.assert_one_error_line(done, "generate", "key/value cache: needs ", " GiB (3000 x 16777472 rows of 256 B), cpu has ")
        self.assertFalse((self.folder / "answers.jsonl").exists())

    def test_an_interrupt_ends_the_text_cleanly(self):
        command = [HICI, "generate", "--base_model", self.model, "--device", "cpu", "--ignore_eos", "--context_size", 40000,
                   "--max_new_tokens", 30000]
        process = subprocess.Popen([*map(str, command), "a"], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        first = process.stdout.read(5)  # decoding is under way
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, stderr)
        self.assertTrue((first + rest).endswith("\n"))
        self.assertRegex(last_line(stderr), "^prefill: 2 tokens in .*; decoding: ")

    def start_many(self, *more, **keywords):
        """More answers than end before the test stops it."""
        prompts = self.batch_file([{"prompt": "a"}] * 20_000)
        return subprocess.Popen([HICI, "generate", "--base_model", self.model, "--device", "cpu", "--ignore_eos", "--batch_file", prompts,
                                 "--max_new_tokens", str(NEW_TOKENS), *map(str, more)], env=ENVIRONMENT, text=True, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, **keywords)

    def test_an_interrupted_file_of_answers_keeps_what_is_answered(self):
        output = self.folder / "answers.jsonl"
        process = self.start_many("--output", output, "--batch_size", 3, stdout=subprocess.DEVNULL)
        while not process.stderr.readline().startswith("answers: "):  # the first ones are there
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, stderr)
        self.assertEqual([path.name for path in self.folder.glob("*answers.jsonl*")], ["answers.jsonl.part"])
        kept = [json.loads(line) for line in output.with_name("answers.jsonl.part").read_text().splitlines()]
        self.assertEqual([row["prompt"] for row in kept], list(range(len(kept))))
        self.assertEqual({row["tokens"] for row in kept}, {NEW_TOKENS})
        self.assertRegex(last_line(stderr), f"stopped by signal 15 after {len(kept)} of 20[ ,]?000 answers, which are in "
                                            f"{output}.part; to go on, give the prompts whose numbers are not in it")

    def test_interrupted_answers_on_stdout_are_counted(self):
        process = self.start_many(stdout=subprocess.PIPE)
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, stderr)
        count = (first + rest).count("\n")
        self.assertRegex(last_line(stderr), f"stopped by signal 2 after {count} of 20[ ,]?000 answers, {count} of them on standard output")

    def test_an_interrupt_before_the_first_answer_leaves_no_file(self):
        output = self.folder / "answers.jsonl"
        command = [HICI, "generate", "--base_model", self.model, "--device", "cpu", "--ignore_eos", "--context_size", 40000, "--max_new_tokens",
                   30000, "--batch_file", self.batch_file([{"prompt": "a"}]), "--output", output]
        process = subprocess.Popen([*map(str, command)], env=ENVIRONMENT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, stderr)
        self.assertIn("stopped by signal 2 after 0 of 1 answer; nothing was written", stderr)
        self.assertEqual(list(self.folder.glob("*answers.jsonl*")), [])


class HiciAttentionTest(FolderTest):
    """With an adapter: that the options reach the library, whose logits are compared with the reference elsewhere."""

    def test_slots_change_the_answer_and_need_not_be_kept(self):
        model = GOLDEN / "llama-gqa"
        base = self.folder / "base"
        shutil.copytree(model / "base", base)
        tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(113)}, unk_token="w0"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(base / "tokenizer.json"))
        common = ["generate", "--base_model", base, "--peft_model", model / "adapter", "--device", "cpu", "--ignore_eos",
                  "--context_size", 96, "--max_new_tokens", 24, "--prompt", " ".join(f"w{(i * 7) % 113}" for i in range(50)),
                  *golden_hici_options("llama-gqa")]
        answers = [self.run_hici(*common, *options).stdout for options in
                   ([], ["--attention", "hici"], ["--attention", "hici", "--cache_slots", "False"])]
        self.assertEqual(len(set(answers)), 3)
        chunked = self.run_hici(*common, "--attention", "hici", "--prefill_chunk", 9).stdout
        self.assertEqual(chunked, answers[1])


if __name__ == "__main__":
    unittest.main()
