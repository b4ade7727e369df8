# SPDX-License-Identifier: Apache-2.0
"""Where commands write: looked at first, never half filled, never taken from others, cleaned up behind the dead."""
import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import unittest

from support import (ENVIRONMENT, GOLDEN, HICI, TIMEOUT_SECONDS, FolderTest, golden_hici_options, hici, last_line,
                     start_hici, stop_now, train_options, wait_until)

MODEL = GOLDEN / "qwen3-gqa"
DEAD = "hici-tmp-0123456789abcdef"
BY_CLOCK = ("seconds", "tokens_per_second")


def eval_command(kind, *more):
    return ["eval", kind, "--base_model", MODEL / "base", "--peft_model", MODEL / "adapter", *golden_hici_options("qwen3-gqa"),
            "--data_path", MODEL / "tokens.bin", "--seq_len", 96, "--dtype", "float32", "--device", "cpu", *more]


class PlaceTest(FolderTest):
    def commands_into(self, place):
        """Every command with an output, asked to write at or below `place`; what it reads is not there."""
        none = self.folder / "none"
        (self.folder / "prompts.jsonl").write_text('{"prompt": "a"}\n')
        answers = self.folder / "10_response.txt"
        answers.write_text("Label: a, Predict: b, prompt length: 5\n")
        (self.folder / "text.txt").write_text("text\n")
        prompts, text = self.folder / "prompts.jsonl", self.folder / "text.txt"
        model, output = ["--base_model", none], ["--output", place / "out"]
        return [
            ["eval", "ppl", *model, "--data_path", none, *output],
            ["eval", "attention", *model, "--data_path", none, *output],
            ["eval", "attention", *model, "--data_path", none, "--figures", place / "figures"],
            ["eval", "passkey", *model, "--max_tokens", 1024, "--interval", 1024, *output],
            ["eval", "passkey", *model, "--max_tokens", 1024, "--interval", 1024, "--figure", place / "out.svg"],
            ["eval", "topics", none, *model, "--output_dir", place],
            ["eval", "lines", none, *model, "--output_dir", place],
            ["eval", "longbench", "--longbench_dir", none, *model, "--output_dir", place],
            ["bench", "loss", "--model", "quickstart", "--seq_len", 64, *output],
            ["bench", "loss", "--model", "quickstart", "--seq_len", 64, "--csv", place / "out.csv"],
            ["plan", *output],
            ["generate", *model, "--batch_file", prompts, *output],
            ["tokenize", "--tokenizer", none, "--input", none, *output],
            ["tokenize", "--tokenizer", none, "--input", none, "--output_dir", place],
            ["train-tokenizer", "--input", text, "--vocab_size", 300, "--output_dir", place],
            ["init", "--vocab_size", 32, "--output_dir", place / "model"],
            ["merge", *model, "--peft_model", none, "--save_path", place / "model"],
            ["extract", "--checkpoint_path", none, "--output_dir", place / "adapter"],
            ["report", none, "--output", place / "out.html"],
            ["score", "topics", answers, *output],
            ["score", "longbench", none, "--table", place / "out.csv"],
            train_options(place, model_name_or_path=none),
        ]

    def test_a_place_that_cannot_be_written_is_said_first(self):
        """Before the model is looked for, which is not there either."""
        place = self.folder / "a file"
        place.write_text("mine")
        for command in self.commands_into(place):
            with self.subTest(" ".join(map(str, command[:2]))):
                done = self.run_hici(*command, code=1)
                self.assertIn(str(place), last_line(done.stderr))
                self.assertIn("error: ", last_line(done.stderr))
        self.assertEqual(place.read_text(), "mine")

    def test_a_command_that_fails_leaves_no_folder(self):
        place = self.folder / "new" / "folder"
        for command in self.commands_into(place):
            if command[0] in ("bench", "plan", "init", "train-tokenizer") or command[:2] == ["score", "topics"]:
                continue  # these have all that they need
            with self.subTest(" ".join(map(str, command[:2]))):
                done = self.run_hici(*command, code=1)
                self.assertIn(str(self.folder / "none"), last_line(done.stderr))
                self.assertFalse((self.folder / "new").exists())

    def test_missing_folders_are_made(self):
        place = self.folder / "results" / "new"
        self.run_hici(*eval_command("ppl", "--limit_tokens", 400, "--output", place / "ppl.json"))
        self.run_hici(*eval_command("attention", "--limit_tokens", 400, "--output", place / "b" / "attention.json",
                                    "--figures", place / "figures"))
        self.run_hici("plan", "--output", place / "c" / "plan.json")
        self.run_hici("report", place, "--output", self.folder / "pages" / "report.html")
        for file in ("ppl.json", "b/attention.json", "figures/map.svg", "c/plan.json", "../../pages/report.html"):
            self.assertGreater((place / file).stat().st_size, 0, file)

    def test_links_are_neither_followed_nor_replaced(self):
        precious = self.folder / "precious"
        precious.write_text("mine")
        for name in ("result.json", "result.json.part-0-of-1"):
            link = self.folder / name
            link.symlink_to(precious)
            done = self.run_hici(*eval_command("ppl", "--limit_tokens", 400, "--output", self.folder / "result.json"), code=1)
            self.assertIn(f"{link}: ", last_line(done.stderr))
            self.assertTrue(link.is_symlink())
            link.unlink()
        out = self.folder / "out"
        out.mkdir()
        (out / ".hici.lock").symlink_to(precious)
        self.assert_one_error_line(hici(*train_options(out, max_steps=1)), "train", out / ".hici.lock", "symbolic link")
        self.assertEqual(precious.read_text(), "mine")


class InputTest(FolderTest):
    """What a command reads is never what it writes, whatever the names, and is refused before any work."""

    def setUp(self):
        super().setUp()
        self.model = self.folder / "model"
        shutil.copytree(MODEL, self.model)
        self.prompts = self.folder / "prompts.jsonl"
        self.prompts.write_text('{"prompt": "a"}\n')
        self.answers = self.folder / "10_response.txt"
        self.answers.write_text("Label: a, Predict: b, prompt length: 5\n")
        self.text = self.folder / "text.txt"
        self.text.write_text("some words and some more words\n" * 50)
        self.words = self.folder / "words"
        self.run_hici("train-tokenizer", "--input", self.text, "--vocab_size", 300, "--output_dir", self.words)
        self.config = self.folder / "run.ini"
        self.config.write_text("seq_len = 96\n")
        self.tokens = self.model / "tokens.bin"

    def commands(self):
        """Each command, the option of its output and what it must not be."""
        base, adapter = self.model / "base", self.model / "adapter"
        weights = next(base.glob("*.safetensors"))
        model = ["--base_model", base, "--peft_model", adapter, "--device", "cpu"]
        windows = [*model, "--data_path", self.tokens, "--config", self.config]
        passkey = ["eval", "passkey", *model, "--tokenizer", self.words, "--max_tokens", 1024, "--interval", 1024, "--resume"]
        generate = ["generate", *model, "--tokenizer", self.words, "--batch_file", self.prompts, "--overwrite", "True"]
        tokenize = ["tokenize", "--tokenizer", self.words, "--input", self.text, "--overwrite", "True"]
        of_model = [weights, base / "config.json", base / "." / "config.json", adapter / "adapter_config.json"]
        for kind in ("ppl", "attention"):
            yield ["eval", kind, *windows], "--output", [self.tokens, self.model / "base" / ".." / "tokens.bin", self.config, *of_model]
        yield passkey, "--output", [*of_model, self.words / "tokenizer.json"]
        yield generate, "--output", [self.prompts, self.words / "tokenizer.json", *of_model]
        yield tokenize, "--output", [self.text, self.words / "tokenizer.json", self.words / "tokenizer"]  # the last by its .json
        yield ["plan", "--model", base], "--output", of_model[:3]
        bench = ["bench", "step", "--model", base, "--seq_len", 64, "--device", "cpu"]
        for option in ("--output", "--csv", "--latex"):
            yield bench, option, of_model[:3]
        verdicts = self.folder / "10_response.txt.judge.jsonl"
        verdicts.write_text("{}\n")
        yield ["score", "topics", self.answers], "--output", [self.answers, verdicts]
        page = self.folder / "result.html"
        page.write_text(json.dumps({"command": "eval ppl", "label": "a", "attention": "full", "seq_len": 9, "perplexity": 2}))
        yield ["report", page], "--output", [page]

    def test_is_refused_and_stays(self):
        for command, option, outputs in self.commands():
            for output in outputs:
                with self.subTest(" ".join(map(str, command[:2])), option=option, output=output):
                    before = {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
                    done = self.run_hici(*command, option, output, code=1)
                    self.assertIn("this command reads (", last_line(done.stderr))
                    self.assertIn("; choose another name for the output", last_line(done.stderr))
                    self.assertEqual(before, {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()})

    def test_files_that_a_run_writes_are_no_data_of_it(self):
        for name in ("options.ini", "metrics.jsonl", ".hici.lock"):
            out = self.folder / "run"
            out.mkdir(exist_ok=True)
            shutil.copy(self.tokens, out / name)
            done = self.run_hici(*train_options(out, model="qwen3-gqa", data_path=out / name), code=1)
            self.assert_one_error_line(done, "train", f"{out / name}: is a name that the run in {out} writes itself")
            self.assertEqual((out / name).read_bytes(), self.tokens.read_bytes())

    def test_text_for_a_tokenizer_is_not_replaced_by_it(self):
        text = self.folder / "tokenizer.json"
        text.write_text(json.dumps([{"text": "some words"}]))
        done = self.run_hici("train-tokenizer", "--input", text, "--vocab_size", 300, "--output_dir", self.folder, "--overwrite",
                             "True", code=1)
        self.assert_one_error_line(done, "train-tokenizer", f"{text}: is what this command reads (--text_file)")

    def test_results_beside_what_is_read_are_right_and_said(self):
        adapter = self.model / "adapter"
        command = ["eval", "ppl", "--base_model", self.model / "base", "--peft_model", adapter, "--data_path", self.tokens,
                   *golden_hici_options("qwen3-gqa"), "--seq_len", 96, "--limit_tokens", 200, "--dtype", "float32", "--device",
                   "cpu", "--output", adapter / "ppl.json"]
        for _ in range(2):
            self.assertIn(f"wrote {adapter / 'ppl.json'}", self.run_hici(*command).stderr)
        ids = self.words / "ids.bin"
        for _ in range(2):
            self.run_hici("tokenize", "--tokenizer", self.words, "--input", self.text, "--output", ids, "--overwrite", "True")

    def test_a_damaged_result_is_not_finished(self):
        output = self.folder / "ppl.json"
        for text in ("{}", '{"command": "eval ppl"}'):
            output.write_text(text)
            done = self.run_hici(*eval_command("ppl", "--limit_tokens", 400, "--output", output, "--resume"), code=1)
            self.assert_one_error_line(done, "eval ppl", f"{output}: has no ", "damaged")
            self.assertEqual(output.read_text(), text)


class StoppedEvalTest(FolderTest):
    def result(self, path):
        return {key: value for key, value in json.loads(path.read_text()).items() if key not in BY_CLOCK}

    def test_what_is_scored_is_kept_though_the_first_start_had_no_resume(self):
        options = ["--sliding_window", 1, "--limit_tokens", 400]
        self.run_hici(*eval_command("ppl", *options, "--output", self.folder / "alone.json"))
        output = self.folder / "ppl.json"
        command = eval_command("ppl", *options, "--output", output)
        journal = self.folder / "ppl.json.part-0-of-1"
        process = start_hici(*command)
        self.assertTrue(wait_until(process, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 20))
        code, stderr = stop_now(process, signal.SIGHUP)
        self.assertEqual(code, 128 + signal.SIGHUP, stderr)
        self.assertRegex(last_line(stderr), r"^hici eval ppl: stopped by signal 1 after \d+ of 304 batches; give --resume")
        self.assertFalse(output.exists())
        self.assertIn("--resume", last_line(self.run_hici(*command, code=1).stderr))
        done = self.run_hici(*command, "--resume")
        self.assertIn("perplexity", done.stdout)
        self.assertEqual(self.result(output), self.result(self.folder / "alone.json"))
        self.assertFalse(journal.exists())


class OverwriteTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.text = self.folder / "text.txt"
        self.text.write_text("some words and some more words\n" * 50)
        self.run_hici("train-tokenizer", "--input", self.text, "--vocab_size", 300, "--output_dir", self.folder / "tokenizer")
        self.output = self.folder / "ids.bin"
        self.command = ["tokenize", "--tokenizer", self.folder / "tokenizer", "--input", self.text, "--output", self.output]

    def test_a_file_that_is_there_is_replaced_only_when_told(self):
        sidecar = self.folder / "ids.bin.json"
        sidecar.write_text("mine")
        self.assert_one_error_line(self.run_hici(*self.command, code=1), "tokenize", sidecar)
        sidecar.unlink()
        self.output.write_text("mine")
        done = self.run_hici(*self.command, code=1)
        self.assert_one_error_line(done, "tokenize", self.output, "is there already", "--overwrite True")
        self.assertEqual(self.output.read_text(), "mine")
        self.run_hici(*self.command, "--overwrite", "True")
        self.assertNotEqual(self.output.read_bytes(), b"mine")
        self.output.unlink()  # what is left is what a process leaves that is killed between the two renames
        self.run_hici(*self.command)
        self.assert_one_error_line(self.run_hici("train-tokenizer", "--input", self.text, "--vocab_size", 280, "--output_dir",
                                                 self.folder / "tokenizer", code=1), "train-tokenizer", "tokenizer.json")
        prompts, answers = self.folder / "prompts.jsonl", self.folder / "answers.jsonl"
        prompts.write_text('{"prompt": "a"}\n')
        answers.write_text("mine")
        generate = ["generate", "--base_model", self.folder / "none", "--batch_file", prompts, "--output", answers]
        self.assert_one_error_line(self.run_hici(*generate, code=1), "generate", answers, "--overwrite True")
        # Then the next thing is wrong.
        self.assert_one_error_line(self.run_hici(*generate, "--overwrite", code=1), "generate", self.folder / "none")
        self.assertEqual(answers.read_text(), "mine")

    def test_a_terminal_is_asked(self):
        for answer, code in (("n", 1), ("y", 0)):
            self.output.write_text("mine")
            master, terminal = pty.openpty()
            process = subprocess.Popen([HICI, *map(str, self.command)], env=ENVIRONMENT, stdin=terminal, stderr=terminal,
                                       stdout=subprocess.DEVNULL)
            os.close(terminal)
            shown = b""
            while b"[y/N]" not in shown:
                shown += os.read(master, 1000)
            self.assertIn(b"ids.bin is there already", shown.replace(b"\r\n", b""))
            os.write(master, answer.encode() + b"\n")
            self.assertEqual(process.wait(timeout=TIMEOUT_SECONDS), code)
            os.close(master)
            self.assertEqual(self.output.read_bytes() == b"mine", answer == "n")


class LeftoverTest(FolderTest):
    def setUp(self):
        super().setUp()
        small, self.text = self.folder / "small.txt", self.folder / "text.txt"
        small.write_text("some words and some more words\n" * 50)
        self.text.write_text("some words and some more words\n" * 1_000_000)
        self.run_hici("train-tokenizer", "--input", small, "--vocab_size", 300, "--output_dir", self.folder / "tokenizer")
        self.out = self.folder / "out"
        self.out.mkdir()
        self.tokenize = ["tokenize", "--tokenizer", self.folder / "tokenizer", "--output", self.out / "data.bin", "--input"]
        self.quick = [*self.tokenize, small]

    def start_tokenizing(self):
        process = start_hici(*self.tokenize, self.text)
        self.assertTrue(wait_until(process, self.has_tokens))
        return process

    def has_tokens(self):
        """In the temporary file; those that only try the place are empty, and gone at once."""
        try:
            return any(path.stat().st_size > 0 for path in self.out.glob("data.bin.hici-tmp-*"))
        except FileNotFoundError:
            return False

    def names(self):
        return sorted(path.name for path in self.out.iterdir())

    def test_an_interrupt_leaves_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            code, stderr = stop_now(self.start_tokenizing(), number)
            self.assertEqual(code, 128 + number, stderr)
            self.assertEqual(last_line(stderr), f"hici tokenize: stopped by signal {int(number)}; nothing was written")
            self.assertEqual(self.names(), [])

    def test_of_a_killed_process_is_named_and_then_removed(self):
        stop_now(self.start_tokenizing(), signal.SIGKILL)
        (left,) = self.names()
        for path in (self.out, self.out / "data.bin"):
            done = self.run_hici("inspect", path, code=1)  # there is nothing else to inspect
            self.assertIn(f"{left}: left by a process that ended early", done.stdout)
        self.assertEqual(self.names(), [left])
        done = self.run_hici(*self.quick)
        self.assertIn(f"{self.out / left}: left by a process that ended early, removed", done.stderr)
        self.assertEqual(self.names(), ["data.bin", "data.bin.json"])

    def test_of_a_live_process_is_left_alone(self):
        """By the same command, and by training in the same folder."""
        notes = self.out / "notes.tmp-2026-11"
        notes.write_text("mine")
        former = self.out / "data.bin.tmp-1-0"  # as files were called before; nobody knows whether its process lives
        former.write_text("?")
        process = self.start_tokenizing()
        process.send_signal(signal.SIGSTOP)
        (live,) = self.out.glob("data.bin.hici-tmp-*")
        self.assertIn(f"{live.name}: is being written", self.run_hici("inspect", self.out, code=1).stdout)
        self.run_hici(*self.quick)
        self.run_hici(*train_options(self.out, max_steps=1))
        self.assertTrue(live.exists())
        process.send_signal(signal.SIGCONT)
        code, stderr = stop_now(process, signal.SIGTERM)
        self.assertEqual(code, 143, stderr)
        self.assertFalse(live.exists())
        self.assertEqual((notes.read_text(), former.read_text()), ("mine", "?"))

    def test_a_merge_publishes_nothing_of_a_killed_one(self):
        model = GOLDEN / "llama-gqa"
        merged = self.folder / "merged"
        command = ["merge", "--base_model", model / "base", "--peft_model", model / "adapter", "--save_path", merged,
                   "--context_size", 96]
        for name in (f"merged.{DEAD}", "merged.tmp-12345"):
            (self.folder / name).mkdir()
            (self.folder / name / "hici_modules.safetensors").write_text("of a killed one")
        held = os.open(self.folder / f"merged.{DEAD}", os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        self.run_hici(*command)
        self.assertTrue((self.folder / f"merged.{DEAD}").exists(), "somebody writes there")
        os.close(held)
        shutil.rmtree(merged)
        self.run_hici(*command)
        self.assertFalse((self.folder / f"merged.{DEAD}").exists())
        self.assertTrue((self.folder / "merged.tmp-12345").exists())
        self.assertFalse((merged / "hici_modules.safetensors").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
