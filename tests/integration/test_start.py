# SPDX-License-Identifier: Apache-2.0
"""The launcher, bin/hici: help without LibTorch, what it sets for the program, and how it becomes it."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from support import ENVIRONMENT, FolderTest, HICI, hici

MAIN = pathlib.Path(HICI).parent / "hici-main"
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def answers_of_the_program():
    """What the program wrote for the launcher: {words: text}."""
    done = subprocess.run([MAIN, "--help_texts"], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, check=True)
    return dict(re.findall(r'\{R"hici\((.*?)\)hici", R"hici\((.*?)\)hici"\},', done.stdout, re.DOTALL))


class HelpTest(unittest.TestCase):
    def test_launcher_and_program_say_the_same(self):
        answers = answers_of_the_program()
        self.assertGreater(len(answers), 25)
        for words, text in answers.items():
            if words == "--version":
                self.assertEqual(hici("--version").stdout, text)
                continue
            for arguments in ([*words.split(), "--help"], ["help", *words.split()], [*words.split(), "-h"]):
                self.assertEqual(hici(*arguments).stdout, text, arguments)
        self.assertEqual(hici().stdout, answers[""])
        for words in ("", "eval", "eval ppl"):  # and what the launcher hands on
            done = subprocess.run([MAIN, *words.split(), "--help"], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (0, answers[words]))

    def test_help_loads_no_libtorch(self):
        libraries = subprocess.run(["ldd", HICI], text=True, stdout=subprocess.PIPE, check=True).stdout
        self.assertIn("libc.so", libraries)
        self.assertNotIn("torch", libraries)

    def test_other_ways_to_ask_reach_the_program(self):
        text = hici("help", "train-tokenizer").stdout
        self.assertIn("Usage: hici train-tokenizer [OPTIONS]", text)
        self.assertEqual(hici("train_tokenizer", "--vocab_size", 1, "--help").stdout, text)
        done = hici("help", "trian")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, "hici: error: unknown command 'trian'; did you mean 'train'?\n")


class LauncherTest(FolderTest):
    """A copy of the launcher with a program of our own beside it."""

    def setUp(self):
        super().setUp()
        self.launcher = self.folder / "hici"
        shutil.copy(HICI, self.launcher)
        self.environment = {name: value for name, value in os.environ.items() if name not in CHOICES}

    def write_program(self, text):
        program = self.folder / "hici-main"
        program.write_text(f"#!{sys.executable}\nimport os, sys\n{text}\n")
        program.chmod(0o755)

    def launch(self, *arguments, **environment):
        return subprocess.run([self.launcher, *arguments], env={**self.environment, **environment}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_arguments_and_exit_code_pass_through(self):
        self.write_program("print(sys.argv[1:]); sys.exit(7)")
        done = self.launch("train", "--help", "--", "a b", "")
        self.assertEqual((done.returncode, done.stdout), (7, "['train', '--help', '--', 'a b', '']\n"))

    def test_the_process_stays_the_same(self):
        self.write_program("print(os.getpid()); sys.stdout.flush(); os.kill(os.getpid(), 15)")
        process = subprocess.Popen([self.launcher, "train"], env=self.environment, text=True, stdout=subprocess.PIPE)
        stdout, _ = process.communicate()
        self.assertEqual((int(stdout), process.returncode), (process.pid, -15))

    def test_idle_threads_sleep_unless_the_user_chose(self):
        self.write_program(f"print({{name: os.environ.get(name) for name in {CHOICES}}})")
        self.assertEqual(eval(self.launch("train").stdout), {**dict.fromkeys(CHOICES), "GOMP_SPINCOUNT": "1000"})
        for name, value in zip(CHOICES, ("active", "7", "0")):
            chosen = eval(self.launch("train", **{name: value}).stdout)
            self.assertEqual(chosen, {**dict.fromkeys(CHOICES), name: value})

    def test_a_link_finds_its_program(self):
        self.write_program("print('here')")
        link = self.folder / "elsewhere" / "hici"
        link.parent.mkdir()
        link.symlink_to(self.launcher)
        done = subprocess.run([link, "train"], env=self.environment, text=True, stdout=subprocess.PIPE)
        self.assertEqual(done.stdout, "here\n")

    def test_a_missing_program_is_one_line(self):
        done = self.launch("train")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, f"hici: error: {self.folder}/hici-main: cannot be started: No such file or directory; "
                                      f"it belongs beside {self.launcher}\n")
        self.assertEqual(self.launch("--help").returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
