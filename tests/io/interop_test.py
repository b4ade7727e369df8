# SPDX-License-Identifier: Apache-2.0
"""Model files between hici and the Python libraries: interop_test.py HICI_BINARY PRINT_TENSORS_BINARY PRINT_LOGITS_BINARY

transformers loads what `hici init` writes; `hici inspect` reads what transformers, safetensors, torch and peft write, and names
what it refuses. Logits are the same on both sides: of models that transformers saved, of adapters in the research code's files,
of what `hici merge` and `hici extract` make.
"""
import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile
from collections import OrderedDict

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

HICI = sys.argv.pop(1)
PRINT_TENSORS = sys.argv.pop(1)
PRINT_LOGITS = sys.argv.pop(1)
SIZES = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)


IDS = [1, 17, 5, 60, 0, 33, 33, 8, 21, 44, 2, 59, 13, 7, 28, 50, 9, 3, 40, 6, 11, 55, 19, 30]


class NotATensor:
    pass


def hici(*arguments):
    return subprocess.run([HICI, *arguments], capture_output=True, text=True)


class InteropTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def inspect(self, path, *options):
        run = hici("inspect", path, "--json", *options)
        self.assertIn(run.returncode, (0, 1), run.stderr)
        self.assertNotEqual(run.stdout, "", run.stderr)
        return json.loads(run.stdout)

    def refused(self, path, words):
        run = hici("inspect", path)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertIn(words, run.stderr)

    def test_transformers_loads_what_init_writes(self):
        for family, options in {"llama": [], "qwen3": ["--tie_word_embeddings", "--head_dim", "16", "--dtype", "bfloat16"]}.items():
            out = self.path(family)
            made = hici("init", "--family", family, "--vocab_size", "61", "--hidden_size", "32", "--intermediate_size", "48",
                        "--num_hidden_layers", "2", "--num_attention_heads", "4", "--num_key_value_heads", "2", "--output_dir", out, *options)
            self.assertEqual(made.returncode, 0, made.stderr)
            model, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
            for problem, names in info.items():
                self.assertFalse(names, problem)
            self.assertEqual(type(model).__name__, {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[family])
            self.assertTrue(torch.isfinite(model(torch.arange(20)[None]).logits).all())
            self.assertEqual(self.inspect(out)["parameters"]["total"], sum(p.numel() for p in model.parameters()))
            weight = model.state_dict()["model.layers.1.mlp.up_proj.weight"].float()
            self.assertAlmostEqual(weight.std().item(), 0.02, delta=0.002)

    def logits(self, base, adapter="", context=0):
        run = subprocess.run([PRINT_LOGITS, base, adapter, str(context), *map(str, IDS)], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        return torch.tensor(json.loads(run.stdout))

    def same_logits(self, ours, model):
        """To 1e-5 of the largest: sums of float32 in another order. `ours` from logits()."""
        with torch.no_grad():
            theirs = model.float().eval()(torch.tensor([IDS])).logits[0]
        self.assertEqual(ours.shape, theirs.shape)
        self.assertLess((ours - theirs).abs().max().item(), 1e-5 * theirs.abs().max().item())

    def done(self, *arguments):
        run = hici(*map(str, arguments))
        self.assertEqual(run.returncode, 0, run.stderr)
        return run

    def models(self):
        yam = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 16}
        yield LlamaForCausalLM(LlamaConfig(**SIZES)), "default"
        yield Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True, rope_parameters=yam)), "yarn"

    def test_inspect_reads_what_transformers_writes(self):
        for model, rope in self.models():
            for shard in ("5GB", "20KB"):
                out = self.path(rope + shard)
                model.save_pretrained(out, max_shard_size=shard)
                report = self.inspect(out)
                self.assertEqual(report["problems"], [])
                self.assertEqual(report["parameters"]["total"], sum(p.numel() for p in model.parameters()))
                self.assertEqual(report["rope"]["type"], rope)
                self.assertEqual(len(report["weights"]) > 1, shard == "20KB")

    def test_inspect_reads_torch_files(self):
        model, _ = next(self.models())
        model.save_pretrained(self.dir)
        os.remove(self.path("model.safetensors"))
        torch.save(model.state_dict(), self.path("pytorch_model.bin"))
        report = self.inspect(self.dir)
        self.assertEqual(report["problems"], [])
        self.assertEqual(report["parameters"]["total"], sum(p.numel() for p in model.parameters()))
        torch.save(dict(model.named_parameters()), self.path("pytorch_model.bin"))
        self.assertEqual(self.inspect(self.dir)["problems"], [])
        torch.save(model.state_dict(), self.path("pytorch_model.bin"), _use_new_zipfile_serialization=False)
        self.refused(self.dir, "old format (before 1.6), which is not read; convert it")
        torch.save({"a": NotATensor()}, self.path("pytorch_model.bin"))
        self.refused(self.dir, "object of class '__main__.NotATensor'")

    def print_tensors(self, path):
        return subprocess.run([PRINT_TENSORS, path], capture_output=True, text=True)

    def same_values(self, tensors, **options):
        torch.save(tensors, self.path("w.bin"), **options)
        run = self.print_tensors(self.path("w.bin"))
        self.assertEqual(run.returncode, 0, run.stderr)
        got = json.loads(run.stdout)
        self.assertEqual(set(got), set(tensors))
        for name, tensor in tensors.items():
            self.assertEqual(got[name]["shape"], list(tensor.shape), name)
            self.assertEqual(got[name]["values"], tensor.detach().double().flatten().tolist(), name)

    def test_torch_files_have_pythons_values(self):
        types = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
                 torch.bool, torch.float8_e4m3fn, torch.float8_e5m2)
        table = torch.arange(24.0).reshape(4, 6)
        tensors = {str(dtype): (table - 12).abs().to(dtype) for dtype in types}
        tensors |= {"view": table[1:3, 2:5], "transposed": table.t(), "strided": table[::2, 1::3], "expanded": table[:1].expand(3, 6),
                    "tied": table, "tail": table[3], "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
                    "parameter": torch.nn.Parameter(torch.randn(3, 2)), "frozen": torch.nn.Parameter(table, requires_grad=False)}
        self.same_values(tensors)
        self.same_values(OrderedDict(tensors))
        for protocol in (3, 4, 5):
            self.same_values(tensors, pickle_protocol=protocol)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        self.same_values(model.state_dict())  # an OrderedDict with _metadata
        self.same_values({f"layers.{i}.weight": torch.full((2,), float(i)) for i in range(300)})  # memo indices beyond a byte

    def test_a_flipped_byte_in_any_record_is_refused(self):
        path = self.path("w.bin")
        table = torch.arange(24.0).reshape(4, 6)
        torch.save({"a": table, "tied": table.t(), "b": torch.ones(3, dtype=torch.bfloat16)}, path)
        with open(path, "rb") as file:
            whole = file.read()
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
        self.assertGreaterEqual(len(records), 5)
        for record in records:
            header = record.header_offset
            start = header + 30 + int.from_bytes(whole[header + 26:header + 28], "little") + int.from_bytes(whole[header + 28:header + 30], "little")
            for at in (start, start + record.file_size // 2, start + record.file_size - 1):
                damaged = bytearray(whole)
                damaged[at] ^= 0x10
                with open(path, "wb") as file:
                    file.write(damaged)
                run = self.print_tensors(path)
                self.assertEqual(run.returncode, 1, f"{record.filename} at {at}")
                self.assertIn(f"record '{record.filename.split('/', 1)[1]}' has not the checksum", run.stderr)

    def test_torch_files_that_are_refused_say_why(self):
        self.refused_file({"a": torch._neg_view(torch.ones(2))}, "negated or conjugated")
        self.refused_file({"a": torch.ones(2, dtype=torch.complex64)}, "object of class 'torch.ComplexFloatStorage'")
        self.refused_file({"model": {"a": torch.ones(2)}}, "entry 'model' is a dict, expected a tensor; is it a training checkpoint?")
        self.refused_file([torch.ones(2)], "holds a list, expected a dict")
        torch.serialization.set_crc32_options(False)
        self.addCleanup(torch.serialization.set_crc32_options, True)
        self.refused_file({"a": torch.ones(2)}, "saved without (torch.serialization.set_crc32_options(False)): save it again")
        script = torch.jit.script(torch.nn.Linear(2, 2))
        script.save(self.path("script.pt"))
        self.refused(self.path("script.pt"), "is a TorchScript archive")

    def refused_file(self, content, words):
        torch.save(content, self.path("refused.bin"))
        self.refused(self.path("refused.bin"), words)

    def test_inspect_reads_every_safetensors_type(self):
        types = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
                 torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3"}
        save_file({name: torch.ones(3, 2).to(dtype) for dtype, name in types.items()}, self.path("t.safetensors"))
        for tensor in self.inspect(self.path("t.safetensors"))["tensors"]:
            self.assertEqual((tensor["name"], tensor["shape"]), (tensor["dtype"], [3, 2]))
        save_file({"c": torch.ones(2, dtype=torch.complex64)}, self.path("c.safetensors"))
        self.refused(self.path("c.safetensors"), "type 'C64' is not supported")

    def test_inspect_reads_a_peft_adapter(self):
        model, _ = next(self.models())
        model.save_pretrained(self.path("base"))
        get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")).save_pretrained(self.path("adapter"))
        report = self.inspect(self.path("adapter"), "--base_model", self.path("base"))
        self.assertEqual(report["problems"], [])
        self.assertEqual(report["lora"], {"r": 4, "lora_alpha": 8.0, "scale": 2.0, "targets": ["q_proj", "v_proj"]})
        self.assertEqual(report["parameters"]["groups"], {"lora": 2 * 4 * (32 + 32 + 32 + 16)})

    def test_peft_loads_what_train_writes(self):
        base, run = self.path("base"), self.path("run")
        made = hici("init", "--vocab_size", "61", "--hidden_size", "32", "--intermediate_size", "48", "--num_hidden_layers", "2",
                    "--max_position_embeddings", "32", "--output_dir", base)
        self.assertEqual(made.returncode, 0, made.stderr)
        torch.randint(0, 61, (64 * 4 + 1,), dtype=torch.int16).numpy().tofile(self.path("tokens.bin"))
        trained = hici("train", "--model_name_or_path", base, "--data_path", self.path("tokens.bin"), "--output_dir", run, "--max_steps", "1",
                       "--model_max_length", "64", "--num_heads", "4", "--bottleneck_dim", "16", "--shared_compress_dim", "8",
                       "--gradient_accumulation_steps", "1", "--save_steps", "1")
        self.assertEqual(trained.returncode, 0, trained.stderr)
        adapter = os.path.join(run, "checkpoint-1")
        self.assertEqual(self.inspect(adapter, "--base_model", base)["problems"], [])
        state = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).state_dict()
        factors = {name.replace(".weight", ".default.weight"): t for name, t in load_file(os.path.join(adapter, "adapter_model.safetensors")).items()}
        of_attention = [name for name in factors if ".local_constructor." not in name and ".global_integrator." not in name]
        self.assertEqual(len(of_attention), 2 * 4 * 2)
        for name in of_attention:
            self.assertTrue(torch.equal(state[name], factors[name]), name)

    def lively_models(self):
        """Models whose logits show every part: heads that attend, norms that are not one, a RoPE that reaches into IDS."""
        llama3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 16}
        yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
        torch.manual_seed(3)
        for name, make in {"llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, initializer_range=0.2)),
                           "llama3": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, initializer_range=0.2, rope_parameters=llama3)),
                           "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, initializer_range=0.2, head_dim=16)),
                           "qwen3-tied": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, initializer_range=0.2, head_dim=16, rope_parameters=yarn,
                                                                              tie_word_embeddings=True))}.items():
            model = make().eval()
            with torch.no_grad():
                for parameter_name, parameter in model.named_parameters():
                    if "norm" in parameter_name:
                        parameter.add_(torch.randn_like(parameter) * 0.2)
            yield name, model

    def test_models_that_transformers_saved_give_its_logits(self):
        for name, model in self.lively_models():
            for form in ("safetensors", "bin", "sharded bin"):
                with self.subTest(name, form=form):
                    out = self.path(f"{name}-{form}")
                    model.save_pretrained(out)
                    if form != "safetensors":
                        os.remove(os.path.join(out, "model.safetensors"))
                        self.save_bin(out, model.state_dict(), form == "sharded bin")
                    self.same_logits(self.logits(out), model)

    def save_bin(self, out, state, is_sharded):
        if not is_sharded:
            return torch.save(state, os.path.join(out, "pytorch_model.bin"))
        names = list(state)
        shards = {"pytorch_model-00001-of-00002.bin": names[:len(names) // 2], "pytorch_model-00002-of-00002.bin": names[len(names) // 2:]}
        for shard, part in shards.items():
            torch.save({name: state[name] for name in part}, os.path.join(out, shard))
        index = {"metadata": {}, "weight_map": {name: shard for shard, part in shards.items() for name in part}}
        with open(os.path.join(out, "pytorch_model.bin.index.json"), "w") as file:
            json.dump(index, file)

    def research_model(self, model, rows=0):
        """What the research code trains, as a PEFT model: rows for [PAD], LoRA, another embedding, other norms."""
        if rows:
            old = model.get_input_embeddings().weight.shape[0]
            model.resize_token_embeddings(old + rows, mean_resizing=False)
            with torch.no_grad():  # smart_tokenizer_and_embedding_resize
                for weight in {id(w): w for w in (model.get_input_embeddings().weight, model.get_output_embeddings().weight)}.values():
                    weight[old:] = weight[:old].mean(dim=0, keepdim=True)
        adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
                                                   task_type="CAUSAL_LM", init_lora_weights=False))
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "embed" in name or "norm" in name:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        return adapted.eval()

    def research_pair(self, adapted, out):
        """What zero_to_fp32.py and get_trainable_weights.py leave, names and all."""
        os.makedirs(out, exist_ok=True)
        lora, trained = {}, {}
        for name, tensor in adapted.state_dict().items():
            if "lora" in name:
                lora[name.replace("default.", "")] = tensor
            elif "embed" in name or "norm" in name:
                trained[name[len("base_model.model."):]] = tensor.float()
        torch.save(lora, os.path.join(out, "adapter_model.bin"))
        torch.save(trained, os.path.join(out, "trainable_params.bin"))
        adapted.peft_config["default"].save_pretrained(out)

    def test_research_codes_pair_gives_its_logits_alone_and_merged(self):
        for name, model in self.lively_models():
            for rows in (0, 1):
                with self.subTest(name, rows=rows):
                    base, adapter, merged = self.path(f"{name}-{rows}"), self.path(f"{name}-{rows}-adapter"), self.path(f"{name}-{rows}-merged")
                    model.save_pretrained(base)
                    adapted = self.research_model(copy.deepcopy(model), rows)
                    self.research_pair(adapted, adapter)
                    self.same_logits(self.logits(base, adapter), adapted)
                    run = self.done("merge", "--base_model", base, "--peft_model", adapter, "--save_path", merged, "--context_size", 64)
                    self.assertEqual("the vocabulary grows by 1 row" in run.stderr, rows == 1, run.stderr)
                    loaded, info = AutoModelForCausalLM.from_pretrained(merged, output_loading_info=True)
                    self.assertEqual([names for names in info.values() if names], [])
                    self.assertEqual(loaded.config.vocab_size, SIZES["vocab_size"] + rows)
                    self.assertEqual(loaded.config.tie_word_embeddings, name == "qwen3-tied")
                    self.same_logits(self.logits(base, adapter), loaded)
                    self.same_logits(self.logits(merged), adapted)

    def test_longer_context_is_merged_into_every_kind_of_rope(self):
        for (name, model), (context, kind) in zip(self.lively_models(), ((160, "linear"), (160, "longrope"), (160, "linear"), (160, "longrope"))):
            with self.subTest(name):
                base, adapter, merged = self.path(name), self.path(f"{name}-adapter"), self.path(f"{name}-merged")
                model.save_pretrained(base)
                self.research_pair(self.research_model(copy.deepcopy(model)), adapter)
                self.done("merge", "--base_model", base, "--peft_model", adapter, "--save_path", merged, "--context_size", context)
                loaded = AutoModelForCausalLM.from_pretrained(merged)
                self.assertEqual(loaded.config.rope_parameters["rope_type"], kind)
                ours = self.logits(base, adapter, context)
                self.same_logits(ours, loaded)
                self.same_logits(self.logits(merged), loaded)
                self.assertGreater((ours - self.logits(base, adapter)).abs().max().item(), 1e-3 * ours.abs().max().item())

    def test_extracted_dump_gives_its_logits_here_and_in_peft(self):
        for (name, model), spelling in zip(self.lively_models(), ("new", "old", "new", "new")):
            with self.subTest(name, spelling=spelling):
                base, dump = self.path(name), self.path(name + "-dump")
                model.save_pretrained(base)
                adapted = self.research_model(model)
                os.makedirs(dump)
                state = {key.replace(".base_layer", "") if spelling == "old" else key: tensor for key, tensor in adapted.state_dict().items()}
                torch.save(state, os.path.join(dump, "pytorch_model.bin"))
                refused = hici("extract", "--checkpoint_path", dump)
                self.assertEqual(refused.returncode, 1)
                self.assertIn("--lora_alpha", refused.stderr)
                self.assertEqual(os.listdir(dump), ["pytorch_model.bin"])
                for form in ("safetensors", "bin"):
                    out = self.path(f"{name}-{form}")
                    self.done("extract", "--checkpoint_path", dump, "--trainable_params", "embed,norm", "--lora_alpha", 8, "--output_dir", out,
                              "--format", form)
                    self.same_logits(self.logits(base, out), adapted)
                    plain = AutoModelForCausalLM.from_pretrained(base)
                    trained = (load_file(os.path.join(out, "trainable_params.safetensors")) if form == "safetensors" else
                               torch.load(os.path.join(out, "trainable_params.bin"), weights_only=True))
                    missing, unexpected = plain.load_state_dict(trained, strict=False)  # as the research code reads it
                    self.assertEqual(unexpected, [])
                    self.assertEqual([key for key in missing if "embed" in key or "norm" in key], [])
                    self.same_logits(self.logits(base, out), PeftModel.from_pretrained(plain, out))
                self.done("extract", "--checkpoint_path", dump, "--lora_alpha", 8)  # beside the dump, as get_trainable_weights.py
                self.same_logits(self.logits(base, dump), adapted)
                self.assertEqual(sorted(os.listdir(dump)), ["adapter_config.json", "adapter_model.safetensors", "pytorch_model.bin",
                                                            "trainable_params.safetensors"])

    def test_torch_loads_our_bin_files(self):
        tensors = {"base_model.model.w.lora_A.weight": torch.randn(3, 5), "base_model.model.w.lora_B.weight": torch.randn(7, 3).bfloat16(),
                   "w.weight": torch.randn(7, 5).half(), "model.norm.weight": torch.tensor(2.5, dtype=torch.float64)}
        tensors = {name.replace("w.", "model.layers.0.self_attn.q_proj."): tensor for name, tensor in tensors.items()}
        torch.save(tensors, self.path("pytorch_model.bin"))
        self.done("extract", "--checkpoint_path", self.dir, "--lora_alpha", 8, "--trainable_params", "norm,q_proj", "--format", "bin")
        loaded = {}
        for file in ("adapter_model.bin", "trainable_params.bin"):
            with zipfile.ZipFile(self.path(file)) as archive:
                self.assertIsNone(archive.testzip())  # every checksum
                self.assertTrue(all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist()))
            loaded |= torch.load(self.path(file), weights_only=True, mmap=True)
        self.assertEqual(set(loaded), set(tensors))
        for name, tensor in tensors.items():
            self.assertEqual((loaded[name].dtype, loaded[name].shape), (tensor.dtype, tensor.shape), name)
            self.assertTrue(torch.equal(loaded[name], tensor), name)

    def test_head_of_its_own_unties_a_tied_model(self):
        for name, model in self.lively_models():
            if name != "qwen3-tied":
                continue
            base, adapter, merged = self.path("base"), self.path("adapter"), self.path("merged")
            model.save_pretrained(base)
            adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False))
            state = {key: tensor for key, tensor in adapted.state_dict().items()}
            self.assertIn("base_model.model.lm_head.weight", state)  # the dump holds the embedding twice
            os.makedirs(adapter)
            adapted.peft_config["default"].save_pretrained(adapter)
            torch.save(state, os.path.join(adapter, "pytorch_model.bin"))
            self.same_logits(self.logits(base, adapter, 64), adapted)
            head = torch.randn_like(state["base_model.model.lm_head.weight"]) * 0.2
            torch.save(state | {"base_model.model.lm_head.weight": head}, os.path.join(adapter, "pytorch_model.bin"))
            run = self.done("merge", "--base_model", base, "--peft_model", adapter, "--save_path", merged, "--context_size", 64)
            self.assertIn("no longer tied", run.stderr)
            loaded = AutoModelForCausalLM.from_pretrained(merged)
            self.assertTrue(torch.equal(loaded.lm_head.weight, head))
            self.assertFalse(torch.equal(loaded.model.embed_tokens.weight, head))
            self.same_logits(self.logits(merged), loaded)


if __name__ == "__main__":
    unittest.main()
