# SPDX-License-Identifier: Apache-2.0
"""Data of `hici train`: several sets with weights, packed documents, and a dry run over them."""
import fcntl
import itertools
import random
import signal
import unittest

import torch
import transformers

from models import SIZES
from processes import ProcessesTest
from support import FolderTest, hici, metrics, num_metric_lines, start_hici, stop_now, train_options, wait_until

LENGTH, VOCABULARY, STEPS, BATCHES = 96, 113, 12, 2
BOS, EOS = 1, 2  # of llama-gqa and of the models here
MASK = (1 << 64) - 1
RESUME = {"resume_from_checkpoint": "latest"}


def write_tokens(path, ids):
    path.write_bytes(b"".join(i.to_bytes(2, "little") for i in ids))
    return path


def drawn_ids(seed, count, lowest=3):
    chance = random.Random(seed)
    return [chance.randrange(lowest, VOCABULARY) for _ in range(count)]


def split_mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def part_at(seed, place, weights):
    """As docs/data.md has it."""
    limits = [sum(weights[:i + 1]) / sum(weights) for i in range(len(weights))]
    drawn = (split_mix((split_mix(seed) + (place + 1) * 0x9E3779B97F4A7C15) & MASK) >> 11) * 2.0 ** -53
    return next(part for part, limit in enumerate(limits) if drawn < limit)


class MixTest(ProcessesTest):
    BLOCKS = (7, 3)

    def setUp(self):
        super().setUp()
        self.ids = [drawn_ids(seed, LENGTH * blocks + 5) for seed, blocks in enumerate(self.BLOCKS)]
        self.files = [write_tokens(self.folder / f"{name}.bin", ids) for name, ids in zip("ab", self.ids)]
        self.mix = f"{self.files[0]}:0.7,{self.files[1]}:0.3"

    def options(self, out, **changes):
        return train_options(self.folder / out, **{"data_path": None, "data_mix": self.mix, "max_steps": STEPS,
                                                   "save_steps": 3, "gradient_accumulation_steps": BATCHES, **changes})

    def losses(self, out):
        return [(line["loss"], line["grad_norm"]) for line in metrics(self.folder / out)]

    def test_the_sequence_is_that_of_seed_and_place(self):
        """The same blocks in one file, in the order that a few lines of Python draw."""
        done = self.run_hici(*self.options("mixed", shuffle=False, seed=9))
        order = [part_at(9, place, (0.7, 0.3)) for place in range(STEPS * BATCHES)]
        self.assertEqual(set(order), {0, 1})
        counts, ids = [0, 0], []
        for part in order:
            block = counts[part] % self.BLOCKS[part]
            ids += self.ids[part][block * LENGTH:(block + 1) * LENGTH]
            counts[part] += 1
        data = write_tokens(self.folder / "in-order.bin", ids)
        self.run_hici(*self.options("one", data_mix=None, data_path=data, shuffle=False, seed=9))
        self.assertEqual(self.losses("mixed"), self.losses("one"))
        shares = [f"{file} {count / len(order):.4f} ({count} sequences)" for file, count in zip(self.files, counts)]
        self.assertIn(f"shares of the data: {shares[0]}, {shares[1]}\n", done.stderr)

    def test_a_killed_run_and_two_processes_see_the_same(self):
        self.run_hici(*self.options("whole"))
        process = start_hici(*self.options("killed"))
        self.assertTrue(wait_until(process, lambda: num_metric_lines(self.folder / "killed") >= 7))
        stop_now(process, signal.SIGKILL)
        done = self.run_hici(*self.options("killed", **RESUME))
        self.assert_same_training(self.folder / "killed", self.folder / "whole", STEPS)
        self.assertIn("shares of the data: ", done.stderr)
        self.run_hici(*self.options("one", dtype="float64"))
        self.run_all("two", 2, self.options("two", dtype="float64", gradient_accumulation_steps=BATCHES // 2))
        self.assert_near_training(self.folder / "two", self.folder / "one", STEPS)

    def test_weights_and_contents_are_part_of_a_run(self):
        self.run_hici(*self.options("out", max_steps=3))
        for mix in (f"{self.files[0]}:0.6,{self.files[1]}:0.4", f"{self.files[1]}:0.3,{self.files[0]}:0.7"):
            done = self.run_hici(*self.options("out", data_mix=mix, **RESUME), code=1)
            self.assert_one_error_line(done, "train", "--data_mix is ")
        moved = [file.rename(file.with_name("moved-" + file.name)) for file in self.files]
        self.run_hici(*self.options("out", data_mix=f"{moved[0]}:0.7,{moved[1]}:0.3", max_steps=6, **RESUME))

    def test_bad_words(self):
        a, b = self.files
        for told, mix, changes in (
                ("--data_mix: 'x' of ", f"{a}:x,{b}:1", {}), ("is no number", f"{a}:nan", {}),
                ("is negative; a weight is 0 or more", f"{a}:-1,{b}:2", {}), ("sum to 0; give one", f"{a}:0,{b}:0.0", {}),
                ("has no weight; write PATH:WEIGHT", f"{a},{b}:1", {}), ("has two colons", f"c:{a}:1", {}),
                (f"--data_mix: {a} is there twice", f"{a}:1,{a}:2", {}), ("has no weight", f"{a}:1,", {}),
                ("--data_mix: stands in place of --data_path", f"{a}:1", {"data_path": a}),
                ("--data_path: missing; give a value", None, {}),
                ("--packing: document has no form with --data_mix", f"{a}:1", {"packing": "document"})):
            with self.subTest(told=told, mix=mix):
                done = self.run_hici(*self.options("out", data_mix=mix, **changes), code=2)
                self.assert_one_error_line(done, "train", told)
        done = self.run_hici(*self.options("out", data_mix=f"{a}:1,{self.folder}/none.bin:1"), code=1)
        self.assert_one_error_line(done, "train", f"{self.folder}/none.bin: ")
        short = write_tokens(self.folder / "short.bin", drawn_ids(1, LENGTH - 1))
        done = self.run_hici(*self.options("out", data_mix=f"{a}:1,{short}:1"), code=1)
        self.assert_one_error_line(done, "train", f"{short}: {LENGTH - 1} tokens are less than one block")


class PackingTest(FolderTest):
    LENGTHS = (30, 96, 5, 41, 200, 17, 2, 60, 1, 33)  # 200: cut into 96, 96 and 8

    def setUp(self):
        super().setUp()
        self.base = self.folder / "base"
        torch.manual_seed(3)
        config = transformers.LlamaConfig(**{**SIZES, "initializer_range": 0.05}, bos_token_id=BOS, eos_token_id=EOS)
        transformers.LlamaForCausalLM(config).save_pretrained(self.base)
        self.documents = [[BOS, *drawn_ids(i, length - 1)][:length] for i, length in enumerate(self.LENGTHS)]

    def options(self, data, out="out", **changes):
        options = {"model_name_or_path": self.base, "data_path": data, "output_dir": self.folder / out, "attention": "full",
                   "low_rank_training": False, "model_max_length": LENGTH, "max_steps": 1, "device": "cpu",
                   "dtype": "float32", "save_strategy": "no", "packing": "document", **changes}
        return ["train"] + [text for key, value in options.items() if value is not None for text in (f"--{key}", str(value))]

    def expected_loss(self, documents):
        model = transformers.LlamaForCausalLM.from_pretrained(self.base, dtype=torch.float32, attn_implementation="eager")
        total, targets = 0, 0
        for document in documents:
            for at in range(0, len(document), LENGTH):
                ids = torch.tensor(document[at:at + LENGTH])
                if len(ids) < 2:
                    continue
                with torch.no_grad():
                    logits = model(ids[None]).logits[0, :-1].double()
                total += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
                targets += len(ids) - 1
        return total / targets

    def test_documents_are_learned_as_if_each_were_alone(self):
        ended = [document[1:-1] + [EOS] for document in self.documents if len(document) > 2]
        both = [[BOS, *document] for document in ended]
        for documents in (self.documents, ended, both):
            data = write_tokens(self.folder / "documents.bin", itertools.chain(*documents))
            done = self.run_hici(*self.options(data, max_steps=1, gradient_accumulation_steps=1, dry_run=True))
            rows = int(done.stderr.split(" documents in ")[1].split()[0])
            self.assertIn(f"{len(documents)} documents in {rows} rows of {LENGTH} tokens", done.stderr)
            self.assertLess(rows, len(documents))
            out = f"out-{len(list(self.folder.iterdir()))}"
            self.run_hici(*self.options(data, out, gradient_accumulation_steps=rows, per_device_train_batch_size=1))
            (line,) = metrics(self.folder / out)
            self.assertAlmostEqual(line["loss"], self.expected_loss(documents), delta=2e-6)

    def test_hici_attention_sees_whole_documents_as_blocks(self):
        """Documents as long as a row: nothing is to pack, and each loss is that of blocks."""
        data = write_tokens(self.folder / "rows.bin", itertools.chain(*([BOS, *drawn_ids(i, LENGTH - 1)] for i in range(6))))
        words = {"data_path": data, "max_steps": 3, "save_steps": 0, "shuffle": False}
        self.run_hici(*train_options(self.folder / "packed", packing="document", **words))
        self.run_hici(*train_options(self.folder / "blocks", **words))
        self.assertEqual(metrics(self.folder / "packed"), metrics(self.folder / "blocks"))

    def test_hici_attention_in_packed_rows_is_that_of_rows_alone(self):
        """Of segments of 24 tokens: two documents of a row, and each with a row that nothing else fits in."""
        segment, lengths = 24, (40, 24)
        documents = [[BOS, *drawn_ids(i, length - 1)] for i, length in enumerate(lengths)]
        words = {"max_steps": 1, "save_steps": 0, "gradient_accumulation_steps": 1, "num_chunks": LENGTH // segment}
        data = write_tokens(self.folder / "both.bin", itertools.chain(*documents))
        self.run_hici(*train_options(self.folder / "both", data_path=data, packing="document", **words))
        total = 0
        for number, document in enumerate(documents):
            alone = write_tokens(self.folder / f"{number}.bin", document)
            self.run_hici(*train_options(self.folder / f"{number}", data_path=alone, packing="document", **words))
            total += metrics(self.folder / f"{number}")[0]["loss"] * (len(document) - 1)
        self.assertAlmostEqual(metrics(self.folder / "both")[0]["loss"], total / (sum(lengths) - 2), delta=1e-6)

    def test_bad_words(self):
        data = write_tokens(self.folder / "unmarked.bin", drawn_ids(1, 300))
        done = self.run_hici(*self.options(data), code=1)
        self.assert_one_error_line(done, "train", f"{data}: has no BOS and no EOS of the model between its documents")
        done = self.run_hici(*self.options(data, packing="rows"), code=2)
        self.assert_one_error_line(done, "train", "--packing: unknown way 'rows'; use blocks or document")
        done = self.run_hici(*self.options(data, attention=None, stream_segments=True, num_chunks=4), code=2)
        self.assert_one_error_line(done, "train", "--stream_segments: cannot be used with --packing document")
        marked = write_tokens(self.folder / "marked.bin", itertools.chain(*self.documents))
        self.run_hici(*self.options(marked, max_steps=2, save_strategy=None, save_steps=1))
        done = self.run_hici(*self.options(marked, packing="blocks", max_steps=3, save_strategy=None, save_steps=1, **RESUME), code=1)
        self.assert_one_error_line(done, "train", "--packing")


class DryRunTest(FolderTest):
    def entries(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def test_nothing_is_written_and_what_comes_is_told(self):
        data = write_tokens(self.folder / "eval.bin", drawn_ids(1, LENGTH * 2))
        before = self.entries()
        done = self.run_hici(*train_options(self.folder / "runs" / "out", dry_run=True, eval_data_path=data, eval_steps=4))
        self.assertEqual(self.entries(), before)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\nevaluation \S*eval.bin: 2 blocks of 96 tokens; every 4 steps and after the last one\n")
        self.assertRegex(done.stderr, r"dry run: nothing is written; 12 steps of 2 sequences, 2\.30k tokens; 6 checkpoints of "
                                      r"\d+ KiB; the time of a step on a CPU is not predicted\n$")
        self.run_hici(*train_options(self.folder / "out", max_steps=4))
        before = self.entries()
        done = self.run_hici(*train_options(self.folder / "out", dry_run=True, **RESUME))
        self.assertIn("dry run: nothing is written; 8 steps", done.stderr)
        self.assertEqual(self.entries(), before)

    def test_the_size_of_checkpoints_is_what_they_take(self):
        done = self.run_hici(*train_options(self.folder / "out", dry_run=True, max_steps=1))
        self.run_hici(*train_options(self.folder / "out", max_steps=1))
        (checkpoint,) = (self.folder / "out").glob("checkpoint-*")
        size = sum(path.stat().st_size for path in checkpoint.iterdir() if path.name != "manifest.json")
        told = int(done.stderr.split("1 checkpoint of ")[1].split(" KiB")[0])
        self.assertAlmostEqual(told, size / 1024, delta=1)

    def test_errors_are_those_of_the_run(self):
        short = write_tokens(self.folder / "short.bin", drawn_ids(1, 10))
        for changes in ({"data_path": short}, {"eval_data_path": short}, {"data_path": self.folder / "none.bin"},
                        {"learning_rate": -1}):
            with self.subTest(**changes):
                dry = hici(*train_options(self.folder / "out", dry_run=True, **changes))
                self.assertFalse((self.folder / "out").exists())
                run = hici(*train_options(self.folder / "wet", **changes))
                self.assertNotEqual(dry.returncode, 0)
                self.assertEqual(dry.returncode, run.returncode)
                self.assertEqual(dry.stderr.splitlines()[-1], run.stderr.splitlines()[-1])
        (self.folder / "file").touch()
        (self.folder / "link").symlink_to(self.folder / "nowhere" / "out")
        for place in ("file", "file/out", "link"):
            dry, run = (hici(*train_options(self.folder / place, dry_run=dry)) for dry in (True, False))
            self.assertEqual((dry.returncode, run.returncode), (1, 1), place)
        self.run_hici(*train_options(self.folder / "out", max_steps=1))
        with open(self.folder / "out" / ".hici.lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            done = self.run_hici(*train_options(self.folder / "out", dry_run=True), code=1)
            self.assert_one_error_line(done, "train", "another hici process")
        done = self.run_hici(*train_options(self.folder / "out", dry_run=True), code=1)
        self.assert_one_error_line(done, "train", "already holds checkpoint-1")


if __name__ == "__main__":
    unittest.main()
