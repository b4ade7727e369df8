#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""configs/: each published recipe is a file that `hici train` reads, and its memory is what `hici plan` counts."""
import pathlib
import re
import unittest

from support import FolderTest, hici

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.ini"))


class ConfigsTest(FolderTest):
    def test_the_six_published_recipes_are_there(self):
        self.assertEqual([path.stem for path in CONFIGS],
                         ["llama2-13b-64k", "llama2-7b-100k", "llama2-7b-32k", "llama2-7b-8k", "llama3-8b-32k", "qwen3-8b-48k"])

    def test_train_takes_every_option(self):
        # Options are checked before the model is looked for, so that the missing model is the first thing wrong.
        for path in CONFIGS:
            with self.subTest(path.name):
                done = self.run_hici("train", "--config", path, "--model_name_or_path", self.folder / "no-model", "--data_path",
                                     self.folder / "no-data", "--output_dir", self.folder / "run", code=1)
                self.assert_one_error_line(done, "train", "no-model")

    def test_the_plan_it_names_gives_the_memory_it_names(self):
        for path in CONFIGS:
            with self.subTest(path.name):
                text = path.read_text()
                stated = float(re.search(r"Memory, counted on an 80 GiB card: ([\d.]+) GiB", text)[1])
                command = re.search(r"^#   hici (plan .*)$", text, re.MULTILINE)[1].split()
                self.assertIn(re.search(r"^model_max_length = (\d+)$", text, re.MULTILINE)[1], command)
                self.assertEqual(re.search(r"^num_chunks = (\d+)$", text, re.MULTILINE)[1],
                                 command[command.index("--num_chunks") + 1])
                row = hici(*command).stdout.strip().splitlines()[-1].split()
                self.assertEqual(row[1], "yes", row)
                self.assertAlmostEqual(float(row[-2]), stated, delta=0.05)


if __name__ == "__main__":
    unittest.main()
