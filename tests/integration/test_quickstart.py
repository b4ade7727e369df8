# SPDX-License-Identifier: Apache-2.0
"""`hici quickstart` on a short text and for few steps: the same numbers as its commands one by one, going on after a stop,
and what it refuses."""
import hashlib
import json
import pathlib
import signal
import unittest

import pyarrow

from support import FolderTest, hici, last_line, metrics, start_hici, stop_now, wait_until

BIBLE = pathlib.Path(__file__).parents[2] / "share/hici/quickstart/king-james-bible.txt.zst"
CONTEXTS = (256, 512, 1024, 2048)


def prose(num_bytes):
    with pyarrow.input_stream(str(BIBLE), compression="zstd") as stream:
        return stream.read(num_bytes)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class QuickstartTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.text, self.out = self.folder / "text.txt", self.folder / "out"
        self.text.write_bytes(prose(120_000))

    def options(self, out=None, **changes):
        options = {"text_file": self.text, "output_dir": out or self.out, "steps": 4, "device": "cpu", **changes}
        return ["quickstart"] + [f"--{name}={value}" for name, value in options.items()]

    def train_by_hand(self, output, steps, **options):
        options = {"data_path": self.out / "train.bin", "output_dir": output, "max_steps": steps, "save_steps": 100,
                   "save_total_limit": 1, "logging_steps": 10, "seed": 7, "gradient_accumulation_steps": 1,
                   "warmup_steps": 0, "device": "cpu", **options}
        self.run_hici("train", *(f"--{name}={value}" for name, value in options.items()))

    def test_its_numbers_are_those_of_its_commands(self):
        done = self.run_hici(*self.options(seed=7))
        run = self.out / "seed-7"
        results = {path.stem: json.loads(path.read_text()) for path in (run / "eval").glob("*.json")}
        self.assertEqual(sorted(results), sorted(f"{row}-{length}" for row in ("base", "hici-full", "hici-hici")
                                                 for length in CONTEXTS))
        table = done.stdout[done.stdout.rindex("256"):].splitlines()
        for row in ("base", "hici-full", "hici-hici"):
            numbers = [f"{results[f'{row}-{length}']['perplexity']:.2f}" for length in CONTEXTS]
            self.assertTrue(any([word for word in line.split() if word in numbers] == numbers for line in table), table)
        self.assertIn("perplexity", (run / "report.html").read_text().lower())
        self.assertIn(f"--base_model {run}/base/checkpoint-4 --peft_model {run}/hici/checkpoint-1", last_line(done.stderr))

        # The same by hand.
        hand = self.folder / "hand"
        self.assertEqual((self.out / "train.txt").read_bytes() + (self.out / "held-out.txt").read_bytes(),
                         self.text.read_bytes())
        self.assertEqual((self.out / "held-out.txt").stat().st_size, 12_000)
        self.run_hici("train-tokenizer", "--input", self.out / "train.txt", "--vocab_size", 1024, "--output_dir", hand / "tokenizer")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            self.assertEqual((hand / "tokenizer" / name).read_bytes(), (self.out / "tokenizer" / name).read_bytes())
        self.run_hici("init", "--tokenizer", hand / "tokenizer", "--num_key_value_heads", 4, "--seed", 7, "--output_dir", hand / "init")
        self.train_by_hand(hand / "base", 4, model_name_or_path=hand / "init", attention="full", low_rank_training=False,
                           model_max_length=256, per_device_train_batch_size=8, learning_rate=2e-3, lr_scheduler_type="cosine")
        self.train_by_hand(hand / "hici", 1, model_name_or_path=hand / "base/checkpoint-4", attention="hici",
                           model_max_length=1024, num_chunks=4, num_local_slots=8, global_slots=4, num_heads=4,
                           bottleneck_dim=64, shared_compress_dim=32, per_device_train_batch_size=2, learning_rate=5e-4,
                           hici_lr=2e-3)
        for part in ("base", "hici"):
            self.assertEqual(metrics(hand / part), metrics(run / part))
        self.run_hici("eval", "ppl", "--base_model", hand / "base/checkpoint-4", "--peft_model", hand / "hici/checkpoint-1",
                      "--data_path", self.out / "held-out.bin", "--seq_len", 1024, "--sliding_window", 1024, "--batch_size", 4,
                      "--eval_mode", "hici", "--device", "cpu", "--output", hand / "eval.json")
        self.assertEqual(json.loads((hand / "eval.json").read_text())["perplexity"], results["hici-hici-1024"]["perplexity"])

        # Again: only the report is made again. Another seed has the same tokens and another model.
        made = files_of(self.out)
        again = self.run_hici(*self.options(seed=7))
        self.assertEqual(again.stdout[again.stdout.rindex("256"):].splitlines(), table)
        changed = {path.suffix for path, time in files_of(self.out).items() if made.get(path) != time}
        self.assertLessEqual(changed, {".html", ".csv", ".tex"})
        self.check_refusals_of_a_folder_in_use()

    def check_refusals_of_a_folder_in_use(self):
        done = self.run_hici(*self.options(steps=8), code=1)
        self.assert_one_error_line(done, "quickstart", self.out, "was made with --steps 4; give another --output_dir")
        self.text.write_bytes(prose(130_000))
        done = self.run_hici(*self.options(), code=1)
        self.assert_one_error_line(done, "quickstart", "was made with another text (--text_file)")
        self.assertFalse((self.out / "seed-1").exists())

    def test_a_stopped_run_goes_on(self):
        reference = self.folder / "reference"
        self.run_hici(*self.options(reference, steps=8))
        process = start_hici(*self.options(steps=8))
        self.assertTrue(wait_until(process, lambda: (self.out / "seed-1/base/options.ini").exists()))
        code, stderr = stop_now(process, signal.SIGTERM)
        self.assertEqual(code, 143, stderr)
        self.assertEqual(last_line(stderr), "the same command goes on from there")
        process = start_hici(*self.options(steps=8))
        self.assertTrue(wait_until(process, lambda: (self.out / "seed-1/eval").exists()))
        stop_now(process, signal.SIGKILL)
        self.run_hici(*self.options(steps=8))
        for part in ("base", "hici"):
            self.assertEqual(metrics(self.out / "seed-1" / part), metrics(reference / "seed-1" / part))
        for result in (reference / "seed-1/eval").glob("*.json"):
            mine = json.loads((self.out / "seed-1/eval" / result.name).read_text())
            self.assertEqual(mine["perplexity"], json.loads(result.read_text())["perplexity"], result.name)

    def test_the_text_that_comes_with_hici_is_the_one_of_its_note(self):
        note = BIBLE.with_name("SOURCE.md").read_text()
        self.assertIn(hashlib.sha256(prose(1 << 30)).hexdigest(), note)

    def test_what_is_no_text_is_refused_before_anything_is_made(self):
        for content, needle in ((b"", "is empty; give a text of at least 100000 bytes"),
                                (b"In the beginning", "has 16 bytes of text; give at least 100000"),
                                (prose(100_000) + b"\0", "has a NUL at byte 100000 of its text"),
                                (prose(100_000) + b"\xff", "is not UTF-8 at byte 100000")):
            self.text.write_bytes(content)
            self.assert_one_error_line(self.run_hici(*self.options(), code=1), "quickstart", self.text, needle)
        for name in ("text.gz", "text.zst"):
            self.text = self.folder / name
            self.text.write_bytes(prose(100_000))
            self.assert_one_error_line(self.run_hici(*self.options(), code=1), "quickstart", self.text)
        done = self.run_hici(*self.options(text_file=self.folder / "none.txt"), code=1)
        self.assert_one_error_line(done, "quickstart", "none.txt: no such file or folder")
        self.assertFalse(self.out.exists())

    def test_a_text_of_few_tokens_is_refused(self):
        self.text.write_bytes(b"antidisestablishmentarianism " * 4_000)
        done = self.run_hici(*self.options(), code=1)
        self.assert_one_error_line(done, "quickstart", self.text, "and models are evaluated at 2048; give a longer text")

    def test_a_folder_of_something_else_is_refused(self):
        self.out.mkdir()
        (self.out / "thesis.txt").write_text("years of work")
        # The text that comes with hici is found, or this would be another error.
        done = hici("quickstart", "--output_dir", self.out)
        self.assertEqual(done.returncode, 1)
        self.assert_one_error_line(done, "quickstart", self.out, "is not empty and no folder of 'hici quickstart'")
        self.assertEqual([path.name for path in self.out.iterdir()], ["thesis.txt"])

    def test_options_are_checked(self):
        for change, needle in (({"steps": 3}, "--steps: 3 is out of range; use 4 "), ({"output_dir": ""}, "--output_dir: is empty"),
                               ({"device": "gpu"}, "--device: unknown device 'gpu'")):
            self.assert_one_error_line(self.run_hici(*self.options(**change), code=2), "quickstart", needle)
        done = self.run_hici(*self.options(), code=2, wrapper=["env", "RANK=0", "WORLD_SIZE=2", "LOCAL_RANK=0"])
        self.assert_one_error_line(done, "quickstart", "works in one process, and a launcher started 2")


if __name__ == "__main__":
    unittest.main()
