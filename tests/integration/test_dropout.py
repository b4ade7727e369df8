# SPDX-License-Identifier: Apache-2.0
"""--lora_dropout: a step is PEFT's with the same masks, whoever shares the run, and however often it is interrupted."""
import json
import shutil
import unittest

import numpy
import torch
from safetensors.torch import load_file

from models import tokens_of
from processes import ProcessesTest
from support import GOLDEN, UndisturbedRuns, metrics, train_options
from test_adapters import ATTENTION, MLP, TrainingCase

STEPS = 4
SEED = 42
STEP = 0x9E3779B97F4A7C15
ADAPTED = {"init_adapter": GOLDEN / "llama-gqa" / "adapter"}  # not zero, on the HiCI modules too


def mixed(z):
    """SplitMix64's finaliser, of an array of unsigned numbers."""
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def key_of(numbers):
    key = numpy.zeros(1, numpy.uint64)
    for number in numbers:
        key = mixed((key ^ mixed(numpy.array([number], numpy.uint64) + numpy.uint64(STEP))) + numpy.uint64(STEP))
    return key


def mask_of(module, step, rows, channels, rate):
    """Of the first sequence of a step: 1 where a channel is kept. docs/numerics.md says the same in words."""
    sequence = key_of([int(key_of([SEED, step])[0]), 0, 0])
    of_row = mixed(mixed(sequence + numpy.arange(rows, dtype=numpy.uint64) * numpy.uint64(STEP)) ^ key_of(module.encode()))
    columns = numpy.arange(1, (channels + 1) // 2 + 1, dtype=numpy.uint64) * numpy.uint64(STEP)
    bits = mixed(of_row[:, None] + columns[None]).view(numpy.int32)[:, :channels]
    return torch.from_numpy(bits.astype(numpy.int64) >= round(rate * 2 ** 32) - 2 ** 31)


class HandedDropout(torch.nn.Module):
    def __init__(self, module, rate):
        super().__init__()
        self.module, self.rate = module, rate

    def forward(self, x):
        return x * mask_of(self.module, 1, x.shape[1], x.shape[2], self.rate) / (1 - self.rate)


class StepTest(TrainingCase):
    def test_a_step_is_that_of_peft_with_the_same_masks(self):
        base, adapter = self.adapter("dropped", target_modules=ATTENTION + MLP, lora_dropout=0.25)
        for rate in (0.25, 0.6):
            with self.subTest(rate=rate):
                checkpoint, done = self.train(base, init_adapter=adapter, dtype="float64", lora_dropout=rate, seed=SEED)
                model = self.peft_model(base, adapter).double()
                dropouts = [(name, module) for name, module in model.named_modules() if name.endswith(".lora_dropout")]
                self.assertEqual(len(dropouts), 14)
                for name, module in dropouts:
                    own = name.removeprefix("base_model.model.").removesuffix(".lora_dropout")
                    module["default"] = HandedDropout(own, rate)
                ids = torch.tensor([tokens_of(self.tokens)[:self.LENGTH]])
                loss = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]).item()
                (line,) = metrics(checkpoint.parent)
                self.assertAlmostEqual(line["loss"], loss, delta=1e-6)
                expected, gradients = self.peft_step(model)
                norm = torch.sqrt(sum(gradient.square().sum() for name, gradient in gradients.items() if "lora_" in name))
                self.assertLess(abs(line["grad_norm"] / norm.item() - 1), 1e-5)
                found = load_file(checkpoint / "adapter_model.safetensors")
                for name, tensor in expected.items():
                    clear = gradients[name].abs() > 1e-5
                    self.assertLess((found[name] - tensor)[clear].abs().max().item(), 1e-5, name)
                said = f"{adapter} was trained with lora_dropout 0.25, and goes on with --lora_dropout {rate}"
                self.assertEqual(said in done.stderr, rate != 0.25, done.stderr)
                written = json.loads((checkpoint / "adapter_config.json").read_text())
                self.assertEqual(written["lora_dropout"], rate)
                # Evaluation drops nothing.
                self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", checkpoint),
                                       self.peft_loss(base, checkpoint), delta=1e-6)

    def test_extracting_keeps_the_number(self):
        base, adapter = self.adapter("dropped", lora_dropout=0.05)
        self.run_hici("extract", "--checkpoint_path", adapter, "--output_dir", self.folder / "copy")
        self.assertEqual(json.loads((self.folder / "copy" / "adapter_config.json").read_text())["lora_dropout"], 0.05)

    def test_without_it_nothing_changes(self):
        base, adapter = self.adapter("plain", lora_dropout=0.0)
        plain, _ = self.train(base, init_adapter=adapter)
        zero, done = self.train(base, init_adapter=adapter, lora_dropout="0.")
        self.assertNotIn("lora_dropout", done.stderr)
        self.assert_same_training(zero.parent, plain.parent, 1)
        self.assertNotIn("lora_dropout", (zero / "training_state.json").read_text())

    def test_refused_where_it_has_no_meaning(self):
        base = self.base()
        for rate in (1, -0.1, "nan"):
            self.train(base, lora_dropout=rate, code=2)
        _, done = self.train(base, lora_dropout=0.1, low_rank_training=False, trainable_params=None, code=2)
        self.assert_one_error_line(done, "train", "--lora_dropout: has no effect with --low_rank_training False")
        self.train(base, lora_dropout=0, low_rank_training=False, trainable_params=None)


def options(out, batches=2, **changes):
    return train_options(out, **{"max_steps": STEPS, "save_steps": 2, "dtype": "float64", "warmup_steps": 0,
                                 "gradient_accumulation_steps": batches, "lora_dropout": 0.2, **ADAPTED, **changes})


reference_run = UndisturbedRuns(options).folder


class RunTest(ProcessesTest):
    def check(self, world, batches, segment_parallel=1, **changes):
        out = self.folder / f"{world}-{segment_parallel}-{len(list(self.folder.iterdir()))}"
        self.run_all(out.name, world, options(out, batches, segment_parallel=segment_parallel, **changes))
        self.assert_near_training(out, reference_run(batches * world // segment_parallel, **changes), STEPS)

    def test_sequences_side_by_side(self):
        for shard in ("optimizer", "none"):
            self.check(2, 2, shard=shard)
        self.check(2, 1, per_device_train_batch_size=2)

    def test_sequences_that_are_shared(self):
        for mode in ("none", "causal_gi", "causal_shift", "causal_gi_gonly"):
            with self.subTest(mode):
                self.check(2, 2, segment_parallel=2, causal_mode=mode)

    def test_one_segment_at_a_time(self):
        self.check(2, 1, stream_segments=True, causal_mode="causal_gi")
        self.check(2, 2, segment_parallel=2, stream_segments=True, causal_mode="causal_shift")

    def assert_losses(self, other, **changes):
        """Those of the same run in another way."""
        for mine, line in zip(metrics(reference_run(2, **changes)), metrics(other), strict=True):
            for name in ("loss", "grad_norm", "hici_grad_norm"):
                self.assertLess(abs(mine[name] / line[name] - 1), 1e-9, name)

    def test_streaming_and_recomputation_change_nothing(self):
        kept = reference_run(2, causal_mode="causal_gi", activation_policy="keep")
        self.assert_losses(kept, causal_mode="causal_gi", stream_segments=True)
        for policy in ("recompute", "recompute_mlp"):
            again = reference_run(2, causal_mode="causal_gi", activation_policy=policy)
            self.assert_same_training(again, kept, STEPS)
        self.assertNotEqual(metrics(kept)[0]["loss"], metrics(reference_run(2, causal_mode="causal_gi", lora_dropout=0))[0]["loss"])

    def test_batches_and_accumulation_are_one(self):
        first, second = reference_run(2), reference_run(1, per_device_train_batch_size=2)
        for mine, other in zip(metrics(first), metrics(second), strict=True):
            self.assertLess(abs(mine["loss"] / other["loss"] - 1), 1e-9)

    def test_a_resumed_run_is_the_same_bit_for_bit(self):
        for changes in ({}, {"stream_segments": True, "causal_mode": "causal_gi"}):
            with self.subTest(changes):
                out = self.folder / f"out-{len(changes)}"
                self.run_hici(*options(out, **changes))
                shutil.rmtree(out / f"checkpoint-{STEPS}")
                self.run_hici(*options(out, **{**changes, "init_adapter": None}, resume_from_checkpoint="latest"))
                self.assert_same_training(out, reference_run(2, **changes), STEPS)

    def test_another_rate_is_another_run(self):
        out = self.folder / "out"
        self.run_hici(*options(out))
        for rate, needle in ((0.1, "--lora_dropout is 0.1, the checkpoint has 0.2"), (0, "--lora_dropout is not set, the checkpoint has 0.2")):
            done = self.run_hici(*options(out, lora_dropout=rate, init_adapter=None, resume_from_checkpoint="latest", max_steps=6), code=1)
            self.assertIn(needle, done.stderr)


if __name__ == "__main__":
    unittest.main()
