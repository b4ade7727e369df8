#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills one of the processes that train together, any of them at any moment, lets all go on, and compares with runs left
alone.

    tests/endurance/kill_process.py --hici build/cuda-release/bin/hici [--kills 100] [--seed 1] [--jobs 3]

Every run is of a fixed number of processes and started by one command, again and again. Where one process is killed all
others must end by themselves within ten seconds with exit code 3, one line each, and at the end of the run every loss and
every byte of its last checkpoint must be those of an undisturbed run of as many processes. Kills that come after the end of
the process do not count. Of a process that dies before all have met the others cannot know: they are ended as a launcher
does it, and the row says how many kills were of that kind. It takes about ten minutes on two cores (--jobs: runs at once;
most of the time they wait), so it is no part of CI. Exit code 1 when there was a fault; its folder is kept then.
"""
import argparse
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

from interrupt import ENVIRONMENT, HICI_SIZES, LEFT_OVER, Fault, comparable, conclude, contents, new_folder, take_turns

SECONDS_TO_END = 10  # of the others, after one was killed
KILLS_OF_A_RUN = 5
PEER_FAILURE = 3  # exit code


def free_port(chance):
    """Below those that outgoing connections take."""
    while True:
        port = chance.randint(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Processes:
    """All processes of one start, each with its stderr in a file of `folder`."""

    def __init__(self, hici, arguments, folder, world, port):
        self.logs = [folder / f"stderr-{rank}.txt" for rank in range(world)]
        self.started = []
        for rank, log in enumerate(self.logs):
            place = {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": str(port)}
            with open(log, "w") as stderr:
                self.started.append(subprocess.Popen([hici, *map(str, arguments)], env={**ENVIRONMENT, **place}, cwd=folder,
                                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr))

    def all_end_within(self, seconds):
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in self.started):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def end(self):
        for process in self.started:
            process.kill()
            process.wait()

    def codes(self):
        return [process.poll() for process in self.started]

    def text(self):
        return "".join(f"--- rank {rank}\n{log.read_text()[-1500:]}" for rank, log in enumerate(self.logs))

    def have_met(self):
        """They say so after the folder is theirs: the leader in its first line."""
        return self.logs[0].read_text() != ""


class Run:
    """One command for the whole life of a run of `world` processes."""

    def __init__(self, name, world, arguments, steps):
        self.name, self.world, self.steps = name, world, steps
        self.arguments = [*arguments, "--max_steps", steps, "--output_dir", "out", "--resume_from_checkpoint", "latest"]

    def finish(self, hici, folder, chance):
        processes = Processes(hici, self.arguments, folder, self.world, free_port(chance))
        has_ended = processes.all_end_within(300)
        processes.end()
        if not has_ended or processes.codes() != [0] * self.world:
            raise Fault(f"{self.name}: {'ends with' if has_ended else 'hangs;'} {processes.codes()} undisturbed:\n"
                        f"{processes.text()}")

    def prepare(self, hici, folder, chance):
        folder.mkdir()
        start = time.monotonic()
        self.finish(hici, folder, chance)
        self.duration = time.monotonic() - start
        self.expected = self.result(folder)

    def result(self, folder):
        out = folder / "out"
        left = [name for name in os.listdir(out) if any(mark in name for mark in LEFT_OVER)]
        if left:
            raise Fault(f"{self.name}: left behind: {left}")
        return comparable(out / "metrics.jsonl", folder), contents(out / f"checkpoint-{self.steps}")

    def kill_one(self, hici, folder, chance):
        """Returns "missed", "early" (before all had met) or "hit"."""
        processes = Processes(hici, self.arguments, folder, self.world, free_port(chance))
        try:
            time.sleep(chance.uniform(0, self.duration))
            rank = chance.randrange(self.world)
            processes.started[rank].kill()
            if processes.started[rank].wait() != -signal.SIGKILL:
                processes.all_end_within(SECONDS_TO_END)
                return "missed"
            had_met = processes.have_met()
            if not processes.all_end_within(SECONDS_TO_END):
                if had_met:
                    raise Fault(f"{self.name}: {SECONDS_TO_END} s after rank {rank} was killed: {processes.codes()}\n"
                                f"{processes.text()}")
                return "early"
            self.check_ends(processes, rank, had_met)
            return "hit" if had_met else "early"
        finally:
            processes.end()

    def check_ends(self, processes, killed, had_met):
        for rank, (code, log) in enumerate(zip(processes.codes(), processes.logs)):
            if rank == killed:
                continue
            errors = [line for line in log.read_text().splitlines() if "error: " in line]
            # 0: the killed one was the last to leave a run that was over.
            if code not in (0, PEER_FAILURE) and had_met or code == PEER_FAILURE and len(errors) != 1:
                raise Fault(f"{self.name}: rank {killed} was killed: {processes.codes()}\n{processes.text()}")

    def attempt(self, hici, folder, chance):
        """Kills a process of a run several times, and lets it end; how many kills were "missed", "early", "hit"."""
        folder.mkdir()
        counts = {"missed": 0, "early": 0, "hit": 0}
        for _ in range(KILLS_OF_A_RUN):
            counts[self.kill_one(hici, folder, chance)] += 1
        self.finish(hici, folder, chance)
        found = self.result(folder)
        if found[0] != self.expected[0]:
            raise Fault(f"{self.name}: other losses than the undisturbed run's")
        differing = [name for name in {**found[1], **self.expected[1]} if found[1].get(name) != self.expected[1].get(name)]
        if differing:
            raise Fault(f"{self.name}: other bytes than the undisturbed run's: {differing}")
        return counts


def runs_of(material):
    common = ["--model_name_or_path", material / "base", "--model_max_length", "256", "--save_steps", "3", "--learning_rate",
              "2e-3", "--hici_lr", "1e-2", "--warmup_steps", "4"]
    train = ["train", *common, "--data_path", material / "tokens.bin", *HICI_SIZES]
    two = ["--gradient_accumulation_steps", "2"]
    return [
        Run("2 processes", 2, [*train, *two], 18),
        Run("3, whole state in each", 3, [*train, *two, "--shard", "none"], 18),
        Run("2, all parameters", 2, [*train, *two, "--low_rank_training", "False", "--save_total_limit", "2"], 18),
        Run("2, one sequence, bfloat16", 2, [*train, *two, "--segment_parallel", "2", "--dtype", "bfloat16"], 18),
        Run("4 as 2 x 2", 4, [*train, *two, "--segment_parallel", "2"], 15),
        Run("2, streamed", 2, [*train, *two, "--segment_parallel", "2", "--stream_segments", "True", "--causal_mode",
                               "causal_gi"], 15),
        Run("sft, 2 processes", 2, ["sft", *common, *two, *HICI_SIZES[2:], "--data_path", material / "rows.json"], 18),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hici", required=True, type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("--kills", type=int, default=100, help="that hit a process of a run that had begun")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=3, help="runs at once; each process has one thread")
    options = parser.parse_args()
    folder, material = new_folder(options)
    runs = runs_of(material)
    for number, run in enumerate(runs):
        run.prepare(options.hici, folder / f"undisturbed-{number}", random.Random(f"{options.seed}-undisturbed-{number}"))
    num_faults = 0
    for name, tried, counts, faults in take_turns(options.hici, runs, options.kills, folder, options, 10, "kills"):
        print(f"{name:26} {tried:3} runs {counts['hit']:4} kills {counts['early']:4} before all had met "
              f"{counts['missed']:4} missed {len(faults):3} faults")
        num_faults += len(faults)
    return conclude(folder, num_faults)


if __name__ == "__main__":
    sys.exit(main())
