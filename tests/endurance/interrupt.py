#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Interrupts hici at random moments, hundreds of times, lets it go on each time, and compares with runs left alone.

    tests/endurance/interrupt.py --hici build/cuda-release/bin/hici [--training 200] [--others 150] [--seed 1] [--jobs 2]

Training (LoRA, all parameters, fine-tuning, one segment at a time) is sent SIGKILL, SIGTERM, SIGINT, SIGHUP and SIGUSR1,
and is always started by one command. In the end every loss and every byte of the last checkpoint must be the undisturbed
run's. The other commands are interrupted and run again: a file under its final name must be whole, the second result equal
to the undisturbed one, and nothing else may be left. Signals that come after the end of a process do not count. It takes
about twenty minutes on two cores (--jobs: processes at once), so it is no part of CI. Exit code 1 when there was a fault; its folder is kept then.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]
# What a clock, the memory of a process or its folder decides. Everything else must be equal.
VOLATILE = {"seconds", "tokens_per_second", "peak_memory_bytes", "time", "git_revision", "mebibytes_per_second"}
LEFT_OVER = (".tmp", ".hici-tmp", ".deleting", ".hici.lock", ".part-", ".journal")
HICI_SIZES = ["--num_chunks", "4", "--num_local_slots", "4", "--global_slots", "2", "--num_heads", "4", "--bottleneck_dim",
              "32", "--shared_compress_dim", "16"]


class Fault(Exception):
    pass


def run(hici, arguments, folder):
    done = subprocess.run([hici, *map(str, arguments)], env=ENVIRONMENT, cwd=folder, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    if done.returncode != 0:
        raise Fault(f"{arguments[0]} ends with {done.returncode} undisturbed: {done.stderr.strip()[-2000:]}")
    return done


def run_and_interrupt(hici, arguments, folder, number, delay):
    """Returns (whether the signal came in time, exit code, stderr)."""
    with open(folder / "stderr.txt", "w+") as stderr:
        process = subprocess.Popen([hici, *map(str, arguments)], env=ENVIRONMENT, cwd=folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=stderr)
        in_time = False
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            in_time = True
        code = process.wait(timeout=600)
        stderr.seek(0)
        return in_time, code, stderr.read()


def without_volatile(value):
    if isinstance(value, dict):
        return {key: without_volatile(item) for key, item in value.items() if key not in VOLATILE}
    return [without_volatile(item) for item in value] if isinstance(value, list) else value


def comparable(path, folder):
    """The content of a file; of JSON without what a clock decides. The run's own folder has one name everywhere."""
    raw = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
    if path.suffix == ".jsonl":
        return [without_volatile(json.loads(line)) for line in raw.splitlines()]
    return without_volatile(json.loads(raw)) if path.suffix == ".json" else raw


def files_of(folder):
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def contents(folder):
    return {name: comparable(path, folder.parent) for name, path in files_of(folder).items()}


class Job:
    """Arguments, and a result() that an undisturbed run gives."""

    def prepare(self, hici, folder):
        folder.mkdir()
        start = time.monotonic()
        run(hici, self.arguments, folder)
        self.duration = time.monotonic() - start
        self.expected = self.result(folder)


class Training(Job):
    """One command for the whole life of a run. Its output is `out` in the folder that it is started in."""

    def __init__(self, name, arguments, steps):
        self.name, self.steps = name, steps
        self.arguments = [*arguments, "--output_dir", "out", "--resume_from_checkpoint", "latest"]

    def result(self, folder):
        out = folder / "out"
        left = [name for name in os.listdir(out) if any(mark in name for mark in LEFT_OVER)]
        if left:
            raise Fault(f"{self.name}: left behind: {left}")
        return comparable(out / "metrics.jsonl", folder), contents(out / f"checkpoint-{self.steps}")

    def attempt(self, hici, folder, chance):
        """Interrupts one run up to 8 times; returns how many signals came in time, as "hit"."""
        folder.mkdir()
        hits = 0
        for _ in range(8):
            number = chance.choice(SIGNALS)
            in_time, code, stderr = run_and_interrupt(hici, self.arguments, folder, number,
                                                      chance.uniform(0, self.duration))
            hits += in_time
            # Death by the signal itself: SIGKILL, or before the program has begun to listen.
            if code not in ({0, -number, 128 + number} if in_time else {0}):
                raise Fault(f"{self.name}: exit code {code} after {number.name}: {stderr.strip()[-2000:]}")
            # Once it says that it has finished all is saved, and a process on its way out no longer listens.
            is_running = "parameters, trained" in stderr and ": finished " not in stderr
            if code == -number and number != signal.SIGKILL and is_running:
                raise Fault(f"{self.name}: {number.name} ended a run that had begun, without a save")
            if code == 128 + number and "stopped by signal" not in stderr:
                raise Fault(f"{self.name}: {number.name} and no word of it: {stderr.strip()[-2000:]}")
        run(hici, self.arguments, folder)
        found = self.result(folder)
        if found[0] != self.expected[0]:
            raise Fault(f"{self.name}: other losses than the undisturbed run's")
        differing = [name for name in {**found[1], **self.expected[1]} if found[1].get(name) != self.expected[1].get(name)]
        if differing:
            raise Fault(f"{self.name}: other bytes than the undisturbed run's: {differing}")
        return {"hit": hits}


class Command(Job):
    """A command that makes `out` (a file or a folder) in the folder that it is started in."""

    def __init__(self, name, arguments, again=(), grows=False):
        self.name, self.arguments, self.again = name, list(arguments), list(again)
        self.grows = grows  # files under their final names that grow by whole records, as answers do

    def result(self, folder):
        return {name: comparable(path, folder) for name, path in files_of(folder).items() if name != "stderr.txt"}

    def check_names(self, folder):
        """What is there under a final name is whole; the second run decides about everything else."""
        for name, path in files_of(folder).items():
            if name in self.expected and not self.grows and comparable(path, folder) != self.expected[name]:
                raise Fault(f"{self.name}: {name} is there and not whole")

    def is_complete(self, folder):
        return all((folder / name).exists() for name in self.expected)

    def attempt(self, hici, folder, chance):
        folder.mkdir()
        hits = 0
        for attempt in range(4):
            number = chance.choice(SIGNALS[:4])
            arguments = self.arguments + (self.again if attempt > 0 else [])
            in_time, code, stderr = run_and_interrupt(hici, arguments, folder, number, chance.uniform(0, self.duration))
            hits += in_time
            if code not in ({0, 1, -number, 128 + number} if in_time else {0}):
                raise Fault(f"{self.name}: exit code {code} after {number.name}: {stderr.strip()[-2000:]}")
            self.check_names(folder)
            if self.is_complete(folder) and not self.again:
                break
        if not self.is_complete(folder) or self.again:
            run(hici, self.arguments + self.again, folder)
        found = self.result(folder)
        differing = [name for name in {**found, **self.expected} if found.get(name) != self.expected.get(name)]
        if differing:
            raise Fault(f"{self.name}: not as undisturbed: {differing}")
        return {"hit": hits}


def make_text(path, chance, words):
    vocabulary = ["".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(2, 9))) for _ in range(900)]
    with open(path, "w") as file:
        for start in range(0, words, 12):
            file.write(" ".join(chance.choices(vocabulary, k=12)) + ".\n")


def make_material(hici, folder, chance):
    """Text, tokenizer, model, token file, rows for fine-tuning, prompts, an adapter."""
    make_text(folder / "text.txt", chance, 120_000)
    run(hici, ["train-tokenizer", "--text_file", "text.txt", "--vocab_size", "512", "--output_dir", "tokenizer"], folder)
    run(hici, ["init", "--tokenizer", "tokenizer", "--hidden_size", "64", "--intermediate_size", "128", "--output_dir",
               "base"], folder)
    run(hici, ["tokenize", "--tokenizer", "base", "--text_file", "text.txt", "--output", "tokens.bin"], folder)
    lines = (folder / "text.txt").read_text().splitlines()
    rows = [{"instruction": lines[i], "output": lines[i + 1]} for i in range(0, 240, 2)]
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": line}) + "\n" for line in lines[:24]))
    run(hici, ["train", "--model_name_or_path", "base", "--data_path", "tokens.bin", "--output_dir", "adapter",
               "--model_max_length", "128", "--max_steps", "2", "--gradient_accumulation_steps", "1", *HICI_SIZES], folder)


def jobs_of(material):
    common = ["--model_name_or_path", material / "base", "--model_max_length", "256", "--gradient_accumulation_steps", "2",
              "--save_steps", "3", "--learning_rate", "2e-3", "--hici_lr", "1e-2", "--warmup_steps", "4"]
    tokens = ["--data_path", material / "tokens.bin"]
    evaluated = ["--base_model", material / "base", "--peft_model", material / "adapter"]
    training = [
        Training("train, LoRA and HiCI", ["train", *common, *tokens, *HICI_SIZES, "--max_steps", "24"], 24),
        Training("train, all parameters", ["train", *common, *tokens, *HICI_SIZES, "--max_steps", "24", "--low_rank_training",
                                           "False", "--save_total_limit", "2"], 24),
        Training("train, streamed", ["train", *common, *tokens, *HICI_SIZES, "--max_steps", "20", "--stream_segments",
                                     "True", "--causal_mode", "causal_gi"], 20),
        Training("sft", ["sft", *common, *HICI_SIZES[2:], "--data_path", material / "rows.json", "--max_steps", "24"], 24),
    ]
    others = [
        Command("tokenize", ["tokenize", "--tokenizer", material / "base", "--text_file", material / "text.txt", "--output",
                             "out.bin"]),
        Command("train-tokenizer", ["train-tokenizer", "--text_file", material / "text.txt", "--vocab_size", "600",
                                    "--output_dir", "out"]),
        Command("init", ["init", "--vocab_size", "4096", "--hidden_size", "512", "--num_attention_heads", "8",
                         "--intermediate_size", "1024", "--output_dir", "out"]),
        Command("merge", ["merge", *evaluated, "--save_path", "out"]),
        Command("merge --with_hici", ["merge", *evaluated, "--save_path", "out", "--with_hici", "True"]),
        Command("extract", ["extract", "--checkpoint_path", material / "adapter", "--output_dir", "out", "--format",
                            "bin"]),
        Command("eval ppl", ["eval", "ppl", *evaluated, *tokens, "--seq_len", "256", "--eval_mode", "full", "--output",
                             "out.json", "--limit_tokens", "60000"], ["--resume", "True"]),
        Command("eval attention", ["eval", "attention", *evaluated, *tokens, "--seq_len", "256", "--limit_tokens", "20000",
                                   "--output", "out.json"], ["--resume", "True"]),
        Command("eval passkey", ["eval", "passkey", *evaluated, "--max_tokens", "2000", "--interval", "500", "--num_tests",
                                 "4", "--output", "out.json"], ["--resume", "True"], grows=True),
        Command("generate", ["generate", *evaluated, "--batch_file", material / "prompts.jsonl", "--max_new_tokens", "24",
                             "--output", "out.jsonl"]),
        Command("report", ["report", material / "adapter", "--output", "out.html"]),
    ]
    return training, others


def take_turns(hici, jobs, wanted, folder, options, most_faults, what):
    """Attempts of the jobs in turn, until `wanted` of what they count is "hit". Returns rows of (name, runs, counts, faults)."""
    rows = {job.name: [0, collections.Counter(), []] for job in jobs}

    def num_hits():
        return sum(row[1]["hit"] for row in rows.values())

    turn = 0
    while num_hits() < wanted and sum(len(row[2]) for row in rows.values()) <= most_faults:
        batch = [(jobs[(turn + i) % len(jobs)], turn + i) for i in range(options.jobs)]
        turn += options.jobs
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            tried = [(job, pool.submit(job.attempt, hici, folder / str(number), random.Random(f"{options.seed}-{number}")), number)
                     for job, number in batch]
        for job, future, number in tried:
            row = rows[job.name]
            row[0] += 1
            try:
                row[1].update(future.result())
                shutil.rmtree(folder / str(number))
            except Fault as fault:
                row[2].append(f"{folder / str(number)}: {fault}")
                print(f"FAULT {row[2][-1]}", flush=True)
        print(f"\r{num_hits()} of {wanted} {what}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [(name, *row) for name, row in rows.items()]


def new_folder(options):
    """A folder for all that a script does, and the one in it with what every job begins with."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hici-endurance-"))
    material = folder / "material"
    material.mkdir()
    make_material(options.hici, material, random.Random(options.seed))
    return folder, material


def conclude(folder, num_faults):
    """The exit code."""
    if num_faults == 0:
        shutil.rmtree(folder)
    print(f"{num_faults} faults" + ("" if num_faults == 0 else f"; folders are kept in {folder}"))
    return 1 if num_faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hici", required=True, type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("--training", type=int, default=200, help="signals over training")
    parser.add_argument("--others", type=int, default=150, help="signals over the other commands")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once; each has one thread")
    options = parser.parse_args()
    folder, material = new_folder(options)
    num_faults = 0
    for jobs, wanted in zip(jobs_of(material), (options.training, options.others)):
        if wanted == 0:
            continue
        place = folder / type(jobs[0]).__name__
        place.mkdir()
        for job in jobs:
            job.prepare(options.hici, place / f"undisturbed-{job.name}")
        for name, runs, counts, faults in take_turns(options.hici, jobs, wanted, place, options, 20, "signals"):
            print(f"{name:24} {runs:4} runs {counts['hit']:5} signals {len(faults):3} faults")
            num_faults += len(faults)
    return conclude(folder, num_faults)


if __name__ == "__main__":
    sys.exit(main())
