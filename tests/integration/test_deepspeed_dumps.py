# SPDX-License-Identifier: Apache-2.0
"""Training checkpoints of DeepSpeed, read without zero_to_fp32.py: the values that this script gives, bit for bit."""
import json
import pathlib
import shutil
import tempfile
import unittest

import peft
import torch
from safetensors.torch import load_file
from torch import nn

from deepspeed_runs import make_universal, settings, train, weights_by_deepspeed
from models import LossTest, VOCABULARY, random_model, tokens_of, transformers_loss
from support import FolderTest

WIDTH, LAYERS, LORA = 6, 3, {"r": 3, "lora_alpha": 6}


class Adapted(nn.Module):
    """A linear layer under the names of PEFT."""

    def __init__(self, out):
        super().__init__()
        self.base_layer = nn.Linear(WIDTH, out, bias=False).requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(WIDTH, LORA["r"], bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(LORA["r"], out, bias=False)})

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = nn.Module()
        self.self_attn.q_proj, self.self_attn.v_proj = Adapted(WIDTH), Adapted(5)
        self.input_layernorm = nn.Module()
        self.input_layernorm.weight = nn.Parameter(torch.ones(WIDTH))
        self.register_buffer("scale", torch.tensor([1.5]))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x):
        y = x * self.input_layernorm.weight
        return x + self.self_attn.q_proj(y) * self.scale.to(x.dtype) + self.self_attn.v_proj(y).sum(-1, keepdim=True)


class Model(nn.Module):
    """All sizes are odd, so that nothing fits a multiple of the ranks."""

    def __init__(self, is_tied=False):
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = top = nn.Module()
        top.model = nn.Module()
        top.model.embed_tokens = nn.Embedding(17, WIDTH)
        top.model.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        top.lm_head = nn.Linear(WIDTH, 17, bias=False)
        if is_tied:
            top.lm_head.weight = top.model.embed_tokens.weight

    def forward(self, ids):
        top = self.base_model.model
        x = top.model.embed_tokens(ids)
        for layer in top.model.layers:
            x = layer(x)
        return top.lm_head(x)


def loss(engine):
    return engine(torch.randint(0, 17, (2, 5))).float().square().mean()


def two_groups(parameters):
    return [{"params": [p for p in parameters if p.dim() > 1]},
            {"params": [p for p in parameters if p.dim() == 1], "lr": 1e-3}]


# Each trap in one of them; ranks of two digits are in the unit tests.
RUNS = {
    "stage1": dict(config=settings(1, parameter_alignment=True)),
    "stage2": dict(config=settings(2, "bf16", round_robin_gradients=True), groups_of=two_groups, world_size=3),
    "stage2-excluded": dict(config=settings(2, "bf16"), is_tied=True, exclude_frozen_parameters=True),
    "stage3": dict(config=settings(3, "bf16", sub_group_size=100), groups_of=two_groups, world_size=3),
    "stage3-float32": dict(config=settings(3, stage3_param_persistence_threshold=0), is_tied=True),
    "bf16-optimizer": dict(config={**settings(1, "bf16"), "data_types": {"grad_accum_dtype": "fp32"}}),
}


class Dumps:
    folder = None

    @classmethod
    def make(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="hici-integration-"))
        unittest.addModuleCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        for name, run in RUNS.items():
            run = dict(run)
            is_tied = run.pop("is_tied", False)

            def keep(engine, rank, place=cls.folder / name):
                if engine.zero_optimization_stage() < 3 and rank == 0:
                    torch.save({k: v.clone() for k, v in engine.module.state_dict().items()}, place / "module.pt")

            train(cls.folder / name, lambda: Model(is_tied), run=loss, after=keep, **run)


def setUpModule():
    Dumps.make()


def plain(name):
    for long, short in (("base_model.model.", ""), (".base_layer.", "."), (".default.", ".")):
        name = name.replace(long, short)
    return name


class DumpTest(FolderTest):
    def dump(self, name):
        copy = self.folder / name
        shutil.copytree(Dumps.folder / name, copy)
        (copy / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "base", **LORA,
                                                              "target_modules": ["q_proj", "v_proj"]}))
        return copy

    def extracted(self, folder):
        """All that hici extract finds, under plain names."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        self.run_hici("extract", "--checkpoint_path", folder, "--trainable_params", ".", "--output_dir", out)
        tensors = {plain(k): v for k, v in load_file(out / "adapter_model.safetensors").items()}
        tensors.update(load_file(out / "trainable_params.safetensors"))
        return tensors

    def assert_equal_tensors(self, found, expected):
        for name, tensor in expected.items():
            self.assertIn(name, found)
            self.assertEqual(found[name].dtype, tensor.dtype, name)
            self.assertTrue(torch.equal(found[name], tensor), name)

    def test_weights_are_those_of_zero_to_fp32(self):
        for name in RUNS:
            if name == "bf16-optimizer":
                continue  # DeepSpeed's script does not know it
            with self.subTest(name):
                folder = self.dump(name)
                expected = {plain(k): v for k, v in weights_by_deepspeed(folder).items()}
                found = self.extracted(folder)
                self.assert_equal_tensors(found, expected)
                # At stage 1 that script leaves out what was frozen.
                self.assertEqual(set(found) == set(expected), name != "stage1")

    def test_weights_are_those_of_the_model(self):
        for name in RUNS:
            if name.startswith("stage3"):
                continue  # its module holds nothing
            with self.subTest(name):
                folder = self.dump(name)
                model = {plain(k): v for k, v in torch.load(folder / "module.pt").items()}
                found = self.extracted(folder)
                if name == "stage2-excluded":
                    model = {k: v for k, v in model.items() if k in found}
                self.assert_equal_tensors({k: v.to(model[k].dtype) for k, v in found.items()}, model)
                self.assertEqual(found["model.layers.0.self_attn.q_proj.lora_A.weight"].dtype, torch.float32)

    def test_universal_checkpoints(self):
        for name in ("stage1", "stage3", "stage2-excluded"):
            with self.subTest(name):
                folder = self.dump(name)
                expected = self.extracted(folder)
                make_universal(folder)
                self.assert_equal_tensors(self.extracted(folder), expected)

    def test_universal_checkpoint_of_gradients_in_turns(self):
        folder = self.dump("stage2")
        make_universal(folder)
        done = self.run_hici("extract", "--checkpoint_path", folder, code=1)
        self.assert_one_error_line(done, "extract", "is a universal checkpoint of a run with `round_robin_gradients`")

    def test_inspect_lists_what_is_there(self):
        text = self.run_hici("inspect", self.dump("stage3"), "--tensors", "True").stdout
        self.assertIn("model.layers.0.self_attn.q_proj.lora_A.weight", text)
        self.assertIn("weights     6 files", text)

    def test_files_of_all_ranks_are_needed(self):
        folder = self.dump("stage3")
        file = next(folder.glob("global_step*/*rank_1_*optim_states.pt"))
        file.unlink()
        done = self.run_hici("extract", "--checkpoint_path", folder, code=1)
        self.assert_one_error_line(done, "extract", file.parent, "no file of rank 1")


class BesideAdapterTest(LossTest):
    """Trainer's folder of a PEFT model: the adapter, and beside it the training checkpoint with embedding and norms."""

    def test_what_peft_did_not_save_comes_from_the_training_checkpoint(self):
        tokens, base, folder = self.write_tokens(), self.folder / "base", self.folder / "checkpoint-2"
        random_model("llama", "default", False).save_pretrained(base)

        def adapted():
            model = peft.get_peft_model(random_model("llama", "default", False), peft.LoraConfig(
                target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM", init_lora_weights=False, **LORA))
            model.base_model.model.config.use_cache = False
            for name, parameter in model.named_parameters():
                parameter.requires_grad_("lora_" in name or "embed" in name or "norm" in name)
            return model

        def run(engine):
            ids = torch.randint(0, VOCABULARY, (2, 24))
            return engine(input_ids=ids, labels=ids).loss

        def save(engine, rank):
            if rank == 0:
                engine.module.save_pretrained(folder)

        train(folder, adapted, settings(2, round_robin_gradients=True), run=run, after=save, exclude_frozen_parameters=True)
        file = folder / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": str(base)}))

        model = adapted()
        missing, unexpected = model.load_state_dict(weights_by_deepspeed(folder), strict=False)
        self.assertFalse(unexpected)
        self.assertTrue(all("lora" not in name and "norm" not in name for name in missing))
        expected = transformers_loss(model.eval(), tokens_of(tokens))
        self.assert_same_loss(self.hici_loss(base, tokens, "--peft_model", folder), expected)
        only_adapter = self.folder / "adapter"
        only_adapter.mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy(folder / name, only_adapter)
        self.assertGreater(abs(self.hici_loss(base, tokens, "--peft_model", only_adapter) - expected), 1e-3)

        out = self.folder / "out"
        self.run_hici("extract", "--checkpoint_path", folder, "--output_dir", out)
        self.assert_same_loss(self.hici_loss(base, tokens, "--peft_model", out), expected)
        (folder / "adapter_model.safetensors").unlink()
        self.assert_same_loss(self.hici_loss(base, tokens, "--peft_model", folder), expected)


if __name__ == "__main__":
    unittest.main()
