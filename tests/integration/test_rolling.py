# SPDX-License-Identifier: Apache-2.0
"""`hici eval ppl --rolling` against values of the real lm-eval 0.4.13 (tests/eval/make_rolling_expected.py), on a model of both
families; and what it makes of other data, attentions, processes and options."""
import array
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import rolling_models
from rolling_models import FAMILIES, WINDOWS, documents, write_documents
from support import ENVIRONMENT, GOLDEN, HICI, TIMEOUT_SECONDS, FolderTest, golden_hici_options

EXPECTED = json.loads((pathlib.Path(__file__).resolve().parent.parent / "eval" / "data" / "rolling_expected.json").read_text())
LM_EVAL = 2e-7  # transformers makes the tables of its rotary embedding in float32, also for a model in float64
SCORES = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "log_likelihood", "loss", "accuracy")


class RollingTest(FolderTest):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="hici-integration-")
        cls.addClassCleanup(scratch.cleanup)
        cls.models = {family: pathlib.Path(scratch.name) / family for family in FAMILIES}
        for family, folder in cls.models.items():
            rolling_models.make_model(folder, family)

    def command(self, data, window, *more, family="llama", output=None):
        return ["eval", "ppl", "--rolling", "--base_model", self.models[family], "--data_path", data, "--seq_len", window,
                "--dtype", "float64", "--device", "cpu", *(["--output", output] if output else []), *more]

    def result(self, data, window, *more, **keywords):
        output = self.folder / "result.json"
        self.run_hici(*self.command(data, window, *more, output=output, **keywords))
        return json.loads(output.read_text())

    def refuse(self, *arguments, code=2, needles=()):
        self.assert_one_error_line(self.run_hici(*arguments, code=code), "eval ppl", *needles)

    def assert_close(self, found, wanted, relative=1e-9):
        self.assertLess(abs(found - wanted), relative * max(1, abs(wanted)), f"{found} is not {wanted}")


class AgainstLmEvalTest(RollingTest):
    def test_the_sums_over_documents_are_those_of_lm_eval(self):
        data = write_documents(self.folder / "documents.jsonl", documents())
        for family in FAMILIES:
            for window in WINDOWS:
                with self.subTest(family=family, window=window):
                    wanted = EXPECTED[family][str(window)]
                    found = self.result(data, window, "--batch_size", 3, family=family)
                    self.assert_close(found["log_likelihood"], sum(wanted["log_likelihoods"]), LM_EVAL)
                    for key in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
                        self.assert_close(found[key], wanted[key], LM_EVAL)
                    for found_key, key in (("words", "words"), ("bytes", "bytes"), ("predicted_tokens", "tokens"),
                                           ("prefix_token_id", "prefix_token_id")):
                        self.assertEqual(found[found_key], wanted[key])
                    self.assert_close(found["perplexity"], math.exp(-sum(wanted["log_likelihoods"]) / wanted["tokens"]), LM_EVAL)

    def test_so_is_the_log_likelihood_of_each_document_as_a_text_file(self):
        for family in FAMILIES:
            for number, text in enumerate(documents()):
                if not text or number % 3:
                    continue
                data = self.folder / "one.txt"
                data.write_text(text, encoding="utf-8")
                wanted = EXPECTED[family]["40"]["log_likelihoods"][number]
                found = self.result(data, 40, family=family)
                self.assert_close(found["log_likelihood"], wanted, LM_EVAL)
                self.assertEqual((found["documents"], found["bytes"]), (1, len(text.encode())))

    def test_float32_is_as_near(self):
        data = write_documents(self.folder / "documents.jsonl", documents())
        found = self.result(data, 64, "--dtype", "float32")
        self.assert_close(found["byte_perplexity"], EXPECTED["llama"]["64"]["byte_perplexity"], 1e-5)


class DataTest(RollingTest):
    def ids(self, name, ids):
        path = self.folder / name
        path.write_bytes(array.array("H", ids).tobytes())
        return path

    def test_a_token_file_is_one_document_without_words_and_bytes(self):
        text = self.folder / "long.txt"
        text.write_text(documents()[7])
        tokens = self.folder / "long.bin"
        self.run_hici("tokenize", "--tokenizer", self.models["llama"], "--text_file", text, "--output", tokens)
        of_text = self.result(text, 40)
        output = self.folder / "tokens.json"
        done = self.run_hici(*self.command(tokens, 40, output=output))
        of_tokens = json.loads(output.read_text())
        self.assertIn("words and bytes are not known", done.stderr)
        self.assertEqual(of_tokens["log_likelihood"], of_text["log_likelihood"])
        self.assertEqual(of_tokens["data_sha256"], of_text["data_sha256"])
        for key in ("words", "bytes", "word_perplexity", "byte_perplexity", "bits_per_byte"):
            self.assertIn(key, of_text)
            self.assertNotIn(key, of_tokens)

    def test_side_by_side_windows_of_the_other_mode_score_the_same(self):
        """What that mode needs for it: the prefix in the file, windows of one token more, and one token behind the end."""
        chance, window = random.Random(3), 40
        ids = [chance.randrange(100) for _ in range(5 * window)]
        rolling = self.result(self.ids("ids.bin", ids), window)
        output = self.folder / "sliding.json"
        self.run_hici("eval", "ppl", "--base_model", self.models["llama"], "--data_path", self.ids("more.bin", [0, *ids, 7]),
                      "--seq_len", window + 1, "--sliding_window", window, "--dtype", "float64", "--device", "cpu", "--output", output)
        sliding = json.loads(output.read_text())
        self.assert_close(rolling["loss"], sliding["loss"])
        self.assertEqual((rolling["windows"], rolling["predicted_tokens"]), (sliding["windows"], sliding["predicted_tokens"]))

    def test_every_token_is_predicted_once_whatever_the_batch(self):
        data = write_documents(self.folder / "documents.jsonl", documents())
        alone = self.result(data, 16)
        self.assertEqual(alone["documents"], len(documents()))
        for batch in (2, 7, 500):
            found = self.result(data, 16, "--batch_size", batch)
            for key in SCORES:
                self.assert_close(found[key], alone[key], 1e-12)
            self.assertEqual(found["windows"], alone["windows"])

    def test_ids_in_columns_are_a_document_in_each_row(self):
        try:
            import pyarrow, pyarrow.parquet
        except ImportError:
            self.skipTest("no pyarrow")
        rows = [[5, 6, 7, 8], [9] * 50, [4]]
        pyarrow.parquet.write_table(pyarrow.table({"input_ids": rows}), self.folder / "ids.parquet")
        found = self.result(self.folder / "ids.parquet", 16)
        alone = [self.result(self.ids(f"{i}.bin", row), 16, "--token_type", "forced_uint16")["log_likelihood"] for i, row in enumerate(rows)]
        self.assertEqual(found["documents"], 3)
        self.assert_close(found["log_likelihood"], sum(alone))

    def test_the_prefix_can_be_given_and_has_to_be_where_no_tokenizer_names_one(self):
        data = self.ids("ids.bin", range(5, 95))
        default = self.result(data, 16)
        self.assertEqual(self.result(data, 16, "--prefix_token_id", 0)["loss"], default["loss"])
        self.assertNotEqual(self.result(data, 16, "--prefix_token_id", 9)["loss"], default["loss"])
        self.refuse(*self.command(data, 16, "--prefix_token_id", 5000), needles=["--prefix_token_id: 5000 is not below the vocabulary"])
        bare = self.folder / "bare"
        bare.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(self.models["llama"] / name, bare)
        command = self.command(data, 16)
        command[command.index("--base_model") + 1] = bare
        self.refuse(*command, needles=["--prefix_token_id: missing", "has no tokenizer.json; give the id"])
        self.run_hici(*command, "--prefix_token_id", 0)

    def test_data_without_text_are_an_error(self):
        self.refuse(*self.command(write_documents(self.folder / "empty.jsonl", ["", ""]), 16), code=1, needles=["holds no text"])


class AttentionTest(RollingTest):
    def hici(self, data, *more):
        model = GOLDEN / "qwen3-gqa"
        output = self.folder / "hici.json"
        self.run_hici("eval", "ppl", "--rolling", "--base_model", model / "base", "--peft_model", model / "adapter", "--data_path", data,
                      "--prefix_token_id", 0, *golden_hici_options("qwen3-gqa"), "--seq_len", 96, "--dtype", "float64", "--device", "cpu",
                      "--output", output, *more)
        return json.loads(output.read_text())

    def test_a_row_is_scored_as_alone_with_every_attention_and_batch(self):
        """Windows of 96 tokens, a short document padded to whole segments, and one of less than a segment."""
        import pyarrow, pyarrow.parquet
        lengths = (200, 7, 96, 50, 97)
        ids = list((GOLDEN / "qwen3-gqa" / "tokens.bin").read_bytes()[:2 * sum(lengths):2])
        rows = [ids[sum(lengths[:i]):sum(lengths[:i + 1])] for i in range(len(lengths))]
        data = self.folder / "ids.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"input_ids": rows}), data)
        seen = set()
        for mode in ("full", "hici", "full_hierarchical", "s2", "dca"):
            with self.subTest(mode=mode):
                alone = self.hici(data, "--eval_mode", mode)
                self.assertEqual(alone["predicted_tokens"], sum(lengths))
                for batch in (2, 9):
                    self.assert_close(self.hici(data, "--eval_mode", mode, "--batch_size", batch)["loss"], alone["loss"], 1e-10)
                seen.add(round(alone["loss"], 9))
        self.assertGreaterEqual(len(seen), 4, "dca within its chunk is full attention, the others differ")

    def test_bidirectional_slots_do_not_see_the_padding_of_longer_rows(self):
        import pyarrow, pyarrow.parquet
        ids = list((GOLDEN / "qwen3-gqa" / "tokens.bin").read_bytes()[:400:2])
        data = self.folder / "ids.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"input_ids": [ids[:96], ids[96:106], ids[106:160]]}), data)
        alone = self.hici(data, "--eval_mode", "hici", "--causal_mode", "none")
        self.assert_close(self.hici(data, "--eval_mode", "hici", "--causal_mode", "none", "--batch_size", 3)["loss"], alone["loss"], 1e-10)


class RunTest(RollingTest):
    def test_processes_divide_the_windows_and_resume(self):
        data = write_documents(self.folder / "documents.jsonl", documents())
        alone = self.result(data, 16, "--batch_size", 2)
        output = self.folder / "shared.json"
        command = [HICI, *map(str, self.command(data, 16, "--batch_size", 2, output=output))]
        for rank, more in ((0, []), (0, ["--resume"]), (1, [])):
            place = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
            done = subprocess.run([*command, *more], env={**ENVIRONMENT, **place}, text=True, capture_output=True, timeout=TIMEOUT_SECONDS)
            self.assertEqual(done.returncode, 0, done.stderr)
        shared = json.loads(output.read_text())
        for key in (*SCORES, "windows", "words", "bytes"):
            self.assertEqual(shared[key], alone[key])

    def test_the_terminal_and_the_report_show_it(self):
        data = write_documents(self.folder / "documents.jsonl", documents())
        done = self.run_hici(*self.command(data, 16))
        wanted = EXPECTED["llama"]["16"]
        self.assertIn(f"byte perplexity {wanted['byte_perplexity']:.4f}  bits per byte {wanted['bits_per_byte']:.4f}", done.stdout)
        self.result(data, 16)
        self.run_hici("report", self.folder / "result.json", "--output", self.folder / "r.html")
        page = (self.folder / "r.html").read_text()
        self.assertIn("rolling windows over 15 documents, each behind token 0", page)
        self.assertNotIn("the files do not say", page)

    def test_options_that_have_no_meaning_are_refused_by_name(self):
        data = write_documents(self.folder / "documents.jsonl", documents())
        for option, value in (("sliding_window", 8), ("limit_tokens", 100), ("stream_segments", "True"), ("segment_parallel", 2)):
            self.refuse(*self.command(data, 16, f"--{option}", value), needles=[f"--{option}: has no meaning with --rolling", "leave it out"])
        command = [part for part in self.command(data, 16, "--prefix_token_id", 1) if part != "--rolling"]
        self.refuse(*command, needles=["--prefix_token_id: has no effect without --rolling"])


if __name__ == "__main__":
    unittest.main()
