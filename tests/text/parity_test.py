# SPDX-License-Identifier: Apache-2.0
"""The ids of `hici tokenize` are those of the Python package `tokenizers`: parity_test.py HICI_BINARY

For the forms of tokenizer.json that Llama-2, Llama-3, Qwen3 and `hici train-tokenizer` have, on text that is hard on the
first and text that is longer than hici encodes at once. The tokenizers are trained here, on the King James Bible that
comes with hici; nothing is downloaded.
"""
import array
import functools
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

# Set before `tokenizers` is imported. Its threads and the fork of subprocess do not go together well, and a library that
# asks the network on a machine without one waits long.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import pyarrow
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HICI = sys.argv.pop(1)
BIBLE = pathlib.Path(__file__).parents[2] / "share/hici/quickstart/king-james-bible.txt.zst"
TIMEOUT_SECONDS = 120  # of one process, on a machine that is busy with other things
BATCH_BYTES = 4 << 20  # of src/hici/data/corpus_tokenizer.cpp: longer documents are encoded in several windows
LONG_BYTES = 1 << 20  # longer ones are cut in pieces, windows or not
LLAMA3_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                r"\s+(?!\S)|\s+")
QWEN_WORDS = LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")

HARD = [
    "",
    " ",
    "\n",
    "a",
    "  two in front, one behind ",
    "e\u0301tude, \u00e9tude, a\u0323\u0307 a\u0307\u0323, \u0301 alone, n\u0303\u0303\u0303, \u212b and \ufb01, \u1e9b\u0323",
    "\u1100\u1161\u11a8 is \uac01, and \u0928\u093f \u0ba8\u0bbf \u0e33\u0e49",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
    "\U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd \u2764\ufe0f\u200d\U0001f525 "
    "\U0001fae8\U0001fae8",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3068\u4e2d\u6587\u5b57\u7b26\u3002\ud55c\uad6d\uc5b4 \ubb38\uc7a5. "
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "CRLF\r\nand\r\n\r\nmore\rold\n\r\n \r\n\t\r\n",
    "spaces" + " " * 3 + "of" + " " * 17 + "many" + " " * 500 + "lengths" + "\t" * 9 +
    " \t \t\u00a0\u3000\u2003\u200b\ufeffend" + " " * 65,
    "<s>in</s> the <unk>text< s > <s <s></s>\n<s>",
    "<|begin_of_text|>x<|end_of_text|> <|eot_id|><|begin_of_<|begin_of_text|>|>",
    "<|im_start|>user\n<think>hm</think>\n<|im_end|> <|im_start |><|endoftext|><|bos|><|eos|>",
    "\u2581 the low line \u2581\u2581of SentencePiece \u2581",
    "bytes <0x0A> <0x41> as text, and \x00 \x01 \x7f \x85 \u2028 \u2029 as characters",
    "IT'S I'LL don't we'Ve 'tis '' rock'n'roll \u2019s \u017f'\u017f",
    "1 12 123 1234 12345 1,234,567.890 3.14e-10 \u00bd \u0663\u0664 \u216b",
    "x" * 3000,
    "=" * 300 + "\n" * 300 + "-" * 7 + "--- ---",
    "for (int i = 0; i < n; ++i) {\n\tif (!x[i]) return -1;  // \u2026\n}\n",
    "\ud7ff\ue000\ufffd\U00010000\U0010ffff\ufffe\uffff",
]


@functools.cache
def bible():
    """One verse a line."""
    with pyarrow.input_stream(str(BIBLE), compression="zstd") as stream:
        return stream.read().decode()


def long_text(num_bytes):
    """Prose with something hard every few thousand characters; ends in the middle of a word."""
    prose, parts, size, number = bible(), [], 0, 0
    while size < num_bytes:
        start = number * 4999 % len(prose)
        parts += [prose[start:start + 4999], HARD[number % len(HARD)]]
        size += sum(len(part.encode()) for part in parts[-2:])
        number += 1
    return "".join(parts)


def training_lines():
    lines = bible()[:400_000].splitlines()
    return lines + [text for text in HARD if len(text) < 500] + ["a  b   c    d        e"] * 50


def trained(tokenizer, special, vocab_size=3000, **options):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False, **options)
    tokenizer.train_from_iterator(training_lines(), trainer)
    return tokenizer


def bos_template(tokenizer, bos):
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
                                         special_tokens=[(bos, tokenizer.token_to_id(bos))])


def llama2(joins_words=False):
    """No pre-tokenizer: spaces are U+2581, one is put in front, and characters without a token become bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    if not joins_words:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("\u2581*[^\u2581]+|\u2581+"), "isolated")
    special = ["<unk>", "<s>", "</s>"]
    trained(tokenizer, special, limit_alphabet=70, **({"vocab_size": 600} if joins_words else {}))
    value = json.loads(tokenizer.to_str())
    # As in Llama-2's file the bytes are plain tokens behind the special ones, not found in text by their names.
    old = value["model"]["vocab"]
    vocab = special + [f"<0x{byte:02X}>" for byte in range(256)] + sorted(old.keys() - set(special), key=old.get)
    value["model"]["vocab"] = {token: number for number, token in enumerate(vocab)}
    value["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(value))
    tokenizer.post_processor = bos_template(tokenizer, "<s>")
    return tokenizer


def llama2_new():
    """As transformers 4.40 and later write the same: a space is put in front of the first piece only."""
    tokenizer = llama2()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="first", split=False)
    return tokenizer


def byte_level(words, special, normalizer=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def llama3():
    tokenizer = byte_level(LLAMA3_WORDS, ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                                    bos_template(tokenizer, "<|begin_of_text|>")])
    return tokenizer


def qwen3():
    tokenizer = byte_level(QWEN_WORDS, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], normalizers.NFC())
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("<think>", "</think>")])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return tokenizer


def write(path, texts):
    """In the form and with the compression that the name says."""
    if ".jsonl" in path.suffixes:
        # One line in two with \\u escapes.
        lines = [json.dumps({"id": n, "text": text}, ensure_ascii=n % 2 == 0) + "\n" for n, text in enumerate(texts)]
        texts = ["".join(lines)]
    (data,) = (text.encode() for text in texts)
    if path.suffix == ".gz":
        data = gzip.compress(data, 1)
    if path.suffix == ".zst":
        with pyarrow.output_stream(str(path), compression="zstd") as out:
            out.write(data)
    else:
        path.write_bytes(data)


class ParityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="hici-parity-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        short = HARD + bible()[:60_000].splitlines()
        # Each file with its documents. Short ones alone, and around a long one, whose neighbours they then are.
        cls.inputs = {"documents.jsonl": short + [long_text(LONG_BYTES + 50_000)] + HARD, "short.jsonl.gz": short,
                      "short.jsonl.zst": short, "long.txt": [long_text(BATCH_BYTES + 300_000)],
                      **{f"{number}.txt": [text] for number, text in enumerate(HARD)}}
        for name, texts in cls.inputs.items():
            write(cls.folder / name, texts)

    def start(self, *arguments):
        return subprocess.Popen([HICI, *map(str, arguments)], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)

    def finish(self, process):
        try:
            stderr = process.communicate(timeout=TIMEOUT_SECONDS)[1]
        finally:
            process.kill()
        self.assertEqual(process.returncode, 0, stderr)

    def read_ids(self, path):
        kind = json.loads(path.with_name(path.name + ".json").read_text())["token_type"]
        return array.array({"uint16": "H", "uint32": "I"}[kind], path.read_bytes()).tolist()

    def assert_same(self, tokenizer, name, ids, expected):
        if ids == expected:
            return
        at = next((i for i, (a, b) in enumerate(zip(ids, expected)) if a != b), min(len(ids), len(expected)))
        shown = [[tokenizer.id_to_token(token) for token in some[max(at - 6, 0):at + 12]] for some in (ids, expected)]
        self.fail(f"{name}: id {at} of {len(expected)} differs:\nhici   {shown[0]}\nPython {shown[1]}")

    def compare(self, tokenizer, path, inputs=None):
        """`tokenizer` is what the file or folder `path` holds. hici is started once, and works while Python does."""
        inputs, out = inputs or self.inputs, self.folder / "ids.bin"
        process = self.start("tokenize", "--tokenizer", path, "--input", *(self.folder / name for name in inputs), "--output", out,
                             "--overwrite", True)
        texts = list(dict.fromkeys(text for name in inputs for text in inputs[name]))
        encoded = dict(zip(texts, (encoding.ids for encoding in tokenizer.encode_batch(texts))))
        self.assertEqual(encoded[HARD[5]], tokenizer.encode(HARD[5]).ids)
        self.finish(process)
        ids, at = self.read_ids(out), 0
        for name, documents in inputs.items():
            part = [id for text in documents for id in encoded[text]]
            self.assert_same(tokenizer, name, ids[at:at + len(part)], part)
            at += len(part)
        self.assertEqual(len(ids), at)

    def compare_form(self, tokenizer, inputs=None):
        path = self.folder / "tokenizer.json"
        tokenizer.save(str(path))
        self.compare(tokenizer, path, inputs)

    def test_trained_by_hici(self):
        text, out = self.folder / "bible.txt", self.folder / "trained"
        text.write_text(bible())
        self.finish(self.start("train-tokenizer", "--input", text, "--vocab_size", 4096, "--output_dir", out))
        self.compare(Tokenizer.from_file(str(out / "tokenizer.json")), out)

    def test_llama2(self):
        self.compare_form(llama2())

    def test_llama2_as_written_since_transformers_4_40(self):
        self.compare_form(llama2_new())

    def test_llama2_with_tokens_across_words(self):
        self.compare_form(llama2(joins_words=True), {name: self.inputs[name] for name in self.inputs if name != "long.txt"})

    def test_llama3(self):
        self.compare_form(llama3())

    def test_qwen3(self):
        self.compare_form(qwen3())

    def compare_text(self, tokenizer, text):
        inputs = {"text.txt": [text], "5.txt": [HARD[5]]}
        write(self.folder / "text.txt", inputs["text.txt"])
        self.compare_form(tokenizer, inputs)

    def test_a_run_of_digits_longer_than_a_piece(self):
        """Digits are cut by threes from where their run begins, which a piece in its middle does not see."""
        self.compare_text(llama3(), "x" + "\u0663" * 200_001 + "12345678 " + "hello world " * 20_000)

    def test_many_added_tokens_that_begin_alike(self):
        tokenizer = qwen3()
        tokenizer.add_tokens([f"<|audio_{number}|>" for number in range(2_000)])
        self.compare_text(tokenizer, "".join(f"a <|audio_{number}|> <|audi {number} <p> " for number in range(3_000)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
