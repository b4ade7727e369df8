# SPDX-License-Identifier: Apache-2.0
"""Every kind of wrong input gets one line that names the thing and the value, exit code 1 or 2, and leaves nothing."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import unittest

from support import (FolderTest, GOLDEN, hici, num_metric_lines, read_safetensors, train_options,
                     write_safetensors)

MODEL = GOLDEN / "llama-gqa"
VOCABULARY = 113  # of every golden model
Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


class BadInputTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.base = self.folder / "base"
        self.tokens = self.folder / "tokens.bin"
        self.out = self.folder / "out"
        shutil.copytree(MODEL / "base", self.base)
        shutil.copy(MODEL / "tokens.bin", self.tokens)

    def change_config(self, **changes):
        file = self.base / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    def change_tensor(self, name, tensor):
        """`tensor` takes the place of the one with this name; None removes it."""
        tensors = read_safetensors(self.base / "model.safetensors")
        tensors[name] = tensor
        write_safetensors(self.base / "model.safetensors", {n: t for n, t in tensors.items() if t is not None})

    def split_into_shards(self):
        tensors = list(read_safetensors(self.base / "model.safetensors").items())
        shards = {"model-00001-of-00002.safetensors": tensors[:5], "model-00002-of-00002.safetensors": tensors[5:]}
        (self.base / "model.safetensors").unlink()
        for name, part in shards.items():
            write_safetensors(self.base / name, dict(part))
        weight_map = {tensor: name for name, part in shards.items() for tensor, _ in part}
        (self.base / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    def eval_ppl(self, *more, **keywords):
        return hici("eval", "ppl", "--base_model", self.base, "--data_path", self.tokens, "--seq_len", 96,
                    "--sliding_window", 64, *more, **keywords)

    def train(self, **changes):
        return hici(*train_options(self.out, **{"model_name_or_path": self.base, "data_path": self.tokens, **changes}))

    def assert_refused(self, done, code, command, *needles):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assert_one_error_line(done, command, *needles)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(list(self.out.iterdir()) if self.out.exists() else [], [], "something was left behind")

    def both_refuse(self, code, *needles):
        """What is wrong with model or data shows in evaluation and in training alike."""
        self.assert_refused(self.eval_ppl(), code, "eval ppl", *needles)
        self.assert_refused(self.train(), code, "train", *needles)


class ModelTest(BadInputTest):
    def test_missing_directory(self):
        shutil.rmtree(self.base)
        self.both_refuse(1, self.base)

    def test_directory_without_config(self):
        (self.base / "config.json").unlink()
        self.both_refuse(1, self.base, "config.json")

    def test_broken_config(self):
        (self.base / "config.json").write_text('{"model_type": "llama", ')
        self.both_refuse(1, self.base / "config.json")

    def test_unsupported_model_type_names_the_supported_ones(self):
        self.change_config(model_type="mistral", architectures=["MistralForCausalLM"])
        self.both_refuse(1, self.base / "config.json", "model_type", "mistral", "llama", "qwen3")

    def test_heads_that_do_not_divide(self):
        self.change_config(num_key_value_heads=4)
        self.both_refuse(1, "config.json", "num_key_value_heads", "4", "6")

    def test_no_weights(self):
        (self.base / "model.safetensors").unlink()
        self.both_refuse(1, self.base, "safetensors")

    def test_missing_shard(self):
        self.split_into_shards()
        (self.base / "model-00002-of-00002.safetensors").unlink()
        self.both_refuse(1, "model-00002-of-00002.safetensors")

    def test_shard_outside_the_directory(self):
        self.split_into_shards()
        index = self.base / "model.safetensors.index.json"
        index.write_text(index.read_text().replace("model-00002", "../model-00002"))
        self.both_refuse(1, "model.safetensors.index.json", "../model-00002-of-00002.safetensors")

    def test_truncated_weights(self):
        os.truncate(self.base / "model.safetensors", 200_000)
        self.both_refuse(1, self.base / "model.safetensors", "truncated")

    def test_truncated_shard(self):
        self.split_into_shards()
        os.truncate(self.base / "model-00002-of-00002.safetensors", 50_000)
        self.both_refuse(1, "model-00002-of-00002.safetensors", "truncated")

    def test_wrong_shape(self):
        dtype, shape, data = read_safetensors(self.base / "model.safetensors")[Q_PROJ]
        self.change_tensor(Q_PROJ, (dtype, [shape[0] // 2, shape[1] * 2], data))
        self.both_refuse(1, "model.safetensors", Q_PROJ, "[24, 96]", "[48, 48]")

    def test_missing_tensor(self):
        self.change_tensor(Q_PROJ, None)
        self.both_refuse(1, Q_PROJ)


class DataTest(BadInputTest):
    def test_missing_file(self):
        self.tokens.unlink()
        self.both_refuse(1, self.tokens)

    def test_directory_in_place_of_a_file(self):
        self.tokens.unlink()
        self.tokens.mkdir()
        self.both_refuse(1, self.tokens)

    def test_unreadable_file(self):
        self.tokens.chmod(0)
        # Root may read everything: give that right up.
        wrapper = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
        done = self.eval_ppl(wrapper=wrapper)
        self.assert_refused(done, 1, "eval ppl", self.tokens, "ermission denied")

    def test_empty_file(self):
        self.tokens.write_bytes(b"")
        self.both_refuse(1, self.tokens, "empty")

    def test_half_a_token(self):
        self.tokens.write_bytes(self.tokens.read_bytes()[:-1])
        self.both_refuse(1, self.tokens, "11521")

    def test_id_beyond_the_vocabulary(self):
        raw = bytearray(self.tokens.read_bytes())
        struct.pack_into("<H", raw, 2 * 4321, 30000)
        self.tokens.write_bytes(raw)
        self.both_refuse(1, self.tokens, "token 4321 is 30000", VOCABULARY)

    def test_uint32_file_read_as_uint16(self):
        ids = struct.unpack("<5761H", self.tokens.read_bytes())
        self.tokens.write_bytes(struct.pack("<5761I", *ids))
        self.both_refuse(1, self.tokens, "--token_type uint32")
        done = self.train(token_type="uint32", max_steps=1)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_uint16_file_read_as_uint32(self):
        """The vocabulary asks for uint32; two small ids make one that is far too large."""
        vocabulary = 70_000
        self.change_config(vocab_size=vocabulary, tie_word_embeddings=True)
        self.change_tensor("lm_head.weight", None)
        self.change_tensor("model.embed_tokens.weight", ("F32", [vocabulary, 48], bytes(vocabulary * 48 * 4)))
        self.both_refuse(1, self.tokens, "uint32")
        self.tokens.write_bytes(self.tokens.read_bytes()[:11520])
        self.both_refuse(1, self.tokens, "--token_type uint16", vocabulary)
        done = self.eval_ppl("--token_type", "uint16")  # the way out that the message names
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_file_shorter_than_one_sequence(self):
        self.tokens.write_bytes(self.tokens.read_bytes()[:100])
        self.assert_refused(self.train(), 1, "train", self.tokens, "50", "96")
        self.assert_refused(self.eval_ppl(), 1, "eval ppl", "50", "96")


class OptionTest(BadInputTest):
    def test_unknown_option_with_the_nearest_name(self):
        self.assert_refused(self.train(learning_rat=1), 2, "train", "--learning_rat", "--learning_rate")
        self.assert_refused(self.eval_ppl("--sliding_windw", 3), 2, "eval ppl", "--sliding_windw", "--sliding_window")

    def test_several_unknown_options_at_once(self):
        self.assert_refused(self.train(model_max_lenght=1, sed=2), 2, "train", "--model_max_lenght",
                            "--model_max_length", "--sed", "--seed")

    def test_unknown_command(self):
        done = hici("trian")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\Ahici.*: error: .*'trian'.*'train'.*\n\Z")

    def test_missing_required_option(self):
        self.assert_refused(self.train(data_path=None), 2, "train", "--data_path")

    def test_value_of_the_wrong_kind(self):
        for option, value in (("max_steps", "many"), ("learning_rate", "fast"), ("shuffle", "perhaps")):
            with self.subTest(option):
                self.assert_refused(self.train(**{option: value}), 2, "train", option, value)

    def test_value_out_of_range(self):
        for option, value in (("max_steps", 0), ("gradient_accumulation_steps", 0), ("learning_rate", -1),
                              ("model_max_length", 1), ("save_total_limit", -1), ("lora_r", 0)):
            with self.subTest(option):
                self.assert_refused(self.train(**{option: value}), 2, "train", f"--{option}", value)

    def test_numbers_that_do_not_fit_are_never_clamped(self):
        for option, value in (("seed", -1), ("num_train_epochs", "1e300"), ("learning_rate", "nan"),
                              ("per_device_train_batch_size", 2**63 - 1), ("max_steps", 2**64), ("seed", 2**63), ("seed", 2**64),
                              ("learning_rate", 1e30), ("hici_lr", 11), ("weight_decay", 101), ("max_grad_norm", 1e30)):
            with self.subTest(option):
                self.assert_refused(self.train(**{option: value}), 2, "train", f"--{option}: ", value)
        self.assert_refused(self.eval_ppl("--batch_size", 2**63 - 1), 2, "eval ppl", "--batch_size: ", 2**63 - 1)
        self.assert_refused(self.train(per_device_train_batch_size=2**20, model_max_length="4G"), 2, "train",
                            "--per_device_train_batch_size", "tokens at once")

    def test_several_wrong_values_at_once(self):
        done = self.train(seed="x", max_steps="many", learning_rat=1, data_path=None)
        self.assert_refused(done, 2, "train", "--learning_rat ", "--seed: 'x'", "--max_steps: 'many'", "--data_path: missing")

    def test_errors_begin_with_the_command_alone(self):
        done = hici("generate", "Once upon a time", "--base_model", self.folder / "none")
        self.assert_refused(done, 1, "generate", self.folder / "none")
        done = hici("report", self.folder / "none")
        self.assert_refused(done, 1, "report", self.folder / "none")

    def test_a_name_of_the_hub_gets_the_command_that_downloads_it(self):
        name = "owner/a-model"
        for command, arguments in (("eval ppl", ("--base_model", name, "--data_path", self.tokens)),
                                   ("eval ppl", ("--base_model", self.base, "--peft_model", name, "--data_path", self.tokens)),
                                   ("eval ppl", ("--base_model", self.base, "--data_path", name)),
                                   ("plan", ("--model", name)), ("inspect", (name,))):
            with self.subTest(command):
                done = hici(*command.split(), *arguments)
                self.assertIn(done.returncode, (1, 2))
                self.assert_one_error_line(done, command, name, "'hf download owner/a-model", "--local-dir a-model'")

    def test_config_file_of_another_form(self):
        config = self.folder / "run.json"
        config.write_text('{"seed": 1}')
        self.assert_refused(self.train(config=config), 2, "train", config, "is JSON", "learning_rate = 2e-5")
        config.write_text("[sft]\nseed = 1\n")
        self.assert_refused(self.train(config=config), 2, "train", f"{config}: line 1", "[sft]", "[train]")

    def test_options_in_force_repeat_the_run(self):
        done = self.train(max_steps=1, model_max_length="0.09375K", trainable_params="embed,norm")
        self.assertEqual(done.returncode, 0, done.stderr)
        options = (self.out / "options.ini").read_text()
        self.assertIn("\nmodel_max_length = 96\n", options)
        again = self.folder / "again"
        done = hici("train", "--config", self.out / "options.ini", "--output_dir", again)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((again / "options.ini").read_text().replace(str(again), str(self.out)), options)

    def test_unknown_name_as_value(self):
        for option, value in (("attention", "fulll"), ("causal_mode", "causal"), ("lr_scheduler_type", "linaer"),
                              ("dtype", "float8"), ("device", "gpu"), ("token_type", "uint64"), ("save_strategy", "epoch")):
            with self.subTest(option):
                self.assert_refused(self.train(**{option: value}), 2, "train", f"--{option}", value)
        self.assert_refused(self.eval_ppl("--eval_mode", "ful"), 2, "eval ppl", "--eval_mode", "ful")

    def test_segments_that_do_not_divide(self):
        self.assert_refused(self.train(num_chunks=5), 2, "train", "--num_chunks", "5", "--model_max_length", "96")
        done = self.eval_ppl("--eval_mode", "s2", "--num_chunks", 5)
        self.assert_refused(done, 2, "eval ppl", "--num_chunks", "5", "--seq_len", "96")

    def test_segment_length_that_does_not_divide_or_is_said_twice(self):
        done = self.train(num_chunks=None, segment_length=36)
        self.assert_refused(done, 2, "train", "--segment_length", "36", "--model_max_length", "96")
        self.assert_refused(self.train(segment_length=24), 2, "train", "--segment_length", "--num_chunks")
        done = self.train(num_chunks=None, segment_length=0, model_max_length=98)  # 0: --num_chunks decides
        self.assert_refused(done, 2, "train", "--num_chunks: 4 does not divide --model_max_length 98; use 2 or 7")

    def test_what_cannot_be_streamed(self):
        """A typed mode, the family's default and an adapter's mode; attention that is not in segments."""
        way_out = ("--stream_segments", "use --causal_mode causal_gi")
        self.assert_refused(self.train(stream_segments=True, causal_mode="none"), 2, "train", *way_out)
        self.assert_refused(self.train(stream_segments=True, causal_mode=None), 2, "train", *way_out)
        trained = self.folder / "trained"
        self.assertEqual(hici(*train_options(trained, causal_mode="none", max_steps=1)).returncode, 0)
        done = self.train(stream_segments=True, init_adapter=trained, causal_mode=None, num_chunks=None)
        self.assert_refused(done, 2, "train", *way_out)
        for attention in ("full", "s2"):
            done = self.train(stream_segments=True, attention=attention)
            self.assert_refused(done, 2, "train", "--stream_segments", "use --attention hici")

    def test_heads_that_do_not_divide_widths(self):
        self.assert_refused(self.train(num_heads=5), 2, "train", "--num_heads", "5", "24")

    def test_options_without_effect(self):
        for changes in ({"allow_changes_on_resume": True},
                        {"low_rank_training": False, "trainable_params": "embed"},
                        {"low_rank_training": False, "lora_r": 4},
                        {"lr_scheduler_type": "constant", "warmup_steps": 4},
                        {"save_strategy": "no", "save_steps": 2}):
            with self.subTest(**changes):
                self.assert_refused(self.train(**changes), 2, "train", "no effect")

    def test_adapter_of_another_model(self):
        other = GOLDEN / "llama-mha" / "adapter"
        for done, command in ((self.eval_ppl("--peft_model", other, "--context_size", 96), "eval ppl"),
                              (self.train(init_adapter=other), "train")):
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assert_one_error_line(done, command, other, "[97, 32]", "[113, 48]")

    def test_missing_adapter(self):
        self.assert_refused(self.eval_ppl("--peft_model", self.folder / "none"), 1, "eval ppl", self.folder / "none")

    def test_missing_checkpoint(self):
        none = self.folder / "checkpoint-7"
        self.assert_refused(self.train(resume_from_checkpoint=none), 1, "train", none)


class OutputTest(BadInputTest):
    def test_folder_that_holds_a_run(self):
        done = self.train(max_steps=2)
        self.assertEqual(done.returncode, 0, done.stderr)
        before = {path: path.stat().st_mtime_ns for path in self.out.rglob("*")}
        done = self.train(max_steps=2)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", self.out, "checkpoint-2", "--resume_from_checkpoint latest")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.out.rglob("*") if path != self.out},
                         {path: time for path, time in before.items() if path != self.out})

    def test_folder_that_is_a_file(self):
        self.out.write_text("mine")
        done = self.train()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", self.out)
        self.assertEqual(self.out.read_text(), "mine")

    def test_full_output_pipe(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([os.environ["HICI"], "--version"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Ahici: error: stdout.*\n\Z")


class NotFiniteTest(BadInputTest):
    def assert_stopped(self, done, step):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", f"step {step}", "nan", "blocks", "no update was made",
                                   "--learning_rate")
        self.assertEqual(num_metric_lines(self.out), step - 1)
        self.assertEqual([path.name for path in self.out.glob("checkpoint-*") if int(path.name.split("-")[1]) >= step], [])

    def test_weight_that_is_not_a_number(self):
        dtype, shape, data = read_safetensors(self.base / "model.safetensors")[Q_PROJ]
        self.change_tensor(Q_PROJ, (dtype, shape, struct.pack("<f", float("nan")) + data[4:]))
        for changes in ({}, {"max_nonfinite_steps": 3}):  # the weights of the next step would be the same
            done = self.train(**changes)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assert_one_error_line(done, "train", f"{self.base}/model.safetensors: tensor '{Q_PROJ}' holds nan", "step 1")
            self.assertEqual(num_metric_lines(self.out), 0)
            self.assertEqual(list(self.out.glob("checkpoint-*")), [])

    def test_rate_that_makes_the_loss_infinite(self):
        done = self.train(learning_rate=10, hici_lr=10, weight_decay=100, lr_scheduler_type="constant", warmup_steps=None,
                          save_steps=1)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_stopped(done, step=num_metric_lines(self.out) + 1)

    def test_more_steps_are_tried_when_allowed(self):
        for name in ("up_proj", "down_proj"):  # finite weights, whose products are not
            name = f"model.layers.1.mlp.{name}.weight"
            dtype, shape, data = read_safetensors(self.base / "model.safetensors")[name]
            self.change_tensor(name, (dtype, shape, struct.pack("<f", 1e30) * (len(data) // 4)))
        done = self.train(max_nonfinite_steps=3)
        self.assertNotIn("-nan", done.stderr)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_error_line(done, "train", "step 3")


if __name__ == "__main__":
    unittest.main(verbosity=2)
