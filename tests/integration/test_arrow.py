# SPDX-License-Identifier: Apache-2.0
"""Folders as datasets.save_to_disk leaves them, written with pyarrow: hici reads the rows that Python reads, and says in
one line what is wrong with a damaged one."""
import array
import json
import os
import unittest

# Before `tokenizers` is imported: its threads and the fork of subprocess do not go together well.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import pyarrow as pa
from support import FolderTest, num_metric_lines
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

TEXTS = (["In the beginning God created the heaven and the earth.", "", "\U0001f469\u200d\U0001f467 e\u0301 \u65e5\u672c\u8a9e\r\n",
          "<s> inside </s>"] + [f"row {i}, with the words of {i * i} others; " * (1 + i % 7) for i in range(96)])


def write_stream(path, table, rows_per_batch=7, **options):
    options = pa.ipc.IpcWriteOptions(**options)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema, options=options) as out:
        out.write_table(table, max_chunksize=rows_per_batch)


def table_of(texts, text_type=pa.string(), column="text"):
    texts = pa.array(texts, pa.string()).cast(text_type)
    features = {"info": {"features": {"id": {"dtype": "int64", "_type": "Value"}, column: {"dtype": "string", "_type": "Value"}}}}
    return pa.table({"id": pa.array(range(len(texts)), pa.int64()), column: texts}).replace_schema_metadata(
        {"huggingface": json.dumps(features)})


def save_split(folder, tables, **options):
    """One shard a table."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{i:05d}-of-{len(tables):05d}.arrow" for i in range(len(tables))]
    for name, table in zip(names, tables):
        write_stream(folder / name, table, **options)
    (folder / "dataset_info.json").write_text(json.dumps({"citation": "", "description": "", "features": {}}))
    write_state(folder, names)
    return folder


def write_state(folder, names, **more):
    (folder / "state.json").write_text(json.dumps({
        "_data_files": [{"filename": name} for name in names], "_fingerprint": "0123456789abcdef", "_format_columns": None,
        "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": folder.name, **more}, indent=2))


def save_dict(folder, splits):
    folder.mkdir()
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    for name, tables in splits.items():
        save_split(folder / name, tables)
    return folder


class ArrowTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.tokenizer = Tokenizer(models.BPE())
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
            vocab_size=400, special_tokens=["<s>", "</s>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        self.tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
        self.tokenizer.save(str(self.folder / "tokenizer.json"))

    def tokenize(self, *more, code=0, data=None):
        return self.run_hici("tokenize", "--tokenizer", self.folder / "tokenizer.json", "--input", data or self.data,
                             "--output", self.folder / "ids.bin", "--overwrite", *more, code=code)

    def assert_ids_are_of(self, texts):
        ids = array.array("H", (self.folder / "ids.bin").read_bytes()).tolist()
        self.assertEqual(ids, [id for text in texts for id in self.tokenizer.encode(text).ids])
        self.assertEqual(json.loads((self.folder / "ids.bin.json").read_text())["documents"], len(texts))

    def assert_refused(self, *needles, more=(), data=None):
        self.assert_one_error_line(self.tokenize(*more, code=1, data=data), "tokenize", *needles)
        self.assertFalse((self.folder / "ids.bin").exists())


class ReadTest(ArrowTest):
    def test_every_form_of_text(self):
        for text_type in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()),
                          pa.dictionary(pa.int8(), pa.large_string())):
            with self.subTest(type=str(text_type)):
                save_split(self.data, [table_of(TEXTS, text_type)])
                self.tokenize()
                self.assert_ids_are_of(TEXTS)

    def test_compressed_bodies(self):
        for compression in ("lz4", "zstd"):
            with self.subTest(compression=compression):
                save_split(self.data, [table_of(TEXTS)], compression=compression)
                self.tokenize()
                self.assert_ids_are_of(TEXTS)

    def test_dictionary_that_grows_between_batches(self):
        self.data.mkdir()
        batches = [pa.record_batch({"text": pa.array(part).dictionary_encode()}) for part in (["a b", "c"], ["d", "a b", "e"])]
        for deltas in (False, True):
            options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
            with pa.OSFile(str(self.data / "x.arrow"), "wb") as file:
                with pa.ipc.new_stream(file, batches[0].schema, options=options) as out:
                    for batch in batches:
                        out.write_batch(batch)
            write_state(self.data, ["x.arrow"])
            self.tokenize()
            self.assert_ids_are_of(["a b", "c", "d", "a b", "e"])

    def test_shards_in_the_order_of_the_state(self):
        save_split(self.data, [table_of(TEXTS[:40]), table_of([]), table_of(TEXTS[40:41]), table_of(TEXTS[41:])])
        self.tokenize()
        self.assert_ids_are_of(TEXTS)
        write_state(self.data, ["data-00003-of-00004.arrow", "data-00000-of-00004.arrow"])
        self.tokenize()
        self.assert_ids_are_of(TEXTS[41:] + TEXTS[:40])

    def test_splits_and_columns(self):
        save_dict(self.data, {"train": [table_of(TEXTS[:50])], "validation": [table_of(TEXTS[50:], column="content")]})
        self.tokenize()
        self.assert_ids_are_of(TEXTS[:50])
        self.tokenize("--split", "validation", "--text_field", "content")
        self.assert_ids_are_of(TEXTS[50:])
        self.tokenize("--text_field", "content", data=self.data / "validation")
        self.assert_ids_are_of(TEXTS[50:])

    def test_rows_that_are_long_documents(self):
        texts = ["short", "".join(TEXTS) * 120, "short again"]
        self.assertGreater(len(texts[1]), 1 << 20)
        save_split(self.data, [table_of(texts)])
        self.tokenize()
        self.assert_ids_are_of(texts)

    def test_training(self):
        save_dict(self.data, {"train": [table_of(TEXTS[:50]), table_of(TEXTS[50:])]})
        base, out = self.folder / "base", self.folder / "out"
        self.run_hici("init", "--family", "llama", "--tokenizer", self.folder, "--hidden_size", 16, "--intermediate_size", 32,
                      "--num_hidden_layers", 1, "--num_attention_heads", 2, "--output_dir", base)
        self.run_hici("train", "--model_name_or_path", base, "--data_path", self.data, "--output_dir", out, "--attention", "full",
                      "--low_rank_training", "False", "--model_max_length", 64, "--max_steps", 2, "--device", "cpu", "--dtype",
                      "float32", "--gradient_accumulation_steps", 1)
        self.assertEqual(num_metric_lines(out), 2)


class DamageTest(ArrowTest):
    def shard(self):
        return self.data / "data-00000-of-00001.arrow"

    def test_missing_split(self):
        save_dict(self.data, {"train": [table_of(TEXTS)], "test": [table_of(TEXTS)]})
        self.assert_refused(self.data, "'validation'", "train", "test", more=("--split", "validation"))

    def test_missing_column(self):
        save_split(self.data, [table_of(TEXTS)])
        self.assert_refused(self.shard(), "'content'", "id (int64)", "text (string)", more=("--text_field", "content"))

    def test_column_of_another_type(self):
        save_split(self.data, [table_of(TEXTS)])
        self.assert_refused(self.shard(), "'id' is int64", "text (string)", more=("--text_field", "id"))

    def test_two_columns_of_one_name(self):
        save_split(self.data, [pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])])
        self.assert_refused(self.shard(), "2 columns 'text'")

    def test_row_without_text(self):
        save_split(self.data, [table_of(TEXTS[:20] + [None] + TEXTS[20:])])
        self.assert_refused(self.shard(), "row 20", "'text' is null")
        values = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None]))
        save_split(self.data, [pa.table({"text": values})])
        self.assert_refused(self.shard(), "row 1", "'text' is null")

    def test_row_that_is_no_utf8(self):
        for text_type in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
            with self.subTest(type=str(text_type)):
                save_split(self.data, [table_of(TEXTS[:16] + ["a text of damaged bytes"], text_type)])
                self.shard().write_bytes(self.shard().read_bytes().replace(b"damaged", b"dam\xffged"))
                self.assert_refused(self.shard(), "row 16", "'text' is not UTF-8 at byte 13")

    def test_file_cut_anywhere(self):
        save_split(self.data, [table_of(["one", "two", "three"])], rows_per_batch=2)
        whole = self.shard().read_bytes()
        # Beside places inside messages: every end of one, where a cut shows only by the missing end mark.
        ends = [at for at in range(0, len(whole), 8) if whole[at:at + 4] == b"\xff\xff\xff\xff"]
        self.assertEqual(len(ends), 4)  # schema, two batches, end mark
        for size in sorted({0, 3, 4, 7, 100, *ends, *(at + 4 for at in ends), len(whole) - 1} - {len(whole)}):
            with self.subTest(size=size):
                self.shard().write_bytes(whole[:size])
                self.assert_refused(self.shard(), "it was cut")

    def test_bytes_behind_the_end(self):
        save_split(self.data, [table_of(TEXTS)])
        self.shard().write_bytes(self.shard().read_bytes() + b"more")
        self.assert_refused(self.shard(), "4 bytes behind")

    def test_file_format(self):
        save_split(self.data, [table_of(TEXTS)])
        with pa.OSFile(str(self.shard()), "wb") as file, pa.ipc.new_file(file, table_of(TEXTS).schema) as out:
            out.write_table(table_of(TEXTS))
        self.assert_refused(self.shard(), "file format", "stream format")

    def test_file_that_is_no_arrow(self):
        save_split(self.data, [table_of(TEXTS)])
        self.shard().write_text('{"text": "JSON lines under a wrong name"}\n' * 100)
        self.assert_refused(self.shard(), "Arrow stream")

    def test_names_that_leave_the_folder(self):
        save_split(self.folder / "other", [table_of(TEXTS)])
        for name in ("../other/data-00000-of-00001.arrow", str(self.folder / "other" / "data-00000-of-00001.arrow"), "..", ""):
            with self.subTest(name=name):
                save_split(self.data, [table_of(TEXTS)])
                write_state(self.data, [name])
                self.assert_refused(self.data / "state.json", "no plain name", name)

    def test_missing_shard(self):
        save_split(self.data, [table_of(TEXTS)])
        self.shard().unlink()
        self.assert_refused(self.data / "state.json", self.shard().name)

    def test_rows_chosen_by_an_index(self):
        save_split(self.data, [table_of(TEXTS)])
        write_state(self.data, [self.shard().name], _indices_data_files=[{"filename": "indices.arrow"}])
        self.assert_refused(self.data / "state.json", "flatten_indices")
        write_state(self.data, [self.shard().name], _indices_data_files=None)
        self.tokenize()
        self.assert_ids_are_of(TEXTS)

    def test_split_without_rows(self):
        save_split(self.data, [table_of([])])
        self.assert_refused(self.data, "no text")


if __name__ == "__main__":
    unittest.main(verbosity=2)
