# SPDX-License-Identifier: Apache-2.0
"""Tiny random models with every kind of rotary embedding that `hici merge` writes, and transformers' logits for them.
Used by scripts/rope_elsewhere only: `models.py FOLDER` writes

    FOLDER/models/FAMILY/KIND/FORM/    config.json, weights, tokenizer; FORM: new, old, both
    FOLDER/reference/FAMILY-KIND.npz   NAME-LENGTH: logits; "right", and those of likely misreadings
    FOLDER/tokens.json                 the tokens of each length
"""
import json
import os
import pathlib
import sys

import numpy
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

FAMILIES = {"Llama": "LlamaForCausalLM", "Qwen3": "Qwen3ForCausalLM"}
REACH = 256          # the original length, or max_position_embeddings where there is none; yarn's turns need more than 201
LENGTHS = (40, 320)  # one below, one beyond
THETA = 500000.0     # not 10000, which some programs take where they find none
HEAD_DIM = {"Llama": 32, "Qwen3": 128}  # Qwen3's is 128 in every published model, whatever the hidden size
VOCABULARY = 96
SHAPE = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
         "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "attention_bias": False, "torch_dtype": "float32"}
ORIGINAL = "original_max_position_embeddings"
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, ORIGINAL: REACH, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, ORIGINAL: REACH, "beta_fast": 32.0, "beta_slow": 1.0}


def computed(scaling, max_positions, head_dim):
    """Frequencies and attention factor of a scaling, as transformers computes them."""
    config = transformers.LlamaConfig(**SHAPE, head_dim=head_dim, max_position_embeddings=max_positions,
                                      rope_parameters={**scaling, "rope_theta": THETA})
    frequencies, attention_factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, torch.device("cpu"))
    return frequencies.double().tolist(), attention_factor


def longrope_on(scaling, reach, context_factor, head_dim):
    """What `hici merge` writes for a context factor on top of llama3 or yarn."""
    frequencies, attention_factor = computed(scaling, reach, head_dim)
    divisors = [THETA ** (-2 * i / head_dim) / f * context_factor for i, f in enumerate(frequencies)]
    return {"rope_type": "longrope", "factor": context_factor, ORIGINAL: reach, "short_factor": divisors,
            "long_factor": divisors, "attention_factor": attention_factor}


def kinds(head_dim):
    """Kind -> (scaling, max_position_embeddings, whether the original length also stands beside the scaling)."""
    of_llama3 = longrope_on({**LLAMA3, ORIGINAL: REACH // 2, "factor": 2.0}, REACH, 4.0, head_dim)
    of_yarn = longrope_on({**YARN, ORIGINAL: REACH // 4}, REACH, 4.0, head_dim)
    bare = {key: value for key, value in of_yarn.items() if key != "attention_factor"}
    return {
        "default": ({"rope_type": "default"}, 4 * REACH, False),
        "linear": ({"rope_type": "linear", "factor": 4.0}, REACH, False),
        "llama3": (LLAMA3, 4 * REACH, False),
        "yarn": (YARN, 4 * REACH, False),
        "yarn, own factor": ({**YARN, "attention_factor": 1.4}, 4 * REACH, False),
        "longrope on llama3": (of_llama3, REACH, True),
        "longrope on yarn": (of_yarn, REACH, True),
        "longrope, no factor": (bare, 4 * REACH, True),
        "longrope, length inside": (bare, 4 * REACH, False),
    }


def config_of(family, form, scaling, max_positions, is_beside):
    """config.json in one form; "both" is what src/hici/config/rope_json.cpp writes."""
    config = {**SHAPE, "head_dim": HEAD_DIM[family], "architectures": [FAMILIES[family]], "model_type": family.lower(),
              "max_position_embeddings": max_positions}
    if form != "old":
        config["rope_parameters"] = {**scaling, "rope_theta": THETA}
    if form != "new":
        older = scaling
        if scaling["rope_type"] == "linear":
            older = {"type": "linear", "factor": scaling["factor"]}
        config.update(rope_theta=THETA, rope_scaling=None if scaling["rope_type"] == "default" else older)
    if is_beside:
        config[ORIGINAL] = scaling[ORIGINAL]
    return config


def write_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    words = ["<unk>", "<s>", "</s>"] + [f"w{i}" for i in range(3, VOCABULARY)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}))


def write_common(folder, family):
    """Weights and tokenizer, once for each family. Wide projections, so that attention is sharp and positions count."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    config = transformers.AutoConfig.for_model(family.lower(), **SHAPE, head_dim=HEAD_DIM[family], max_position_embeddings=REACH)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.normal_(std=0.2 if "q_proj" in name or "k_proj" in name else 0.1)
    model.save_pretrained(folder)
    for file in ("config.json", "generation_config.json"):
        (folder / file).unlink(missing_ok=True)
    write_tokenizer(folder)


def write_model(folder, common, config):
    folder.mkdir(parents=True, exist_ok=True)
    for file in common.iterdir():
        (folder / file.name).unlink(missing_ok=True)
        os.link(file, folder / file.name)
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def logits(folder, tokens):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()


def misreadings(config):
    """Name -> config.json with what other programs tend to lose."""
    plain = {**config, "rope_parameters": {"rope_type": "default", "rope_theta": THETA}, "rope_scaling": None}
    out = {"plain RoPE": plain,
           "plain RoPE, theta 10000": {**plain, "rope_theta": 10000.0,
                                       "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}}
    scaling = config["rope_scaling"]
    if scaling is None:
        return out
    of_type = {key: value for key, value in config["rope_parameters"].items() if key != "rope_theta"}
    out["theta 10000"] = {**config, "rope_theta": 10000.0, "rope_parameters": {**of_type, "rope_theta": 10000.0}}
    bare = {key: value for key, value in of_type.items() if key != "attention_factor"}
    changed = {}
    if of_type["rope_type"] in ("yarn", "longrope"):
        changed["attention factor 1"] = {**bare, "attention_factor": 1.0}
    if bare != of_type:
        changed["`attention_factor` left out"] = bare
    if of_type["rope_type"] == "yarn":  # transformers rounds the dimensions between which yarn goes over
        changed["not truncated" if bare == of_type else "not truncated, `attention_factor` left out"] = {**bare, "truncate": False}
    for name, other in changed.items():
        out[name] = {**config, "rope_scaling": other, "rope_parameters": {**other, "rope_theta": THETA}}
    return out


def main():
    root = pathlib.Path(sys.argv[1])
    (root / "reference").mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(11)
    row = torch.randint(3, VOCABULARY, (max(LENGTHS),), generator=generator).tolist()
    tokens = {length: row[:length] for length in LENGTHS}
    for family in FAMILIES:
        common = root / "common" / family
        write_common(common, family)
        for kind, (scaling, max_positions, is_beside) in kinds(HEAD_DIM[family]).items():
            for form in ("new", "old", "both"):
                folder = root / "models" / family / kind / form
                write_model(folder, common, config_of(family, form, scaling, max_positions, is_beside))
            both = config_of(family, "both", scaling, max_positions, is_beside)
            out = {}
            for name, config in {"right": both, **misreadings(both)}.items():
                write_model(root / "misread", common, config)
                for length in LENGTHS:
                    out[f"{name}-{length}"] = logits(root / "misread", tokens[length])
            numpy.savez(root / "reference" / f"{family}-{kind}.npz", **out)
    (root / "tokens.json").write_text(json.dumps(tokens))


if __name__ == "__main__":
    main()
