# SPDX-License-Identifier: Apache-2.0
"""hici eval ppl --segment_parallel: processes that share each window by whole segments find the loss of one process."""
import itertools
import json
import re
import shutil
import signal
import time
import unittest

from processes import PEER_FAILURE, SECONDS_TO_END, ProcessesTest, place
from support import GOLDEN, TIMEOUT_SECONDS, UndisturbedRuns, golden_hici_options, read_safetensors, write_safetensors

MODEL = GOLDEN / "llama-gqa"
BASE, TOKENS = MODEL / "base", MODEL / "tokens.bin"
MODES = ("none", "causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly")
BY_CLOCK = ("seconds", "tokens_per_second")
ROUNDED = ("loss", "perplexity")
OF_MANY = ("segment_parallel", "processes")
LIMIT = {"seq_len": 96, "sliding_window": 48, "batch_size": 2, "limit_tokens": 340}  # six windows
MANY_BATCHES = {"sliding_window": 8, "batch_size": 1, "limit_tokens": 2000}


def options(**changes):
    hici = dict(zip(*[iter(text.removeprefix("--") for text in golden_hici_options("llama-gqa"))] * 2))
    settings = {"base_model": BASE, "peft_model": MODEL / "adapter", "data_path": TOKENS, "eval_mode": "hici",
                "dtype": "float64", "device": "cpu", **hici, **LIMIT, **changes}
    return ["eval", "ppl"] + [text for key, value in settings.items() if value is not None for text in (f"--{key}", str(value))]


def into_folder(folder, **changes):
    return options(output=folder / "ppl.json", **changes)


reference_run = UndisturbedRuns(into_folder).folder


def num_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


class TogetherTest(ProcessesTest):
    def assert_as_one_process(self, output, world, segment_parallel, **changes):
        mine = json.loads(output.read_text())
        other = json.loads((reference_run(**changes) / "ppl.json").read_text())
        self.assertEqual([mine.pop(name) for name in OF_MANY], [segment_parallel, world])
        for name in ROUNDED:
            self.assertLess(abs(mine[name] / other[name] - 1), 1e-9, f"{name}: {mine[name]} is not {other[name]}")
        for name in (*BY_CLOCK, *ROUNDED):
            del mine[name], other[name]
        self.assertEqual(mine, other)  # windows, predicted tokens, accuracy, settings
        self.assertEqual([path.name for path in output.parent.iterdir()], [output.name])  # no journal was left behind


class SharedWindowsTest(TogetherTest):
    def check(self, world, segment_parallel, **changes):
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        output = folder / "ppl.json"
        self.run_all(f"{folder.name}-run", world, options(output=output, segment_parallel=segment_parallel, **changes))
        self.assert_as_one_process(output, world, segment_parallel, **changes)

    def check_modes(self, world, modes, segments, **changes):
        for mode, count in zip(modes, itertools.cycle(segments)):
            with self.subTest(mode=mode, segments=count):
                self.check(world, world, causal_mode=mode, num_chunks=count, **changes)

    def test_two_processes_in_every_mode(self):
        self.check_modes(2, MODES, (4, 6, 16))

    def test_four_processes_share_unequal_parts_in_every_mode(self):
        """Two segments each of six: the last process has padding alone."""
        self.check_modes(4, MODES, (6,))

    def test_two_processes_one_segment_at_a_time(self):
        self.check_modes(2, MODES[1:], (4, 16, 6), stream_segments=True)

    def test_four_processes_one_segment_at_a_time(self):
        """The last round is of two segments, or of three."""
        self.check_modes(4, MODES[1:], (6,), stream_segments=True)

    def test_segments_that_nothing_divides(self):
        for changes in ({}, {"stream_segments": True}):
            with self.subTest(**changes):
                self.check(2, 2, seq_len=98, num_chunks=7, causal_mode="causal_gi", **changes)

    def test_segments_of_one_token(self):
        """The last segment predicts nothing."""
        self.check(2, 2, seq_len=7, num_chunks=7, causal_mode="causal_shift", stream_segments=True, limit_tokens=150)

    def test_a_base_without_hici_modules(self):
        none = {name: None for name in ("peft_model", "num_local_slots", "global_slots", "num_heads", "bottleneck_dim",
                                        "shared_compress_dim", "causal_mode")}
        self.check(2, 2, num_chunks=6, **none)

    def test_groups_take_different_batches(self):
        """Of three batches the second group has one, and nothing in the last round."""
        for changes in ({"num_chunks": 6}, {"num_chunks": 6, "stream_segments": True, "causal_mode": "causal_gi"}):
            with self.subTest(**changes):
                self.check(4, 2, **changes)

    def test_without_an_output_the_first_process_shows_the_result(self):
        alone = self.run_hici(*options()).stdout
        processes = self.run_all("shown", 4, options(segment_parallel=2))
        shown = [out.read_text() for out in processes.outs]
        self.assertEqual(shown[1:], [""] * 3)
        numbers = re.compile(r", [0-9.]+ tokens/s")
        self.assertEqual(numbers.sub("", shown[0]), numbers.sub("", alone))
        self.assertEqual([log.read_text() for log in processes.logs[1:]], [""] * 3)


class StopTest(TogetherTest):
    def strike(self, output, rank, number, **changes):
        """`number` to a process in the middle of its work -> the processes, when all have ended."""
        wanted = num_lines(self.journal(output)) + 4
        processes = self.start(f"stopped-{rank}", 2, options(output=output, segment_parallel=2, **MANY_BATCHES, **changes))
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while num_lines(self.journal(output)) < wanted and time.monotonic() < deadline and None in processes.codes():
            time.sleep(0.002)
        processes.all[rank].send_signal(number)
        self.assertTrue(processes.wait(SECONDS_TO_END), processes.text())
        return processes

    def journal(self, output):
        return output.with_name(output.name + ".part-0-of-1")

    def stop(self, output, rank, number=signal.SIGTERM, **changes):
        """-> answers that the journal has then, and how many of this run its last line says."""
        processes = self.strike(output, rank, number, **changes)
        self.assertEqual(processes.codes(), [128 + number] * 2, processes.text())
        answers = num_lines(self.journal(output)) - 1
        (line,) = [line for line in processes.logs[0].read_text().splitlines() if "stopped by" in line]
        self.assertIn(f"stopped by signal {int(number)} after ", line)
        self.assertIn("batches; give --resume to go on from them", line)
        self.assertEqual(processes.logs[1].read_text(), "")
        self.assertFalse(output.exists())
        return answers, int(re.search(r"after (\d+) of", line).group(1))

    def test_a_signal_to_any_process_stops_all_and_other_runs_go_on(self):
        """With another number of processes, whose sums differ in rounding alone; and alone."""
        output = self.folder / "out" / "ppl.json"
        answers, said = self.stop(output, 1)
        self.assertEqual(answers, said)
        more, said = self.stop(output, 0, signal.SIGUSR1, resume=True)
        self.assertEqual(more, answers + said)
        refused = self.run_hici(*options(output=output, **MANY_BATCHES, resume=True, causal_mode="causal_gi"), code=1)
        self.assertIn("answers with causal_mode", refused.stderr)
        self.run_all("resumed", 4, options(output=output, segment_parallel=2, resume=True, **MANY_BATCHES))
        self.assert_as_one_process(output, 4, 2, **MANY_BATCHES)
        done = self.run_all("done", 2, options(output=output, segment_parallel=2, resume=True, **MANY_BATCHES))
        self.assertIn("nothing to do", done.logs[0].read_text())
        self.assertIn("nothing to do", self.run_hici(*options(output=output, resume=True, **MANY_BATCHES)).stderr)

    def test_one_process_goes_on_with_the_journal_of_two(self):
        output = self.folder / "out" / "ppl.json"
        answers, _ = self.stop(output, 0)
        self.check_goes_on(output, answers)

    def test_one_that_dies_ends_the_other_and_what_was_scored_is_kept(self):
        output = self.folder / "out" / "ppl.json"
        processes = self.strike(output, 1, signal.SIGKILL)
        self.assertEqual(processes.codes(), [PEER_FAILURE, -signal.SIGKILL], processes.text())
        (line,) = processes.errors(0)
        self.assertIn("rank 1 of 2", line)
        self.check_goes_on(output, num_lines(self.journal(output)) - 1)

    def check_goes_on(self, output, answers):
        self.run_hici(*options(output=output, resume=True, **MANY_BATCHES))
        mine, other = (json.loads(path.read_text()) for path in (output, reference_run(**MANY_BATCHES) / "ppl.json"))
        self.assertGreater(answers, 0)
        self.assertLess(abs(mine["loss"] / other["loss"] - 1), 1e-9)
        self.assertEqual(mine["predicted_tokens"], other["predicted_tokens"])


class DisagreementTest(ProcessesTest):
    """Found before the first window."""

    def check(self, options_of, *needles, world=2, **keywords):
        processes = self.start("run", world, options_of, **keywords)
        self.assertTrue(processes.wait(20), processes.text())
        self.assertEqual(processes.codes(), [1] * world, processes.text())
        (line,) = [line for rank in range(world) for line in processes.errors(rank)]
        for needle in needles:
            self.assertIn(str(needle), line)
        self.assertTrue(line.endswith("; all processes of a run need the same"), line)

    def test_another_option(self):
        self.check(lambda rank: options(segment_parallel=2, sliding_window=48 + rank),
                   "hici eval ppl [rank 1 of 2]: error: rank 1 differs from rank 0: the option sliding_window is '49' here")

    def test_other_content_of_the_data(self):
        def change(folder):
            raw = TOKENS.read_bytes()
            (folder / "tokens.bin").write_bytes(raw[:4000] + raw[4002:4004] + raw[4002:])
        self.check(options(segment_parallel=2, base_model="base", data_path="tokens.bin", peft_model=None),
                   "rank 1 differs from rank 0: the content of the data", cwds=self.on_two_hosts(change))

    def test_one_other_weight(self):
        def change(folder):
            tensors = read_safetensors(BASE / "model.safetensors")
            dtype, shape, raw = tensors[sorted(tensors)[-1]]
            raw = bytearray(raw)
            raw[-4] ^= 1
            write_safetensors(folder / "base" / "model.safetensors", {**tensors, sorted(tensors)[-1]: (dtype, shape, bytes(raw))})
        self.check(options(segment_parallel=2, base_model="base", data_path="tokens.bin", peft_model=None),
                   "rank 1 differs from rank 0: the hash of the weights", cwds=self.on_two_hosts(change))

    def test_one_that_fails_alone_ends_all(self):
        two_hosts = self.on_two_hosts(lambda folder: shutil.rmtree(folder / "base"))
        processes = self.start("run", 2, options(segment_parallel=2, base_model="base", data_path="tokens.bin", peft_model=None),
                               cwds=two_hosts)
        self.assertTrue(processes.wait(20), processes.text())
        self.assertEqual(processes.codes()[1], 1, processes.text())
        self.assertNotEqual(processes.codes()[0], 0, processes.text())
        self.assertIn("base: is no directory", processes.text())

    def test_a_loss_that_is_no_number_ends_all(self):
        shutil.copytree(BASE, self.folder / "base")
        tensors = read_safetensors(BASE / "model.safetensors")
        name = "model.norm.weight"
        dtype, shape, raw = tensors[name]
        write_safetensors(self.folder / "base" / "model.safetensors", {**tensors, name: (dtype, shape, b"\xff" * len(raw))})
        processes = self.run_all("run", 2, options(segment_parallel=2, base_model=self.folder / "base", peft_model=None), code=1)
        (line,) = {re.sub(r"rank \d of", "rank of", line) for rank in range(2) for line in processes.errors(rank)}
        self.assertIn(name, line)


class RefusalTest(ProcessesTest):
    """Usage errors. What options say alone each process says before they meet."""

    def check(self, *needles, world=2, **changes):
        said = [f"{name}={value}" for name, value in place(0, world, 1).items()] if world > 1 else []
        done = self.run_hici(*options(**{"segment_parallel": 2, **changes}), code=2, wrapper=["env", *said])
        self.assert_one_error_line(done, "eval ppl", *needles)

    def test_modes_that_see_beyond_a_segment(self):
        for mode in ("full", "s2", "dca"):
            self.check(f"--segment_parallel: has no form with --eval_mode {mode}, where tokens see beyond their segment; use "
                       "--eval_mode hici", eval_mode=mode)

    def test_one_segment(self):
        self.check("--segment_parallel: has no form with --eval_mode full_hierarchical, where a window is one segment; use "
                   "--eval_mode hici", eval_mode="full_hierarchical")

    def test_processes_that_it_does_not_divide(self):
        self.check("--segment_parallel: 2 does not divide the 3 processes; use as many", world=3)
        self.check("--segment_parallel: 2 does not divide the 1 process; use as many processes as are a multiple of it", world=1)

    def test_resuming_needs_an_output(self):
        self.check("--resume: needs --output", resume=True)

    def test_streaming_where_every_segment_is_needed(self):
        """The model says so, after the processes have met."""
        self.check_together("--stream_segments: ", stream_segments=True, causal_mode="none")

    def test_more_processes_than_segments(self):
        self.check_together("--segment_parallel: 2 processes cannot share a sequence of 1 segment; use as many at most", num_chunks=1)

    def test_a_place_that_cannot_be_written(self):
        """The first process alone looks at it."""
        self.check_together(f"{TOKENS}: ", output=TOKENS, code=1)

    def check_together(self, needle, code=2, **changes):
        processes = self.run_all("run", 2, options(segment_parallel=2, **changes), code=code)
        lines = [line for rank in range(2) for line in processes.errors(rank)]
        self.assertNotEqual(lines, [])
        for line in lines:
            self.assertIn(needle, line)


if __name__ == "__main__":
    unittest.main()
