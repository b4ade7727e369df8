# SPDX-License-Identifier: Apache-2.0
"""From an adapter to a model that other programs load: hici extract, hici merge, and the vocabulary between them."""
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import unittest

import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

from models import LENGTH, LossTest, STRIDE, tokens_of, transformers_loss
from support import ENVIRONMENT, GOLDEN, HICI, golden_hici_options, hici, train_options

MODELS = ("llama-gqa", "llama-mha", "qwen3-gqa")
CONTEXT = 96  # of the golden adapters; their models cover 64


class MergeTest(LossTest):
    def setUp(self):
        super().setUp()
        self.merged = self.folder / "merged"

    def merge(self, base, adapter, *more, code=0, **keywords):
        return self.run_hici("merge", "--base_model", base, "--peft_model", adapter, "--save_path", self.merged, *more,
                             code=code, **keywords)

    def merge_golden(self, model, *more, **keywords):
        return self.merge(GOLDEN / model / "base", GOLDEN / model / "adapter", "--context_size", CONTEXT, *more, **keywords)

    def hici_attention_loss(self, base, tokens, *more):
        return self.hici_loss(base, tokens, "--eval_mode", "hici", *more)

    def hici_loss(self, base, tokens, *more):
        """As in LossTest, with another --eval_mode where one is given."""
        if "--eval_mode" not in more:
            return super().hici_loss(base, tokens, *more)
        result = self.folder / "result.json"
        self.run_hici("eval", "ppl", "--base_model", base, "--data_path", tokens, "--seq_len", LENGTH, "--sliding_window",
                      STRIDE, "--dtype", "float32", "--device", "cpu", "--output", result, *more)
        return json.loads(result.read_text())["loss"]

    def assert_transformers_gives(self, folder, tokens, loss):
        model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        self.assertEqual([names for names in info.values() if names], [])
        self.assert_same_loss(loss, transformers_loss(model.eval(), tokens_of(tokens)))


class GoldenModelTest(MergeTest):
    def test_standard_model_gives_the_loss_of_base_and_adapter_here_and_in_transformers(self):
        for name in MODELS:
            with self.subTest(name):
                tokens, self.merged = GOLDEN / name / "tokens.bin", self.folder / name
                done = self.merge_golden(name)
                self.assertIn("checked: logits of 64 random ids, full attention", done.stdout)
                self.assertEqual(sorted(os.listdir(self.merged)), ["config.json", "hici_merge.json", "model.safetensors"])
                ours = self.hici_loss(GOLDEN / name / "base", tokens, "--peft_model", GOLDEN / name / "adapter",
                                      "--context_size", CONTEXT)
                self.assert_same_loss(self.hici_loss(self.merged, tokens), ours)
                self.assert_transformers_gives(self.merged, tokens, ours)
                self.assertNotAlmostEqual(ours, self.hici_loss(GOLDEN / name / "base", tokens), places=4)

    def test_model_with_hici_needs_no_option_and_other_programs_see_a_standard_one(self):
        for name in MODELS:
            with self.subTest(name):
                base, adapter, tokens = (GOLDEN / name / part for part in ("base", "adapter", "tokens.bin"))
                self.merged = self.folder / name
                done = self.merge_golden(name, "--with_hici", "True", *golden_hici_options(name))
                self.assertIn("hici attention, against base and adapter", done.stdout)
                self.assertEqual(sorted(os.listdir(self.merged)), ["config.json", "configuration_hici.py", "hici_config.json",
                                                                   "hici_merge.json", "hici_modules.safetensors",
                                                                   "model.safetensors", "modeling_hici.py"])
                separate = self.hici_attention_loss(base, tokens, "--peft_model", adapter, "--context_size", CONTEXT,
                                                    *golden_hici_options(name))
                self.assert_same_loss(self.hici_attention_loss(self.merged, tokens), separate)
                full = self.hici_loss(base, tokens, "--peft_model", adapter, "--context_size", CONTEXT)
                self.assertNotAlmostEqual(separate, full, places=3)
                self.assert_transformers_gives(self.merged, tokens, full)
                self.assertFalse([key for key in load_file(self.merged / "hici_modules.safetensors") if "lora" in key])
                self.run_hici("inspect", self.merged)

    def test_run_directory_brings_its_context_and_hici_settings(self):
        out, name = self.folder / "out", "qwen3-gqa"
        tokens = GOLDEN / name / "tokens.bin"
        self.run_hici(*train_options(out, name, max_steps=2, save_steps=1, causal_mode="causal_shift"))
        self.merge(GOLDEN / name / "base", out, "--with_hici")
        settings = json.loads((self.merged / "hici_config.json").read_text())
        self.assertEqual((settings["causal_mode"], settings["context_size"], settings["rope_factor"]), ("causal_shift", 96, 1))
        self.assert_same_loss(self.hici_attention_loss(self.merged, tokens),
                              self.hici_attention_loss(GOLDEN / name / "base", tokens, "--peft_model", out))

    def test_weights_are_those_of_torch_to_the_last_bit(self):
        name = "llama-gqa"
        base = load_file(GOLDEN / name / "base" / "model.safetensors")
        factors = load_file(GOLDEN / name / "adapter" / "adapter_model.safetensors")
        trained = load_file(GOLDEN / name / "adapter" / "trainable_params.safetensors")
        for type_name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)):
            with self.subTest(type_name):
                self.merged = self.folder / type_name
                self.merge_golden(name, "--torch_dtype", type_name, "--max_shard_size", "20KB")
                index = json.loads((self.merged / "model.safetensors.index.json").read_text())
                merged = {}
                for shard in self.merged.glob("model-*.safetensors"):
                    tensors = load_file(shard)
                    self.assertTrue(len(tensors) == 1 or sum(t.nbytes for t in tensors.values()) <= 20_000, shard)
                    merged |= tensors
                self.assertEqual(set(index["weight_map"]), set(base))
                self.assertEqual(set(merged), set(base))
                for key, weight in base.items():
                    lora = "base_model.model." + key.removesuffix("weight")
                    expected = trained.get(key, weight)
                    if lora + "lora_A.weight" in factors:  # scale: alpha 16 / rank 8
                        expected = torch.addmm(expected, factors[lora + "lora_B.weight"], factors[lora + "lora_A.weight"], alpha=2)
                    # Sums of eight products in another order may differ by one step of float32, and then by one of dtype.
                    step = (merged[key].float() - expected.to(dtype).float()).abs()
                    self.assertLessEqual((step - expected.abs() * torch.finfo(dtype).eps).max().item(), 0, key)
                    self.assertLess((step != 0).float().mean().item(), 0.3 if type_name == "float32" else 0.01, key)
                    if lora + "lora_A.weight" not in factors:
                        self.assertTrue(torch.equal(merged[key], expected.to(dtype)), key)

    def test_config_is_right_for_every_transformers(self):
        for name, factor in (("llama-gqa", 2.0), ("qwen3-gqa", 1.5)):  # 96 of 64: rounded up; the ratio
            with self.subTest(name):
                base = self.folder / name / "base"
                shutil.copytree(GOLDEN / name / "base", base)
                config = json.loads((base / "config.json").read_text())
                (base / "config.json").write_text(json.dumps({**config, "our_own_key": [1, 2]}))
                companions = {"generation_config.json": '{"temperature": 0.5}', "tokenizer_config.json": "{}",
                              "special_tokens_map.json": "{}", "tokenizer.model": "sentencepiece", "chat_template.jinja": "{{ x }}"}
                for file, text in companions.items():
                    (base / file).write_text(text)
                self.merged = self.folder / name / "merged"
                self.merge(base, GOLDEN / name / "adapter", "--context_size", CONTEXT, "--torch_dtype", "bfloat16")
                text = (self.merged / "config.json").read_text()
                merged = json.loads(text)
                self.assertEqual(merged["rope_scaling"], {"type": "linear", "factor": factor})  # all that 4.33 to 4.42 accept
                self.assertEqual(merged["rope_parameters"], {"rope_type": "linear", "factor": factor, "rope_theta": config["rope_theta"]})
                self.assertIn(f'"factor": {factor}', text)  # a float: 4.33 refuses 2
                changed = {"rope_scaling", "rope_parameters", "torch_dtype", "dtype"}
                self.assertEqual((merged["torch_dtype"], merged["dtype"], merged["our_own_key"]), ("bfloat16", "bfloat16", [1, 2]))
                self.assertEqual({k: v for k, v in merged.items() if k in config and k not in changed},
                                 {k: v for k, v in config.items() if k not in changed})
                for file, text in companions.items():
                    self.assertEqual((self.merged / file).read_text(), text)

    def test_probe_is_a_text_where_there_is_a_tokenizer(self):
        base = self.folder / "base"
        shutil.copytree(GOLDEN / "llama-gqa" / "base", base)
        words = tokenizers.models.WordLevel({f"w{i}": i for i in range(112)} | {"the": 112}, unk_token="w0")
        tokenizer = tokenizers.Tokenizer(words)
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        tokenizer.save(str(base / "tokenizer.json"))
        done = self.merge(base, GOLDEN / "llama-gqa" / "adapter", "--context_size", CONTEXT)
        has_text = "tokenizers" in self.run_hici("--version").stdout
        self.assertIn("logits of 64 " + ("tokens of text" if has_text else "random ids"), done.stdout)
        self.assertEqual((self.merged / "tokenizer.json").read_bytes(), (base / "tokenizer.json").read_bytes())

    def test_record_says_what_was_merged(self):
        name = "llama-gqa"
        self.merge_golden(name, "--torch_dtype", "float16")
        record = json.loads((self.merged / "hici_merge.json").read_text())
        self.assertEqual((record["torch_dtype"], record["context_size"], record["rope_factor"], record["with_hici"]),
                         ("float16", CONTEXT, 2.0, False))
        self.assertIn("torch_dtype = float16", record["options"])
        for side in ("base", "adapter"):
            self.assertEqual(record[side]["path"], str(GOLDEN / name / side))
            self.assertEqual(sorted(f["name"] for f in record[side]["files"]), sorted(os.listdir(GOLDEN / name / side)))
            for file in record[side]["files"]:
                self.assertEqual(file["sha256"], hashlib.sha256((GOLDEN / name / side / file["name"]).read_bytes()).hexdigest())
        for logits in record["check"]["logits"]:
            self.assertLess(logits["relative"], logits["bound"])


class MemoryTest(MergeTest):
    def peak_memory(self, layers):
        base, adapter, merged = (self.folder / f"{part}-{layers}" for part in ("base", "adapter", "merged"))
        self.run_hici("init", "--output_dir", base, "--vocab_size", 64, "--hidden_size", 384, "--intermediate_size", 1024,
                      "--num_hidden_layers", layers, "--max_position_embeddings", 64)
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}))
        prefix = "base_model.model.model.layers."
        # Of a size as training makes them: with larger ones the last logits depend on every rounding.
        torch.manual_seed(layers)
        save_file({f"{prefix}{i}.self_attn.q_proj.lora_{half}.weight": torch.randn(shape) * 0.05 for i in range(layers)
                   for half, shape in (("A", (2, 384)), ("B", (384, 2)))}, adapter / "adapter_model.safetensors")
        log = self.folder / "stderr"
        with log.open("w") as errors:
            process = subprocess.Popen([HICI, "merge", "--base_model", base, "--peft_model", adapter, "--save_path", merged,
                                        "--context_size", "64"], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        self.assertEqual(status, 0, log.read_text())
        size = sum(file.stat().st_size for file in merged.iterdir())
        for folder in (base, adapter, merged):
            shutil.rmtree(folder)
        return usage.ru_maxrss * 1024, size

    def test_memory_does_not_grow_with_the_layers(self):
        few, few_bytes = self.peak_memory(2)
        many, many_bytes = self.peak_memory(34)
        self.assertGreater(many_bytes - few_bytes, 200e6)
        # What is there once for each layer is names, shapes and the probe's state; 16 MiB are for the allocator.
        self.assertLess(many - few, 16 << 20, f"{few} bytes for {few_bytes} of weights, {many} for {many_bytes}")


class VocabularyTest(MergeTest):
    ROWS = 113

    def test_added_row_is_the_mean_and_survives_resuming_merging_and_transformers(self):
        out, base = self.folder / "out", GOLDEN / "llama-gqa" / "base"
        tokens = GOLDEN / "llama-gqa" / "tokens.bin"
        options = dict(max_steps=2, save_steps=1, add_pad_token=True)
        done = self.run_hici(*train_options(out, **options, learning_rate=0))
        self.assertIn(f"the vocabulary of {base} grows from {self.ROWS} to {self.ROWS + 1} rows", done.stderr)
        old = load_file(base / "model.safetensors")["model.embed_tokens.weight"]
        new = load_file(out / "checkpoint-2" / "trainable_params.safetensors")["model.embed_tokens.weight"]
        self.assertTrue(torch.equal(new[:-1], old))
        self.assertLess((new[-1] - old.mean(dim=0)).abs().max().item(), 1e-7)
        done = self.run_hici(*train_options(out, **{**options, "max_steps": 3}, learning_rate=0, resume_from_checkpoint="latest"))
        self.assertEqual(done.stderr.count("the vocabulary grows by 1 row"), 1, done.stderr)
        self.assertEqual(len(load_file(out / "checkpoint-3" / "trainable_params.safetensors")["model.embed_tokens.weight"]), self.ROWS + 1)
        done = self.merge(base, out)
        self.assertEqual(done.stderr.count("the vocabulary grows by 1 row (the research code's [PAD]); the head's are the mean"), 1)
        head = load_file(base / "model.safetensors")["lm_head.weight"]
        merged = load_file(self.merged / "model.safetensors")["lm_head.weight"]
        self.assertTrue(torch.equal(merged[:-1], head))
        self.assertLess((merged[-1] - head.mean(dim=0)).abs().max().item(), 1e-7)
        self.assertEqual(json.loads((self.merged / "config.json").read_text())["vocab_size"], self.ROWS + 1)
        ours = self.hici_loss(base, tokens, "--peft_model", out)
        self.assert_same_loss(self.hici_loss(self.merged, tokens), ours)
        self.assert_transformers_gives(self.merged, tokens, ours)

    def test_whole_model_with_the_row_is_not_extended_twice(self):
        out = self.folder / "out"
        options = train_options(out, max_steps=1, save_steps=1, add_pad_token=True, low_rank_training=False)
        self.run_hici(*options)
        self.assertEqual(json.loads((out / "checkpoint-1" / "config.json").read_text())["vocab_size"], self.ROWS + 1)
        options[options.index("--max_steps") + 1] = "2"
        self.run_hici(*options, "--resume_from_checkpoint", "latest")
        self.assertEqual(json.loads((out / "checkpoint-2" / "config.json").read_text())["vocab_size"], self.ROWS + 1)

    def test_nothing_is_added_unasked(self):
        out = self.folder / "out"
        done = self.run_hici(*train_options(out, max_steps=1))
        self.assertNotIn("vocabulary", done.stderr)
        self.assertEqual(len(load_file(out / "checkpoint-1" / "trainable_params.safetensors")["model.embed_tokens.weight"]), self.ROWS)

    def test_tokenizer_with_a_pad_token_needs_no_row(self):
        base = self.folder / "base"
        shutil.copytree(GOLDEN / "llama-gqa" / "base", base)
        (base / "tokenizer_config.json").write_text('{"pad_token": "<pad>"}')
        done = self.run_hici(*train_options(self.folder / "out", model_name_or_path=base, add_pad_token=True), code=1)
        self.assert_one_error_line(done, "train", "--add_pad_token", "tokenizer_config.json", "<pad>")


class BadInputTest(MergeTest):
    def setUp(self):
        super().setUp()
        self.base, self.adapter = self.folder / "base", self.folder / "adapter"
        shutil.copytree(GOLDEN / "llama-gqa" / "base", self.base)
        shutil.copytree(GOLDEN / "llama-gqa" / "adapter", self.adapter)
        self.before = sorted(os.listdir(self.folder))

    def refuse(self, code, *needles, more=(), base=None, adapter=None, **keywords):
        done = self.merge(base or self.base, adapter or self.adapter, "--context_size", CONTEXT, *more, code=code, **keywords)
        self.assert_one_error_line(done, "merge", *needles)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(os.listdir(self.folder)), self.before, "something was left behind")

    def refuse_extract(self, code, *needles, more=()):
        files = sorted(os.listdir(self.adapter))
        done = self.run_hici("extract", "--checkpoint_path", self.adapter, *more, code=code)
        self.assert_one_error_line(done, "extract", *needles)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(sorted(os.listdir(self.adapter)), files, "something was left behind")
        self.assertEqual(sorted(os.listdir(self.folder)), self.before, "something was left behind")

    def change(self, file, **changes):
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, **changes}))

    def change_tensors(self, file, change):
        save_file(change(load_file(file)), file, metadata={"format": "pt"})

    def test_adapter_of_a_model_of_another_width(self):
        self.refuse(1, "trainable_params.safetensors", "[97, 32]", "[113, 48]", adapter=GOLDEN / "llama-mha" / "adapter")

    def test_adapter_of_a_model_with_more_layers(self):
        self.change(self.base / "config.json", num_hidden_layers=2)
        self.change_tensors(self.base / "model.safetensors", lambda t: {k: v for k, v in t.items() if ".layers.2." not in k})
        self.refuse(1, "trainable_params.safetensors", "model.layers.2.", "is not in the base model")

    def test_adapter_of_a_model_with_fewer_layers(self):
        self.change_tensors(self.adapter / "trainable_params.safetensors", lambda t: {k: v for k, v in t.items() if ".layers.2." not in k})
        self.change_tensors(self.adapter / "adapter_model.safetensors", lambda t: {k: v for k, v in t.items() if ".layers.2." not in k})
        self.refuse(1, self.adapter, "model.layers.2.self_attn.q_proj.lora_A.weight", "not whole")

    def test_adapter_of_a_model_with_a_larger_vocabulary_than_its_own(self):
        self.change_tensors(self.adapter / "trainable_params.safetensors",
                            lambda t: {k: v[:-1].contiguous() if "embed" in k else v for k, v in t.items()})
        self.refuse(1, "model.embed_tokens.weight", "[112, 48]", "[113, 48]")

    def test_missing_half(self):
        (self.adapter / "trainable_params.safetensors").unlink()
        self.refuse(1, self.adapter, "no trainable_params", "hici extract")
        shutil.copy(GOLDEN / "llama-gqa" / "adapter" / "trainable_params.safetensors", self.adapter)
        (self.adapter / "adapter_model.safetensors").unlink()
        self.refuse(1, self.adapter, "no adapter_model", "hici extract")

    def test_training_checkpoint_of_deepspeed_without_files(self):
        for file in self.adapter.iterdir():
            file.unlink()
        (self.adapter / "global_step1000").mkdir()
        self.refuse(1, self.adapter / "global_step1000", "_model_states.pt", "fetch")
        self.refuse_extract(1, self.adapter / "global_step1000", "_model_states.pt")

    def test_rank_that_is_not_the_files(self):
        self.change(self.adapter / "adapter_config.json", r=16)
        self.refuse(1, "adapter_model.safetensors", "rank is 8", "adapter_config.json says r 16")

    def test_alpha_that_is_not_the_files(self):
        self.refuse_extract(1, "adapter_config.json: lora_alpha is 16", "--lora_alpha says 32", more=("--lora_alpha", 32, "--format", "bin"))
        (self.adapter / "adapter_config.json").unlink()
        self.refuse(1, self.adapter, "lora_alpha / r", "hici extract --lora_alpha")

    def test_merged_directory_again(self):
        self.merge(self.base, self.adapter, "--context_size", CONTEXT)
        first, self.merged = self.merged, self.folder / "again"
        self.before = sorted(os.listdir(self.folder))
        self.refuse(1, first, "is a merged model already", base=first)
        self.refuse(1, first, "is a model and no adapter", adapter=first)

    def test_hici_options_that_contradict_the_tensors(self):
        for name, value, stored in (("num_local_slots", 9, 8), ("global_slots", 5, 4), ("bottleneck_dim", 512, 24),
                                    ("compress_dim", 512, 24), ("shared_compress_dim", 128, 8)):
            for with_hici in ("True", "False"):
                with self.subTest(name, with_hici=with_hici):
                    self.refuse(2, f"--{name}: {value} contradicts the adapter, which has {stored}",
                                more=(f"--{name}", value, "--with_hici", with_hici))
        self.refuse(2, "--num_heads: 5 does not divide --bottleneck_dim 24", more=("--num_heads", 5))

    def test_hici_of_an_adapter_without_it(self):
        for name in ("trainable_params", "adapter_model"):
            self.change_tensors(self.adapter / f"{name}.safetensors",
                                lambda t: {k: v for k, v in t.items() if "constructor" not in k and "integrator" not in k})
        self.refuse(1, "--with_hici True", self.adapter, "has HiCI modules", more=("--with_hici", "True"))

    def test_unknown_context(self):
        done = self.merge(self.base, self.adapter, code=1)
        self.assert_one_error_line(done, "merge", self.adapter, "--context_size")
        self.assertEqual(sorted(os.listdir(self.folder)), self.before)

    def test_wrong_values(self):
        self.refuse(2, "--torch_dtype", "int8", more=("--torch_dtype", "int8"))
        self.refuse(2, "--max_shard_size", "big", more=("--max_shard_size", "big"))
        self.refuse_extract(2, "--format", "zip", more=("--format", "zip"))
        self.refuse_extract(2, "--trainable_params", "'embde'", more=("--trainable_params", "embde,norm", "--format", "bin"))

    def test_output_that_is_not_empty(self):
        self.merged.mkdir()
        (self.merged / "mine.txt").write_text("keep")
        self.before = sorted(os.listdir(self.folder))
        self.refuse(1, self.merged, "not empty")
        self.refuse_extract(1, self.merged, "not empty", more=("--output_dir", self.merged))
        self.assertEqual(os.listdir(self.merged), ["mine.txt"])
        self.refuse_extract(1, "adapter_model.safetensors: is the form that is asked for already")

    def test_write_that_fails_leaves_nothing(self):
        def limit_files():  # a write beyond the limit is an error, as on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        self.refuse(1, "model.safetensors", "cannot write", preexec_fn=limit_files)
        for form in ("safetensors", "bin"):
            out = self.folder / "out"
            done = hici("extract", "--checkpoint_path", self.adapter, "--output_dir", out, "--format", form, preexec_fn=limit_files)
            self.assertEqual(done.returncode, 1)
            self.assert_one_error_line(done, "extract", out, "cannot write")
            self.assertEqual(sorted(os.listdir(self.folder)), self.before)

    def test_whole_model_has_nothing_to_extract(self):
        shutil.rmtree(self.adapter)
        shutil.copytree(self.base, self.adapter)
        self.refuse_extract(1, self.adapter, "no LoRA factors", "--base_model")


if __name__ == "__main__":
    unittest.main(verbosity=2)
