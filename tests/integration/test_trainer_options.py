# SPDX-License-Identifier: Apache-2.0
"""What users of transformers' Trainer set means the same here: rates of every step, AdamW's numbers, seeds, folders."""
import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import unittest
import warnings

import torch
import transformers

from models import SIZES, VOCABULARY, tokens_of
from support import FolderTest, UndisturbedRuns, hici, metrics, train_options

LENGTH = 64
STEPS = 20
warnings.filterwarnings("ignore", message="Both num_training_steps and num_stable_steps")
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"

reference_run = UndisturbedRuns(train_options).folder


def drawn(chance):
    """A schedule of each kind with drawn settings: name, its kwargs."""
    steps = chance.randint(2, 8)
    shapes = ("linear", "cosine", "1-sqrt")
    return [("constant", {}), ("constant_with_warmup", {}), ("linear", {}), ("cosine", {}),
            ("cosine", {"num_cycles": chance.choice((0.5, 1, 1.75))}), ("cosine_with_restarts", {}),
            ("cosine_with_restarts", {"num_cycles": chance.randint(2, 5)}), ("polynomial", {}),
            ("polynomial", {"lr_end": chance.uniform(0, 1e-3), "power": chance.choice((0.5, 2, 3))}),
            ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": chance.randint(5, 50)}),
            ("cosine_with_min_lr", {"min_lr_rate": chance.random()}),
            ("cosine_with_min_lr", {"min_lr": chance.uniform(0, 1e-3), "num_cycles": 1}),
            ("cosine_warmup_with_min_lr", {"min_lr_rate": chance.random()}),
            ("cosine_warmup_with_min_lr", {"min_lr": chance.uniform(0, 1e-3), "warmup_lr_rate": chance.random()}),
            ("warmup_stable_decay", {"num_decay_steps": steps}),
            ("warmup_stable_decay", {"num_decay_steps": steps, "num_stable_steps": chance.randint(0, 9),
                                     "min_lr_ratio": chance.random(), "warmup_type": chance.choice(shapes),
                                     "decay_type": chance.choice(shapes)})]


def rates_of_transformers(name, kwargs, warmup, steps, rate):
    """As Trainer makes them from its arguments."""
    arguments = transformers.TrainingArguments(output_dir="none", warmup_steps=warmup, use_cpu=True)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = transformers.get_scheduler(name, optimizer, num_warmup_steps=arguments.get_warmup_steps(steps),
                                          num_training_steps=steps, scheduler_specific_kwargs=kwargs)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


class ScheduleTest(FolderTest):
    RATES = {"learning_rate": 2e-3, "hici_lr": 3e-2}

    def run_rates(self, **changes):
        out = self.folder / f"run-{len(list(self.folder.iterdir()))}"
        self.run_hici(*train_options(out, **{"max_steps": STEPS, "save_strategy": "no", "save_steps": None,
                                             "gradient_accumulation_steps": 1, **self.RATES, **changes}))
        lines = metrics(out)
        self.assertEqual(len(lines), changes.get("max_steps", STEPS))
        return [line["learning_rate"] for line in lines], [line["hici_learning_rate"] for line in lines]

    def assert_rates(self, expected, **options):
        rates, hici_rates = self.run_rates(**options)
        ratio = self.RATES["hici_lr"] / self.RATES["learning_rate"]
        for step, (rate, hici_rate, wanted) in enumerate(zip(rates, hici_rates, expected, strict=True), 1):
            self.assertAlmostEqual(rate, wanted, delta=1e-12 * self.RATES["learning_rate"], msg=f"step {step}")
            self.assertAlmostEqual(hici_rate, wanted * ratio, delta=1e-12, msg=f"step {step}")

    def test_rates_of_every_schedule_are_those_of_transformers(self):
        chance = random.Random(16)
        for name, kwargs in drawn(chance):
            warmup = 0 if name == "constant" else chance.randint(0, 6)
            with self.subTest(name=name, kwargs=kwargs, warmup=warmup):
                expected = rates_of_transformers(name, kwargs, warmup, STEPS, self.RATES["learning_rate"])
                self.assert_rates(expected, lr_scheduler_type=name, warmup_steps=warmup,
                                  lr_scheduler_kwargs=json.dumps(kwargs) if kwargs else None)

    def test_every_schedule_of_transformers_is_done_or_refused_by_name(self):
        known = {name for name, _ in drawn(random.Random(1))}
        refused = {kind.value for kind in transformers.SchedulerType} - known
        self.assertEqual(refused, {"reduce_lr_on_plateau", "greedy"})
        for name in refused:
            done = hici(*train_options(self.folder / "out", lr_scheduler_type=name))
            self.assertEqual(done.returncode, 2)
            self.assert_one_error_line(done, "train", f"--lr_scheduler_type: {name} follows the losses of evaluations")

    def test_a_warmup_is_a_part_of_all_steps(self):
        rate = self.RATES["learning_rate"]
        for part in (0.03, 0.25, 0.31, 1.0):
            with self.subTest(part=part):
                warmup = part if part < 1 else STEPS  # transformers takes 1 for one step
                expected = rates_of_transformers("linear", {}, warmup, STEPS, rate)
                self.assert_rates(expected, lr_scheduler_type="linear", warmup_steps=None, warmup_ratio=part)
                if part < 1:
                    self.assert_rates(expected, lr_scheduler_type="linear", warmup_steps=part)

    def test_a_warmup_in_steps_goes_before_one_by_a_ratio(self):
        rate = self.RATES["learning_rate"]
        self.assert_rates(rates_of_transformers("linear", {}, 3, STEPS, rate), lr_scheduler_type="linear",
                          warmup_steps=3, warmup_ratio=0.5)
        self.assert_rates(rates_of_transformers("linear", {}, 0.5, STEPS, rate), lr_scheduler_type="linear",
                          warmup_steps=0, warmup_ratio=0.5)
        done = self.run_hici(*train_options(self.folder / "constant", max_steps=1, save_steps=None, warmup_steps=None,
                                            lr_scheduler_type="constant", warmup_ratio=0.03))
        self.assertIn("--warmup_ratio has no effect with --lr_scheduler_type constant\n", done.stderr)
        self.assertEqual(metrics(self.folder / "constant")[0]["learning_rate"], rate)

    def test_kwargs_that_do_not_fit_end_before_anything_is_written(self):
        for name, kwargs, told in (("linear", '{"power": 2}', "--lr_scheduler_kwargs: linear takes no power"),
                                   ("cosine", "{", "--lr_scheduler_kwargs"),
                                   ("polynomial", '{"lr_end": 1}', "--lr_scheduler_kwargs: lr_end 1 is not below --learning_rate")):
            done = hici(*train_options(self.folder / "out", lr_scheduler_type=name, lr_scheduler_kwargs=kwargs))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assert_one_error_line(done, "train", told)
        self.assertFalse((self.folder / "out").exists())


class Blocks(torch.utils.data.Dataset):
    def __init__(self, tokens):
        self.rows = [tokens[at:at + LENGTH] for at in range(0, len(tokens) - LENGTH + 1, LENGTH)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


class InOrder(transformers.Trainer):
    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class TrainerTest(FolderTest):
    """Whole models trained by transformers' Trainer and by hici, number by number."""
    STEPS = 8

    def setUp(self):
        super().setUp()
        chance = random.Random(5)
        self.tokens = self.folder / "tokens.bin"
        ids = [chance.randrange(VOCABULARY) for _ in range(LENGTH * self.STEPS * 2)]
        self.tokens.write_bytes(b"".join(i.to_bytes(2, "little") for i in ids))
        self.base = self.folder / "base"
        torch.manual_seed(3)
        transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZES, "initializer_range": 0.05})).save_pretrained(self.base)

    def by_trainer(self, **arguments):
        model = transformers.AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        arguments = transformers.TrainingArguments(
            output_dir=self.folder / "trainer", use_cpu=True, report_to=[], save_strategy="no", max_steps=self.STEPS,
            per_device_train_batch_size=1, gradient_accumulation_steps=2, optim="adamw_torch", disable_tqdm=True, **arguments)
        InOrder(model=model, args=arguments, train_dataset=Blocks(tokens_of(self.tokens))).train()
        return {name: tensor.detach() for name, tensor in model.named_parameters()}

    def by_hici(self, **options):
        out = self.folder / "hici"
        settings = {"model_name_or_path": self.base, "data_path": self.tokens, "output_dir": out, "attention": "full",
                    "low_rank_training": False, "model_max_length": LENGTH, "max_steps": self.STEPS, "shuffle": False,
                    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "device": "cpu",
                    "dtype": "float32", "save_strategy": "no", "hici_lr": options["learning_rate"], **options}
        self.run_hici("train", *(text for key, value in settings.items() for text in (f"--{key}", str(value))))
        model = transformers.AutoModelForCausalLM.from_pretrained(out / f"checkpoint-{self.STEPS}", dtype=torch.float32)
        return {name: tensor.detach() for name, tensor in model.named_parameters()}

    def assert_same_model(self, kwargs=None, **settings):
        kwargs = kwargs or {}
        mine = self.by_hici(**settings, **({"lr_scheduler_kwargs": json.dumps(kwargs)} if kwargs else {}))
        other = self.by_trainer(**settings, lr_scheduler_kwargs=kwargs or None)
        before = transformers.AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        self.assertEqual(set(mine), set(other))
        for name, start in before.named_parameters():
            moved = (other[name] - start).norm().item()
            self.assertGreater(moved, 0, name)
            self.assertLess((mine[name] - other[name]).norm().item(), 3e-5 * moved, name)

    def test_numbers_of_adamw(self):
        self.assert_same_model(learning_rate=1e-2, lr_scheduler_type="constant", adam_beta1=0.7, adam_beta2=0.9,
                               adam_epsilon=1e-3, weight_decay=0.5, max_grad_norm=0.3)

    def test_a_schedule_with_kwargs_and_without_clipping(self):
        self.assert_same_model({"min_lr_rate": 0.2}, learning_rate=1e-2, lr_scheduler_type="cosine_with_min_lr",
                               warmup_steps=0.3, adam_beta2=0.95, adam_epsilon=1e-3, max_grad_norm=0)


    def test_losses_of_evaluations(self):
        """Of data with a rest behind the last block, before the first step, every two steps and behind the last one."""
        data = self.folder / "eval.bin"
        chance = random.Random(6)
        data.write_bytes(b"".join(chance.randrange(VOCABULARY).to_bytes(2, "little") for _ in range(LENGTH * 5 + 7)))
        settings = {"learning_rate": 1e-2, "lr_scheduler_type": "constant"}
        model = transformers.AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        trainer = InOrder(model=model, train_dataset=Blocks(tokens_of(self.tokens)), eval_dataset=Blocks(tokens_of(data)),
                          args=transformers.TrainingArguments(
                              output_dir=self.folder / "trainer", use_cpu=True, report_to=[], save_strategy="no",
                              max_steps=self.STEPS, per_device_train_batch_size=1, gradient_accumulation_steps=2,
                              optim="adamw_torch", disable_tqdm=True, eval_strategy="steps", eval_steps=2,
                              per_device_eval_batch_size=1, eval_on_start=True, **settings))
        trainer.train()
        expected = {entry["step"]: entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry}
        self.by_hici(**settings, eval_data_path=data, eval_strategy="steps", eval_steps=2, per_device_eval_batch_size=2,
                     eval_on_start=True)
        mine = {line["step"]: line["eval_loss"] for line in metrics(self.folder / "hici") if "eval_loss" in line}
        self.assertEqual(sorted(mine), sorted(expected))
        for step, loss in expected.items():
            self.assertAlmostEqual(mine[step], loss, delta=1e-6, msg=f"step {step}")


class IdentityTest(FolderTest):
    """Whatever changes numbers is compared when a run goes on."""

    def check_refused(self, told, first=None, **changes):
        options = {"max_steps": 6, "save_steps": 2, **(first or {})}
        done = hici(*train_options(self.folder / "out", **options))
        self.assertEqual(done.returncode, 0, done.stderr)
        shutil.rmtree(self.folder / "out" / "checkpoint-6")
        again = {**options, **changes, "resume_from_checkpoint": "latest"}
        done = self.run_hici(*train_options(self.folder / "out", **again), code=1)
        self.assert_one_error_line(done, "train", told)
        self.run_hici(*train_options(self.folder / "out", **again, allow_changes_on_resume=True))

    def test_betas(self):
        self.check_refused("--adam_beta2 is 0.95, and not set in the checkpoint", adam_beta2=0.95)

    def test_epsilon(self):
        self.check_refused("--adam_epsilon is not set, the checkpoint has 1e-06", {"adam_epsilon": 1e-6}, adam_epsilon=None)

    def test_kwargs_of_the_schedule(self):
        self.check_refused('--lr_scheduler_kwargs is {"power":3.0}, the checkpoint has {"power":2.0}',
                           {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": '{"power": 2}'},
                           lr_scheduler_kwargs='{"power": 3}')

    def test_a_ratio_of_other_steps(self):
        self.check_refused("--warmup_steps is 3, the checkpoint has 2", {"warmup_steps": None, "warmup_ratio": 0.25},
                           warmup_ratio=0.5)

    def test_seed_of_the_order(self):
        self.check_refused("--data_seed is 7, and not set in the checkpoint", data_seed=7)

    def test_two_spellings_are_one_run(self):
        options = {"max_steps": 6, "save_steps": 2, "lr_scheduler_type": "cosine"}
        self.run_hici(*train_options(self.folder / "out", **options, warmup_steps=3))
        for name in ("checkpoint-4", "checkpoint-6"):
            shutil.rmtree(self.folder / "out" / name)
        self.run_hici(*train_options(self.folder / "out", **{**options, "warmup_steps": 0.5}, resume_from_checkpoint=True,
                                     adam_beta1=0.9, lr_scheduler_kwargs="{}", data_seed=42))
        reference = reference_run(**options, warmup_steps=3)
        self.assert_same_training(self.folder / "out", reference, 6)

    def test_all_of_it_resumes_bit_for_bit(self):
        options = {"max_steps": 8, "save_steps": 4, "lr_scheduler_type": "warmup_stable_decay", "adam_beta1": 0.8,
                   "adam_epsilon": 1e-5, "data_seed": 3, "warmup_steps": None, "warmup_ratio": 0.25,
                   "lr_scheduler_kwargs": '{"num_decay_steps": 4, "decay_type": "1-sqrt"}'}
        self.run_hici(*train_options(self.folder / "out", **options))
        shutil.rmtree(self.folder / "out" / "checkpoint-8")
        self.run_hici("train", "--config", self.folder / "out" / "options.ini", "--resume_from_checkpoint", "latest")
        self.assert_same_training(self.folder / "out", reference_run(**options), 8)


class SeedTest(FolderTest):
    def test_the_seed_of_the_order_draws_the_order_alone(self):
        def losses(name, **changes):
            self.run_hici(*train_options(self.folder / name, max_steps=4, save_strategy="no", save_steps=None, **changes))
            return [line["loss"] for line in metrics(self.folder / name)]

        plain, other_order = losses("plain", seed=3), losses("order", seed=3, data_seed=9)
        self.assertNotEqual(plain, other_order)
        self.assertEqual(plain, losses("same", seed=3, data_seed=3))
        in_order = losses("in-order", seed=3, shuffle=False)
        self.assertEqual(in_order, losses("no-order", seed=3, shuffle=False, data_seed=9))


class FolderOfAnOldRunTest(FolderTest):
    OPTIONS = {"max_steps": 4, "save_steps": 2}

    def test_a_new_run_moves_checkpoints_aside(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, **self.OPTIONS, seed=5))
        done = self.run_hici(*train_options(out, **self.OPTIONS), code=1)
        self.assert_one_error_line(done, "train", "already holds checkpoint-4; use --resume_from_checkpoint latest, "
                                   "--overwrite_output_dir for a new run, or another --output_dir")
        done = self.run_hici(*train_options(out, **self.OPTIONS, overwrite_output_dir=True))
        self.assertIn("checkpoint-4: moved aside to", done.stderr)
        self.assert_same_training(out, reference_run(**self.OPTIONS), 4)
        names = sorted(os.listdir(out))
        self.assertEqual(sum(name.startswith("checkpoint-") for name in names), 4, names)
        self.run_hici("eval", "ppl", "--base_model", train_options(out)[2], "--peft_model", out, "--data_path",
                      train_options(out)[4], "--seq_len", 48, "--device", "cpu")

    def test_a_run_that_goes_on_overwrites_nothing(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, **self.OPTIONS))
        shutil.rmtree(out / "checkpoint-4")
        done = self.run_hici(*train_options(out, **self.OPTIONS, overwrite_output_dir=True, resume_from_checkpoint=True))
        self.assertIn("--overwrite_output_dir has no effect: the run goes on from", done.stderr)
        self.assert_same_training(out, reference_run(**self.OPTIONS), 4)

    def test_in_a_new_folder_it_changes_nothing(self):
        self.run_hici(*train_options(self.folder / "out", **self.OPTIONS, overwrite_output_dir=True))
        self.assert_same_training(self.folder / "out", reference_run(**self.OPTIONS), 4)

    def test_what_the_run_starts_from_is_not_moved(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, **self.OPTIONS))
        for start in (out / "checkpoint-2", out):
            done = self.run_hici(*train_options(out, **self.OPTIONS, overwrite_output_dir=True, init_adapter=start), code=2)
            self.assert_one_error_line(done, "train", f"--overwrite_output_dir: {start} is what this run starts from")
        self.assertTrue((out / "checkpoint-2").is_dir())


class TableTest(FolderTest):
    def test_the_page_has_the_table(self):
        self.assertIn(hici("--foreign_flags_markdown").stdout, (DOCS / "research-code.md").read_text())

    def test_every_field_of_trainer_is_known(self):
        """Of the installed transformers: each has its meaning, or a line, or is refused by name."""
        fields = [f"--{field.name}" for field in dataclasses.fields(transformers.TrainingArguments)]
        unknown = hici("train", *(text for field in fields for text in (field, "x"))).stderr
        self.assertNotIn("unknown option", unknown)
        self.assertEqual(hici("train", "--no_field_of_trainer", "x").stderr.count("unknown option"), 1)

    def test_lists_and_ends_of_epochs(self):
        """Several values where Trainer takes them; a line where its last step would be a short one."""
        out = self.folder / "out"
        done = self.run_hici(*train_options(out, max_steps=None, num_train_epochs=1, gradient_accumulation_steps=7, save_steps=100), "--report_to", "wandb", "tensorboard",
                             "--dataloader_drop_last", "True")
        self.assertIn("--report_to has no meaning here", done.stderr)
        left_out = re.search(r"no step is short, so the last (.+) left out; --max_steps (\d+) takes", done.stderr)
        steps = len(metrics(out))
        self.assertEqual(int(left_out.group(2)), steps + 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
