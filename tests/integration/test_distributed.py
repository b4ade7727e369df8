# SPDX-License-Identifier: Apache-2.0
"""Training by several processes is that of one: same losses, norms and checkpoints, whoever goes on with them."""
import itertools
import json
import os
import random
import shutil
import time
import unittest

from processes import ProcessesTest
from support import GOLDEN, UndisturbedRuns, num_metric_lines, train_options

STEPS = 5
RESUME = {"resume_from_checkpoint": "latest"}
MODES = ("none", "causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly")
WHOLE = {"model": "qwen3-gqa", "low_rank_training": False}
# Adapters that are not zero, on the HiCI modules too.
ADAPTED = {"init_adapter": GOLDEN / "llama-gqa" / "adapter"}


def options(out, batches, **changes):
    """`batches` of every process in a step. The higher the rates the more a difference would grow."""
    return train_options(out, **{"max_steps": STEPS, "save_steps": 0, "dtype": "float64", "warmup_steps": 0,
                                 "gradient_accumulation_steps": batches, **changes})


reference_run = UndisturbedRuns(options).folder


class DataParallelTest(ProcessesTest):
    def check(self, world, batches, segment_parallel=1, shard="optimizer", **changes):
        out = self.folder / f"{world}-{segment_parallel}-{shard}"
        self.run_all(out.name, world, options(out, batches, shard=shard, segment_parallel=segment_parallel, **changes))
        reference = reference_run(batches * world // segment_parallel, **changes)
        self.assert_near_training(out, reference, max(int(path.name.split("-")[1]) for path in reference.glob("checkpoint-*")))

    def test_adapters_and_hici_modules(self):
        for world, shard in itertools.product((2, 4), ("optimizer", "none")):
            with self.subTest(world=world, shard=shard):
                self.check(world, 4 // world, shard=shard, **ADAPTED)

    def test_every_parameter(self):
        for world, shard in ((2, "none"), (4, "optimizer")):
            with self.subTest(world=world, shard=shard):
                self.check(world, 4 // world, shard=shard, **WHOLE)

    def test_batches_of_two_and_more_processes_than_fit_evenly(self):
        self.check(3, 2, per_device_train_batch_size=2, weight_decay=0.1)

    def test_a_deepspeed_file_counts_the_processes_that_take_sequences(self):
        file = self.folder / "ds.json"
        for stage in (0, 2):
            file.write_text(json.dumps({"train_batch_size": 4, "train_micro_batch_size_per_gpu": 1,
                                        "zero_optimization": {"stage": stage}}))
            with self.subTest(stage=stage):
                out = self.folder / str(stage)
                processes = self.run_all(out.name, 4, options(out, None, segment_parallel=2, deepspeed=file, **ADAPTED))
                self.assertIn(f"gradient_accumulation_steps 2, per_device_train_batch_size 1, shard {'optimizer' if stage else 'none'}",
                              processes.logs[0].read_text())
                self.assert_near_training(out, reference_run(4, **ADAPTED), STEPS)
        file.write_text('{"train_batch_size": 6, "train_micro_batch_size_per_gpu": 2}')
        processes = self.run_all("refused", 4, options(self.folder / "refused", None, segment_parallel=2, deepspeed=file), code=2)
        self.assertIn("train_batch_size 6 is not --per_device_train_batch_size 2 x --gradient_accumulation_steps 1 x 2 processes "
                      "side by side;", processes.logs[0].read_text())

    def test_started_by_torchrun(self):
        for world in (2, 4):
            with self.subTest(world=world):
                out = self.folder / str(world)
                stderr = self.torchrun(world, options(out, 4 // world, **ADAPTED))
                self.assertEqual(stderr.count(": finished "), 1, stderr)
                self.assert_near_training(out, reference_run(4, **ADAPTED), STEPS)

    def test_started_by_slurm_and_by_mpirun_on_one_machine(self):
        """Which say no address."""
        job = f"{os.getpid()}"
        slurm = [{"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_STEP_NUM_NODES": "1",
                  "SLURM_JOB_ID": job, "SLURM_STEP_ID": "0"} for rank in "01"]
        mpirun = [{"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_LOCAL_RANK": rank,
                   "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": f"prterun-{job}@1"} for rank in "01"]
        for name, places in (("slurm", slurm), ("mpirun", mpirun)):
            with self.subTest(name):
                out = self.folder / name
                self.run_all(name, 2, options(out, 2, **ADAPTED), places=places)
                self.assert_near_training(out, reference_run(4, **ADAPTED), STEPS)

    def test_one_segment_at_a_time(self):
        self.check(2, 2, stream_segments=True, causal_mode="causal_gi")

    def test_the_log_names_the_slowest_rank(self):
        out = self.folder / "out"
        self.run_all("out", 3, options(out, 2))
        for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()):
            self.assertIn(line["slowest_rank"], range(3))
            self.assertGreaterEqual(line["slowest_rank_time"], 1)
            self.assertLess(line["slowest_rank_time"], 3)  # all of it by one of three, nothing by the others
        self.assertNotIn("slowest_rank", (reference_run(2) / "metrics.jsonl").read_text())

    def test_one_epoch(self):
        self.check(2, 15, max_steps=-1, num_train_epochs=1)

    def test_bfloat16_is_the_same_bit_for_bit_every_time(self):
        for name, world, changes in (("data", 2, {}), ("mesh", 4, {"segment_parallel": 2}),
                                     ("all parameters, whole state", 2, {**WHOLE, "shard": "none"})):
            with self.subTest(name):
                first, second = self.folder / f"{name}-1", self.folder / f"{name}-2"
                for out in (first, second):
                    self.run_all(out.name, world, options(out, 1, **{"dtype": "bfloat16", "max_steps": 3, **changes}))
                self.assert_same_training(first, second, 3)


class SegmentParallelTest(ProcessesTest):
    """Of modes x processes x segments: every mode on two processes and on four; with four, six segments are not even
    (two each, and one process with padding alone), nor are seven."""

    def check(self, world, segments, segment_parallel, batches=1, steps=3, **changes):
        settings = {"num_chunks": segments, "max_steps": steps, **changes}
        out = self.folder / f"run-{len(os.listdir(self.folder))}"
        self.run_all(out.name, world, options(out, batches, segment_parallel=segment_parallel, **settings))
        settings.pop("shard", None)
        self.assert_near_training(out, reference_run(batches * world // segment_parallel, **settings), steps)

    def check_modes(self, world, segments):
        for mode, count in zip(MODES, itertools.cycle(segments)):
            with self.subTest(mode=mode, segments=count):
                self.check(world, count, segment_parallel=world, causal_mode=mode, **ADAPTED)

    def test_two_processes_share_a_sequence_in_every_mode(self):
        self.check_modes(2, (4, 6, 16))

    def test_four_processes_share_unequal_parts_in_every_mode(self):
        self.check_modes(4, (6,))

    def test_four_processes_share_sixteen_segments(self):
        self.check(4, 16, segment_parallel=4, causal_mode="none")

    def test_seven_segments_of_four_processes(self):
        self.check(4, 7, segment_parallel=4, causal_mode="causal_gi", model_max_length=98)

    def test_one_segment_each(self):
        self.check(4, 4, segment_parallel=4, causal_mode="causal_shift_g", **ADAPTED)

    def test_two_sequences_of_two_processes(self):
        for mode, changes in (("none", {}), ("causal_shift", {"shard": "none", "per_device_train_batch_size": 2})):
            with self.subTest(mode):
                self.check(4, 6, segment_parallel=2, batches=2, causal_mode=mode, **changes)

    def test_every_parameter(self):
        self.check(2, 6, segment_parallel=2, **WHOLE)

    def test_one_segment_at_a_time(self):
        """Six of four processes: the second round is of two."""
        for world, segment_parallel, mode in ((4, 4, "causal_gi"), (2, 2, "causal_shift"), (4, 2, "causal_shift_g"),
                                              (4, 4, "causal_gi_gonly")):
            with self.subTest(world=world, mode=mode):
                self.check(world, 6, segment_parallel=segment_parallel, causal_mode=mode, stream_segments=True, **ADAPTED)

    def test_with_recomputation(self):
        self.check(2, 4, segment_parallel=2, gradient_checkpointing=True)

    def test_without_a_part_of_the_hierarchy(self):
        for name in ("use_local_constructor", "use_global_integrator", "use_hierarchical_forward", "shared_compressor"):
            with self.subTest(name):
                self.check(2, 4, segment_parallel=2, **{name: False})


class FullShardTest(ProcessesTest):
    """Frozen weights that are cut are the same numbers when they are gathered: a run is bit for bit that of
    --shard optimizer."""

    def check(self, name, world, changes, full=()):
        run = {"dtype": "float32", "max_steps": 2, **changes}
        whole, cut = self.folder / f"{name}-whole", self.folder / f"{name}-cut"
        self.run_all(whole.name, world, options(whole, 2, **run))
        self.run_all(cut.name, world, options(cut, 2, shard="full", **run, **dict(full)))
        self.assert_same_training(whole, cut, 2)

    def test_over_all_processes(self):
        self.check("full", 2, ADAPTED)

    def test_in_groups_with_shared_sequences_and_recomputation(self):
        self.check("groups", 4, {"segment_parallel": 2, "gradient_checkpointing": True}, {"shard_group_size": 2})

    def test_one_segment_at_a_time_from_the_attentions_own_projections(self):
        self.check("streamed", 3, {"model": "llama-mha", "causal_mode": "causal_gi", "stream_segments": True,
                                   "use_llama_init": True, "use_bottleneck": False})

    def test_layers_of_which_different_matrices_are_frozen(self):
        self.check("unequal", 2, {"trainable_params": "embed,norm,layers.1.mlp"})

    def test_in_eight_bits(self):
        self.check("fp8", 2, {"fp8_base": True})

    def test_in_four_bits(self):
        self.check("nf4", 2, {"base_format": "nf4_double"})

    def test_a_checkpoint_is_gone_on_with_by_one_process(self):
        out = self.folder / "out"
        self.run_all("two", 2, options(out, 2, shard="full", max_steps=3, **ADAPTED))
        self.run_all("one", 1, options(out, 4, **ADAPTED, **RESUME))
        shutil.rmtree(out / "checkpoint-3")
        self.assert_near_training(out, reference_run(4, **ADAPTED), STEPS)

    def test_one_process_has_nothing_to_cut_and_a_cpu_nothing_to_offload(self):
        out = self.folder / "out"
        self.run_all("one", 1, options(out, 4, shard="full", offload="weights,optimizer", **ADAPTED))
        self.assert_near_training(out, reference_run(4, **ADAPTED), STEPS)

    def test_what_cannot_be_cut(self):
        for world, changes, word in ((4, {"shard_group_size": 3}, "--shard_group_size: groups of 3 do not divide 4"),
                                     (2, WHOLE, "--shard full: nothing is frozen with --low_rank_training False")):
            with self.subTest(word):
                processes = self.run_all(f"bad-{world}", world,
                                         options(self.folder / f"out-{world}", 1, shard="full", **changes), code=2)
                self.assertIn(word, processes.text())


class CheckpointTest(ProcessesTest):
    def test_of_two_processes_is_gone_on_with_by_one_and_by_four(self):
        for world, changes in ((1, ADAPTED), (4, ADAPTED), (4, {**WHOLE, "shard": "none"})):
            with self.subTest(world=world, changes=changes):
                out = self.folder / f"{world}-{len(changes)}"
                self.run_all(f"{out.name}-2", 2, options(out, 2, **{**changes, "max_steps": 3}))
                self.run_all(out.name, world, options(out, 4 // world, **changes, **RESUME))
                shutil.rmtree(out / "checkpoint-3")
                plain = {name: value for name, value in changes.items() if name != "shard"}
                self.assert_near_training(out, reference_run(4, **plain), STEPS)

    def test_of_shared_sequences_is_gone_on_with_by_one(self):
        out = self.folder / "out"
        self.run_all("four", 4, options(out, 1, segment_parallel=4, num_chunks=6, max_steps=3))
        self.run_all("one", 1, options(out, 1, num_chunks=6, **RESUME))
        self.assert_near_training(out, reference_run(1, num_chunks=6), STEPS)

    def test_after_the_kill_of_a_process_a_run_is_the_undisturbed_one_bit_for_bit(self):
        """tests/endurance/kill_process.py does it more often."""
        for name, world, seed, changes in (("data", 2, 1, WHOLE), ("mesh", 4, 2, {"segment_parallel": 2})):
            with self.subTest(name):
                chance, out, reference = random.Random(seed), self.folder / name, self.folder / f"{name}-undisturbed"
                run = {"dtype": "float32", "max_steps": 10, "save_steps": 2, **changes}
                self.run_all(reference.name, world, options(reference, 1, **run))
                for attempt in range(2):
                    processes = self.start(name, world, options(out, 1, **run, **(RESUME if attempt > 0 else {})))
                    if not processes.wait_for_lines(out, num_metric_lines(out) + chance.randint(1, 3)):
                        continue
                    time.sleep(chance.uniform(0, 0.1))
                    processes.all[chance.randrange(world)].kill()
                    processes.__exit__()  # what is said and how all end is the matter of test_distributed_failures.py
                self.run_all(name, world, options(out, 1, **run, **RESUME))
                self.assert_same_training(out, reference, 10)


class BenchTest(ProcessesTest):
    """`hici bench step` beside one process with its share alone."""

    def rows(self, name, *more):
        output = self.folder / f"{name}.json"
        self.run_all(name, 2, ["bench", "step", "--model", "quickstart", "--seq_len", 256, "--device", "cpu", "--parts", "False",
                               "--with_optimizer", "--repetitions", 1, "--warmup", 0, "--output", output, *more])
        return json.loads(output.read_text())["rows"]

    def test_rows_come_in_pairs(self):
        for name, more, tokens in (("data", [], (256, 256)), ("segments", ["--segment_parallel", 2], (128, 256)),
                                   ("full", ["--shard", "full"], (256, 256)),
                                   ("streamed", ["--segment_parallel", 2, "--stream_segments", "--causal_mode", "causal_gi"],
                                    (128, 256))):
            with self.subTest(name=name):
                alone, together = self.rows(name, *more)
                self.assertEqual((alone["processes"], together["processes"]), (1, 2))
                self.assertEqual((alone["seq_len"], together["seq_len"]), tokens)
                each = together["tokens_per_second"] / 2
                self.assertAlmostEqual(together["efficiency_percent"], each / alone["tokens_per_second"] * 100, places=6)
                counted = 2 * tokens[0] / together["ms"] * 1e3  # of all processes
                self.assertAlmostEqual(together["tokens_per_second"] / counted, 1, places=6)

    def test_groups_that_cut_weights(self):
        alone, together = self.rows("groups", "--shard", "full", "--shard_group_size", 2)
        self.assertEqual((alone["status"], together["status"]), ("ok", "ok"))

    def test_processes_that_measure_something_else(self):
        for command in (["step", "--model", "quickstart", "--with_optimizer", "--seq_len"], ["links", "--bytes"]):
            with self.subTest(command[0]):
                processes = self.start(command[0], 2, lambda rank, command=command: ["bench", *command, 256 << rank,
                                                                                     "--device", "cpu"])
                self.assertTrue(processes.wait(20), processes.text())
                self.assertEqual(processes.codes(), [1, 1], processes.text())
                self.assertIn(f"the option {command[-1][2:]} is '512' here and '256' there", processes.text())

    def test_without_the_optimizer_nothing_would_meet(self):
        processes = self.run_all("none", 2, ["bench", "step", "--model", "quickstart", "--device", "cpu"], code=2)
        self.assertIn("--with_optimizer: ", processes.text())


if __name__ == "__main__":
    unittest.main()
