# SPDX-License-Identifier: Apache-2.0
"""Adapters of every kind that PEFT writes: its loss, its merged tensors, its step, or a refusal that names the key."""
import json
import shutil
import pathlib
import unittest

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

from models import LENGTH, LossTest, SIZES, VOCABULARY, ascii_tokenizer, random_model, tokens_of, transformers_loss
from support import hici

DELTA = 1e-6  # of a loss, and of a merged weight
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]

# Options of peft.LoraConfig by kind; "tied": the base ties embedding and head.
KINDS = {
    "rslora": {"r": 9, "use_rslora": True},
    "patterns": {"rank_pattern": {r"layers\.1\.self_attn\.q_proj": 8, "v_proj": 2},
                 "alpha_pattern": {"^model.layers.0.self_attn.(q|k)_proj": 24, r"layers\.\d\.self_attn\.o_proj": 2}},
    "rslora and patterns": {"use_rslora": True, "rank_pattern": {"k_proj": 9}, "alpha_pattern": {"q_proj": 32}},
    "first match": {"rank_pattern": {"0.self_attn.q_proj": 3, "q_proj": 6}, "alpha_pattern": {"_proj": 4}},
    "layers": {"layers_to_transform": [1], "layers_pattern": "layers"},
    "one layer": {"layers_to_transform": 0},
    "expression": {"target_modules": r".*layers\.(0\.self_attn\.(q|v)|1\.mlp\.(up|down))_proj"},
    "excluded": {"target_modules": ATTENTION + MLP, "exclude_modules": ["layers.0.mlp.up_proj", "k_proj"]},
    "all linear": {"target_modules": "all-linear"},
    "mlp": {"target_modules": MLP},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "embedding and head": {"target_modules": ["v_proj", "embed_tokens", "lm_head"], "use_rslora": True,
                           "rank_pattern": {"lm_head": 2}},
    "tied head": {"target_modules": ["q_proj", "lm_head"], "tied": True},
    "tied embedding": {"target_modules": ["q_proj", "embed_tokens"], "tied": True},
    "tied both": {"target_modules": ["q_proj", "embed_tokens"], "tied": True, "ensure_weight_tying": True},
    "dora": {"use_dora": True},
    "dora of all": {"use_dora": True, "use_rslora": True, "target_modules": ATTENTION + MLP + ["embed_tokens", "lm_head"],
                    "rank_pattern": {"q_proj": 3}},
    "tokens": {"trainable_token_indices": {"embed_tokens": [5, 9, 100]}},
    "tokens of both": {"trainable_token_indices": {"embed_tokens": [5, 9], "lm_head": [7]}},
    "tokens of a tied embedding": {"trainable_token_indices": [5, 9, 100], "tied": True},
    "tokens of a tied head": {"trainable_token_indices": {"lm_head": [5, 9]}, "tied": True},
    "tokens and patterns": {"trainable_token_indices": {"embed_tokens": [0, 112]}, "use_rslora": True,
                            "rank_pattern": {"k_proj": 8}},
    "saved modules": {"modules_to_save": ["embed_tokens", "lm_head", "input_layernorm"]},
    "saved mlp": {"target_modules": ATTENTION + ["up_proj"], "modules_to_save": ["layers.0.mlp"]},
    "saved tied embedding": {"modules_to_save": ["embed_tokens"], "tied": True},
    "saved tied head": {"modules_to_save": ["lm_head"], "tied": True},
    "saved tied both": {"modules_to_save": ["embed_tokens"], "tied": True, "ensure_weight_tying": True},
    "bias all": {"bias": "all"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "mica": {"init_lora_weights": "mica"},
}
# PEFT merges into the one tied weight, for both and with two pairs of factors twice: not what it computes unmerged.
MERGES_BOTH = ("tied both", "tied head", "tied embedding", "tokens of a tied head", "saved tied embedding", "saved tied head")


TEXT = "The tide comes in twice a day, and twice a day it leaves the harbour dry. " * 4


def write_tokenizer(folder, **config):
    tokenizer = ascii_tokenizer([TEXT], VOCABULARY)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|bos|>", "eos_token": "<|eos|>", **config}))
    return tokenizer


def randomised(model, seed=5):
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                parameter.mul_(1 + 0.3 * torch.rand(parameter.shape, generator=chance))
            elif "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=chance) * 0.2)
            elif "trainable_tokens_delta" in name or "modules_to_save" in name:
                parameter.add_(torch.randn(parameter.shape, generator=chance) * 0.2)
    return model


class AdapterTest(LossTest):
    def setUp(self):
        super().setUp()
        self.tokens = self.write_tokens()

    def base(self, tied=False, family="llama"):
        base = self.folder / f"base-{family}-{tied}"
        if not base.exists():
            model = random_model(family, "default", tied)
            with torch.no_grad():  # even scores: sharp ones make more of rounding
                for name, parameter in model.named_parameters():
                    if "q_proj" in name or "k_proj" in name:
                        parameter.div_(8)
            model.save_pretrained(base)
        return base

    @staticmethod
    def load(base):
        return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()

    def adapter(self, name, tied=False, family="llama", **options):
        """An adapter as PEFT writes it, and its base."""
        base, folder = self.base(tied, family), self.folder / f"adapter {name}"
        settings = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ATTENTION, "task_type": "CAUSAL_LM",
                                      **options})
        torch.manual_seed(3)
        randomised(peft.get_peft_model(self.load(base), settings)).save_pretrained(folder)
        return base, folder

    def peft_model(self, base, adapter):
        return peft.PeftModel.from_pretrained(self.load(base), adapter).eval()

    def loss_of(self, model):
        return transformers_loss(model, tokens_of(self.tokens))

    def peft_loss(self, base, adapter):
        return self.loss_of(self.peft_model(base, adapter))

    def assert_loss_of_peft(self, base, adapter):
        expected = self.peft_loss(base, adapter)
        self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", adapter), expected, delta=DELTA)
        return expected

    def merge(self, base, adapter, *more, code=0):
        merged = self.folder / f"merged-{len(list(self.folder.iterdir()))}"
        done = self.run_hici("merge", "--base_model", base, "--peft_model", adapter, "--save_path", merged,
                             "--context_size", 64, "--torch_dtype", "float32", *more, code=code)
        return merged, done

    def edit_config(self, adapter, **changes):
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def edit_names(self, adapter, rename):
        path = adapter / "adapter_model.safetensors"
        save_file({rename(name): tensor.contiguous() for name, tensor in load_file(path).items()}, path,
                  {"format": "pt"})


class KindsTest(AdapterTest):
    def test_loss_is_that_of_peft(self):
        for kind, options in KINDS.items():
            with self.subTest(kind):
                base, adapter = self.adapter(kind, **options)
                loss = self.assert_loss_of_peft(base, adapter)
                self.assertGreater(abs(loss - self.hici_loss(base, self.tokens)), 1e-3)

    def test_merged_tensors_are_those_of_peft(self):
        for kind, options in KINDS.items():
            with self.subTest(kind):
                base, adapter = self.adapter(kind, **options)
                merged, _ = self.merge(base, adapter)
                found = load_file(merged / "model.safetensors")
                expected = self.peft_model(base, adapter).merge_and_unload().state_dict()
                if kind in MERGES_BOTH:
                    self.assertFalse(json.loads((merged / "config.json").read_text())["tie_word_embeddings"])
                    self.assertAlmostEqual(self.loss_of(self.load(merged)), self.peft_loss(base, adapter), delta=1e-5)
                else:
                    for name, tensor in found.items():
                        error = (tensor - expected[name].float()).abs().max().item()
                        self.assertLess(error, DELTA * max(1, tensor.abs().max().item()), name)
                    self.assertEqual(set(expected) - set(found), {"lm_head.weight"} if options.get("tied") else set())

    def test_bias_of_factors_is_evaluated_and_not_merged(self):
        base, adapter = self.adapter("bias", lora_bias=True, rank_pattern={"q_proj": 2})
        self.assert_loss_of_peft(base, adapter)
        _, done = self.merge(base, adapter, code=1)
        self.assert_one_error_line(done, "merge", "lora_bias", "no bias that could hold it")

    def test_qwen3_and_bfloat16_bases(self):
        base, adapter = self.adapter("qwen3", family="qwen3", use_dora=True, trainable_token_indices=[3, 4], tied=True,
                                     rank_pattern={"layers.0.mlp.up_proj": 2}, target_modules=ATTENTION + MLP)
        self.assert_loss_of_peft(base, adapter)
        half = self.folder / "half"
        self.load(base).to(torch.bfloat16).save_pretrained(half)
        self.assert_loss_of_peft(half, adapter)

    def test_extract_and_inspect(self):
        for kind in ("rslora and patterns", "embedding and head", "dora of all", "tokens of both", "saved modules",
                     "saved tied embedding", "layers"):
            for form in ("bin", "safetensors"):
                with self.subTest(kind, form=form):
                    base, adapter = self.adapter(kind, **KINDS[kind])
                    expected = self.peft_loss(base, adapter)
                    out = self.folder / f"{kind} {form}"
                    self.run_hici("extract", "--checkpoint_path", adapter, "--output_dir", out, "--format", form)
                    self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", out), expected, delta=DELTA)
                    self.assertAlmostEqual(self.peft_loss(base, out), expected, delta=DELTA)
                    self.run_hici("inspect", out, "--base_model", base)

    def test_extract_keeps_what_the_end_of_a_name_means(self):
        base, adapter = self.adapter("norms", modules_to_save=["norm"])  # and so input_layernorm
        expected, out = self.peft_loss(base, adapter), self.folder / "extracted"
        self.run_hici("extract", "--checkpoint_path", adapter, "--output_dir", out)
        self.assertAlmostEqual(self.peft_loss(base, out), expected, delta=DELTA)
        self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", out), expected, delta=DELTA)

    def test_generated_tokens_are_those_of_peft(self):
        base, adapter = self.adapter("generate", use_dora=True, rank_pattern={"q_proj": 2}, target_modules=ATTENTION + MLP,
                                     trainable_token_indices=[1, 2, 3])
        tokenizer = write_tokenizer(base)
        prompt = tokenizer.encode(TEXT[:40]).ids
        with torch.no_grad():
            ids = torch.tensor([prompt])
            expected = self.peft_model(base, adapter).generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=None,
                pad_token_id=0)
        prompts, answers = self.folder / "prompts.jsonl", self.folder / "answers.jsonl"
        prompts.write_text(json.dumps({"prompt": TEXT[:40]}) + "\n")
        self.run_hici("generate", "--base_model", base, "--peft_model", adapter, "--batch_file", prompts, "--output", answers,
                      "--max_new_tokens", 12, "--temperature", 0, "--return_ids", "--ignore_eos", "--dtype", "float32",
                      "--device", "cpu")
        self.assertEqual(json.loads(answers.read_text())["ids"], expected[0, len(prompt):].tolist())


class SpellingsTest(AdapterTest):
    def test_prefixes_of_wrappers_and_names_of_adapters(self):
        base, adapter = self.adapter("names", modules_to_save=["lm_head"])
        expected = self.peft_loss(base, adapter)
        spellings = {
            "compiled": lambda name: "_orig_mod." + name,
            "compiled inside": lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."),
            "distributed": lambda name: "module." + name,
            "fsdp": lambda name: name.replace("layers.0.", "layers.0._fsdp_wrapped_module."),
            "named": lambda name: name.replace(".lora_A.", ".lora_A.mine.").replace(".lora_B.", ".lora_B.mine."),
            "saved": lambda name: name.replace("lm_head.weight", "lm_head.modules_to_save.weight"),
            "saved and named": lambda name: name.replace("lm_head.weight", "lm_head.modules_to_save.mine.weight"),
        }
        for spelling, rename in spellings.items():
            with self.subTest(spelling):
                copy = self.folder / spelling
                shutil.copytree(adapter, copy)
                self.edit_names(copy, rename)
                self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", copy), expected, delta=DELTA)

    def test_three_spellings_of_a_saved_module_at_once(self):
        base, adapter = self.adapter("three", modules_to_save=["lm_head"])
        expected = self.peft_loss(base, adapter)
        path, head = adapter / "adapter_model.safetensors", "base_model.model.lm_head."
        tensors = load_file(path)
        tensors[head + "modules_to_save.weight"] = tensors[head + "weight"].clone()
        tensors[head + "original_module.weight"] = torch.zeros_like(tensors[head + "weight"])
        save_file(tensors, path, {"format": "pt"})
        self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", adapter), expected, delta=DELTA)
        tensors[head + "modules_to_save.weight"][0, 0] += 1
        save_file(tensors, path, {"format": "pt"})
        done = self.run_hici("inspect", adapter, code=1)
        self.assert_one_error_line(done, "inspect", "lm_head.modules_to_save.weight", "and differ")

    def test_added_rows_of_a_resized_base(self):
        for kind, options in {"saved": {"modules_to_save": ["embed_tokens", "lm_head"]},
                              "factors": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
                              "tokens": {"trainable_token_indices": [5, VOCABULARY, VOCABULARY + 2]},
                              "tied tokens": {"trainable_token_indices": [5, VOCABULARY, VOCABULARY + 2], "tied": True},
                              "tied factors": {"target_modules": ["q_proj", "embed_tokens"], "tied": True},
                              "tied head": {"target_modules": ["q_proj", "lm_head"], "tied": True},
                              "plain": {}}.items():
            with self.subTest(kind):
                base = self.base(options.pop("tied", False))
                model = self.load(base)
                torch.manual_seed(0)
                model.resize_token_embeddings(VOCABULARY + 3)
                settings = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ATTENTION,
                                              "task_type": "CAUSAL_LM", **options})
                adapted = randomised(peft.get_peft_model(model, settings)).eval()
                adapter = self.folder / kind
                adapted.save_pretrained(adapter)
                self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", adapter),
                                       self.loss_of(adapted), delta=DELTA)


class RefusalTest(AdapterTest):
    def refused(self, adapter, *needles):
        done = self.run_hici("inspect", adapter, code=1)
        self.assert_one_error_line(done, "inspect", adapter, *needles)

    def test_keys_that_change_the_numbers_are_refused_by_name(self):
        _, adapter = self.adapter("plain")
        good = json.loads((adapter / "adapter_config.json").read_text())
        for key, value in {"alora_invocation_tokens": [1, 2], "arrow_config": {"top_k": 3}, "enable_lora": [True, False],
                           "kasa_config": {"beta": 0.1}, "layer_replication": [[0, 2], [0, 2]], "megatron_config": {"a": 1},
                           "monteclora_config": {"a": 1}, "target_parameters": ["x.weight"], "use_bdlora": {"nblocks": 2},
                           "use_qalora": True, "velora_config": {"num_groups": 4}, "peft_type": "IA3",
                           "task_type": "SEQ_CLS", "bias": "some", "init_lora_weights": "pissa_niter_4",
                           "a_key_of_tomorrow": 7}.items():
            with self.subTest(key):
                (adapter / "adapter_config.json").write_text(json.dumps({**good, key: value}))
                self.refused(adapter, f"adapter_config.json: {key} ")

    def test_initialisations_that_change_the_base_name_the_conversion(self):
        _, adapter = self.adapter("plain")
        for kind in ("pissa", "olora", "corda", "lora_ga"):
            self.edit_config(adapter, init_lora_weights=kind)
            self.refused(adapter, f'init_lora_weights "{kind}"', "path_initial_model_for_weight_conversion")
        self.edit_config(adapter, init_lora_weights="loftq")
        self.refused(adapter, 'init_lora_weights "loftq"', "merge_and_unload")

    def test_converted_pissa_is_read(self):
        base = self.base()
        for kind in ("pissa", "olora"):
            with self.subTest(kind):
                settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=ATTENTION, task_type="CAUSAL_LM",
                                           init_lora_weights=kind)
                model = peft.get_peft_model(self.load(base), settings)
                first, adapter = self.folder / f"{kind} first", self.folder / kind
                model.save_pretrained(first)
                with torch.no_grad():
                    for name, parameter in model.named_parameters():
                        if "lora_" in name:
                            parameter.add_(torch.randn(parameter.shape) * 0.05)
                model.save_pretrained(adapter, path_initial_model_for_weight_conversion=first)
                expected = self.loss_of(model.eval())
                self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", adapter), expected, delta=2e-5)

    def test_every_field_of_peft_is_known(self):
        _, adapter = self.adapter("plain")
        written = json.loads((adapter / "adapter_config.json").read_text())
        settings = peft.LoraConfig(r=4, target_modules=ATTENTION)
        fields = {name: value for name, value in vars(settings).items() if not name.startswith("_")}
        self.assertFalse([name for name in written if name not in fields])
        plain = {name: value for name, value in fields.items()
                 if name not in written and isinstance(value, (bool, int, str, dict, list, type(None)))}
        self.edit_config(adapter, **plain)
        self.run_hici("inspect", adapter)

    def test_tensors_and_config_must_agree(self):
        base, adapter = self.adapter("dora", use_dora=True)
        self.edit_config(adapter, use_dora=False)
        self.refused(adapter, "lora_magnitude_vector", "use_dora false")
        base, adapter = self.adapter("targets")
        self.edit_config(adapter, target_modules=["q_proj"])
        done = self.run_hici("eval", "ppl", "--base_model", base, "--data_path", self.tokens, "--seq_len", LENGTH,
                             "--peft_model", adapter, code=1)
        self.assert_one_error_line(done, "eval ppl", "target_modules", "k_proj")
        self.edit_config(adapter, target_modules=ATTENTION + ["up_proj"])
        done = self.run_hici("eval", "ppl", "--base_model", base, "--data_path", self.tokens, "--seq_len", LENGTH,
                             "--peft_model", adapter, code=1)
        self.assert_one_error_line(done, "eval ppl", "up_proj.lora_A.weight' is missing")
        # PEFT's defaults: the other factors would be left out without a word.
        self.edit_config(adapter, target_modules=None)
        done = self.run_hici("eval", "ppl", "--base_model", base, "--data_path", self.tokens, "--seq_len", LENGTH,
                             "--peft_model", adapter, code=1)
        self.assert_one_error_line(done, "eval ppl", "target_modules", "null: PEFT takes q_proj and v_proj", "k_proj")

    def test_default_targets_are_pefts(self):
        table = peft.utils.constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
        self.assertEqual([table["llama"], table["qwen3"]], [["q_proj", "v_proj"]] * 2)

    def refused_in_eval(self, base, adapter, *needles):
        more = () if adapter is None else ("--peft_model", adapter)
        done = self.run_hici("eval", "ppl", "--base_model", base, "--data_path", self.tokens, "--seq_len", LENGTH, *more, code=1)
        self.assert_one_error_line(done, "eval ppl", *needles)

    def test_whole_tensors_that_the_file_promises_must_be_there(self):
        base, adapter = self.adapter("head", modules_to_save=["lm_head"])
        self.hici_loss(base, self.tokens, "--peft_model", adapter)
        path = adapter / "adapter_model.safetensors"
        kept = {name: tensor for name, tensor in load_file(path).items() if "lm_head" not in name}
        save_file(kept, path, {"format": "pt"})
        self.refused_in_eval(base, adapter, "modules_to_save of adapter_config.json names 'lm_head'", "not whole")
        base, adapter = self.adapter("rows", trainable_token_indices={"embed_tokens": [1, 2]})
        path = adapter / "adapter_model.safetensors"
        save_file({name: t for name, t in load_file(path).items() if "trainable_tokens_delta" not in name}, path, {"format": "pt"})
        self.refused_in_eval(base, adapter, "trainable_token_indices", "not whole")

    def test_weight_of_an_adapted_layer_that_peft_does_not_read(self):
        base, adapter = self.adapter("beside")
        expected, path = self.peft_loss(base, adapter), adapter / "adapter_model.safetensors"
        name = "base_model.model.model.layers.0.self_attn.q_proj.weight"
        weight = torch.randn(SIZES["num_attention_heads"] * SIZES["head_dim"], SIZES["hidden_size"])
        save_file({**load_file(path), name: weight}, path, {"format": "pt"})
        self.assertAlmostEqual(self.peft_loss(base, adapter), expected, places=12)  # PEFT leaves it out without a word
        self.refused_in_eval(base, adapter, "q_proj.weight", "does not read", "base_layer.weight")

    def test_a_base_that_holds_an_adapter_is_refused_without_it(self):
        base, adapter = self.adapter("beside the model")
        for file in adapter.glob("adapter_*"):
            shutil.copy(file, base)
        expected = transformers_loss(self.load(base), tokens_of(self.tokens))  # transformers loads both
        self.refused_in_eval(base, None, "holds an adapter beside the model")
        self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", base), expected, delta=DELTA)

    def test_adapter_one_folder_deeper_and_git_lfs_pointers(self):
        base, adapter = self.adapter("inner")
        outer = self.folder / "outer"
        outer.mkdir()
        adapter.rename(outer / "default")
        done = self.run_hici("eval", "ppl", "--base_model", base, "--data_path", self.tokens, "--peft_model", outer, code=1)
        self.assert_one_error_line(done, "eval ppl", "holds no adapter", f"{outer / 'default'} holds one, give that")
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4f" * 32 + "\nsize 4976698672\n"
        for folder, name in ((outer / "default", "adapter_model.safetensors"), (base, "model.safetensors")):
            (folder / name).write_text(pointer)
            done = self.run_hici("inspect", folder, code=1)
            self.assert_one_error_line(done, "inspect", folder / name, "Git LFS pointer", "git lfs pull")


    def test_root_of_a_hub_cache_is_named_with_the_snapshot(self):
        snapshot = self.folder / "hub" / "models--org--name" / "snapshots" / "0123abcd"
        snapshot.parent.mkdir(parents=True)
        self.base().rename(snapshot)
        for root in (snapshot.parents[1], snapshot.parents[2]):
            done = self.run_hici("eval", "ppl", "--base_model", root, "--data_path", self.tokens, code=1)
            self.assert_one_error_line(done, "eval ppl", root, "has no config.json", f"{snapshot} holds one, give that")


class TrainingCase(AdapterTest):
    """A step of training here, and PEFT's."""
    LENGTH = 64

    def train(self, base, *more, code=0, **options):
        out = self.folder / f"run-{len(list(self.folder.iterdir()))}"
        settings = {"model_name_or_path": base, "data_path": self.tokens, "output_dir": out, "attention": "full",
                    "model_max_length": self.LENGTH, "max_steps": 1, "gradient_accumulation_steps": 1,
                    "trainable_params": "", "learning_rate": 0.01, "lr_scheduler_type": "constant", "max_grad_norm": 0,
                    "weight_decay": 0, "shuffle": False, "device": "cpu", "dtype": "float32", **options}
        done = self.run_hici("train", *(text for key, value in settings.items() if value is not None
                                        for text in (f"--{key}", str(value))), *more, code=code)
        return out / "checkpoint-1", done

    def peft_step(self, model, rate=0.01):
        """One step of AdamW on the first block of tokens."""
        ids = torch.tensor([tokens_of(self.tokens)[:self.LENGTH]])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        loss = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:])
        loss.backward()
        gradients = {name.replace(".default", ""): parameter.grad.clone() for name, parameter in model.named_parameters()
                     if parameter.grad is not None}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.95), weight_decay=0).step()
        return peft.get_peft_model_state_dict(model), gradients


class TrainingTest(TrainingCase):
    def test_a_step_from_an_adapter_is_that_of_peft(self):
        for kind in ("rslora", "patterns", "rslora and patterns", "layers", "mlp", "expression"):
            with self.subTest(kind):
                base, adapter = self.adapter(kind, **KINDS[kind])
                checkpoint, _ = self.train(base, init_adapter=adapter, dtype="float64")
                expected, gradients = self.peft_step(self.peft_model(base, adapter).double())
                found = load_file(checkpoint / "adapter_model.safetensors")
                before = load_file(adapter / "adapter_model.safetensors")
                self.assertEqual(set(found), set(expected))
                for name, tensor in expected.items():
                    # The first step of AdamW moves each number by the rate, in the direction of its gradient. That of
                    # a gradient of almost nothing is rounding's.
                    clear = gradients[name].abs() > 1e-5
                    self.assertGreater(clear.float().mean().item(), 0.9, name)
                    self.assertLess((found[name] - tensor)[clear].abs().max().item(), 1e-5, name)
                    self.assertGreater((found[name] - before[name]).abs().max().item(), 5e-3, name)
                self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", checkpoint),
                                       self.peft_loss(base, checkpoint), delta=DELTA)

    def test_what_is_trained_here_is_read_by_peft(self):
        base = self.base()
        for options in ({"use_rslora": True, "lora_r": 9},
                        {"lora_rank_pattern": "q_proj=2,layers.1.self_attn.v_proj=16", "lora_target_modules": "q_proj,v_proj"},
                        {"lora_rank_pattern": '{"layers.0.self_attn.q_proj": 3, "q_proj": 5}', "use_rslora": True},
                        {"lora_target_modules": "all-linear"},
                        {"lora_target_modules": "down_proj,layers.1.self_attn.q_proj"}):
            with self.subTest(options):
                checkpoint, _ = self.train(base, learning_rate=0.05, **options)
                self.assert_loss_of_peft(base, checkpoint)
                again, _ = self.train(base, init_adapter=checkpoint, learning_rate=0)
                written, first = (json.loads((folder / "adapter_config.json").read_text()) for folder in (again, checkpoint))
                self.assertEqual({**written, "base_model_name_or_path": 0}, {**first, "base_model_name_or_path": 0})
                self.assertAlmostEqual(self.peft_loss(base, again), self.peft_loss(base, checkpoint), delta=DELTA)

    def test_plain_adapters_have_only_the_keys_of_old_releases(self):
        checkpoint, _ = self.train(self.base())
        self.assertEqual(set(json.loads((checkpoint / "adapter_config.json").read_text())),
                         {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "bias", "target_modules",
                          "base_model_name_or_path", "fan_in_fan_out", "init_lora_weights", "modules_to_save",
                          "inference_mode"})

    def test_resuming_keeps_ranks_and_layers(self):
        base = self.base()
        options = {"lora_rank_pattern": "q_proj=2", "use_rslora": True, "lora_target_modules": "q_proj,up_proj"}
        whole, _ = self.train(base, **{**options, "max_steps": 2, "save_steps": 1})
        resumed, _ = self.train(base, **{"max_steps": 2, "resume_from_checkpoint": whole})
        name = "adapter_model.safetensors"
        self.assertEqual((whole.parent / "checkpoint-2" / name).read_bytes(),
                         (resumed.parent / "checkpoint-2" / name).read_bytes())
        _, done = self.train(base, code=1, max_steps=2, resume_from_checkpoint=whole, lora_rank_pattern="q_proj=4")
        self.assertIn("--lora_rank_pattern", done.stderr)

    def test_whole_parameters_that_are_not_trained_stay_in_the_checkpoint(self):
        base, adapter = self.adapter("frozen", modules_to_save=["lm_head", "layers.0.mlp"])
        checkpoint, _ = self.train(base, init_adapter=adapter, learning_rate=0)
        self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", checkpoint),
                               self.peft_loss(base, adapter), delta=DELTA)

    def test_kinds_without_a_gradient_here_are_refused_with_the_way_out(self):
        for kind, options, needle in (("dora", {"use_dora": True}, "use_dora"), ("bias", {"lora_bias": True}, "lora_bias"),
                                      ("mica", {"init_lora_weights": "mica"}, "mica"),
                                      ("head", KINDS["head"], "add lm_head to --trainable_params"),
                                      ("tokens", KINDS["tokens"], "add embed_tokens to --trainable_params")):
            with self.subTest(kind):
                base, adapter = self.adapter(kind, **options)
                _, done = self.train(base, init_adapter=adapter, code=2)
                self.assert_one_error_line(done, "train", "--init_adapter", needle)

    def test_folded_weights_are_trained_whole(self):
        base, adapter = self.adapter("whole", **KINDS["embedding and head"])
        checkpoint, done = self.train(base, init_adapter=adapter, learning_rate=0, trainable_params="embed,lm_head")
        self.assertIn("which is trained whole", done.stderr)
        self.assertAlmostEqual(self.hici_loss(base, self.tokens, "--peft_model", checkpoint),
                               self.peft_loss(base, adapter), delta=DELTA)

    def test_slips_in_names_are_errors(self):
        for options, needle in (({"lora_rank_pattern": "q_porj=4"}, "matches no layer"),
                                ({"lora_rank_pattern": "q_proj"}, "is no NAME=RANK"),
                                ({"lora_rank_pattern": "q_proj=0"}, "is no NAME=RANK"),
                                ({"lora_target_modules": "q_porj"}, "matches no linear layer"),
                                ({"lora_target_modules": "lm_head"}, "matches no linear layer")):
            with self.subTest(options):
                _, done = self.train(self.base(), code=2, **options)
                self.assert_one_error_line(done, "train", f"--{next(iter(options))}", needle)


class CompanionsTest(AdapterTest):
    def test_merging_takes_the_tokenizer_and_templates_of_the_adapter(self):
        base, adapter = self.adapter("companions")
        write_tokenizer(base, chat_template="base")
        (base / "generation_config.json").write_text('{"eos_token_id": 1}')
        (base / "chat_template.json").write_text('{"chat_template": "base"}')
        (base / "additional_chat_templates").mkdir()
        (base / "additional_chat_templates" / "tools.jinja").write_text("base tools")
        merged, done = self.merge(base, adapter)
        self.assertNotIn("its own", done.stderr)
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.json",
                     "additional_chat_templates/tools.jinja"):
            self.assertEqual((merged / name).read_bytes(), (base / name).read_bytes(), name)

        (adapter / "chat_template.jinja").write_text("adapter")
        merged, done = self.merge(base, adapter)
        self.assertIn(f"{adapter}: its own chat template went into the model, not those of {base}", done.stderr)
        self.assertEqual((merged / "chat_template.jinja").read_text(), "adapter")
        self.assertFalse((merged / "chat_template.json").exists() or (merged / "additional_chat_templates").exists())
        self.assertEqual((merged / "tokenizer_config.json").read_bytes(), (base / "tokenizer_config.json").read_bytes())

        write_tokenizer(adapter, chat_template="inside")
        (adapter / "chat_template.jinja").unlink()
        (adapter / "generation_config.json").write_text('{"eos_token_id": [1, 0]}')
        merged, done = self.merge(base, adapter)
        self.assertIn("its own tokenizer, chat template, generation config went into the model", done.stderr)
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            self.assertEqual((merged / name).read_bytes(), (adapter / name).read_bytes(), name)
        self.assertFalse((merged / "chat_template.json").exists())


class HiciSettingsTest(AdapterTest):
    """An adapter of the research code, whose number of heads no file says."""

    def setUp(self):
        super().setUp()
        self.model = self.base()
        run = self.folder / "run"
        self.run_hici("train", "--model_name_or_path", self.model, "--data_path", self.tokens, "--output_dir", run,
                      "--model_max_length", 64, "--num_chunks", 2, "--num_heads", 6, "--bottleneck_dim", 18,
                      "--shared_compress_dim", 4, "--max_steps", 1, "--gradient_accumulation_steps", 1, "--device", "cpu",
                      "--dtype", "float32")
        self.trained = run / "checkpoint-1"
        for name in ("hici_config.json", "manifest.json"):
            (self.trained / name).unlink()

    def eval(self, mode, *more, code=0):
        return self.run_hici("eval", "ppl", "--base_model", self.model, "--peft_model", self.trained, "--data_path",
                             self.tokens, "--seq_len", 64, "--num_chunks", 2, "--eval_mode", mode, "--device", "cpu",
                             *more, code=code)

    def test_what_does_not_use_hici_asks_for_no_heads(self):
        for mode in ("full", "s2"):
            self.assertNotIn("heads", self.eval(mode).stderr)
        self.merge(self.model, self.trained)
        self.run_hici("extract", "--checkpoint_path", self.trained, "--output_dir", self.folder / "bin", "--format", "bin")
        write_tokenizer(self.model)
        self.run_hici("generate", "--base_model", self.model, "--peft_model", self.trained, "--prompt", "The tide",
                      "--max_new_tokens", 2, "--attention", "full", "--device", "cpu")

    def test_what_uses_it_says_what_is_assumed_and_what_the_tensors_allow(self):
        done = self.eval("hici", code=2)
        self.assert_one_error_line(done, "eval ppl", "no file says how many heads", "8, which is assumed",
                                   "does not divide their width 18; give --num_heads, one of 1, 2, 3, 6, 9, 18")
        self.assertNotIn("assumed", self.eval("hici", "--num_heads", 6).stderr)
        _, done = self.merge(self.model, self.trained, "--with_hici", "True", code=2)
        self.assertIn("one of 1, 2, 3, 6, 9, 18", done.stderr)

    def test_heads_that_the_width_does_not_allow(self):
        done = self.run_hici("train", "--model_name_or_path", self.model, "--data_path", self.tokens, "--output_dir",
                             self.folder / "never", "--model_max_length", 64, "--num_chunks", 2, "--num_heads", 40,
                             "--max_steps", 1, "--device", "cpu", code=2)
        self.assert_one_error_line(done, "train", "--num_heads: 40 does not divide --bottleneck_dim 512; use 32 or 64, "
                                   "or --bottleneck_dim 480 or 520")


class DocumentTest(unittest.TestCase):
    def test_lists_of_keys_are_those_of_the_program(self):
        pages = (pathlib.Path(__file__).parents[2] / "docs" / "formats.md").read_text()
        for name in ("adapter_config.json", "config.json", "generation_config.json", "tokenizer_config.json"):
            self.assertTrue(hici("--keys_markdown", name).stdout in pages, f"the table of {name} is another one")


if __name__ == "__main__":
    unittest.main(verbosity=2)
