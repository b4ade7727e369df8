# SPDX-License-Identifier: Apache-2.0
"""What people give where token ids are expected: text, tables, archives, arrays and ids of other widths are recognised and
named with a way out that works; text and Arrow data sets become tokens on the way; real token files pass."""
import array
import gzip
import io
import json
import os
import pathlib
import pickle
import re
import shlex
import subprocess
import sys
import tarfile
import unittest
import zipfile

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from models import ascii_tokenizer
from support import HICI, FolderTest, metrics

DOCS = sorted((pathlib.Path(__file__).parents[2] / "docs").glob("*.md"))
TEXT = "the tide rises twice a day at brest when the moon pulls water north along the coast " * 40
SEQUENCE = 32


class TokenInputTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.base = self.folder / "base"
        self.tokenizer = ascii_tokenizer([TEXT], 200)
        self.base.mkdir()
        self.tokenizer.save(str(self.folder / "tokenizer.json"))
        self.make_base(self.base)

    def make_base(self, folder, **changes):
        options = {"family": "llama", "tokenizer": self.folder, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                   "num_attention_heads": 2, "output_dir": folder, **changes}
        self.run_hici("init", *[text for key, value in options.items() for text in (f"--{key}", value)])
        return folder

    def ppl(self, data, *more, base=None, code=0):
        self.result = self.folder / "result.json"
        return self.run_hici("eval", "ppl", "--base_model", base or self.base, "--data_path", data, "--seq_len", SEQUENCE,
                             "--sliding_window", SEQUENCE, "--eval_mode", "full", "--dtype", "float32", "--device", "cpu",
                             "--output", self.result, *more, code=code)

    def loss(self, data, *more, **keywords):
        self.ppl(data, *more, **keywords)
        return json.loads(self.result.read_text())["loss"]

    def train(self, data, *more, out="out", code=0):
        return self.run_hici("train", "--model_name_or_path", self.base, "--data_path", data, "--output_dir", self.folder / out,
                             "--attention", "full", "--low_rank_training", "False", "--model_max_length", SEQUENCE, "--max_steps", 2,
                             "--device", "cpu", "--dtype", "float32", "--gradient_accumulation_steps", 1, *more, code=code)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def ids(self, text=TEXT):
        return self.tokenizer.encode(text).ids

    def refuse(self, path, *needles, base=None):
        """By every command, with and without a type."""
        for more in ((), ("--token_type", "uint16"), ("--token_type", "uint32")):
            self.assert_one_error_line(self.ppl(path, *more, base=base, code=1), "eval ppl", path, *needles)
        self.assert_one_error_line(self.train(path, code=1), "train", path, *needles)


class RecognisedTest(TokenInputTest):
    def test_text_under_any_name_and_in_any_writing(self):
        for name, text in (("text8", TEXT), ("wiki.test.raw", TEXT), ("notes.md", TEXT), ("tokens.bin", TEXT),
                           ("zh.bin", "\u6f6e\u6c34\u6bcf\u5929\u4e0a\u6da8\u4e24\u6b21\u3002" * 500),
                           ("ru.bin", "\u041f\u0440\u0438\u043b\u0438\u0432 \u0434\u0432\u0430\u0436\u0434\u044b. " * 300), ("table.csv", "id,text\n" + "1,tide\n" * 99),
                           ("latin.bin", ("la mar\u00e9e monte \u00e0 Brest " * 99).encode("latin-1")), ("short.bin", "sixteen letters.")):
            with self.subTest(name=name):
                data = self.write(name, text)
                if len(data.read_bytes()) % 4:
                    data.write_bytes(data.read_bytes() + b" " * (-len(data.read_bytes()) % 4))
                self.refuse(data, "is text by its bytes", f"'hici tokenize --tokenizer MODEL --text_file {data}")
        data = self.write("utf16.bin", ("\ufeff" + TEXT).encode("utf-16-le"))
        self.refuse(data, "is text in UTF-16", "iconv -f UTF-16")

    def test_a_large_vocabulary_gives_no_advice_that_leads_to_a_wrong_result(self):
        wide = self.make_base(self.folder / "wide", vocab_size=70000)
        data = self.write("test.txt2", TEXT + " " * (-len(TEXT) % 4))
        self.refuse(data, "is text by its bytes", base=wide)
        noise = self.write("noise.bin", np.random.RandomState(0).bytes(100000))
        done = self.ppl(noise, base=wide, code=1)
        self.assert_one_error_line(done, "eval ppl", "beyond the vocabulary of 70000")
        self.assertNotIn("uint16", done.stderr)
        ids = self.write("ids.bin", (np.arange(5000, dtype=np.uint16) * 7 % 32000).astype(np.uint16).tobytes())
        self.assert_one_error_line(self.ppl(ids, base=wide, code=1), "eval ppl", "give --token_type uint16")
        self.ppl(ids, "--token_type", "uint16", base=wide)

    def test_tables_archives_arrays_and_weights(self):
        ids = np.array(self.ids(), np.uint16)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("x.txt", TEXT)
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("ids.bin"), io.BytesIO())
        npy, npz = io.BytesIO(), io.BytesIO()
        np.save(npy, ids)
        np.savez(npz, ids=ids)
        stream = io.BytesIO()
        table = pa.table({"text": [TEXT]})
        with pa.ipc.new_stream(stream, table.schema) as out:
            out.write_table(table)
        header = json.dumps({"ids": {"dtype": "U16", "shape": [len(ids)], "data_offsets": [0, 2 * len(ids)]}}).encode()
        tensors = len(header).to_bytes(8, "little") + header + ids.tobytes()
        import zlib, bz2, lzma
        for name, content, what in (("a.zip", packed.getvalue(), "is a zip archive"), ("a.npz", npz.getvalue(), "is a zip archive"),
                                    ("a.bin", tar.getvalue(), "is a tar archive"), ("b.bin", gzip.compress(TEXT.encode()), "is gzip data"),
                                    ("c.bin", bz2.compress(TEXT.encode()), "is bzip2 data"), ("d.bin", lzma.compress(TEXT.encode()), "is xz data"),
                                    ("e.bin", pa.compress(TEXT.encode(), "zstd", asbytes=True), "is zstd data"),
                                    ("f.npy", npy.getvalue(), "is a NumPy array"), ("g.bin", tensors, "is a safetensors file"),
                                    ("h.pkl", pickle.dumps(list(ids)), "is a Python pickle"), ("i.bin", stream.getvalue(), "is an Arrow stream"),
                                    ("j.gguf", b"GGUF" + bytes(100), "is weights in GGUF"), ("k.pdf", b"%PDF-1.7\n" + bytes(range(256)), "is PDF")):
            with self.subTest(name=name):
                self.refuse(self.write(name, content + b"\0" * (-len(content) % 4) if what in ("is a tar archive", "is PDF") else content), what)

    def test_ids_of_64_bits(self):
        wide = self.make_base(self.folder / "wide", vocab_size=70000)
        for base, top in ((self.base, 150), (wide, 70000)):
            ids = np.random.RandomState(1).randint(0, top, 4000)
            data = self.write("ids.bin", ids.astype(np.int64).tobytes())
            self.refuse(data, "looks like ids of 64 bits", base=base)
            line = self.ppl(data, base=base, code=1).stderr
            command = shlex.split(re.search(r"python3 -c '.*?'", line).group(0))
            subprocess.run([sys.executable, *command[1:]], check=True)
            (made,) = [path for path in self.folder.glob("ids.bin.uint*")]
            self.assertEqual(self.loss(made, base=base),
                             self.loss(self.write("right.bin", ids.astype(np.uint16 if top < 65536 else np.uint32).tobytes()), base=base))
            made.unlink()

    def test_ids_of_32_bits(self):
        ids = np.array(self.ids(), np.uint32)
        data = self.write("ids.bin", ids.tobytes())
        for more in ((), ("--token_type", "uint16")):
            self.assert_one_error_line(self.ppl(data, *more, code=1), "eval ppl", "looks like a uint32 file: give --token_type uint32")
        self.ppl(data, "--token_type", "uint32")
        wide = self.make_base(self.folder / "wide", vocab_size=65536)
        large = self.write("large.bin", np.random.RandomState(1).randint(0, 150000, 4000).astype(np.uint32).tobytes())
        self.assert_one_error_line(self.ppl(large, base=wide, code=1), "eval ppl", "looks like a uint32 file")

    def test_a_type_may_be_forced(self):
        wide = self.make_base(self.folder / "wide", vocab_size=65536)
        data = self.write("tokens.bin", TEXT[:1024])
        self.refuse(data, "say --token_type forced_uint16 or forced_uint32", base=wide)
        self.ppl(data, "--token_type", "forced_uint16", base=wide)
        self.assert_one_error_line(self.ppl(data, "--token_type", "forced_int16", base=wide, code=2), "eval ppl", "use uint16 or uint32")

    def test_token_files_of_real_tokenizers_pass(self):
        text = "".join(path.read_text() for path in DOCS)
        for vocabulary in (260, 1000, 9000, 30000):
            tokenizer = ascii_tokenizer([text], vocabulary, "".join(chr(c) for c in range(0xA1, 0x144)))
            ids = tokenizer.encode(text).ids
            for dtype in (np.uint16, np.uint32):
                for shift in (0, 30000):  # as of a vocabulary with other things in front
                    with self.subTest(vocabulary=vocabulary, dtype=dtype, shift=shift):
                        data = self.write("real.bin", (np.array(ids) + shift).astype(dtype).tobytes())
                        done = self.run_hici("inspect", data, "--token_type", np.dtype(dtype).name, code=1)
                        self.assertIn(f"{len(ids)}", done.stdout.replace(",", ""), done.stderr)


class OnTheWayTest(TokenInputTest):
    def test_text_for_eval_is_that_of_train(self):
        for name, content in (("x.txt", TEXT), ("x.jsonl", "".join(json.dumps({"text": part}) + "\n" for part in (TEXT, "a b", TEXT)))):
            data = self.write(name, content)
            self.train(data, out="of " + name)
            made = self.loss(self.folder / ("of " + name) / "data.bin")
            self.assertEqual(self.loss(data), made)
            self.assertEqual(json.loads(self.result.read_text())["data_path"], str(data))
            self.assertEqual(list(self.folder.glob("*hici-tmp*")), [])
        pa.parquet.write_table(pa.table({"words": [TEXT, "a b"]}), self.folder / "x.parquet")
        self.train(self.folder / "x.parquet", "--text_field", "words", out="parquet")
        self.assertEqual(self.loss(self.folder / "x.parquet", "--text_field", "words"), self.loss(self.folder / "parquet" / "data.bin"))
        done = self.ppl(self.write("tiny.txt", "a b"), code=1)
        self.assert_one_error_line(done, "eval ppl", "tiny.txt")

    def save(self, column, name="ids", **more):
        table = pa.table({"input_ids": column, **more})
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with pa.OSFile(str(folder / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table, max_chunksize=2)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
        pa.parquet.write_table(table, self.folder / f"{name}.parquet")
        return folder, self.folder / f"{name}.parquet", folder / "data.arrow"

    def test_ids_of_arrow_in_every_type(self):
        # int8 holds ids up to 127 only.
        rows = [[i % 128 for i in self.ids()[at:at + 40]] for at in range(0, 240, 40)]
        flat = self.write("flat.bin", np.array(sum(rows, []), np.uint16).tobytes())
        self.train(flat, out="flat")
        wanted = self.loss(flat)
        for bits in (8, 16, 32, 64):
            for sign in ("int", "uint"):
                for list_type in (pa.list_, pa.large_list, pa.list_view, lambda t: pa.list_(t, 40)) if bits == 16 else (pa.list_,):
                    type = list_type(getattr(pa, f"{sign}{bits}")())
                    for data in self.save(pa.array(rows, type)):
                        with self.subTest(type=str(type), data=data.name):
                            self.assertEqual(self.loss(data), wanted)
        masks = [[1] * 40] * 6
        for data in self.save(pa.array(rows), attention_mask=pa.array(masks, pa.list_(pa.int8())), labels=pa.array(rows), text=pa.array(["x"] * 6)):
            self.assertEqual(self.loss(data, "--text_field", "input_ids"), wanted)
            said = self.ppl(data, code=1).stderr  # six tokens of text are no window
            self.assertEqual(said.count("the text is tokenized here, --text_field input_ids takes the ids"), 1)
            self.train(data, "--text_field", "input_ids", out="of " + data.name)
            self.assertEqual(metrics(self.folder / ("of " + data.name)), metrics(self.folder / "flat"))
        self.run_hici("tokenize", "--tokenizer", self.base, "--text_file", self.folder / "ids", "--text_field", "input_ids", "--output", self.folder / "t.bin")
        self.assertEqual((self.folder / "t.bin").read_bytes(), flat.read_bytes())

    def test_ids_that_are_none_are_named(self):
        good = self.ids()[:8]
        top = len(self.tokenizer.get_vocab())
        for row, needle in ((good[:3] + [-1], "has -1 at 3"), (good[:2] + [top + 1000], f"has {top + 1000} at 2"), (None, "is null")):
            for data in self.save(pa.array([good, row], pa.list_(pa.int64()))):
                self.assert_one_error_line(self.ppl(data, code=1), "eval ppl", "row 1: column 'input_ids'", needle)
        for data in self.save(pa.array([good, [1, None]], pa.list_(pa.int32()))):
            self.assert_one_error_line(self.train(data, code=1), "train", "holds null at 1")
        for data in self.save(pa.array([[2**63]], pa.list_(pa.uint64()))):
            self.assert_one_error_line(self.train(data, code=1), "train", "row 0: column 'input_ids'")

    def test_what_says_that_not_every_token_is_learned_is_refused(self):
        rows = [self.ids()[:6]] * 2
        for column, value in (("attention_mask", [1, 1, 1, 1, 1, 0]), ("labels", [-100] + rows[0][1:]), ("position_ids", [0, 1, 2, 0, 1, 2]),
                              ("attention_mask", [1, 1, 1]), ("completion_mask", [0, 0, 0, 1, 1, 1])):
            for data in self.save(pa.array(rows), **{column: pa.array([rows[0] if column == "labels" else list(range(6)) if column == "position_ids" else [1] * 6, value])}):
                self.assert_one_error_line(self.train(data, code=1), "train", f"row 1: column '{column}'", "every token is learned here")


class ParquetTest(TokenInputTest):
    def table(self, rows=200):
        return pa.table({"text": pa.array([f"{i} {TEXT[:i % 90]}" for i in range(rows)]), "n": pa.array(range(rows))})

    def ids_of(self, data, *more):
        self.run_hici("tokenize", "--tokenizer", self.base, "--text_file", data, "--output", self.folder / "t.bin", "--overwrite", *more)
        return array.array("H", (self.folder / "t.bin").read_bytes()).tolist()

    def test_every_way_of_writing_it(self):
        table = self.table()
        wanted = [i for text in table["text"].to_pylist() for i in self.tokenizer.encode(text).ids]
        path = self.folder / "x.parquet"
        for options in ({}, {"compression": "none"}, {"compression": "gzip"}, {"compression": "zstd"}, {"compression": "lz4"},
                        {"compression": "brotli"}, {"row_group_size": 7}, {"use_dictionary": False}, {"data_page_version": "2.0"},
                        {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}, {"version": "1.0"}, {"data_page_size": 100},
                        {"store_schema": False}, {"write_page_index": True}):
            with self.subTest(options=options):
                pa.parquet.write_table(table, path, **options)
                self.assertEqual(self.ids_of(path), wanted)
        for type in (pa.binary(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
            pa.parquet.write_table(table.set_column(0, "text", table["text"].cast(type)), path)
            self.assertEqual(self.ids_of(path), wanted)
        named = self.folder / "without_ending"
        path.rename(named)
        self.assertEqual(self.ids_of(named), wanted)

    def test_damage_is_one_line(self):
        path = self.folder / "x.parquet"
        pa.parquet.write_table(self.table(), path, compression="zstd", use_dictionary=False)
        whole = path.read_bytes()
        chance = np.random.RandomState(3)
        for trial in range(60):
            damaged = bytearray(whole)
            if trial % 3 == 0:
                damaged = damaged[:chance.randint(4, len(whole))]
            for _ in range(1 + trial % 4):
                damaged[chance.randint(0, len(damaged))] = chance.randint(0, 256)
            path.write_bytes(damaged)
            done = subprocess.run([HICI, "tokenize", "--tokenizer", self.base, "--text_file", path, "--output", self.folder / "t.bin", "--overwrite"],
                                  capture_output=True, text=True, timeout=60)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            if done.returncode:
                self.assert_one_error_line(done, "tokenize", path)

    def test_what_is_no_parquet(self):
        path = self.write("x.parquet", TEXT)
        done = self.run_hici("tokenize", "--tokenizer", self.base, "--text_file", path, "--output", self.folder / "t.bin", code=1)
        self.assert_one_error_line(done, "tokenize", "x.parquet: cannot be read as Parquet")
        path.unlink()
        done = self.run_hici("tokenize", "--tokenizer", self.base, "--text_file", self.folder, "--output", self.folder / "t.bin", code=1)
        self.assert_one_error_line(done, "tokenize", "has no state.json; expected a folder that datasets.save_to_disk wrote")

    def test_a_folder_of_files_is_a_data_set(self):
        table, folder = self.table(), self.folder / "hub" / "data"
        folder.mkdir(parents=True)
        parts = [table.slice(0, 90), table.slice(90)]
        for number, part in enumerate(parts):
            pa.parquet.write_table(part, folder / f"train-0000{number}-of-00002.parquet")
        pa.parquet.write_table(table.slice(0, 3), folder / "test-00000-of-00001.parquet")
        ids = [[i for text in part["text"].to_pylist() for i in self.tokenizer.encode(text).ids] for part in parts]
        self.assertEqual(self.ids_of(folder.parent), sum(ids, []))
        self.assertEqual(self.ids_of(folder, "--split", "test"), self.ids_of(folder / "test-00000-of-00001.parquet"))
        (folder / "train-00001-of-00002.parquet").unlink()
        done = self.run_hici("tokenize", "--tokenizer", self.base, "--text_file", folder, "--output", self.folder / "t2.bin", code=1)
        self.assert_one_error_line(done, "tokenize", "Parquet file 1 of 2 is not there")


if __name__ == "__main__":
    unittest.main()
