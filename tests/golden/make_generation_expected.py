#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logits of generation with a cache, computed in float64 by prefill_cache() and decode_attention() of the reference.

    python3 make_generation_expected.py GOLDEN_DIR

For each GOLDEN_DIR/models/NAME, base and adapter: a prompt of its tokens, then some more of its tokens as if they had
been generated. Writes GOLDEN_DIR/models/NAME/generation.json: {"prompt": [..], "forced": [..], "logits": {CASE: rows}},
a row behind the prompt and one behind each forced token; CASE is full, hici_slots or hici_no_slots.
"""
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
import torch
import torch.nn.functional as F

import hici_reference as R

PROMPT_TOKENS, FORCED_TOKENS = 37, 6


def read_safetensors(path):
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    out = {}
    for name, info in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        values = torch.frombuffer(bytearray(raw[8 + size + begin:8 + size + end]), dtype=torch.float32)
        out[name.removeprefix("base_model.model.")] = values.reshape(info["shape"]).double()
    return out


def read_model(folder):
    expected = json.loads((folder / "expected.json").read_text())
    config = json.loads((folder / "base" / "config.json").read_text())
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "tie_word_embeddings")
    c = R.ModelConfig(**{name: config[name] for name in names}, rope_factor=expected["rope_factor"],
                      qk_norm=config["model_type"] == "qwen3")
    p = {}
    for file in (folder / "base" / "model.safetensors", folder / "adapter" / "adapter_model.safetensors",
                 folder / "adapter" / "trainable_params.safetensors"):
        p.update(read_safetensors(file))
    return p, c, R.HiciConfig(**expected["hici"])


def mlp(p, c, h, layer, x):
    m = f"model.layers.{layer}.mlp."
    y = R.rms_norm(x, p[f"model.layers.{layer}.post_attention_layernorm.weight"], c.rms_norm_eps)
    return x + R.linear(p, m + "down_proj", F.silu(R.linear(p, m + "gate_proj", y)) * R.linear(p, m + "up_proj", y))


def logits_of(p, c, x):
    x = R.rms_norm(x[:, -1:], p["model.norm.weight"], c.rms_norm_eps)
    return R.linear(p, "model.embed_tokens" if c.tie_word_embeddings else "lm_head", x)[0, 0].tolist()


def generation_logits(p, c, h, prompt, forced, is_hici, cache_slots):
    positions, caches = torch.arange(len(prompt)), []
    x = p["model.embed_tokens.weight"][torch.tensor([prompt])]
    for i in range(c.num_hidden_layers):
        pre = f"model.layers.{i}.self_attn."
        y = R.rms_norm(x, p[f"model.layers.{i}.input_layernorm.weight"], c.rms_norm_eps)
        caches.append(R.prefill_cache(p, pre, c, h, y, positions, cache_slots=is_hici and cache_slots))
        out = (R.hici_attention(p, pre, c, h, y, positions, seg=len(prompt)) if is_hici
               else R.full_attention(p, pre, c, h, y, positions))
        x = mlp(p, c, h, i, x + out)
    rows = [logits_of(p, c, x)]
    for step, token in enumerate(forced):
        x = p["model.embed_tokens.weight"][torch.tensor([[token]])]
        for i in range(c.num_hidden_layers):
            y = R.rms_norm(x, p[f"model.layers.{i}.input_layernorm.weight"], c.rms_norm_eps)
            out, k, v = R.decode_attention(p, f"model.layers.{i}.self_attn.", c, h, y, len(prompt) + step, *caches[i])
            caches[i] = (k, v)
            x = mlp(p, c, h, i, x + out)
        rows.append(logits_of(p, c, x))
    return rows


def main(golden):
    for folder in sorted((golden / "models").iterdir()):
        p, c, h = read_model(folder)
        count = PROMPT_TOKENS + FORCED_TOKENS
        tokens = list(struct.unpack(f"<{count}H", (folder / "tokens.bin").read_bytes()[:2 * count]))
        prompt, forced = tokens[:PROMPT_TOKENS], tokens[PROMPT_TOKENS:]
        cases = {"full": (False, False), "hici_slots": (True, True), "hici_no_slots": (True, False)}
        logits = {name: generation_logits(p, c, h, prompt, forced, *case) for name, case in cases.items()}
        (folder / "generation.json").write_text(json.dumps({"prompt": prompt, "forced": forced, "logits": logits}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
