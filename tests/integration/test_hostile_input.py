# SPDX-License-Identifier: Apache-2.0
"""What an attacker or a bad disk could put into files: weights that are no numbers, links to other people's files, NULs,
names that steer a terminal. One line each that names the thing, no result, exit code 1."""
import json
import os
import shutil
import struct
import unittest

from support import (FolderTest, GOLDEN, golden_hici_options, hici, read_safetensors, train_options,
                     write_safetensors)

MODEL = GOLDEN / "llama-gqa"
UP_PROJ = "model.layers.1.mlp.up_proj.weight"
NAN, INFINITY = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))


class HostileInputTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.base, self.adapter, self.out = self.folder / "base", self.folder / "adapter", self.folder / "out"
        shutil.copytree(MODEL / "base", self.base)
        shutil.copytree(MODEL / "adapter", self.adapter)

    def put_value(self, file, name, value):
        """`value` becomes the third number of a tensor of float32."""
        tensors = read_safetensors(file)
        dtype, shape, data = tensors[name]
        self.assertEqual(dtype, "F32")
        tensors[name] = (dtype, shape, data[:8] + value + data[12:])
        write_safetensors(file, tensors)

    def eval_ppl(self, *more, base=None):
        return hici("eval", "ppl", "--base_model", base or self.base, "--data_path", MODEL / "tokens.bin", "--seq_len", 96,
                    "--sliding_window", 64, "--device", "cpu", "--dtype", "float32", "--eval_mode", "full",
                    "--limit_tokens", 300, "--output", self.out, *more)

    def merge(self):
        return hici("merge", "--base_model", self.base, "--peft_model", self.adapter, "--save_path", self.out,
                    "--context_size", 96)

    def assert_refused(self, done, command, *needles):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, command, *needles)
        self.assertEqual(done.stdout, "")
        self.assertFalse(self.out.exists(), "something was left behind")


class WeightsThatAreNoNumbersTest(HostileInputTest):
    def test_perplexity_names_tensor_and_windows(self):
        self.put_value(self.base / "model.safetensors", UP_PROJ, NAN)
        words = f"{self.base}/model.safetensors: tensor '{UP_PROJ}' holds nan, so that the loss of "
        self.assert_refused(self.eval_ppl(), "eval ppl", words + "window 0 (from token 0) is not finite; fetch")
        self.assert_refused(self.eval_ppl("--batch_size", 3), "eval ppl", words + "windows 0 to 2 (from token 0) is not")

    def test_attention_names_tensor_and_window(self):
        self.put_value(self.base / "model.safetensors", UP_PROJ, INFINITY)
        done = hici("eval", "attention", "--base_model", self.base, "--peft_model", self.adapter, "--data_path",
                    MODEL / "tokens.bin", "--seq_len", 96, "--limit_tokens", 300, "--device", "cpu", "--dtype", "float32",
                    *golden_hici_options(MODEL.name), "--output", self.out)
        self.assert_refused(done, "eval attention", f"tensor '{UP_PROJ}' holds inf, so that the attention of window 0")

    def test_a_merge_is_refused(self):
        file = next(self.adapter.glob("adapter_model.safetensors"))
        name = next(name for name in read_safetensors(file) if name.endswith("layers.0.self_attn.q_proj.lora_B.weight"))
        self.put_value(file, name, NAN)
        self.assert_refused(self.merge(), "merge", f"{file}: tensor '", "holds nan; fetch the file again")

    def test_training_stops_before_a_step(self):
        self.put_value(self.base / "model.safetensors", UP_PROJ, NAN)
        done = hici(*train_options(self.out, model_name_or_path=self.base, max_steps=2))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", f"{self.base}/model.safetensors: tensor '{UP_PROJ}' holds nan, so that the "
                                   "loss of step 1 is not finite; fetch the file again")
        self.assertEqual(list(self.out.glob("checkpoint-*")), [])


class LinkTest(HostileInputTest):
    def link(self, file, target):
        file.unlink()
        file.symlink_to(target)

    def test_a_companion_that_leaves_the_folder_is_not_followed(self):
        secret = self.folder / "secret.json"
        shutil.copy(self.base / "config.json", secret)
        self.link(self.base / "config.json", secret)
        self.assert_refused(self.eval_ppl(), "eval ppl", f"{self.base}/config.json: is a link to {secret}, outside its "
                            "folder; such a link is not followed; copy the file here, or give the folder")

    def test_a_merge_copies_no_file_from_elsewhere(self):
        secret = self.folder / "secret.json"
        secret.write_text('{"password": "hunter2"}')
        (self.base / "generation_config.json").unlink(missing_ok=True)
        (self.base / "generation_config.json").symlink_to(secret)
        self.assert_refused(self.merge(), "merge", "generation_config.json: is a link to ")

    def test_weights_may_be_linked_in_and_hub_caches_are_read(self):
        expected = self.eval_ppl()
        self.assertEqual(expected.returncode, 0, expected.stderr)
        self.out.unlink()
        elsewhere = self.folder / "elsewhere.safetensors"
        shutil.move(self.base / "model.safetensors", elsewhere)
        (self.base / "model.safetensors").symlink_to(elsewhere)
        linked = self.eval_ppl()
        self.assertEqual(linked.stdout.split("(")[0], expected.stdout.split("(")[0], linked.stderr)
        self.out.unlink()
        self.link(self.base / "model.safetensors", "/etc/passwd")
        self.assert_refused(self.eval_ppl(), "eval ppl", "model.safetensors: is a link to /etc/passwd, outside its folder; "
                            "a link to data must keep the ending of its name")

        repository = self.folder / "hub" / "models--org--tiny"
        snapshot = repository / "snapshots" / "0a1b"
        snapshot.mkdir(parents=True)
        (repository / "blobs").mkdir()
        for number, file in enumerate([MODEL / "base" / "config.json", elsewhere]):
            shutil.copy(file, repository / "blobs" / f"{number:040x}")
        (snapshot / "config.json").symlink_to(f"../../blobs/{0:040x}")
        (snapshot / "model.safetensors").symlink_to(f"../../blobs/{1:040x}")
        cached = self.eval_ppl(base=snapshot)
        self.assertEqual(cached.stdout.split("(")[0], expected.stdout.split("(")[0], cached.stderr)


class TextTest(HostileInputTest):
    def test_names_cannot_steer_the_terminal(self):
        name = "x\u202etxt.\x1b[2J\u2028y\x9bz"
        done = hici("inspect", self.folder / name)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("/x?txt.?[2J?y", done.stderr)
        self.assertTrue(all(c == "\n" or c.isprintable() for c in done.stderr), repr(done.stderr))
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_a_nul_ends_no_json(self):
        file = self.base / "config.json"
        text = file.read_bytes()
        file.write_bytes(text.rstrip() + b"\0 more")
        self.assert_refused(self.eval_ppl(), "eval ppl", f"{file}: not JSON, a NUL is byte {len(text.rstrip()) + 1};")

    def test_a_file_without_permission_is_one_line(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        closed = self.folder / "closed"
        closed.mkdir(mode=0)
        done = hici("inspect", closed)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "inspect", closed)


class AbsurdSizeTest(HostileInputTest):
    def test_an_adapter_of_absurd_numbers_is_refused(self):
        file = self.adapter / "adapter_config.json"
        config = json.loads(file.read_text())
        for key, values in (("lora_alpha", (1e300, -1, 0, 1e-300, "NaN", 2**63)), ("r", (1e300, -1, 0, "NaN", 2**63))):
            for value in values:
                file.write_text(json.dumps({**config, key: value}))
                for done, command in ((self.merge(), "merge"),
                                      (self.eval_ppl("--peft_model", self.adapter, "--context_size", 96), "eval ppl")):
                    with self.subTest(key=key, value=value, command=command):
                        self.assert_refused(done, command, f"{file}: {key} is ")

    def test_settings_that_do_not_fit_the_model_name_their_file(self):
        file = self.adapter / "hici_config.json"
        settings = json.loads((MODEL / "expected.json").read_text())["hici"]
        file.write_text(json.dumps({**settings, "num_heads": 5}))
        self.assert_refused(self.eval_ppl("--peft_model", self.adapter), "eval ppl",
                            f"{file}: num_heads: 5 does not divide bottleneck_dim")

    def test_sizes_whose_products_overflow_are_refused(self):
        config = json.loads((self.base / "config.json").read_text())
        for changes in ({"hidden_size": 1 << 20, "num_hidden_layers": 1 << 12, "vocab_size": 1 << 24,
                         "intermediate_size": 1 << 22, "num_attention_heads": 1 << 10, "num_key_value_heads": 1 << 10,
                         "head_dim": 1 << 10},
                        {"vocab_size": 1 << 24}, {"num_hidden_layers": 1 << 12},
                        {"max_position_embeddings": 1 << 63}, {"rms_norm_eps": 0}):
            (self.base / "config.json").write_text(json.dumps({**config, **changes}))
            self.assert_refused(self.eval_ppl(), "eval ppl", self.base)

    def test_a_sidecar_of_absurd_counts_is_refused(self):
        tokens = self.folder / "tokens.bin"
        shutil.copy(MODEL / "tokens.bin", tokens)
        sidecar = {"format": "hici-token-file", "version": 1, "token_type": "uint16", "vocab_size": 113, "tokens": 2**63 - 1,
                   "documents": 2**63 - 1, "sha256": "0" * 64, "tokenizer": {}}
        for changes in ({}, {"tokens": 2**64}, {"vocab_size": 2**40}, {"documents": -1}):
            (self.folder / "tokens.bin.json").write_text(json.dumps({**sidecar, **changes}))
            done = hici("eval", "ppl", "--base_model", self.base, "--data_path", tokens, "--seq_len", 96)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assert_one_error_line(done, "eval ppl", tokens)


if __name__ == "__main__":
    unittest.main()
