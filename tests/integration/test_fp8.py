# SPDX-License-Identifier: Apache-2.0
"""--fp8_base of the commands that evaluate and answer: what it changes is said, and is part of what a result repeats."""
import json
import unittest

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
        after, text = self.evaluate("--fp8_base", "True", tokens=tokens)
        self.assertEqual((before["windows"], after["windows"]), (1, 1))
        self.assertNotIn("fp8_base", before)
        self.assertNotIn("8 bits", plain)
        self.assertIs(after["fp8_base"], True)
        difference = after["loss"] - before["loss"]
        self.assertNotEqual(difference, 0)
        self.assertLess(abs(difference), 0.1)  # three bits of each number
        self.assertAlmostEqual(after["fp8_loss_difference"], difference, delta=1e-12)
        self.assertIn(f"matrices in 8 bits: loss {difference:+.4f} over the first window, against float64", text)

    def test_hici_and_full_attention_over_many_windows(self):
        for mode in ("full", "hici"):
            with self.subTest(mode=mode):
                found, _ = self.evaluate("--fp8_base", "True", "--eval_mode", mode, "--limit_tokens", 1000)
                self.assertGreater(found["windows"], 1)
                self.assertLess(abs(found["fp8_loss_difference"]), 0.1)

    def test_another_setting_does_not_go_on_with_the_results(self):
        shared = self.folder / "shared.json"
        command = ["eval", "ppl", "--base_model", MODEL / "base", "--data_path", MODEL / "tokens.bin", "--seq_len", WINDOW,
                   "--limit_tokens", 1000, "--dtype", "float64", "--device", "cpu", "--output", shared]
        self.run_hici(*command, "--fp8_base", "True")
        loss = json.loads(shared.read_text())["loss"]
        shared.unlink()
        self.run_hici(*command)
        self.assertNotEqual(json.loads(shared.read_text())["loss"], loss)


if __name__ == "__main__":
    unittest.main(verbosity=2)
