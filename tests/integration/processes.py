# SPDX-License-Identifier: Apache-2.0
"""Several processes of one run, started as torchrun does it, or by torchrun itself."""
import array
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import time

from support import ENVIRONMENT, GOLDEN, HICI, TIMEOUT_SECONDS, FolderTest, metrics, num_metric_lines, read_safetensors

SECONDS_TO_END = 10  # of the others, after one process died
PEER_FAILURE = 3  # exit code
TORCHRUN = pathlib.Path(sys.executable).with_name("torchrun")


def free_port():
    """Below those that outgoing connections take."""
    while True:
        port = random.SystemRandom().randint(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def place(rank, world, port, address="127.0.0.1"):
    return {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "MASTER_ADDR": address,
            "MASTER_PORT": str(port)}


class Processes:
    """`commands`: the arguments of hici of each process; `cwds`: its folder, where they differ; `starts`: which of them
    come, if not all; `places`: what a launcher other than torchrun says to each."""

    def __init__(self, folder, commands, cwds=None, port=None, starts=None, places=None, **keywords):
        folder.mkdir(exist_ok=True)
        port = port or free_port()
        self.logs = [folder / f"stderr-{rank}.txt" for rank in range(len(commands))]
        self.outs = [folder / f"stdout-{rank}.txt" for rank in range(len(commands))]
        self.all = []
        for rank, (log, command) in enumerate(zip(self.logs, commands)):
            if starts and rank not in starts:
                continue
            said = places[rank] if places else place(rank, len(commands), port, **keywords)
            with open(log, "w") as stderr, open(self.outs[rank], "w") as stdout:
                self.all.append(subprocess.Popen(
                    [HICI, *map(str, command)], env={**ENVIRONMENT, **said}, cwd=cwds[rank] if cwds else None,
                    stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.all:
            if process.poll() is None:
                process.kill()
            process.wait()

    def wait(self, seconds=TIMEOUT_SECONDS, but=None):
        """True when all, `but` one, ended within this time."""
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for rank, process in enumerate(self.all) if rank != but):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def wait_for_lines(self, out, lines):
        """Until the run has done so many steps; True when all processes are there then."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while num_metric_lines(out) < lines and time.monotonic() < deadline:
            if any(process.poll() is not None for process in self.all):
                return False
            time.sleep(0.002)
        return all(process.poll() is None for process in self.all)

    def codes(self):
        return [process.poll() for process in self.all]

    def errors(self, rank):
        return [line for line in self.logs[rank].read_text().splitlines() if "error: " in line]

    def text(self):
        return "\n".join(f"--- rank {rank}: {code}\n{log.read_text()[-2000:]}"
                         for rank, (code, log) in enumerate(zip(self.codes(), self.logs)))


def children_of(pid):
    """Of a torchrun: its processes of hici, in the order of their ranks."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text() if pathlib.Path(f"/proc/{pid}").exists() else ""
    children = [int(child) for child in text.split()]
    return sorted(child for child in children if pathlib.Path(f"/proc/{child}/comm").read_text().startswith("hici"))


def numbers(dtype, raw):
    """bfloat16 by its upper half: with zeros behind it, it is a float32."""
    if dtype == "BF16":
        raw = b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))
    return array.array("d" if dtype == "F64" else "f", raw)


class ProcessesTest(FolderTest):
    def start(self, name, world, options, **keywords):
        """`options`: of every process, or a function of the rank."""
        commands = [options(rank) if callable(options) else options for rank in range(world)]
        processes = Processes(self.folder / f"{name}.logs", commands, **keywords)
        self.addCleanup(processes.__exit__)
        return processes

    def on_two_hosts(self, change):
        """Folders with llama-gqa and its tokens, which are called the same and are not: -> cwds. `change` gets the second."""
        cwds = [self.folder / name for name in ("first", "second")]
        for cwd in cwds:
            cwd.mkdir()
            shutil.copytree(GOLDEN / "llama-gqa" / "base", cwd / "base")
            shutil.copy(GOLDEN / "llama-gqa" / "tokens.bin", cwd / "tokens.bin")
        change(cwds[1])
        return cwds

    def run_all(self, name, world, options, code=0, **keywords):
        processes = self.start(name, world, options, **keywords)
        self.assertTrue(processes.wait(), processes.text())
        self.assertEqual(processes.codes(), [code] * world, processes.text())
        return processes

    def torchrun(self, world, options, more=(), code=0, starts=True):
        command = [TORCHRUN, "--nproc_per_node", str(world), "--master_addr", "127.0.0.1", "--master_port", str(free_port()),
                   *more, "--no-python", HICI, *map(str, options)]
        process = subprocess.Popen(command, env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        if not starts:
            return process
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, code, stderr)
        return stderr

    # ---- comparisons ------------------------------------------------------------------------------------------

    def assert_near(self, mine, other, what, delta):
        self.assertTrue(abs(mine - other) <= delta * max(1, abs(other)), f"{what}: {mine} is not {other}")

    def assert_tensors_near(self, mine, other, delta):
        mine, other = read_safetensors(mine), read_safetensors(other)
        self.assertEqual({name: tensor[:2] for name, tensor in mine.items()},
                         {name: tensor[:2] for name, tensor in other.items()})
        for name, (dtype, _, raw) in other.items():
            if raw == mine[name][2]:
                continue
            pairs = zip(numbers(dtype, mine[name][2]), numbers(dtype, raw))
            furthest = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
            self.assert_near(*furthest, name, delta)

    def assert_near_training(self, folder, reference, step, delta=1e-9):
        """Losses, norms, rates and every tensor of checkpoint-`step`: sums in another order, no more."""
        mine, other = metrics(folder), metrics(reference)
        self.assertEqual([sorted(line) for line in mine], [sorted(line) for line in other])
        for line, expected in zip(mine, other):
            for name, value in expected.items():
                self.assert_near(line[name], value, f"{name} of step {expected['step']}", delta)
        mine, other = folder / f"checkpoint-{step}", reference / f"checkpoint-{step}"
        names = sorted(path.name for path in other.iterdir())
        self.assertEqual(sorted(path.name for path in mine.iterdir()), names)
        tensors = [name for name in names if name.endswith(".safetensors")]
        self.assertIn("optimizer.safetensors", tensors)
        for name in tensors:
            self.assert_tensors_near(mine / name, other / name, delta)
