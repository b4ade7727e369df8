# SPDX-License-Identifier: Apache-2.0
"""Evaluation during training: its losses are those of `hici eval ppl` on the checkpoints, and it changes nothing else."""
import json
import math
import os
import random
import signal
import unittest

from processes import ProcessesTest
from support import GOLDEN, hici, metrics, num_metric_lines, start_hici, stop_now, train_options, wait_until

STEPS, LENGTH, VOCABULARY = 6, 96, 113
ADAPTED = {"init_adapter": GOLDEN / "llama-gqa" / "adapter"}  # adapters that are not zero, on the HiCI modules too
STREAMED = {"stream_segments": True, "causal_mode": "causal_gi"}


def tokens_file(path, blocks, seed=7, rest=1):
    """Blocks and one token more, without which `hici eval ppl` leaves the last block out."""
    chance = random.Random(seed)
    ids = [chance.randrange(VOCABULARY) for _ in range(blocks * LENGTH + rest)]
    path.write_bytes(b"".join(i.to_bytes(2, "little") for i in ids))
    return path


class EvaluationTest(ProcessesTest):
    def setUp(self):
        super().setUp()
        self.data = tokens_file(self.folder / "eval.bin", 5)

    def options(self, out, **changes):
        return train_options(self.folder / out, **{"max_steps": STEPS, "eval_data_path": self.data, "eval_steps": 2,
                                                   "save_steps": 2, **changes})

    def train(self, out="out", **changes):
        return self.run_hici(*self.options(out, **changes))

    def records(self, out="out"):
        return metrics(self.folder / out)

    def evaluations(self, out="out"):
        return {line["step"]: line["eval_loss"] for line in self.records(out) if "eval_loss" in line}

    def steps(self, out="out"):
        return [line for line in self.records(out) if "loss" in line]

    def best(self, out="out"):
        return json.loads((self.folder / out / "best_checkpoint.json").read_text())


class LossTest(EvaluationTest):
    def check_against_eval_ppl(self, mode="hici", model="llama-gqa", **changes):
        self.train("out", model=model, **changes)
        evaluations = self.evaluations()
        self.assertEqual(sorted(evaluations), [2, 4, 6])
        for step in (2, 6):
            loss = evaluations[step]
            result = self.folder / f"ppl-{step}.json"
            checkpoint = self.folder / "out" / f"checkpoint-{step}"
            whole = changes.get("low_rank_training") is False
            files = ["--base_model", checkpoint] if whole else \
                ["--base_model", GOLDEN / model / "base", "--peft_model", checkpoint]
            streamed = ["--stream_segments", "True"] if changes.get("stream_segments") else []
            self.run_hici("eval", "ppl", *files, "--data_path", self.data, "--seq_len", LENGTH, "--sliding_window", LENGTH,
                          "--eval_mode", mode, "--device", "cpu", "--dtype", "float32", "--output", result, *streamed)
            expected = json.loads(result.read_text())
            self.assertAlmostEqual(loss, expected["loss"], delta=1e-6)
        (line,) = [line for line in self.records() if line["step"] == 2 and "eval_loss" in line]
        self.assertAlmostEqual(line["eval_perplexity"], math.exp(line["eval_loss"]), delta=1e-12 * line["eval_perplexity"])
        self.assertEqual(line["eval_tokens"], 5 * (LENGTH - 1))

    def test_hici_attention(self):
        self.check_against_eval_ppl(**ADAPTED)

    def test_full_attention_of_a_whole_model(self):
        self.check_against_eval_ppl("full", "qwen3-gqa", attention="full", low_rank_training=False, num_local_slots=None,
                                    global_slots=None, num_heads=None, bottleneck_dim=None, shared_compress_dim=None,
                                    causal_mode=None, num_chunks=None, per_device_eval_batch_size=3)

    def test_shifted_attention_and_dropout(self):
        self.check_against_eval_ppl("s2", attention="s2", lora_dropout=0.3, num_local_slots=None, global_slots=None,
                                    num_heads=None, bottleneck_dim=None, shared_compress_dim=None, causal_mode=None)

    def test_streamed_segments(self):
        self.check_against_eval_ppl(**STREAMED)

    def test_text_is_tokenized_once_and_a_file_shorter_than_a_block_is_an_error(self):
        short = tokens_file(self.folder / "short.bin", 0, rest=LENGTH - 1)
        done = hici(*self.options("out", eval_data_path=short))
        self.assertEqual(done.returncode, 1)
        self.assert_one_error_line(done, "train", f"{short}: {LENGTH - 1} tokens are less than one block of {LENGTH}")
        self.assertFalse((self.folder / "out" / "metrics.jsonl").exists())


class NothingElseChangesTest(EvaluationTest):
    def check_same(self, **changes):
        self.train("with", eval_on_start=True, **changes)
        self.train("without", eval_data_path=None, eval_steps=None, **changes)
        self.assertEqual(sorted(self.evaluations("with")), [0, 2, 4, 6])
        self.assertEqual(self.steps("with"), self.steps("without"))
        for name in sorted(os.listdir(self.folder / "without" / f"checkpoint-{STEPS}")):
            mine, other = (self.folder / run / f"checkpoint-{STEPS}" / name for run in ("with", "without"))
            self.assertEqual(mine.read_bytes(), other.read_bytes(), name)

    def test_weights_and_losses_with_dropout(self):
        self.check_same(lora_dropout=0.2, **ADAPTED)

    def test_streamed(self):
        self.check_same(**STREAMED)

    def test_last_step_alone_and_the_steps_of_checkpoints(self):
        self.train("last", eval_steps=None, save_steps=0)
        self.assertEqual(sorted(self.evaluations("last")), [STEPS])
        self.train("saved", eval_steps=None, save_steps=4)
        self.assertEqual(sorted(self.evaluations("saved")), [4, STEPS])


class ResumeTest(EvaluationTest):
    def test_a_killed_run_has_the_record_of_an_undisturbed_one(self):
        self.train("whole", eval_on_start=True)
        out = self.folder / "out"
        process = start_hici(*self.options("out", eval_on_start=True))
        self.assertTrue(wait_until(process, lambda: (out / "checkpoint-4").exists()))
        stop_now(process)
        self.train("out", eval_on_start=True, resume_from_checkpoint="latest")
        self.assert_same_training(out, self.folder / "whole", STEPS)
        self.assertEqual(self.best("out"), self.best("whole"))

    def test_an_evaluation_that_was_stopped_is_made_first(self):
        """In the middle of a run, and behind its last step."""
        words = {"eval_data_path": tokens_file(self.folder / "long.bin", 150), "save_steps": 0}
        for steps in (3, 2):
            out, whole = f"out-{steps}", f"whole-{steps}"
            process = start_hici(*self.options(out, max_steps=steps, **words))
            self.assertTrue(wait_until(process, lambda: num_metric_lines(self.folder / out) == 2))
            code, stderr = stop_now(process, signal.SIGTERM)
            self.assertEqual(code, 143, stderr)
            self.assertEqual(self.evaluations(out), {}, "the evaluation ended before it could be stopped; make it longer")
            done = self.train(out, max_steps=steps, resume_from_checkpoint="latest", **words)
            self.assertEqual("all 2 steps are done" in done.stderr, steps == 2, done.stderr)
            self.train(whole, max_steps=steps, **words)
            self.assertEqual(self.records(out), self.records(whole))
            self.assertEqual(self.best(out), self.best(whole))
            done = self.train(out, max_steps=steps, resume_from_checkpoint="latest", **words)
            self.assertIn(": nothing to do: all", done.stderr)

    def test_the_best_checkpoint_outlives_its_limit_and_a_resume(self):
        """Rates at which the losses of other data rise after the first steps."""
        hot = {"learning_rate": 0.5, "hici_lr": 0.5, "save_total_limit": 1, "warmup_steps": 0, "max_steps": 10}
        done = self.train("out", **{**hot, "max_steps": 8})
        evaluations = self.evaluations("out")
        best = min(evaluations, key=evaluations.get)
        self.assertLess(best, 6, evaluations)
        kept = sorted(path.name for path in (self.folder / "out").glob("checkpoint-*"))
        self.assertEqual(kept, [f"checkpoint-{best}", "checkpoint-8"])
        self.assertEqual((self.best()["step"], self.best()["eval_loss"]), (best, evaluations[best]))
        self.assertEqual(self.best()["checkpoint"], f"checkpoint-{best}")
        self.assertIn(f"the best checkpoint is {self.folder / 'out' / f'checkpoint-{best}'}, with loss "
                      f"{evaluations[best]:.4f}\n", done.stderr)
        done = self.train("out", **hot, resume_from_checkpoint="latest", load_best_model_at_end=True)
        self.assertEqual(sorted(path.name for path in (self.folder / "out").glob("checkpoint-*")),
                         ["checkpoint-10", f"checkpoint-{best}"])
        self.assertEqual(self.best()["step"], best)
        self.assertRegex(done.stderr, rf"next: hici eval ppl .*--peft_model \S*/checkpoint-{best} ")
        # Without evaluation it stays too.
        self.train("out", **{**hot, "max_steps": 12}, resume_from_checkpoint="latest", eval_data_path=None, eval_steps=None)
        self.assertEqual(sorted(path.name for path in (self.folder / "out").glob("checkpoint-*")),
                         ["checkpoint-12", f"checkpoint-{best}"])

    def test_losses_of_other_data_are_not_compared(self):
        self.train("out", max_steps=4)
        other = tokens_file(self.folder / "other.bin", 2, seed=8)
        done = self.train("out", eval_data_path=other, resume_from_checkpoint="latest")
        self.assertIn("best_checkpoint.json: is of other evaluation data", done.stderr)
        self.assertEqual(self.best()["step"], 6)


class ProcessesLossTest(EvaluationTest):
    def test_any_number_of_processes_finds_the_same(self):
        self.train("one", eval_on_start=True, dtype="float64", gradient_accumulation_steps=4, **ADAPTED)
        expected = self.evaluations("one")
        for world, changes in ((2, {}), (4, {"shard": "full"}), (2, {"segment_parallel": 2, "gradient_accumulation_steps": 4})):
            with self.subTest(world=world, **changes):
                out = f"{world}-{len(changes)}"
                self.run_all(f"{out}.run", world, self.options(out, **{
                    "eval_on_start": True, "dtype": "float64", "gradient_accumulation_steps": 4 // world, **ADAPTED, **changes}))
                mine = self.evaluations(out)
                self.assertEqual(sorted(mine), sorted(expected))
                for step, loss in expected.items():
                    self.assertAlmostEqual(mine[step], loss, delta=1e-13 * loss if step == 0 else 1e-9)


class WordsTest(EvaluationTest):
    def test_contradictions(self):
        for told, changes in (
                ("--eval_strategy: steps needs data to evaluate; give --eval_data_path", {"eval_strategy": "steps"}),
                ("--eval_strategy: unknown strategy 'epoch'; use steps (with --eval_steps) or no", {"eval_strategy": "epoch"}),
                ("--eval_on_start: needs an evaluation; give --eval_data_path", {"eval_on_start": True}),
                ("--load_best_model_at_end: needs an evaluation; give --eval_data_path", {"load_best_model_at_end": True}),
                ("--load_best_model_at_end: not every checkpoint is evaluated with --eval_steps 4 and --save_steps 6",
                 {"load_best_model_at_end": True, "eval_data_path": self.data, "eval_steps": 4, "save_steps": 6}),
                ("--metric_for_best_model: accuracy is not supported; supported: eval_loss, loss, none",
                 {"metric_for_best_model": "accuracy"}),
                ("--greater_is_better: True is not supported", {"greater_is_better": True})):
            with self.subTest(told=told):
                done = hici(*train_options(self.folder / "out", **changes))
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assert_one_error_line(done, "train", told)
        self.assertFalse((self.folder / "out").exists())

    def test_scripts_without_evaluation_run_on(self):
        done = self.run_hici(*train_options(self.folder / "out", max_steps=1, save_steps=None, evaluation_strategy="no",
                                            eval_steps=1000, per_device_eval_batch_size=2, metric_for_best_model="eval_loss",
                                            greater_is_better=False, load_best_model_at_end=False))
        self.assertIn("--eval_steps has no effect: nothing is evaluated during training\n", done.stderr)
        self.assertEqual(self.evaluations(), {})

    def test_the_files_of_a_run_are_no_data(self):
        self.train("out", max_steps=2)
        file = self.folder / "out" / "metrics.jsonl"
        done = hici(*self.options("out", eval_data_path=file, overwrite_output_dir=True))
        self.assertEqual(done.returncode, 1)
        self.assert_one_error_line(done, "train", f"{file}: is a name that the run in")


if __name__ == "__main__":
    unittest.main()
