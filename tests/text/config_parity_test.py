# SPDX-License-Identifier: Apache-2.0
"""The ids of `hici tokenize` are those of transformers' AutoTokenizer on the same folder: config_parity_test.py HICI_BINARY

For what tokenizer_config.json, special_tokens_map.json and added_tokens.json say beside a tokenizer.json.
"""
import json
import pathlib
import subprocess
import tempfile
import unittest

import parity_test as base  # takes the binary off the command line

from transformers import AutoTokenizer

TEXTS = ["The quick brown fox jumps. It's 2024\n  def f(x): , isn't it ?", "<s>in</s> brown<|user|>  fox [PAD] <|eot_id|> x",
         "", "  two in front,\n\n<|im_start|>user\nbrown fox<|im_end|>\n"]
PLAIN = {"content": "fox", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": False}

# What the files say beside the names of the special tokens, and whether that changes the ids of this tokenizer.json.
SETTINGS = {
    "nothing": ({}, False),
    "keys that change nothing": ({"model_max_length": 8, "truncation_side": "left", "padding_side": "left", "legacy": False,
                                  "clean_up_tokenization_spaces": True, "spaces_between_special_tokens": False,
                                  "do_lower_case": True, "errors": "ignore", "dropout": 0.5}, False),
    "add_bos_token false": ({"add_bos_token": False}, False),
    "add_eos_token": ({"add_bos_token": True, "add_eos_token": True}, False),
    "tokens of the user": ({"additional_special_tokens": ["<|user|>", "brown"]}, True),
    "tokens of the user, newer name": ({"extra_special_tokens": ["<|user|>", {"__type": "AddedToken", "content": "brown", "lstrip": False, "rstrip": False,
                                                                   "normalized": False, "special": True, "single_word": False}]}, True),
    "tokens by name": ({"extra_special_tokens": {"user_token": "<|user|>"}, "image_token": "brown"}, True),
    "a pad token": ({"pad_token": "[PAD]"}, True),
    "added tokens": ({"9000": {**PLAIN, "content": "brown", "lstrip": True}, "8999": {**PLAIN, "special": True}}, True),
    "single words": ({"9000": {**PLAIN, "single_word": True, "normalized": True}}, True),
}


class ConfigParityTest(unittest.TestCase):
    def compare(self, tokenizer, config, has_message=False, **files):
        with tempfile.TemporaryDirectory(prefix="hici-config-parity-") as folder:
            folder = pathlib.Path(folder)
            tokenizer.save(str(folder / "tokenizer.json"))
            for name, value in {"tokenizer_config": config, "config": {"model_type": "llama"}, **files}.items():
                (folder / f"{name}.json").write_text(json.dumps(value))
            rows = folder / "rows.jsonl"
            rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
            done = subprocess.run([base.HICI, "tokenize", "--tokenizer", folder, "--input", rows, "--output", folder / "ids.bin"],
                                  capture_output=True, text=True, timeout=base.TIMEOUT_SECONDS)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual("takes them" in done.stderr, has_message, done.stderr)
            theirs = AutoTokenizer.from_pretrained(folder)
            expected = [id for text in TEXTS for id in theirs(text)["input_ids"]]
            self.assertEqual(base.ParityTest.read_ids(self, folder / "ids.bin"), expected)
            return done.stderr

    def compare_all(self, tokenizer, tokenizer_class, names):
        # As in every file: transformers builds Qwen's tokenizers from the vocabulary and these alone.
        own = {token.pop("id"): token for token in json.loads(tokenizer.to_str())["added_tokens"]}
        for name, (settings, is_other) in SETTINGS.items():
            with self.subTest(name):
                if "9000" in settings:
                    settings = {"added_tokens_decoder": {**own, **settings}}
                self.compare(tokenizer, {"tokenizer_class": tokenizer_class, **names, **settings}, is_other)

    def test_llama2(self):
        self.compare_all(base.llama2_new(), "LlamaTokenizer", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})

    def test_llama3(self):
        self.compare_all(base.llama3(), "PreTrainedTokenizerFast",
                         {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"})

    def test_qwen3(self):
        self.compare_all(base.qwen3(), "Qwen2Tokenizer", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                                                          "unk_token": None, "bos_token": None})

    def test_older_files(self):
        config = {"tokenizer_class": "PreTrainedTokenizerFast"}
        self.compare(base.llama3(), config, True, special_tokens_map={"bos_token": "<s>", "eos_token": {"content": "</s>"}},
                     added_tokens={"brown": 9001, "</s>": 9000})
        # With added_tokens_decoder transformers reads neither.
        self.compare(base.llama3(), {**config, "added_tokens_decoder": {}}, special_tokens_map={"bos_token": "<s>"},
                     added_tokens={"brown": 9001})

    def test_a_line_says_where_transformers_4_took_another_key(self):
        config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        said = self.compare(base.llama2_new(), {**config, "add_eos_token": True})
        self.assertIn("add_eos_token true is not used, as in transformers 5: tokenizer.json does not add the token", said)
        said = self.compare(base.llama2_new(), {**config, "add_bos_token": True, "add_eos_token": False})
        self.assertNotIn("is not used", said)


    def test_a_line_says_where_transformers_5_puts_other_spaces(self):
        config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        for tokenizer in (base.llama2(), base.llama2_new()):
            for legacy in ({"legacy": True}, {"legacy": False}, {}):
                with self.subTest(normalizer=tokenizer.normalizer, **legacy), tempfile.TemporaryDirectory(prefix="hici-spaces-") as folder:
                    folder = pathlib.Path(folder)
                    tokenizer.save(str(folder / "tokenizer.json"))
                    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
                    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **legacy}))
                    (folder / "text.txt").write_text("x")
                    theirs = AutoTokenizer.from_pretrained(folder)
                    is_other = any(theirs(text, add_special_tokens=False)["input_ids"] != tokenizer.encode(text, add_special_tokens=False).ids
                                   for text in ("<s>fox", "  fox", "a <s> fox"))
                    done = subprocess.run([base.HICI, "tokenize", "--tokenizer", folder, "--input", folder / "text.txt",
                                           "--output", folder / "ids.bin"], capture_output=True, text=True, check=True,
                                          timeout=base.TIMEOUT_SECONDS)
                    self.assertEqual("spaces are put as this file says" in done.stderr, is_other, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
