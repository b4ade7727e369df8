#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install` leaves is whole: the program runs from another folder, and examples/ builds on the library and
gives what the program gives."""
import math
import pathlib
import subprocess
import unittest

from support import FolderTest, GOLDEN, HICI

ROOT = pathlib.Path(__file__).parents[2]
BUILD = GOLDEN.parents[1]
PROMPT = "In the beginning"


def run(*command, code=0):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    if done.returncode != code:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class InstallTest(FolderTest):
    def test_the_program_and_the_examples_work_from_where_they_are_installed(self):
        prefix = self.folder / "installed"
        run("cmake", "--install", BUILD, "--prefix", prefix)
        installed = prefix / "bin" / "hici"
        self.assertEqual(run(installed, "--version"), run(HICI, "--version"))
        self.assertEqual(sorted(path.name for path in prefix.iterdir()), ["bin", "include", "lib", "share"])
        self.check_share(installed, prefix / "share")

        build = self.folder / "examples"
        run("cmake", "-S", ROOT / "examples", "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
            "-DCMAKE_BUILD_TYPE=Release")
        run("cmake", "--build", build)
        model = self.folder / "model"
        self.make_model(installed, model)
        expected = run(installed, "generate", PROMPT, "--base_model", model, "--max_new_tokens", 64, "--device", "cpu")
        self.assertEqual(run(build / "generate", model, PROMPT), expected)
        self.check_training_step(build / "training_step", model)
        for example in ("generate", "training_step"):
            words = [build / example, self.folder / "no-model"] + ([PROMPT] if example == "generate" else [])
            done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn("no-model", done.stderr)

    def check_share(self, installed, share):
        """Completions and manual page are what the program prints, and it finds its text there, by any name."""
        for words, name in ((["--completion", "bash"], "bash-completion/completions/hici"),
                            (["--completion", "zsh"], "zsh/site-functions/_hici"), (["--man"], "man/man1/hici.1")):
            self.assertEqual((share / name).read_text(), run(HICI, *words))
        taken = self.folder / "taken"
        taken.mkdir()
        (taken / "file").write_text("")
        link = self.folder / "link"
        link.symlink_to(installed)
        for program in (installed, link):
            done = subprocess.run([program, "quickstart", "--output_dir", taken], capture_output=True, text=True, timeout=60)
            self.assertIn("is not empty and no folder of 'hici quickstart'", done.stderr)
        (share / "hici").rename(share / "gone")
        done = subprocess.run([installed, "quickstart"], capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"comes with hici and is in none of {installed.resolve().parent}/share/hici, ", done.stderr)
        self.assertTrue(done.stderr.endswith("; give a text by --text_file\n"), done.stderr)
        (share / "gone").rename(share / "hici")

    def check_training_step(self, example, model):
        losses = [float(line.split("loss ")[1]) for line in run(example, model).splitlines()]
        self.assertEqual(len(losses), 3)
        self.assertAlmostEqual(losses[0], math.log(300), delta=0.5)  # a fresh model knows nothing of 300 tokens
        self.assertLess(losses[2], losses[0])

    def make_model(self, installed, model):
        tokens = self.folder / "text.txt"
        tokens.write_text("In the beginning God created the heaven and the earth. " * 40)
        run(installed, "train-tokenizer", "--input", tokens, "--vocab_size", 300, "--output_dir", self.folder / "tokenizer")
        run(installed, "init", "--family", "llama", "--tokenizer", self.folder / "tokenizer", "--hidden_size", 32,
            "--intermediate_size", 64, "--num_hidden_layers", 2, "--num_attention_heads", 2, "--num_key_value_heads", 2,
            "--max_position_embeddings", 256, "--output_dir", model)


if __name__ == "__main__":
    unittest.main()
