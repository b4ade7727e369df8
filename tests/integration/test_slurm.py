# SPDX-License-Identifier: Apache-2.0
"""hici train under a real Slurm, which runs on this machine for the duration of the test: trains over two tasks, and ends
as a job that is told to stop should.

Everything of this Slurm (munge, slurmctld, slurmd; their key, configuration, sockets, logs and state) is in a temporary
folder, and its ports are free ones. It needs the packages slurm-wlm and munge, and no set-up of either."""
import contextlib
import os
import pathlib
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import ENVIRONMENT, HICI, TIMEOUT_SECONDS, FolderTest, metrics, num_metric_lines, train_options, wait_until

SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # where daemons are
USER = pwd.getpwuid(os.getuid()).pw_name
START_SECONDS = 60
TASKS = 2
RUN = {"dtype": "float64", "save_steps": 0}
# Named one by one: a job is in others for a moment on its way (SIGNALING, CONFIGURING, COMPLETING...).
ENDED_STATES = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE",
                "OUT_OF_MEMORY")

CONFIGURATION = """\
ClusterName=hici
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/slurmctld
SlurmdSpoolDir={folder}/slurmd
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={controller_port}
SlurmdPort={daemon_port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Slurm:
    """One node with CPUs for two jobs of TASKS, whatever the machine has."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hici-slurm-"))
        self.folder.chmod(0o711)  # munged wants its socket within everybody's reach, and nothing else
        # Not those of a Slurm that this test may run in itself.
        self.environment = {name: value for name, value in ENVIRONMENT.items()
                            if not name.startswith(("SLURM_", "SBATCH_"))}
        self.environment |= {"PATH": SYSTEM_PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.daemons = []

    def start(self):
        host = socket.gethostname().split(".")[0]
        controller_port, daemon_port = free_ports(2)
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(
            host=host, user=USER, folder=self.folder, controller_port=controller_port,
            daemon_port=daemon_port, cpus=2 * TASKS))
        for name in ("slurmctld", "slurmd"):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self.start_daemon("munged", "--foreground", f"--socket={self.folder}/munge.socket", f"--key-file={key}",
                          f"--log-file={self.folder}/munged.log", f"--pid-file={self.folder}/munged.pid",
                          f"--seed-file={self.folder}/munged.seed")
        self.wait_for("munged", lambda: (self.folder / "munge.socket").exists())
        self.start_daemon("slurmctld", "-D")
        self.wait_for("slurmctld", lambda: self.command("scontrol", "ping").returncode == 0)
        self.start_daemon("slurmd", "-D", "-N", host)
        self.wait_for("the node", lambda: self.command("sinfo", "--noheader", "--format=%t").stdout.strip() == "idle")

    def start_daemon(self, *command):
        with open(self.folder / f"{command[0]}.out", "wb") as out:
            self.daemons.append(subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out,
                                                 stderr=subprocess.STDOUT))

    def wait_for(self, what, is_there):
        deadline = time.monotonic() + START_SECONDS
        while not is_there():
            if time.monotonic() > deadline or any(each.poll() is not None for each in self.daemons):
                logs = "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.out")))
                raise AssertionError(f"{what} did not start\n{logs}")
            time.sleep(0.1)

    def stop(self):
        if len(self.daemons) == 3:
            self.command("scancel", "--user", USER)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments, **keywords):
        return subprocess.run(list(map(str, arguments)), env=self.environment, text=True, timeout=TIMEOUT_SECONDS,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)

    def start_training(self, name, *options):
        """srun with hici in every task. `name` is that of the job, too."""
        command = ["srun", f"--job-name={name}", f"--ntasks={TASKS}", HICI, *options]
        return subprocess.Popen(list(map(str, command)), env=self.environment, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def job_of(self, name):
        return self.command("squeue", "--noheader", f"--name={name}", "--format=%i").stdout.strip()


def pid_of_task(job, rank):
    wanted = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode()}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                return int(folder.name)
    raise AssertionError(f"job {job} has no task {rank}")


class EndingBatchJob:
    """A batch job of one minute with --signal=TERM@60: the signal comes when Slurm next looks at its jobs' times, as it
    does every 30 s from its start on. The job runs beside the other tests meanwhile."""

    def __init__(self):
        self.folder = slurm.folder / "batch"
        self.folder.mkdir()
        self.out, self.log, script = self.folder / "out", self.folder / "log", self.folder / "job.sh"
        options = train_options(self.out, **RUN, max_steps=100000, resume_from_checkpoint="latest")
        script.write_text(f"#!/bin/bash\n#SBATCH --ntasks={TASKS} --time=1 --signal=TERM@60\n"
                          f"srun {shlex.join(map(str, [HICI, *options]))}\n")
        self.number = slurm.command("sbatch", "--parsable", f"--output={self.log}", script, check=True).stdout.strip()

    def wait(self):
        """-> state and exit code, as Slurm says them"""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            job = dict(re.findall(r"(\w+)=(\S+)", slurm.command("scontrol", "show", "job", self.number, check=True).stdout))
            if job["JobState"] in ENDED_STATES:
                return job["JobState"], job["ExitCode"]
            if time.monotonic() > deadline:
                raise AssertionError(f"the batch job did not end\n{job}\n{self.log.read_text()}")
            time.sleep(0.2)


slurm = Slurm()
batch = None


def setUpModule():
    global batch
    unittest.addModuleCleanup(slurm.stop)
    slurm.start()
    batch = EndingBatchJob()


class SlurmTest(FolderTest):
    def train_to_the_end(self, name, *options):
        process = slurm.start_training(name, *options)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 0, stderr)
        return stderr

    def test_two_tasks_train_as_one_process_with_twice_the_accumulation(self):
        alone, shared = self.folder / "alone", self.folder / "shared"
        self.run_hici(*train_options(alone, **RUN, gradient_accumulation_steps=4))
        stderr = self.train_to_the_end("together", *train_options(shared, **RUN))
        self.assertEqual(stderr.count("finished 12 steps"), 1, stderr)
        self.assertEqual(len(metrics(shared)), 12)
        for mine, other in zip(metrics(shared), metrics(alone), strict=True):
            for name in ("loss", "grad_norm", "hici_grad_norm"):
                self.assertAlmostEqual(mine[name], other[name], delta=1e-9 * max(1, abs(other[name])))
            self.assertEqual(mine["tokens"], other["tokens"])

    def start_endless_training(self, name):
        """A run of many steps, in the middle of them -> its process and its folder."""
        out = self.folder / name
        process = slurm.start_training(name, *train_options(out, **RUN, max_steps=100000))
        self.assertTrue(wait_until(process, lambda: num_metric_lines(out) >= 3), name)
        return process, out

    def check_saved_stop(self, out, stderr, number):
        """-> the step of the one checkpoint"""
        self.assertEqual(len(re.findall(r"(?m)^saved ", stderr)), 1, stderr)
        self.assertEqual(stderr.count(f"stopped by signal {number} after step "), 1, stderr)
        self.assertNotRegex(stderr, r"(?m)^hici.*error: ")
        (checkpoint,) = out.glob("checkpoint-*")
        return int(checkpoint.name.removeprefix("checkpoint-"))

    def check_stop(self, name, number, *scancel_options):
        process, out = self.start_endless_training(name)
        done = slurm.command("scancel", *scancel_options, slurm.job_of(name))
        self.assertEqual(done.returncode, 0, done.stderr)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 128 + number, stderr)
        return out, self.check_saved_stop(out, stderr, number)

    def check_resume(self, out, steps):
        """Two steps more from the checkpoint, with every bit of a run that was never stopped."""
        run = {**RUN, "max_steps": steps + 2}
        whole = self.folder / "whole"
        self.train_to_the_end("whole", *train_options(whole, **run))
        stderr = self.train_to_the_end("resumed", *train_options(out, **run, resume_from_checkpoint="latest"))
        self.assertIn(f"{steps} of {steps + 2} steps are done", stderr)
        self.assert_same_training(out, whole, steps + 2)

    def test_sigterm_saves_once_and_stops_all_tasks(self):
        self.check_resume(*self.check_stop("term", signal.SIGTERM, "--signal=TERM"))

    def test_sigusr1_saves_once_and_stops_all_tasks(self):
        self.check_resume(*self.check_stop("usr1", signal.SIGUSR1, "--signal=USR1"))

    def test_a_cancelled_job_saves_before_it_is_killed(self):
        self.check_stop("cancelled", signal.SIGTERM)

    def test_a_signal_to_one_task_stops_all(self):
        process, out = self.start_endless_training("one")
        os.kill(pid_of_task(slurm.job_of("one"), 1), signal.SIGUSR1)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGUSR1, stderr)
        self.check_saved_stop(out, stderr, signal.SIGUSR1)

    def test_a_task_that_dies_ends_the_other_which_srun_would_leave(self):
        process, _ = self.start_endless_training("dying")
        killed = time.monotonic()
        os.kill(pid_of_task(slurm.job_of("dying"), 1), signal.SIGKILL)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertLess(time.monotonic() - killed, 30, stderr)
        self.assertRegex(stderr, r"hici \[rank 0 of 2\]: error: rank 1 of 2 \(.*\) has died or hangs: no sign of life")
        self.assertRegex(stderr, r"task 0: Exited with exit code 3")

    def test_the_signal_before_the_end_of_a_batch_job_reaches_its_tasks(self):
        self.assertEqual(batch.wait(), ("FAILED", f"{128 + signal.SIGTERM}:0"), batch.log.read_text())
        self.check_saved_stop(batch.out, batch.log.read_text(), signal.SIGTERM)


if __name__ == "__main__":
    unittest.main(verbosity=2)
