# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: running hici, the golden models, and just enough safetensors to damage a file."""
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

HICI = os.environ["HICI"]
GOLDEN = pathlib.Path(os.environ["HICI_GOLDEN"]) / "models"
# One thread: sums are added in the same order in every run, and parallel tests do not fight for cores.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TIMEOUT_SECONDS = 240  # of one process, on a machine that is busy with other things


def golden_hici_options(model):
    """The HiCI settings that the golden model was made with, as options."""
    hici = json.loads((GOLDEN / model / "expected.json").read_text())["hici"]
    names = {"num_segments": "num_chunks"}
    return [text for key, value in hici.items() for text in (f"--{names.get(key, key)}", str(value))]


def train_options(output_dir, model="llama-gqa", **changes):
    """A training run of a golden model; `changes` replaces or adds options, None removes one."""
    hici = dict(zip(*[iter(text.removeprefix("--") for text in golden_hici_options(model))] * 2))
    options = {"model_name_or_path": GOLDEN / model / "base", "data_path": GOLDEN / model / "tokens.bin",
               "output_dir": output_dir, "model_max_length": 96, "max_steps": 12, "save_steps": 2,
               "gradient_accumulation_steps": 2, "learning_rate": 2e-3, "hici_lr": 2e-2, "warmup_steps": 4,
               "dtype": "float32", "device": "cpu", **hici, **changes}
    return ["train"] + [text for key, value in options.items() if value is not None for text in (f"--{key}", str(value))]


def hici(*arguments, wrapper=(), **keywords):
    return subprocess.run([*wrapper, HICI, *map(str, arguments)], env=ENVIRONMENT, text=True, timeout=TIMEOUT_SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **keywords)


def start_hici(*arguments, **keywords):
    return subprocess.Popen([HICI, *map(str, arguments)], env=ENVIRONMENT, text=True, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **keywords)


def stop_now(process, signal_number=signal.SIGKILL):
    """Sends the signal, returns (exit code, stderr)."""
    process.send_signal(signal_number)
    _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode, stderr


def num_metric_lines(folder):
    try:
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_until(process, condition):
    """True when the condition came true while the process was running."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while process.poll() is None:
        if condition():
            return True
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError("the process neither ended nor did what the test waits for")
        time.sleep(0.002)
    return False


class UndisturbedRuns:
    """Folders of runs to compare with, each made once for the tests of a file. `options(folder, ...)`: what hici is told."""

    def __init__(self, options):
        self.options, self.folders, self.scratch = options, {}, None

    def folder(self, *arguments, **changes):
        if self.scratch is None:
            self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="hici-integration-"))
            unittest.addModuleCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        key = repr((arguments, sorted(changes.items())))
        if key not in self.folders:
            folder = self.scratch / f"reference-{len(self.folders)}"
            done = hici(*self.options(folder, *arguments, **changes))
            assert done.returncode == 0, done.stderr
            self.folders[key] = folder
        return self.folders[key]


def metrics(folder):
    """metrics.jsonl without what a clock or the memory of this process decides. JSON numbers keep every bit."""
    lines = [json.loads(line) for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for name in ("eval_seconds",) if "eval_loss" in line else ("tokens_per_second", "peak_memory_bytes", "seconds"):
            line.pop(name)
        for name in ("slowest_rank", "slowest_rank_time"):  # of several processes
            line.pop(name, None)
    return lines


def last_line(text):
    return text.rstrip("\n").rsplit("\n", 1)[-1]


def read_safetensors(path):
    """name -> (dtype, shape, bytes)"""
    raw = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (info["dtype"], info["shape"], raw[8 + size + info["data_offsets"][0]:8 + size + info["data_offsets"][1]])
            for name, info in header.items()}


def write_safetensors(path, tensors):
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))


class FolderTest(unittest.TestCase):
    """A test with a folder of its own, and the comparisons that several files need."""
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hici-integration-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_hici(self, *arguments, code=0, **keywords):
        done = hici(*arguments, **keywords)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def assert_one_error_line(self, done, command, *needles):
        """The last line is the one error; nothing that looks like a back trace stands anywhere."""
        errors = [line for line in done.stderr.splitlines() if "error: " in line]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertEqual(last_line(done.stderr), errors[0])
        self.assertRegex(errors[0], rf"^hici {re.escape(command)}( \[rank \d+ of \d+\])?: error: ", done.stderr)
        for needle in needles:
            self.assertIn(str(needle), errors[0])
        for trace in ("Exception raised from", "frame #", "terminate called", "Traceback", "this is a bug"):
            self.assertNotIn(trace, done.stderr)

    def assert_same_training(self, folder, reference, step):
        """Losses, norms and rates of every step, and the files of checkpoint-`step`, bit for bit."""
        self.assertEqual(metrics(folder), metrics(reference))
        mine, other = folder / f"checkpoint-{step}", reference / f"checkpoint-{step}"
        self.assertEqual(sorted(os.listdir(mine)), sorted(os.listdir(other)))
        for name in sorted(os.listdir(other)):
            self.assertEqual((mine / name).read_bytes(), (other / name).read_bytes(), f"{name} differs")
