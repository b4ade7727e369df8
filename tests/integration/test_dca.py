# SPDX-License-Identifier: Apache-2.0
"""hici eval ppl --eval_mode dca: the perplexity of the reference's Dual Chunk Attention, and what it refuses. And what hici
is without HiCI modules."""
import json
import math
import unittest

from support import GOLDEN, FolderTest

LENGTH, STRIDE = 96, 64


class DcaTest(FolderTest):
    def eval_ppl(self, model, *more, eval_mode="dca", **keywords):
        folder = GOLDEN / model
        tokens = json.loads((folder / "expected.json").read_text())["eval_tokens"]
        return self.run_hici("eval", "ppl", "--base_model", folder / "base", "--data_path", folder / "tokens.bin",
                             "--seq_len", LENGTH, "--sliding_window", STRIDE, "--limit_tokens", tokens, "--dtype",
                             "float32", "--device", "cpu", "--eval_mode", eval_mode, *more, **keywords)

    def test_perplexity_is_that_of_the_reference(self):
        for model in ("llama-gqa", "qwen3-gqa"):
            for case in json.loads((GOLDEN / model / "dca.json").read_text()):
                sizes = case["sizes"]
                with self.subTest(model=model, **sizes):
                    result = self.folder / "result.json"
                    done = self.eval_ppl(model, "--pretraining_length", sizes["pretraining_length"],
                                         "--dca_local_window", sizes["local_window"], "--dca_mscale", sizes["mscale"],
                                         "--batch_size", 3, "--output", result)
                    self.assertIn("(dca attention, 96 tokens, ", done.stdout)
                    found = json.loads(result.read_text())
                    self.assertLess(abs(found["perplexity"] / case["perplexity"] - 1), 1e-5)  # float32
                    self.assertEqual(found["attention"], "dca")
                    chunk_size = sizes["pretraining_length"] * 3 // 4
                    self.assertEqual(found["dual_chunk"], {
                        "pretraining_length": sizes["pretraining_length"], "local_window": sizes["local_window"],
                        "chunk_size": chunk_size, "chunk_len": chunk_size - sizes["local_window"],
                        "magnitude": 1 + 0.05 * math.log(LENGTH / 64) if sizes["mscale"] else 1.0})

    def test_without_sizes_they_are_those_of_the_models_context(self):
        result = self.folder / "result.json"
        self.eval_ppl("llama-gqa", "--output", result)
        found = json.loads(result.read_text())["dual_chunk"]
        self.assertEqual((found["pretraining_length"], found["local_window"], found["chunk_len"]), (64, 4, 44))

    def test_without_hici_modules_hici_is_attention_inside_segments(self):
        result = self.folder / "result.json"
        done = self.eval_ppl("llama-gqa", "--num_chunks", 4, "--output", result, eval_mode="hici")
        self.assertIn("this is plain attention inside segments", done.stderr)
        self.assertIn("(segments attention, 96 tokens, ", done.stdout)
        found = json.loads(result.read_text())
        self.assertEqual((found["attention"], found["eval_mode"], found["num_segments"]), ("segments", "hici", 4))

    def test_an_adapter_brings_the_context_that_it_was_trained_with(self):
        result = self.folder / "result.json"
        self.eval_ppl("llama-mha", "--peft_model", GOLDEN / "llama-mha" / "adapter", "--context_size", LENGTH, "--output",
                      result)
        found = json.loads(result.read_text())
        self.assertEqual((found["rope_factor"], found["dual_chunk"]["pretraining_length"]), (2.0, 128))

    def test_bad_input_is_one_line_each(self):
        for model, options, message in (
                ("llama-gqa", ["--context_size", 96],
                 "--context_size: 96 would stretch the RoPE of the base, which --eval_mode dca makes needless; leave it out"),
                ("llama-gqa", ["--pretraining_length", 8], "--pretraining_length: 8 is out of range; use 16 to "),
                ("llama-gqa", ["--pretraining_length", -1], "--pretraining_length: -1 is out of range; use 0 "),
                ("llama-gqa", ["--dca_local_window", 48], "--dca_local_window: 48 leaves no chunk of the 48 tokens"),
                ("llama-gqa", ["--dca_local_window", -2], "--dca_local_window: -2 is out of range; use 0 "),
                ("llama-gqa", ["--stream_segments", True], "--stream_segments: has no form with --eval_mode dca"),
                ("llama-gqa", ["--attention_backend", "cudnn"], "--attention_backend: cudnn gives no sums"),
                ("qwen3-gqa", ["--dca_mscale", True], "--dca_mscale: is for Llama, the model is qwen3; leave it out")):
            with self.subTest(options):
                self.assert_one_error_line(self.eval_ppl(model, *options, code=2), "eval ppl", message)
        for option, value in (("--pretraining_length", 64), ("--dca_local_window", 4), ("--dca_mscale", True)):
            done = self.eval_ppl("llama-gqa", option, value, eval_mode="full", code=2)
            self.assert_one_error_line(done, "eval ppl", f"{option}: has no effect without --eval_mode dca")
        done = self.run_hici("train", "--attention", "dca", "--model_name_or_path", GOLDEN / "llama-gqa" / "base",
                             "--data_path", GOLDEN / "llama-gqa" / "tokens.bin", "--output_dir", self.folder / "out", code=2)
        self.assert_one_error_line(done, "train", "--attention: dca is for evaluation and has no backward pass; use hici, ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
