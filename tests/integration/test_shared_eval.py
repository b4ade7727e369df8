# SPDX-License-Identifier: Apache-2.0
"""hici eval by several processes, as torchrun and Slurm start them: the numbers of one process, bit for bit."""
import json
import subprocess
import unittest

from support import ENVIRONMENT, GOLDEN, HICI, TIMEOUT_SECONDS, FolderTest, golden_hici_options

MODEL = GOLDEN / "qwen3-gqa"  # streams: its causal mode is causal_gi
BY_CLOCK = ("seconds", "tokens_per_second")


def torchrun(rank, world):
    return {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}


def slurm(rank, world):
    return {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(world), "SLURM_LOCALID": str(rank)}


class SharedEvalTest(FolderTest):
    def command(self, kind, *more):
        options = golden_hici_options("qwen3-gqa")
        return [HICI, "eval", kind, "--base_model", MODEL / "base", "--peft_model", MODEL / "adapter", *options,
                "--data_path", MODEL / "tokens.bin", "--seq_len", 96, "--sliding_window", 32, "--batch_size", 3,
                "--limit_tokens", 900, "--dtype", "float32", "--device", "cpu", *more]

    def run_as(self, places, command):
        """All processes at once -> [(exit code, stdout, stderr)]"""
        started = [subprocess.Popen([str(part) for part in command], env={**ENVIRONMENT, **place}, text=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for place in places]
        ended = [(p, *p.communicate(timeout=TIMEOUT_SECONDS)) for p in started]
        return [(p.returncode, out, err) for p, out, err in ended]

    def result_of(self, name, kind, places, *more):
        output = self.folder / name
        ended = self.run_as(places, self.command(kind, "--output", output, *more))
        self.assertEqual([code for code, _, _ in ended], [0] * len(places), ended)
        result = json.loads(output.read_text())
        self.assertEqual(sorted(p.name for p in self.folder.glob(name + "*")), [name], "a journal was left behind")
        return {key: value for key, value in result.items() if key not in BY_CLOCK}, ended

    def assert_as_one_process(self, kind, *more):
        alone, _ = self.result_of("alone.json", kind, [{}], *more)
        for name, start, world in (("two.json", torchrun, 2), ("three.json", slurm, 3), ("many.json", torchrun, 10)):
            with self.subTest(name=name):
                shared, ended = self.result_of(name, kind, [start(r, world) for r in range(world)], *more)
                self.assertEqual(shared, alone)
                self.assertTrue(any(out for _, out, _ in ended))

    def test_perplexity(self):
        self.assert_as_one_process("ppl", "--eval_mode", "hici")

    def test_streamed_perplexity(self):
        self.assert_as_one_process("ppl", "--eval_mode", "hici", "--stream_segments")

    def test_attention(self):
        self.assert_as_one_process("attention", "--map_window", 7)

    def test_goes_on_where_a_process_was_lost(self):
        alone, _ = self.result_of("alone.json", "ppl", [{}])
        output = self.folder / "shared.json"
        command = self.command("ppl", "--output", output)
        ((code, out, _),) = self.run_as([torchrun(0, 2)], command)
        self.assertEqual((code, out, output.exists()), (0, "", False))
        ((code, _, err),) = self.run_as([torchrun(0, 2)], command)
        self.assertEqual(code, 1)
        self.assertIn("--resume", err)
        resumed, _ = self.result_of("shared.json", "ppl", [{}], "--resume")  # by one process, which does the rest
        self.assertEqual(resumed, alone)
        ((code, out, err),) = self.run_as([{}], [*command, "--resume"])
        self.assertEqual((code, out), (0, ""))
        self.assertIn("nothing to do", err)

    def test_other_settings_are_not_mixed(self):
        output = self.folder / "shared.json"
        self.run_as([torchrun(0, 2)], self.command("ppl", "--output", output))
        command = self.command("ppl", "--output", output, "--resume", "--eval_mode", "hici")
        ((code, _, err),) = self.run_as([torchrun(1, 2)], command)
        self.assertEqual(code, 1, err)
        self.assertIn("shared.json.part-0-of-2", err)

    def test_several_processes_need_an_output(self):
        for kind in ("ppl", "attention"):
            ((code, _, err),) = self.run_as([torchrun(1, 2)], self.command(kind))
            self.assertEqual(code, 2, err)
            self.assertIn("--output", err)


if __name__ == "__main__":
    unittest.main()
