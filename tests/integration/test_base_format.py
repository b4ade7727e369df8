# SPDX-License-Identifier: Apache-2.0
"""--base_format: what it changes is said and is part of what a result repeats; 4 bits are bitsandbytes' 4 bits in every command."""
import json
import pathlib
import shutil
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "ops"))

from bitsandbytes import functional
from make_nf4_expected import quantised
from safetensors.torch import load_file, save_file

from support import GOLDEN, FolderTest

MODEL = GOLDEN / "llama-gqa"
WINDOW = 96


class Fp8Test(FolderTest):
    def evaluate(self, *more, tokens=None):
        result = self.folder / "result.json"
        done = self.run_hici("eval", "ppl", "--base_model", MODEL / "base", "--data_path", tokens or MODEL / "tokens.bin",
                             "--seq_len", WINDOW, "--dtype", "float64", "--device", "cpu", "--output", result, *more)
        found = json.loads(result.read_text())
        result.unlink()
        return found, done.stdout

    def test_the_difference_is_that_of_two_runs_over_the_first_window(self):
        tokens = self.folder / "window.bin"
        tokens.write_bytes((MODEL / "tokens.bin").read_bytes()[:2 * (WINDOW + 1)])
        before, plain = self.evaluate(tokens=tokens)
        after, text = self.evaluate("--base_format", "fp8", tokens=tokens)
        self.assertEqual((before["windows"], after["windows"]), (1, 1))
        self.assertEqual((before["base_format"], after["base_format"]), ("model", "fp8"))
        self.assertNotIn("base_format", plain)
        difference = after["loss"] - before["loss"]
        self.assertNotEqual(difference, 0)
        self.assertLess(abs(difference), 0.1)  # three bits of each number
        self.assertAlmostEqual(after["base_loss_difference"], difference, delta=1e-12)
        self.assertIn(f"base_format fp8: loss {difference:+.4f} over the first window, against float64", text)

    def test_hici_and_full_attention_over_many_windows(self):
        for mode in ("full", "hici"):
            with self.subTest(mode=mode):
                found, _ = self.evaluate("--fp8_base", "True", "--eval_mode", mode, "--limit_tokens", 1000)
                self.assertGreater(found["windows"], 1)
                self.assertLess(abs(found["base_loss_difference"]), 0.1)

    def test_another_setting_does_not_go_on_with_the_results(self):
        shared = self.folder / "shared.json"
        command = ["eval", "ppl", "--base_model", MODEL / "base", "--data_path", MODEL / "tokens.bin", "--seq_len", WINDOW,
                   "--limit_tokens", 1000, "--dtype", "float64", "--device", "cpu", "--output", shared]
        self.run_hici(*command, "--fp8_base", "True")
        loss = json.loads(shared.read_text())["loss"]
        shared.unlink()
        self.run_hici(*command)
        self.assertNotEqual(json.loads(shared.read_text())["loss"], loss)


class Nf4Test(FolderTest):
    """Against a model whose frozen matrices are what bitsandbytes makes of them: the same numbers, to the last digit."""

    def setUp(self):
        super().setUp()
        self.base = MODEL / "base"
        self.unpacked = {}
        for name, double in (("nf4", False), ("nf4_double", True)):
            folder = self.folder / name
            shutil.copytree(self.base, folder)
            for file in folder.glob("*.safetensors"):
                tensors = load_file(file)
                for key, value in tensors.items():
                    if ".layers." in key and value.dim() == 2 and "_proj." in key:
                        tensors[key] = functional.dequantize_4bit(*quantised(value.float(), double)).view(value.shape).to(value.dtype)
                save_file(tensors, file, {"format": "pt"})
            self.unpacked[name] = folder

    def losses(self, base, *more):
        out = self.folder / "out"
        self.run_hici("train", "--model_name_or_path", base, "--data_path", MODEL / "tokens.bin", "--output_dir", out, "--max_steps", 3,
                      "--model_max_length", 96, "--num_chunks", 4, "--num_heads", 2, "--num_local_slots", 3, "--global_slots", 2,
                      "--bottleneck_dim", 8, "--shared_compress_dim", 4, "--lora_r", 4, "--gradient_accumulation_steps", 2,
                      "--dtype", "float32", "--device", "cpu", "--save_steps", 0, "--learning_rate", "1e-3", *more)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        shutil.rmtree(out)
        return [(row["loss"], row["grad_norm"]) for row in rows]

    def test_training(self):
        plain = self.losses(self.base)
        for name, unpacked in self.unpacked.items():
            with self.subTest(name):
                found = self.losses(self.base, "--base_format", name)
                self.assertEqual(len(found), 3)
                self.assertEqual(found, self.losses(unpacked))
                self.assertEqual(found, self.losses(self.base, "--base_format", name, "--activation_policy", "recompute"))
                self.assertNotEqual(found, plain)

    def test_evaluation_and_answers(self):
        for name, unpacked in self.unpacked.items():
            results = []
            for base, more in ((self.base, ["--base_format", name]), (unpacked, [])):
                result = self.folder / "result.json"
                self.run_hici("eval", "ppl", "--base_model", base, "--data_path", MODEL / "tokens.bin", "--seq_len", WINDOW, "--dtype",
                              "float32", "--device", "cpu", "--output", result, *more)
                results.append(json.loads(result.read_text()))
                result.unlink()
            self.assertEqual(results[0]["loss"], results[1]["loss"])
            self.assertEqual((results[0]["base_format"], results[1]["base_format"]), (name, "model"))

    def test_a_report_tells_formats_apart(self):
        files = []
        for name in ("model", "fp8", "nf4", "nf4_double"):
            files.append(self.folder / f"{name}.json")
            self.run_hici("eval", "ppl", "--base_model", self.base, "--data_path", MODEL / "tokens.bin", "--seq_len", WINDOW, "--dtype",
                          "float32", "--device", "cpu", "--label", "m", "--base_format", name, "--output", files[-1])
        for pair in ((files[0], files[2]), (files[1], files[0]), files):
            done = self.run_hici("report", *pair, "--output", self.folder / "page.html")
            self.assertNotIn("a second result", done.stderr)
            for file in pair:
                self.assertIn(f"base_format {file.stem}", (self.folder / "page.html").read_text())

    def test_what_contradicts_is_refused(self):
        for more, needle in ((["--base_format", "nf4", "--fp8_base", "True"], "--base_format: nf4 contradicts --fp8_base True"),
                             (["--base_format", "int4"], "--base_format: unknown format of frozen matrices 'int4'"),
                             (["--base_format", "nf4", "--low_rank_training", "False"], "--base_format: nothing is frozen")):
            done = self.run_hici("train", "--model_name_or_path", self.base, "--data_path", MODEL / "tokens.bin", "--output_dir",
                                 self.folder / "out", "--device", "cpu", *more, code=2)
            self.assertIn(needle, done.stderr)

    def test_the_plan_knows_it(self):
        def weights(name):
            result = self.folder / "plan.json"
            self.run_hici("plan", "--model", "llama2-7b", "--model_max_length", 8192, "--base_format", name, "--output", result)
            row = json.loads(result.read_text())["rows"][0]
            result.unlink()
            return row["groups"]["weights"] if "groups" in row else row["weights"]

        frozen = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
        self.assertEqual(weights("model") - weights("nf4"), 2 * frozen - (frozen // 2 + frozen // 64 * 4))
        self.assertEqual(weights("nf4") - weights("nf4_double"), frozen // 64 * 3 - frozen // 64 // 256 * 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
