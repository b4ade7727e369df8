# SPDX-License-Identifier: Apache-2.0
"""Where one of several training processes dies, stops, hangs or differs, all end: soon, with an exit code, one line that
says who it was, and nothing lost that was saved."""
import concurrent.futures
import os
import re
import shutil
import signal
import socket
import time
import unittest

from processes import PEER_FAILURE, SECONDS_TO_END, Processes, ProcessesTest, children_of, free_port
from support import GOLDEN, TIMEOUT_SECONDS, num_metric_lines, read_safetensors, train_options, write_safetensors

LONG = {"max_steps": 5000, "save_steps": 0}
RESUME = {"resume_from_checkpoint": "latest"}
NO_HICI = {name: None for name in ("num_local_slots", "global_slots", "num_heads", "bottleneck_dim", "shared_compress_dim",
                                   "causal_mode")}
BASE, TOKENS = GOLDEN / "llama-gqa" / "base", GOLDEN / "llama-gqa" / "tokens.bin"
HOST = socket.gethostname()


class DeathTest(ProcessesTest):
    """By signals that a process can do nothing about."""

    def strike(self, name, world, rank, number):
        """`number` to `rank` of a run in its middle."""
        out = self.folder / name
        processes = self.start(name, world, train_options(out, **LONG))
        self.assertTrue(processes.wait_for_lines(out, 4), processes.text())
        time.sleep(1.0)  # of a sign of life with a step that is not the first
        processes.all[rank].send_signal(number)
        return processes

    def check_ends(self, processes, rank, ended_in_time):
        """One line of each of the others names the struck one, also where the store went with another one that ended."""
        world = len(processes.all)
        self.assertTrue(ended_in_time, processes.text())
        for other in sorted(set(range(world)) - {rank}):
            with self.subTest(other=other):
                self.assertEqual(processes.codes()[other], PEER_FAILURE, processes.text())
                (line,) = processes.errors(other)
                self.assertTrue(line.startswith(f"hici [rank {other} of {world}]: error: "), line)
                self.assertIn(f"rank {rank} of {world} ({HOST})", line)
                self.assertRegex(line, r"step [1-9]\d*")

    def test_one_that_dies_or_stands_still_ends_all(self):
        """All at once, as most of it is waiting."""
        cases = {"killed follower": (3, 1, signal.SIGKILL), "killed leader": (3, 0, signal.SIGKILL),
                 "stopped follower": (2, 1, signal.SIGSTOP), "stopped leader": (2, 0, signal.SIGSTOP)}
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            struck, waits = {}, {}
            for name, case in cases.items():
                struck[name] = self.strike(name, *case)
                waits[name] = pool.submit(struck[name].wait, SECONDS_TO_END, but=case[1])
        for name, (_, rank, _) in cases.items():
            with self.subTest(name):
                self.check_ends(struck[name], rank, waits[name].result())
        with self.subTest("a follower that wakes"):
            processes = struck["stopped follower"]
            processes.all[1].send_signal(signal.SIGCONT)
            self.assertTrue(processes.wait(SECONDS_TO_END), processes.text())
            self.assertEqual(processes.codes(), [PEER_FAILURE] * 2)

    def test_a_run_that_is_suspended_as_a_whole_goes_on(self):
        """Ctrl-Z, or a scheduler that lends the machine to another job."""
        out = self.folder / "out"
        processes = self.start("run", 2, train_options(out, **LONG))
        self.assertTrue(processes.wait_for_lines(out, 4), processes.text())
        for process in processes.all:
            process.send_signal(signal.SIGSTOP)
        time.sleep(8)
        lines = num_metric_lines(out)
        for process in processes.all:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.3)
        time.sleep(2)
        self.assertEqual(processes.codes(), [None, None], processes.text())
        self.assertGreater(num_metric_lines(out), lines)

    def strike_under_torchrun(self, number):
        """`number` to rank 0 of two -> torchrun, when rank 1 has ended."""
        out = self.folder / f"out-{number}"
        torchrun = self.torchrun(2, train_options(out, **LONG), starts=False)
        self.addCleanup(torchrun.communicate)
        self.addCleanup(torchrun.kill)
        while num_metric_lines(out) < 4:
            self.assertIsNone(torchrun.poll())
            time.sleep(0.01)
        time.sleep(1.0)
        leader, follower = children_of(torchrun.pid)
        os.kill(leader, number)
        deadline = time.monotonic() + SECONDS_TO_END
        while follower in children_of(torchrun.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertNotIn(follower, children_of(torchrun.pid))
        if number == signal.SIGSTOP:
            os.kill(leader, signal.SIGKILL)
        _, stderr = torchrun.communicate(timeout=TIMEOUT_SECONDS)
        self.assertNotEqual(torchrun.returncode, 0)
        (line,) = [line for line in stderr.splitlines() if "]: error: " in line]
        self.assertIn(f"hici [rank 1 of 2]: error: rank 0 of 2 ({HOST}) has died or hangs: ", line)
        self.assertRegex(line, r"step [1-9]\d*")

    def test_torchrun_of_a_killed_and_of_a_stopped_leader(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.strike_under_torchrun, (signal.SIGKILL, signal.SIGSTOP)))

    def test_torchrun_goes_on_by_itself_after_a_kill(self):
        run = {"max_steps": 60, "save_steps": 20, "gradient_accumulation_steps": 1}
        reference, out = self.folder / "reference", self.folder / "out"
        self.run_all("reference", 2, train_options(reference, **run))
        torchrun = self.torchrun(2, train_options(out, **run, **RESUME), ["--max_restarts", "3"], starts=False)
        self.addCleanup(torchrun.kill)
        while not any(out.glob("checkpoint-20")):
            self.assertIsNone(torchrun.poll())
            time.sleep(0.01)
        os.kill(children_of(torchrun.pid)[1], signal.SIGKILL)
        _, stderr = torchrun.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(torchrun.returncode, 0, stderr)
        self.assertRegex(stderr, r"resuming from \S+/checkpoint-\d+: \d+ of 60 steps are done")
        self.assert_same_training(out, reference, 60)


class StopTest(ProcessesTest):
    def check_resumes(self, out):
        reference = self.folder / "reference"
        (saved,) = out.glob("checkpoint-*")
        self.assertEqual(int(saved.name.split("-")[1]), num_metric_lines(out))
        steps = num_metric_lines(out) + 2
        run = {"max_steps": steps, "save_steps": 0}
        self.run_all("reference", 2, train_options(reference, **run))
        self.run_all("resumed", 2, train_options(out, **run, **RESUME))
        self.assert_same_training(out, reference, steps)

    def test_a_signal_to_any_process_stops_and_saves_all(self):
        for number in (signal.SIGTERM, signal.SIGUSR1):
            for rank in (0, 1):
                with self.subTest(signal=number, rank=rank):
                    out = self.folder / "out"
                    processes = self.start("run", 2, train_options(out, **LONG))
                    self.assertTrue(processes.wait_for_lines(out, 3), processes.text())
                    processes.all[rank].send_signal(number)
                    self.assertTrue(processes.wait(SECONDS_TO_END), processes.text())
                    self.assertEqual(processes.codes(), [128 + number] * 2, processes.text())
                    self.assertIn(f"stopped by signal {int(number)} after step", processes.logs[0].read_text())
                    self.assertEqual(processes.logs[1].read_text(), "")
                    if (number, rank) == (signal.SIGTERM, 1):
                        self.check_resumes(out)
                    shutil.rmtree(out)
                    shutil.rmtree(self.folder / "reference", ignore_errors=True)

    def test_signals_to_all_processes_at_once(self):
        """As Slurm and torchrun send them."""
        out = self.folder / "out"
        processes = self.start("run", 3, train_options(out, **LONG))
        self.assertTrue(processes.wait_for_lines(out, 3), processes.text())
        for process in processes.all:
            process.send_signal(signal.SIGTERM)
        self.assertTrue(processes.wait(SECONDS_TO_END), processes.text())
        self.assertEqual(processes.codes(), [128 + signal.SIGTERM] * 3, processes.text())
        (saved,) = out.glob("checkpoint-*")
        self.assertEqual(int(saved.name.split("-")[1]), num_metric_lines(out))

    def test_a_process_that_waits_for_others_stops(self):
        processes = Processes(self.folder / "logs", [train_options(self.folder / "out")] * 2, starts={0})
        self.addCleanup(processes.__exit__)
        time.sleep(1.5)
        processes.all[0].send_signal(signal.SIGTERM)
        self.assertTrue(processes.wait(SECONDS_TO_END), "it waits on")
        self.assertEqual(processes.codes(), [128 + signal.SIGTERM], processes.text())

    def test_a_signal_to_torchrun_saves(self):
        out = self.folder / "out"
        torchrun = self.torchrun(2, train_options(out, **LONG), starts=False)
        self.addCleanup(torchrun.kill)
        while num_metric_lines(out) < 3:
            self.assertIsNone(torchrun.poll())
            time.sleep(0.01)
        torchrun.send_signal(signal.SIGTERM)
        _, stderr = torchrun.communicate(timeout=60)
        self.assertIn("stopped by signal 15 after step", stderr)
        self.check_resumes(out)


class DisagreementTest(ProcessesTest):
    """Found before the first step."""

    def check(self, options, *needles, world=2, code=1, **keywords):
        out = self.folder / "out"
        processes = self.start("run", world, options, **keywords)
        self.assertTrue(processes.wait(20), processes.text())
        self.assertEqual(processes.codes(), [code] * world, processes.text())
        (line,) = [line for rank in range(world) for line in processes.errors(rank)]
        for needle in needles:
            self.assertIn(str(needle), line)
        here, there = re.search(" is '(.*)' here and '(.*)' there; all processes of a run need the same$", line).groups()
        self.assertNotEqual(here, there, line)
        self.assertEqual(sorted(os.listdir(out)) if out.exists() else [], [])

    def options(self, **changes):
        return train_options(self.folder / "out", max_steps=2, **changes)

    def test_another_rate(self):
        self.check(lambda rank: self.options(learning_rate=1e-3 if rank == 2 else 2e-3),
                   "hici train [rank 2 of 3]: error: rank 2 differs from rank 0: the option learning_rate is '0.001' here "
                   "and '0.002' there", world=3)

    def test_another_way_to_share(self):
        self.check(lambda rank: self.options(segment_parallel=1 + rank), "rank 1 differs from rank 0", "the option segment_parallel is '2' here and '1' there")
        self.check(lambda rank: self.options(shard="none" if rank == 1 else None), "rank 1 differs", "the option shard is 'none' here")
        # Before any group that depends on it, and by name where one process does not have the line at all.
        self.check(lambda rank: self.options(shard="full" if rank == 0 else "optimizer"), "the option shard is 'optimizer' here")
        self.check(lambda rank: self.options(shard="full", shard_group_size=4 if rank < 2 else 2), "shard_group_size", world=4)
        self.check(lambda rank: self.options(offload="weights" if rank == 0 else None),
                   "the option offload is 'nothing' here and 'weights' there")

    def test_another_data_file(self):
        other = self.folder / "other.bin"
        shutil.copy(TOKENS, other)
        self.check(lambda rank: self.options(data_path=other if rank == 1 else TOKENS), "rank 1 differs from rank 0", other)

    def test_other_content_of_the_data_file(self):
        def change(folder):
            raw = TOKENS.read_bytes()
            (folder / "tokens.bin").write_bytes(raw[:4000] + raw[4002:4004] + raw[4002:])
        self.check(self.options(model_name_or_path="base", data_path="tokens.bin"), "rank 1 differs from rank 0: the content "
                   "of the data", cwds=self.on_two_hosts(change))

    def test_other_content_of_the_deepspeed_file(self):
        def change(folder):
            for host, norm in ((self.folder / "first", 0.5), (folder, 0.25)):
                (host / "ds.json").write_text(f'{{"gradient_clipping": {norm}, "zero_optimization": {{"stage": 1}}}}')
        self.check(self.options(model_name_or_path="base", data_path="tokens.bin", deepspeed="ds.json"), "rank 1 differs from rank 0: "
                   "the option max_grad_norm is '0.25' here", cwds=self.on_two_hosts(change))

    def test_one_other_weight(self):
        def change(folder):
            tensors = read_safetensors(BASE / "model.safetensors")
            name = sorted(tensors)[-1]
            dtype, shape, raw = tensors[name]
            raw = bytearray(raw)
            raw[-4] ^= 1
            write_safetensors(folder / "base" / "model.safetensors", {**tensors, name: (dtype, shape, bytes(raw))})
        self.check(self.options(model_name_or_path="base", data_path="tokens.bin"), "rank 1 differs from rank 0: the ",
                   cwds=self.on_two_hosts(change))

    def test_a_loss_that_is_no_number_ends_all(self):
        out, rates = self.folder / "out", {"learning_rate": 10, "hici_lr": 10, "warmup_steps": 0, "max_grad_norm": 0}
        processes = self.run_all("run", 2, train_options(out, **rates, hici_grad_clip=0, max_steps=90, save_steps=0), code=1)
        self.assertRegex(processes.text(), r"error: step \d+: loss .*; no update was made")

    def test_one_that_fails_alone_ends_all(self):
        processes = self.start("run", 2, self.options(model_name_or_path="base", data_path="tokens.bin"),
                               cwds=self.on_two_hosts(lambda folder: shutil.rmtree(folder / "base")))
        self.assertTrue(processes.wait(20), processes.text())
        self.assertEqual(processes.codes()[1], 1, processes.text())
        self.assertNotEqual(processes.codes()[0], 0, processes.text())
        self.assertIn("base: is no directory", processes.text())


class BadInputTest(ProcessesTest):
    """An exit code of all, and one line; each process may say it."""

    def check(self, world, options, *needles, code=2, command="train", **keywords):
        processes = self.run_all(f"run-{len(os.listdir(self.folder))}", world, options, code, **keywords)
        said = [log.read_text().splitlines() for log in processes.logs]
        self.assertNotEqual(sum(said, []), [])
        for rank, lines in enumerate(said):
            self.assertLessEqual(len(lines), 1, processes.text())
            for line in lines:
                self.assertTrue(line.startswith(f"hici {command} [rank {rank} of {world}]: error: "), line)
                for needle in needles:
                    self.assertIn(needle, line)
        self.assertFalse((self.folder / "out").exists())

    def options(self, **changes):
        return train_options(self.folder / "out", max_steps=2, **changes)

    def test_processes_that_segment_parallel_does_not_divide(self):
        self.check(3, self.options(segment_parallel=2), "--segment_parallel: 2 does not divide the 3 processes")

    def test_more_processes_than_segments(self):
        self.check(8, self.options(segment_parallel=8), "--segment_parallel: 8 processes cannot share a sequence of 4 segments")

    def test_attention_beyond_segments(self):
        for attention, changes in (("full", {"num_chunks": None}), ("s2", {})):
            self.check(2, self.options(segment_parallel=2, attention=attention, **NO_HICI, **changes),
                       f"--segment_parallel: has no form with --attention {attention}")

    def test_packed_rows(self):
        options = ["sft", *self.options(segment_parallel=2, packing=True, sft_segment_length=24, num_chunks=None)[1:]]
        self.check(2, options, "--segment_parallel: has no form with --packing True", command="sft")

    def test_unknown_way_to_shard(self):
        self.check(2, self.options(shard="nonsense"), "--shard: ", "'nonsense'", "optimizer, full or none")

    def test_a_host_that_does_not_resolve(self):
        self.check(2, self.options(), "MASTER_ADDR: host 'nowhere.invalid' does not resolve", code=1, address="nowhere.invalid")

    def test_no_port(self):
        for port in ("http", "0", "65536"):
            self.check(2, self.options(), f"MASTER_PORT: '{port}' in the environment is no port from 1 to 65535", code=1,
                       port=port)

    def test_a_port_in_use(self):
        with socket.socket() as other:
            port = free_port()
            other.bind(("127.0.0.1", port))
            other.listen()
            processes = self.start("run", 2, self.options(), port=port)
            self.assertTrue(processes.wait(SECONDS_TO_END, but=1), processes.text())
            self.assertEqual(processes.codes()[0], 1, processes.text())
            (line,) = processes.errors(0)
            self.assertIn(f"127.0.0.1:{port}: cannot listen there; is the port in use? Choose another MASTER_PORT", line)
        self.assertFalse((self.folder / "out").exists())


if __name__ == "__main__":
    unittest.main()
