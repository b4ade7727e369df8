# SPDX-License-Identifier: Apache-2.0
"""hici and the Python libraries agree on numbers: the same files give the same perplexity on both sides."""
import itertools
import json
import shutil
import struct
import unittest

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing import event_accumulator

from models import LENGTH, LossTest, RELATIVE, ROPES, SIZES, random_model, tokens_of, transformers_loss
from support import GOLDEN, metrics, train_options


class InteropTest(LossTest):
    def test_models_of_transformers_give_its_loss(self):
        tokens, by_weights = self.write_tokens(), {}
        for family, rope_type, is_tied in itertools.product(("llama", "qwen3"), ROPES, (False, True)):
            if is_tied and rope_type in ("linear", "llama3"):
                continue  # tying and RoPE do not meet in the code; two of the four are enough
            with self.subTest(family=family, rope=rope_type, tied=is_tied):
                base = self.folder / f"{family}-{rope_type}-{is_tied}"
                model = random_model(family, rope_type, is_tied)
                model.save_pretrained(base, max_shard_size="30KB" if rope_type == "yarn" else "5GB")
                self.assertEqual(len(list(base.glob("*.safetensors"))) > 1, rope_type == "yarn")
                expected = transformers_loss(model, tokens_of(tokens))
                self.assert_same_loss(self.hici_loss(base, tokens), expected)
                by_weights.setdefault((family, is_tied), []).append(expected)
        for weights, losses in by_weights.items():  # the same weights: a RoPE that is not applied would show
            for one, other in itertools.combinations(losses, 2):
                self.assertGreater(abs(one - other), 10 * RELATIVE, weights)

    def test_config_of_older_transformers_gives_the_same_loss(self):
        tokens = self.write_tokens()
        for rope_type in ("linear", "llama3", "yarn"):
            with self.subTest(rope_type):
                base = self.folder / rope_type
                model = random_model("llama", rope_type, False)
                model.save_pretrained(base)
                config = json.loads((base / "config.json").read_text())
                scaling = config.pop("rope_parameters")
                config["rope_theta"] = scaling.pop("rope_theta")
                if rope_type == "linear":  # 4.33 to 4.42: two keys
                    scaling = {"type": "linear", "factor": scaling["factor"]}
                config["torch_dtype"] = config.pop("dtype", "float32")
                (base / "config.json").write_text(json.dumps({**config, "rope_scaling": scaling}))
                self.assert_same_loss(self.hici_loss(base, tokens), transformers_loss(model, tokens_of(tokens)))

    def test_every_spelling_and_place_of_the_rope_is_read_as_by_transformers(self):
        tokens = self.write_tokens()
        yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
        llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        factors = [1.0 + i / 2 for i in range(SIZES["head_dim"] // 2)]
        longrope = {"rope_type": "longrope", "short_factor": factors, "long_factor": factors,
                    "original_max_position_embeddings": 64}
        linear = {"type": "linear", "factor": 2.0}
        files = {
            "two thetas": {"rope_theta": 5000.0, "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}},
            "empty": {"rope_theta": 5000.0, "rope_scaling": {}, "rope_parameters": {}},
            "theta inside rope_scaling": {"rope_theta": 5000.0, "rope_scaling": {**linear, "rope_theta": 7000.0}},
            "both forms": {"rope_scaling": linear, "rope_parameters": {**yarn, "rope_theta": 5000.0}},
            "two types": {"rope_scaling": {**linear, "rope_type": "default"}},
            "original length beside and inside": {"rope_scaling": yarn, "original_max_position_embeddings": 32},
            "original length beside": {"rope_parameters": {**llama3, "rope_theta": 5000.0},
                                       "original_max_position_embeddings": 64},
            "a whole number with a point": {"rope_scaling": {**llama3, "original_max_position_embeddings": 64.0}},
            "longrope, length beside": {"rope_scaling": longrope, "original_max_position_embeddings": 32},
            "longrope, factor": {"rope_scaling": {**longrope, "factor": 3.0}},
            "yarn not truncated": {"rope_scaling": {**yarn, "truncate": False, "beta_fast": 16, "beta_slow": 2}},
            "yarn without betas": {"rope_scaling": {**yarn, "beta_fast": 0, "beta_slow": 0, "mscale": 1.5}},
        }
        for family in ("llama", "qwen3"):
            base = self.folder / family
            random_model(family, "default", False).save_pretrained(base)
            config = json.loads((base / "config.json").read_text())
            del config["rope_parameters"]
            losses = set()
            for name, more in files.items():
                with self.subTest(family=family, file=name):
                    (base / "config.json").write_text(json.dumps({**config, **more}))
                    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
                    expected = transformers_loss(model, tokens_of(tokens))
                    self.assert_same_loss(self.hici_loss(base, tokens), expected)
                    losses.add(round(expected, 6))
            self.assertGreater(len(losses), len(files) - 3)  # they are different models

    def test_a_tied_config_with_a_head_of_its_own_has_that_head(self):
        tokens = self.write_tokens()
        for family in ("llama", "qwen3"):
            base = self.folder / family
            random_model(family, "default", False).save_pretrained(base)
            config = json.loads((base / "config.json").read_text())
            (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
            expected = transformers_loss(transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval(),
                                         tokens_of(tokens))
            self.assert_same_loss(self.hici_loss(base, tokens), expected)

    def test_transformers_loads_what_full_training_saves(self):
        for model, attention in (("llama-gqa", "full"), ("qwen3-gqa", "full")):
            with self.subTest(model):
                out = self.folder / model
                self.run_hici(*train_options(out, model, **self.no_hici(), attention=attention, low_rank_training=False,
                                             max_steps=4, save_steps=0))
                checkpoint = out / "checkpoint-4"
                loaded, info = transformers.AutoModelForCausalLM.from_pretrained(
                    checkpoint, dtype=torch.float32, output_loading_info=True)
                self.assertEqual([names for names in info.values() if names], [])
                tokens = GOLDEN / model / "tokens.bin"
                ours = self.hici_loss(checkpoint, tokens)
                self.assert_same_loss(ours, transformers_loss(loaded.eval(), tokens_of(tokens)))
                self.assertNotAlmostEqual(ours, self.hici_loss(GOLDEN / model / "base", tokens), places=2)

    def test_peft_loads_our_adapter(self):
        out = self.folder / "out"
        model = "llama-gqa"
        self.run_hici(*train_options(out, model, **self.no_hici(), attention="full", max_steps=6, save_steps=0,
                                     trainable_params="", learning_rate=2e-2))
        checkpoint = out / "checkpoint-6"
        # PEFT knows nothing of the longer context: its base gets the same linear RoPE factor (96 / 64, rounded up).
        base = self.folder / "base"
        shutil.copytree(GOLDEN / model / "base", base)
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps({**config, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}))
        plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        tokens = GOLDEN / model / "tokens.bin"
        before = transformers_loss(plain, tokens_of(tokens))
        adapted = peft.PeftModel.from_pretrained(plain, checkpoint).eval()
        ours = self.hici_loss(GOLDEN / model / "base", tokens, "--peft_model", checkpoint)
        self.assert_same_loss(ours, transformers_loss(adapted, tokens_of(tokens)))
        self.assertNotAlmostEqual(ours, before, places=2)

    def test_adapter_of_peft_gives_its_loss(self):
        tokens = self.write_tokens()
        model = random_model("llama", "default", False)
        base, adapter = self.folder / "base", self.folder / "adapter"
        model.save_pretrained(base)
        settings = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM",
                                   init_lora_weights=False)
        adapted = peft.get_peft_model(model, settings).eval()
        adapted.save_pretrained(adapter)
        self.assert_same_loss(self.hici_loss(base, tokens, "--peft_model", adapter),
                              transformers_loss(adapted, tokens_of(tokens)))

    def test_python_safetensors_reads_and_writes_our_files(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, max_steps=1, save_steps=0))
        checkpoint = out / "checkpoint-1"
        copy = self.folder / "copy"
        shutil.copytree(checkpoint, copy)
        for name in ("adapter_model.safetensors", "trainable_params.safetensors"):
            tensors = load_file(checkpoint / name)
            self.assertTrue(tensors and all(t.numel() > 0 and t.isfinite().all() for t in tensors.values()))
            save_file(tensors, copy / name, metadata={"format": "pt"})
        tokens, base = GOLDEN / "llama-gqa" / "tokens.bin", GOLDEN / "llama-gqa" / "base"
        # What another program wrote is not what the manifest says. The refusal names the way out; then it is read.
        done = self.run_hici("eval", "ppl", "--base_model", base, "--data_path", tokens, "--seq_len", LENGTH,
                             "--peft_model", copy, code=1)
        self.assertIn("to read the folder as it is, remove manifest.json", done.stderr)
        (copy / "manifest.json").unlink()
        self.assertEqual(self.hici_loss(base, tokens, "--peft_model", checkpoint),
                         self.hici_loss(base, tokens, "--peft_model", copy))

    def test_tensorboard_reads_our_event_file(self):
        out = self.folder / "out"
        self.run_hici(*train_options(out, max_steps=5))
        self.run_hici(*train_options(out, max_steps=8, resume_from_checkpoint="latest"))
        events = event_accumulator.EventAccumulator(str(out))
        events.Reload()
        for tag in ("loss", "grad_norm", "learning_rate", "hici_learning_rate"):
            found = [(event.step, event.value) for event in events.Scalars(f"train/{tag}")]
            expected = [(line["step"], struct.unpack("f", struct.pack("f", line[tag]))[0]) for line in metrics(out)]
            self.assertEqual(found, expected, tag)

    @staticmethod
    def no_hici():
        return dict.fromkeys(("num_chunks", "num_local_slots", "global_slots", "num_heads", "bottleneck_dim",
                              "shared_compress_dim", "causal_mode"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
