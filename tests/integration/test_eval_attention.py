# SPDX-License-Identifier: Apache-2.0
"""hici eval attention: its JSON, table and figures; what it refuses."""
import json
import unittest
import xml.etree.ElementTree as ElementTree

from support import GOLDEN, FolderTest, golden_hici_options

FIGURES = ["depth.svg", "heads.svg", "layers.svg", "map.svg"]
SEGMENTS, LENGTH = 4, 96
MODEL = GOLDEN / "llama-gqa"


class AttentionTest(FolderTest):
    def attention(self, *more, adapter=True, **keywords):
        """`more` wins over what is given here."""
        options = {"--base_model": MODEL / "base", "--data_path": MODEL / "tokens.bin", "--seq_len": LENGTH,
                   "--dtype": "float32", "--device": "cpu"}
        if adapter:
            options |= {"--peft_model": MODEL / "adapter", **dict(zip(*[iter(golden_hici_options(MODEL.name))] * 2))}
        given = [part for name, value in options.items() if name not in more for part in (name, value)]
        return self.run_hici("eval", "attention", *given, *more, **keywords)

    def result(self, *more, **keywords):
        self.attention("--output", self.folder / "attention.json", *more, **keywords)
        return json.loads((self.folder / "attention.json").read_text())

    def test_shares_of_every_layer_and_head_add_up_and_the_table_shows_their_means(self):
        done = self.attention("--output", self.folder / "attention.json", "--limit_tokens", 600, "--label", "tiny")
        result = json.loads((self.folder / "attention.json").read_text())
        self.assertEqual((result["command"], result["label"]), ("eval attention", "tiny"))
        self.assertEqual((result["seq_len"], result["num_segments"], result["causal_mode"]), (LENGTH, SEGMENTS, "none"))
        self.assertEqual(result["windows"], -(-(600 - LENGTH) // LENGTH))
        self.assertEqual(result["tokens"], result["windows"] * LENGTH)
        self.assertEqual((len(result["global"]), len(result["global"][0])), (result["layers"], result["heads"]))
        for layers in zip(result["global"], result["local"], result["token"], strict=True):
            for shares in zip(*layers, strict=True):
                self.assertAlmostEqual(sum(shares), 1, delta=1e-6)  # float32
                self.assertTrue(all(0 < share < 1 for share in shares))
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2 + result["layers"] + 1)
        for layer in range(result["layers"]):
            name, *numbers = lines[2 + layer].split()
            self.assertEqual(name, str(layer))
            means = [sum(result[part][layer]) / result["heads"] for part in ("global", "local", "token")]
            for number, mean in zip(numbers, means, strict=True):
                self.assertAlmostEqual(float(number), mean, delta=6e-5)

    def test_the_map_is_the_one_that_was_asked_for(self):
        result = self.result("--map_layer", 2, "--map_head", 5, "--map_segment", 1, "--map_window", 3, "--batch_size", 2)
        found = result["map"]
        self.assertEqual([found[key] for key in ("layer", "head", "segment", "window")], [2, 5, 1, 3])
        slots, tokens = found["global_slots"] + found["local_slots"], LENGTH // SEGMENTS
        self.assertEqual((found["global_slots"], found["local_slots"], found["block_tokens"]), (4, 8, 1))
        self.assertEqual([len(row) for row in found["rows"]], [slots + tokens] * tokens)
        for i, row in enumerate(found["rows"]):
            self.assertAlmostEqual(sum(row), 1, delta=1e-5)
            self.assertEqual(row[slots + i + 1:], [0] * (tokens - i - 1))
        again = self.result("--map_layer", 2, "--map_head", 5, "--map_segment", 1, "--map_window", 3, "--batch_size", 5)
        for row, other in zip(found["rows"], again["map"]["rows"], strict=True):
            for cell, same in zip(row, other, strict=True):
                self.assertAlmostEqual(cell, same, delta=1e-5)

    def test_in_a_shifted_mode_the_first_segment_has_no_slots(self):
        result = self.result("--causal_mode", "causal_shift", "--map_segment", 0)
        slots = result["map"]["global_slots"] + result["map"]["local_slots"]
        self.assertTrue(all(cell == 0 for row in result["map"]["rows"] for cell in row[:slots]))
        # A quarter of the queries has none.
        self.assertTrue(all(share > 0.25 for layer in result["token"] for share in layer))
        only_global = self.result("--causal_mode", "causal_gi_gonly")
        self.assertTrue(all(share == 0 for layer in only_global["local"] for share in layer))
        self.assertTrue(all(share > 0 for layer in only_global["global"] for share in layer))

    def test_figures_are_whole_documents_that_need_no_browser(self):
        for mode in ("none", "causal_shift_g"):
            with self.subTest(mode=mode):
                self.attention("--figures", self.folder / mode, "--causal_mode", mode)
                self.assertEqual(sorted(p.name for p in (self.folder / mode).iterdir()), FIGURES)
                for name in FIGURES:
                    text = (self.folder / mode / name).read_text()
                    self.assertEqual(ElementTree.fromstring(text).tag, "{http://www.w3.org/2000/svg}svg")
                    for unwanted in ("var(", "nan", "inf", "<script"):
                        self.assertNotIn(unwanted, text.lower())

    def test_refuses_what_it_cannot_show(self):
        for needles, arguments in (
                (("--map_layer", "3", "0 to 2"), ["--map_layer", 3]),
                (("--map_head", "6", "0 to 5"), ["--map_head", 6]),
                (("--map_segment", "4", "0 to 3"), ["--map_segment", 4]),
                (("--map_window", "999"), ["--map_window", 999]),
                (("--num_chunks", "5", "--seq_len"), ["--num_chunks", 5]),
                (("--seq_len", "0"), ["--seq_len", 0]),
                (("--use_hierarchical_forward",), ["--use_hierarchical_forward", "False"]),
                (("--resume", "--output"), ["--resume"])):
            with self.subTest(arguments=arguments):
                done = self.attention(*arguments, code=2)
                self.assert_one_error_line(done, "eval attention", *needles)

    def test_a_model_without_hici_modules_is_named(self):
        done = self.attention(adapter=False, code=1)
        self.assert_one_error_line(done, "eval attention", MODEL / "base", "no HiCI modules",
                                   "--peft_model")


if __name__ == "__main__":
    unittest.main()
