# SPDX-License-Identifier: Apache-2.0
"""Training that is killed, stopped, damaged or short of disk goes on exactly where it was, or says why it cannot."""
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import subprocess
import time
import unittest

from support import (ENVIRONMENT, FolderTest, GOLDEN, HICI, UndisturbedRuns, metrics, num_metric_lines, start_hici, stop_now,
                     train_options, wait_until)

STEPS = 12
RESUME = {"resume_from_checkpoint": "latest"}
NO_HICI = {name: None for name in ("num_local_slots", "global_slots", "num_heads", "bottleneck_dim", "shared_compress_dim",
                                   "causal_mode")}
CHECKPOINT_KILOBYTES = 740  # of the model that these runs train, with the manifest and the ends of blocks
STREAMED = {"stream_segments": True, "causal_mode": "causal_gi"}
reference_run = UndisturbedRuns(train_options).folder


def kill_at_random_moments(output_dir, seed, num_kills, **changes):
    """Starts, kills and resumes a run; every second kill aims at a checkpoint on its way. Returns the kills that hit."""
    chance, hits = random.Random(seed), 0
    for attempt in range(num_kills):
        process = start_hici(*train_options(output_dir, **changes, **(RESUME if attempt > 0 else {})))
        lines = chance.randint(1, 4) + (num_metric_lines(output_dir) if attempt == 0 else 0)
        delay = chance.uniform(0, 0.03)

        def is_time(start=num_metric_lines(output_dir), steps=lines, aim_at_save=attempt % 2 == 1):
            return any(output_dir.glob("checkpoint-*.hici-tmp-*")) if aim_at_save else num_metric_lines(output_dir) != start \
                and num_metric_lines(output_dir) >= steps

        if wait_until(process, is_time):
            time.sleep(delay)
        hits += stop_now(process)[0] == -signal.SIGKILL
    return hits


class KillTest(FolderTest):
    def check_killed_run(self, seed, **changes):
        reference = reference_run(**changes)
        out = self.folder / "out"
        hits = kill_at_random_moments(out, seed, 5, **changes)
        self.assertGreaterEqual(hits, 2, "the run ended before it could be killed; make it longer")
        self.run_hici(*train_options(out, **changes, **RESUME))
        self.assert_same_training(out, reference, STEPS)
        left_over = [name for name in os.listdir(out) if "tmp-" in name or name.endswith(".lock")]
        self.assertEqual(left_over, [])

    def test_killed_lora_run_goes_on_bit_for_bit(self):
        self.check_killed_run(seed=1)

    def test_killed_full_training_goes_on_bit_for_bit(self):
        self.check_killed_run(seed=2, model="qwen3-gqa", low_rank_training=False, save_total_limit=2)

    def test_killed_before_the_first_checkpoint_starts_again(self):
        out = self.folder / "out"
        process = start_hici(*train_options(out, save_steps=0))
        self.assertTrue(wait_until(process, lambda: num_metric_lines(out) >= 2))
        stop_now(process)
        done = self.run_hici(*train_options(out, **RESUME))
        self.assertIn("no whole checkpoint", done.stderr)
        self.assert_same_training(out, reference_run(), STEPS)

    def check_stop(self, signal_number, **changes):
        out = self.folder / "out"
        process = start_hici(*train_options(out, save_steps=0, **changes))
        self.assertTrue(wait_until(process, lambda: num_metric_lines(out) >= 3))
        code, stderr = stop_now(process, signal_number)
        self.assertEqual(code, 128 + signal_number, stderr)
        self.assertIn(f"stopped by signal {int(signal_number)} after step", stderr)
        (saved,) = out.glob("checkpoint-*")
        self.assertEqual(int(saved.name.split("-")[1]), num_metric_lines(out))
        self.run_hici(*train_options(out, **changes, **RESUME))
        self.assert_same_training(out, reference_run(**changes), STEPS)

    def test_sigterm_saves_and_exits_with_143(self):
        self.check_stop(signal.SIGTERM)

    def test_sighup_saves_and_exits_with_129(self):
        self.check_stop(signal.SIGHUP)

    def test_nohup_stays_in_force(self):
        out = self.folder / "out"
        process = start_hici(*train_options(out, save_steps=0), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.assertTrue(wait_until(process, lambda: num_metric_lines(out) >= 3))
        code, stderr = stop_now(process, signal.SIGHUP)
        self.assertEqual(code, 0, stderr)
        self.assertEqual(num_metric_lines(out), STEPS)

    def test_closed_pipe_saves_and_exits_with_141(self):
        """hici train 2>&1 | head"""
        out = self.folder / "out"
        process = start_hici(*train_options(out, save_steps=0))
        while num_metric_lines(out) < 2:
            self.assertTrue(process.stderr.readline(), "the run ended early")
        process.stderr.close()
        self.assertEqual(process.wait(timeout=240), 128 + signal.SIGPIPE)
        (saved,) = out.glob("checkpoint-*")
        self.assertLess(int(saved.name.split("-")[1]), STEPS)
        self.run_hici(*train_options(out, **RESUME))
        self.assert_same_training(out, reference_run(), STEPS)

    def test_sigusr1_saves_and_exits_with_138(self):
        self.check_stop(signal.SIGUSR1)

    def test_stopped_streamed_run_goes_on_bit_for_bit(self):
        self.check_stop(signal.SIGTERM, **STREAMED)


class DamageTest(FolderTest):
    """The newest checkpoint is broken: it is named, skipped and kept, and the one before is taken."""

    def check_damage(self, file_name, damage):
        reference = reference_run()
        out = self.folder / "out"
        shutil.copytree(reference, out)
        newest = out / f"checkpoint-{STEPS}"
        damage(newest / file_name)
        damaged = {path.name: path.read_bytes() for path in newest.iterdir()}
        done = self.run_hici(*train_options(out, **RESUME))
        self.assertIn(f"{newest / file_name}: ", done.stderr)
        self.assertIn(f"checkpoint-{STEPS} is skipped", done.stderr)
        self.assert_same_training(out, reference, STEPS)
        (aside,) = out.glob(f"checkpoint-{STEPS}.aside*")
        self.assertEqual({path.name: path.read_bytes() for path in aside.iterdir()}, damaged)

    def test_truncated_optimizer_state(self):
        self.check_damage("optimizer.safetensors", lambda path: os.truncate(path, path.stat().st_size // 2))

    def test_flipped_bit_in_the_adapter(self):
        def flip(path):
            raw = bytearray(path.read_bytes())
            raw[len(raw) * 2 // 3] ^= 0x10
            path.write_bytes(raw)
        self.check_damage("adapter_model.safetensors", flip)

    def test_truncated_manifest(self):
        self.check_damage("manifest.json", lambda path: os.truncate(path, path.stat().st_size - 20))

    def test_missing_file(self):
        self.check_damage("trainable_params.safetensors", pathlib.Path.unlink)

    def test_named_broken_checkpoint_is_refused(self):
        out = self.folder / "out"
        shutil.copytree(reference_run(), out)
        broken = out / f"checkpoint-{STEPS}"
        os.truncate(broken / "training_state.json", 10)
        done = self.run_hici(*train_options(out, resume_from_checkpoint=broken), code=1)
        self.assert_one_error_line(done, "train", broken / "training_state.json")


class DiskTest(FolderTest):
    def run_on_small_disk(self, out, kilobytes, *arguments):
        """hici with a tmpfs at `out`, in a mount namespace that ends with it; what was written is copied to out/../kept."""
        script = ('mount -t tmpfs -o size="$1"k tmpfs "$2" || exit 99; shift; out="$1"; kept="$2"; shift 2; '
                  '"$@"; code=$?; cp -r "$out/." "$kept"; exit $code')
        kept = self.folder / "kept"
        out.mkdir()
        kept.mkdir()
        unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        done = subprocess.run([*unshare, "sh", "-c", script, "sh", str(int(kilobytes)), out, kept, HICI, *arguments],
                              env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240)
        if "unshare failed" in done.stderr or done.returncode == 99:
            message = f"a tmpfs cannot be mounted here ({done.stderr.strip()})"
            if os.environ.get("HICI_NO_MOUNT") == "1":
                self.skipTest(message)
            self.fail(message + "; set HICI_NO_MOUNT=1 to go without the test of a full disk")
        return done, kept

    def test_full_disk_keeps_the_old_checkpoint_and_goes_on(self):
        reference = reference_run()
        out = self.folder / "out"
        done, kept = self.run_on_small_disk(out, 3.5 * CHECKPOINT_KILOBYTES, *train_options(out))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"checkpoint-\d+: needs \d+ bytes, the disk has \d+ free")
        self.assertRegex(done.stderr, r"checkpoints could not be saved; exit code 1")
        self.assertEqual(metrics(kept), metrics(reference))
        saved = sorted(path.name for path in kept.glob("checkpoint-*"))
        self.assertIn("checkpoint-2", saved)
        self.assertNotIn(f"checkpoint-{STEPS}", saved)
        self.run_hici(*train_options(kept, **RESUME))
        self.assert_same_training(kept, reference, STEPS)


    def test_a_disk_without_room_for_one_checkpoint_is_found_before_the_first_step(self):
        done, kept = self.run_on_small_disk(self.folder / "out", CHECKPOINT_KILOBYTES // 2, *train_options(self.folder / "out"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", self.folder / "out", "a checkpoint takes ", "room for none; make room")
        self.assertFalse((kept / "metrics.jsonl").exists())

    def test_two_checkpoints_must_have_room_where_one_is_kept(self):
        """An old checkpoint goes when the new one is there."""
        done, kept = self.run_on_small_disk(self.folder / "out", CHECKPOINT_KILOBYTES * 3 // 2, *train_options(self.folder / "out", save_total_limit=1))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", "--save_total_limit 1 takes 2 more at once", "use --save_steps 0")
        self.assertFalse((kept / "metrics.jsonl").exists())


class RefusalTest(FolderTest):
    def test_second_process_in_the_same_folder_is_refused(self):
        out = self.folder / "out"
        first = start_hici(*train_options(out, max_steps=1000))
        try:
            self.assertTrue(wait_until(first, lambda: num_metric_lines(out) >= 1))
            second = self.run_hici(*train_options(out, **RESUME), code=1)
            self.assert_one_error_line(second, "train", out, "another hici process", f"pid {first.pid}")
            self.assertIsNone(first.poll())
        finally:
            code, stderr = stop_now(first, signal.SIGTERM)
        self.assertEqual(code, 143, stderr)

    def check_refused_change(self, *needles, **changes):
        out = self.folder / "out"
        shutil.copytree(reference_run(), out)
        changed = {"max_steps": STEPS + 2, **RESUME, **changes}
        before = sorted(os.listdir(out))
        done = self.run_hici(*train_options(out, **changed), code=1)
        self.assert_one_error_line(done, "train", "--allow_changes_on_resume", *needles)
        self.assertEqual(sorted(os.listdir(out)), before)
        self.run_hici(*train_options(out, **changed, allow_changes_on_resume=True))
        self.assertEqual([line["step"] for line in metrics(out)], list(range(1, STEPS + 3)))

    def test_other_batch_is_refused_unless_allowed(self):
        self.check_refused_change("1", gradient_accumulation_steps=1)

    def test_other_data_is_refused_unless_allowed(self):
        other = self.folder / "other.bin"
        raw = (GOLDEN / "llama-gqa" / "tokens.bin").read_bytes()
        other.write_bytes(raw[1000:] + raw[:1000])
        self.check_refused_change("other.bin", data_path=other)

    def test_other_rate_is_refused_unless_allowed(self):
        self.check_refused_change("learning_rate", learning_rate=1e-3)

    def test_other_precision_of_the_base_is_refused_unless_allowed(self):
        self.check_refused_change("--base_format is fp8, and not set in the checkpoint", fp8_base=True)

    def test_another_format_of_the_base_is_refused_unless_allowed(self):
        self.check_refused_change("--base_format is nf4, and not set in the checkpoint", base_format="nf4")

    def test_longer_run_with_constant_rate_is_the_same_run(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, max_steps=6))
        self.run_hici(*train_options(out, **RESUME))
        self.assert_same_training(out, reference_run(), STEPS)


class OneCommandTest(FolderTest):
    """A job that may be stopped has one command for its whole life: it starts, goes on, and says when all is done."""

    def check_one_command(self, reference, command, steps=4):
        """The command stopped after two steps and given again, against a run without a stop; then once more."""
        out = self.folder / "out"
        first = self.run_hici(*command(out, max_steps=2))
        self.assertIn(f"{out}: no whole checkpoint yet; starting from the beginning", first.stderr)
        second = self.run_hici(*command(out, max_steps=steps))
        self.assertIn(f"resuming from {out / 'checkpoint-2'}: 2 of {steps} steps are done", second.stderr)
        self.assert_same_training(out, reference, steps)
        files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        third = self.run_hici(*command(out, max_steps=steps))
        self.assertIn(f"{out}: nothing to do: all {steps} steps are done ({out / f'checkpoint-{steps}'})", third.stderr)
        self.assertEqual(files, {path: path.read_bytes() for path in out.rglob("*") if path.is_file()})

    def test_with_an_adapter_to_start_from(self):
        start = {"init_adapter": reference_run() / f"checkpoint-{STEPS}"}
        self.check_one_command(reference_run(**start, max_steps=4),
                               lambda out, **steps: train_options(out, **start, **RESUME, **steps))

    def test_in_an_empty_folder_and_as_transformers_spell_it(self):
        (self.folder / "out").mkdir()
        start = {"model": "llama-mha", "use_llama_init": True, "use_bottleneck": False}
        self.check_one_command(reference_run(**start, max_steps=4), lambda out, **steps: train_options(
            out, **start, **steps, resume_from_checkpoint="True"))

    def test_whole_model(self):
        whole = {"model": "qwen3-gqa", "low_rank_training": False}
        self.check_one_command(reference_run(**whole, max_steps=4),
                               lambda out, **steps: train_options(out, **whole, **RESUME, **steps))

    def test_from_the_options_that_a_run_keeps(self):
        out, start = self.folder / "out", {"init_adapter": reference_run() / f"checkpoint-{STEPS}"}
        self.run_hici(*train_options(out, **start, max_steps=2))
        command = ["train", "--config", out / "options.ini", "--resume_from_checkpoint", "latest"]
        done = self.run_hici(*command)
        self.assertIn("nothing to do: all 2 steps are done", done.stderr)
        self.run_hici(*command, "--max_steps", 4)
        self.assert_same_training(out, reference_run(**start, max_steps=4), 4)
        done = self.run_hici("train", "--config", out / "options.ini")  # it says --resume_from_checkpoint by now
        self.assertIn("nothing to do: all 4 steps are done", done.stderr)

    def test_a_shorter_run_is_done_already(self):
        out = self.folder / "out"
        shutil.copytree(reference_run(), out)
        done = self.run_hici(*train_options(out, **RESUME, max_steps=1))
        self.assertIn(f"nothing to do: all 1 step is done ({out / f'checkpoint-{STEPS}'})", done.stderr)
        self.assertEqual(metrics(out), metrics(reference_run()))


class MessageTest(FolderTest):
    """What a run says of itself, as a person reads it."""

    def check_next_command(self, done):
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("next: hici ")]
        self.assertRegex(self.run_hici(*shlex.split(line)[2:]).stdout, r"^perplexity \d+\.\d+")

    def test_start_saves_and_end(self):
        out = self.folder / "a run's folder"
        done = self.run_hici(*train_options(out, max_steps=3, save_steps=2, gradient_accumulation_steps=1, num_chunks=1))
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        best = min(lines, key=lambda line: line["loss"])
        self.assertRegex(done.stderr, r"attention hici, float32 on cpu, RoPE factor \S+, 1 segment, causal mode")
        self.assertRegex(done.stderr, r"blocks of 96 tokens; 3 steps of 1 sequence\n")
        size = sum(path.stat().st_size for path in (out / "checkpoint-2").iterdir() if path.name != "manifest.json")
        self.assertRegex(done.stderr, rf"saved {out / 'checkpoint-2'}: {size / 1024:.0f} KiB in \d+\.\d\d s\n")
        self.assertIn(f"saved {out / 'checkpoint-3'}: ", done.stderr)
        self.assertRegex(done.stderr, rf"{out}: finished 3 steps in \d+\.\d\d s; loss {lines[-1]['loss']:.4f}, lowest "
                                      rf"{best['loss']:.4f} at step {best['step']}\nnext: hici eval ppl")
        self.check_next_command(done)
        refused = self.run_hici(*train_options(out, **RESUME, max_steps=4, gradient_accumulation_steps=1, num_chunks=1,
                                               learning_rate=3e-3), code=1)
        self.assertIn("--learning_rate is 0.003, the checkpoint has 0.002;", refused.stderr)

    def test_the_next_command_works_for_every_kind_of_run(self):
        for name, changes in (("whole", {"model": "qwen3-gqa", "low_rank_training": False}),
                              ("s2", {"attention": "s2", **NO_HICI}), ("full", {"attention": "full", **NO_HICI, "num_chunks": None}),
                              ("streamed", STREAMED)):
            with self.subTest(name):
                self.check_next_command(self.run_hici(*train_options(self.folder / name, **changes, max_steps=1)))

    def deepspeed_file(self, **sections):
        file = self.folder / "ds.json"
        file.write_text(json.dumps(sections))
        return file

    def test_a_deepspeed_file_is_what_its_options_are(self):
        numbers = {"gradient_clipping": 0.05, "train_batch_size": 4, "train_micro_batch_size_per_gpu": 2,
                   "optimizer": {"type": "AdamW", "params": {"lr": 3e-3, "weight_decay": 0.1, "betas": "auto"}}}
        by_file, by_options = self.folder / "file", self.folder / "options"
        done = self.run_hici(*train_options(by_file, max_steps=4, learning_rate=None, gradient_accumulation_steps=None,
                                            deepspeed=self.deepspeed_file(**numbers, zero_optimization={"stage": 1})))
        self.assertIn("ds.json: gradient_accumulation_steps 2, learning_rate 0.003, max_grad_norm 0.05, "
                      "per_device_train_batch_size 2, shard optimizer, weight_decay 0.1\n", done.stderr)
        self.run_hici(*train_options(by_options, max_steps=4, learning_rate=3e-3, weight_decay=0.1, max_grad_norm=0.05,
                                     per_device_train_batch_size=2))
        self.assert_same_training(by_file, by_options, 4)
        self.assertIn("# learning_rate = 0.003\n", (by_file / "options.ini").read_text(), "not typed, so that the file may say it again")

    def test_a_deepspeed_file_that_is_wrong_ends_before_anything_is_written(self):
        for sections, needle in (({"gradient_clipping": 0.5}, "gradient_clipping 0.5 contradicts --max_grad_norm 1;"),
                                 ({"train_batch_size": 64}, "train_batch_size 64 is not --per_device_train_batch_size 1 x "
                                                            "--gradient_accumulation_steps 2 x 1 process;"),
                                 ({"fp16": {"enabled": True}}, "fp16 is enabled: hici cannot do that;")):
            with self.subTest(needle):
                refused = self.run_hici(*train_options(self.folder / "out", max_grad_norm=1, per_device_train_batch_size=1,
                                                       deepspeed=self.deepspeed_file(**sections)), code=2)
                self.assert_one_error_line(refused, "train", "--deepspeed: ", "ds.json: " + needle)
        refused = self.run_hici(*train_options(self.folder / "out", deepspeed=self.folder / "none.json"), code=2)
        self.assert_one_error_line(refused, "train", "none.json: is not there; leave the option out")
        self.assertFalse((self.folder / "out").exists())

    def test_options_for_eight_gpus_say_what_a_step_has_here(self):
        done = self.run_hici(*train_options(self.folder / "out", max_steps=1, gradient_accumulation_steps=1,
                                            deepspeed=self.deepspeed_file(gradient_clipping="auto")))
        self.assertIn("a step has 1 sequence here, with one process; on the research code's 8 GPUs these options give 8, "
                      "as --gradient_accumulation_steps 8 does here", done.stderr)

    def test_a_launcher_that_does_not_say_where_processes_meet_is_refused(self):
        for variables in ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
                          {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
                          {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}):
            for command in ("train", "sft"):
                out = self.folder / "out"
                done = self.run_hici(command, *train_options(out)[1:], code=1,
                                     wrapper=["env", *(f"{k}={v}" for k, v in variables.items())])
                (line,) = [line for line in done.stderr.splitlines() if "error: " in line]
                rank = variables.get("SLURM_PROCID", "0")
                self.assertTrue(line.startswith(f"hici {command} [rank {rank} of 2]: error: {next(iter(variables))}: "), line)
                self.assertIn("not where they meet; set MASTER_ADDR (the host of rank 0) and MASTER_PORT", line)
                self.assertFalse(out.exists())


class StartTest(FolderTest):
    def test_init_adapter_takes_the_weights_of_a_checkpoint(self):
        checkpoint = reference_run() / f"checkpoint-{STEPS}"
        out = self.folder / "out"
        # Rates of 0 leave every weight as it came.
        self.run_hici(*train_options(out, init_adapter=checkpoint, max_steps=1, learning_rate=0, hici_lr=0))
        for name in ("adapter_model.safetensors", "trainable_params.safetensors"):
            self.assertEqual((out / "checkpoint-1" / name).read_bytes(), (checkpoint / name).read_bytes(), name)

    def test_full_training_checkpoint_is_a_base_model(self):
        reference = reference_run(model="qwen3-gqa", low_rank_training=False, save_total_limit=2)
        tokens = GOLDEN / "qwen3-gqa" / "tokens.bin"
        done = self.run_hici("eval", "ppl", "--base_model", reference / f"checkpoint-{STEPS}", "--data_path", tokens,
                             "--seq_len", 96, "--sliding_window", 64, "--eval_mode", "hici")
        self.assertRegex(done.stdout, r"perplexity \d+\.\d+ .*hici attention")

    def test_recomputation_changes_no_bit(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, gradient_checkpointing=True))
        self.assert_same_training(out, reference_run(), STEPS)

    def test_a_base_in_8_bits_learns_nearly_the_same(self):
        """At a tenth of this file's rates: at those, runs on this base of random numbers stray whatever differs (see the
        streamed ones below). 0.5 % is what the option promises; 0.13 % was seen."""
        rates = {"learning_rate": 2e-4, "hici_lr": 2e-3}
        out = self.folder / "out"
        self.run_hici(*train_options(out, fp8_base=True, **rates))
        for mine, other in zip(metrics(out), metrics(reference_run(**rates))):
            self.assertNotEqual(mine["loss"], other["loss"])
            self.assertAlmostEqual(mine["loss"], other["loss"], delta=5e-3 * other["loss"])

    def test_streamed_steps_give_the_same_losses(self):
        """Twenty steps in float64, sums in another order: 2e-11 was seen. In float32 this run from fresh HiCI modules at
        high rates strays 1e-3 from its own float64 trace by step 20, streamed or not, so nothing could be told there; the
        golden tests compare streamed float32 losses with the reference on a model that has learned."""
        run = {"max_steps": 20, "save_steps": 0, "causal_mode": "causal_gi", "dtype": "float64"}
        whole = reference_run(**run)
        for name, more in (("plain", {}), ("recomputed", {"gradient_checkpointing": True}),
                           ("by_length", {"num_chunks": None, "segment_length": 24})):
            with self.subTest(name):
                out = self.folder / name
                self.run_hici(*train_options(out, **run, stream_segments=True, **more))
                losses = [line["loss"] for line in metrics(out)]
                self.assertEqual(len(losses), 20)
                for mine, other in zip(losses, (line["loss"] for line in metrics(whole))):
                    self.assertAlmostEqual(mine, other, delta=1e-9)

    def test_streamed_memory_is_that_of_one_segment(self):
        """Sixteen times the length. A whole step at that length takes over 400 MiB more; streamed it is the tokens."""
        tokens = self.folder / "long.bin"
        raw = (GOLDEN / "llama-gqa" / "tokens.bin").read_bytes()
        tokens.write_bytes(raw * (2 * 32768 // len(raw) + 1))
        peaks = []
        for length in (2048, 32768):
            out = self.folder / str(length)
            self.run_hici(*train_options(out, data_path=tokens, token_type="uint16", model_max_length=length,
                                         num_chunks=None, segment_length=256, gradient_accumulation_steps=1, max_steps=1,
                                         **STREAMED))
            peaks.append(json.loads((out / "metrics.jsonl").read_text())["peak_memory_bytes"])
        self.assertLess(peaks[1] - peaks[0], 48 << 20)

    def test_other_attentions_learn_and_resume(self):
        for attention in ("s2", "full"):
            with self.subTest(attention):
                changes = {"attention": attention, **NO_HICI, **({"num_chunks": None} if attention == "full" else {})}
                reference = reference_run(**changes)
                losses = [line["loss"] for line in metrics(reference)]
                self.assertLess(sum(losses[-4:]), sum(losses[:4]))
                out = self.folder / attention
                self.run_hici(*train_options(out, **{**changes, "max_steps": 5}))
                self.run_hici(*train_options(out, **changes, **RESUME))
                shutil.rmtree(out / "checkpoint-5")  # the undisturbed run saves even steps only
                self.assert_same_training(out, reference, STEPS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
