# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning by several processes is that of one, with rows of different lengths that are padded to whole segments."""
import json
import random
import unittest

from processes import ProcessesTest

STEPS = 4
WORDS = "the of and a to in he that it his unto for i with is as be they not them said lord my all".split()


def sentence(chance, num_words):
    return " ".join(chance.choice(WORDS) for _ in range(num_words))


class SharedSftTest(ProcessesTest):
    def setUp(self):
        super().setUp()
        chance, self.base, self.data = random.Random(4), self.folder / "base", self.folder / "rows.json"
        text = self.folder / "text.txt"
        text.write_text("".join(sentence(chance, 12) + ".\n" for _ in range(400)))
        self.run_hici("train-tokenizer", "--text_file", text, "--vocab_size", 300, "--output_dir", self.folder / "tokenizer")
        self.run_hici("init", "--tokenizer", self.folder / "tokenizer", "--hidden_size", 32, "--intermediate_size", 64,
                      "--output_dir", self.base)
        rows = [{"instruction": sentence(chance, chance.randint(1, 14)), "output": sentence(chance, chance.randint(1, 9))}
                for _ in range(40)]
        self.data.write_text(json.dumps(rows))

    def options(self, out, **changes):
        options = {"model_name_or_path": self.base, "data_path": self.data, "output_dir": out, "model_max_length": 96,
                   "max_steps": STEPS, "save_steps": 0, "learning_rate": 2e-3, "hici_lr": 1e-2, "warmup_steps": 0,
                   "dtype": "float64", "device": "cpu", "num_local_slots": 2, "global_slots": 2, "num_heads": 2,
                   "bottleneck_dim": 16, "shared_compress_dim": 8, "lora_r": 2, "sft_segment_length": 16, **changes}
        return ["sft"] + [text for key, value in options.items() for text in (f"--{key}", str(value))]

    def check(self, reference, cases, **run):
        self.run_all(reference.name, 1, self.options(reference, **run))
        for number, (world, changes) in enumerate(cases):
            with self.subTest(world=world, **changes):
                out = self.folder / f"{reference.name}-{number}"
                self.run_all(out.name, world, self.options(out, **{**run, **changes}))
                self.assert_near_training(out, reference, STEPS)

    def test_rows_of_a_batch_that_differ_in_length(self):
        self.check(self.folder / "rows", [(2, {"gradient_accumulation_steps": 1})],
                   per_device_train_batch_size=2, gradient_accumulation_steps=2)
        done = self.run_hici(*self.options(self.folder / "out", per_device_train_batch_size=2, segment_parallel=1), code=0)
        self.assertIn("finished", done.stderr)
        processes = self.start("shared", 2, self.options(self.folder / "refused", per_device_train_batch_size=2,
                                                         segment_parallel=2))
        self.assertTrue(processes.wait(20), processes.text())
        self.assertEqual(processes.codes(), [2, 2], processes.text())
        self.assertIn("--segment_parallel: examples of one forward may have different numbers of segments; use "
                      "--per_device_train_batch_size 1, and more --gradient_accumulation_steps", processes.text())
        self.assertFalse((self.folder / "refused").exists())

    def test_one_row_in_a_batch(self):
        """Lengths of one segment too, of which most processes have none."""
        self.check(self.folder / "one", [(4, {"segment_parallel": 4}), (3, {"segment_parallel": 3})],
                   per_device_train_batch_size=1, gradient_accumulation_steps=3)

    def test_packed_rows_of_two_processes(self):
        self.check(self.folder / "packed", [(2, {"gradient_accumulation_steps": 1})], packing=True,
                   per_device_train_batch_size=1, gradient_accumulation_steps=2)


if __name__ == "__main__":
    unittest.main()
