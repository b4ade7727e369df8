# SPDX-License-Identifier: Apache-2.0
"""Rotary frequencies as transformers computes them, for rope_test.cpp.

    make_rope_expected.py OUT.json           write them
    make_rope_expected.py --check FILE.json  fail when they differ from FILE's

transformers computes in float32; its functions run here with torch.float meaning float64, so that the comparison can be
tight. The float32 values are compared with these, too.
"""
import json
import sys

import torch
from transformers import LlamaConfig, Qwen3Config, modeling_rope_utils

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
CASES = {
    "llama_default": ("llama", 128, 4096, 10000.0, None),
    "qwen3_default": ("qwen3", 128, 40960, 1000000.0, None),
    "linear": ("llama", 64, 2048, 10000.0, {"type": "linear", "factor": 8.0}),
    "linear_fraction": ("qwen3", 96, 40960, 1000000.0, {"rope_type": "linear", "factor": 1.2}),
    "llama3": ("llama", 128, 131072, 500000.0, LLAMA3),
    "llama3_small": ("llama", 64, 131072, 500000.0, {**LLAMA3, "factor": 32.0, "high_freq_factor": 3.0}),
    "yarn": ("qwen3", 128, 131072, 1000000.0, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}),
    "yarn_betas": ("llama", 64, 8192, 10000.0, {"rope_type": "yarn", "factor": 2.5, "original_max_position_embeddings": 4096, "beta_fast": 16, "beta_slow": 2.0, "truncate": False}),
    "yarn_mscale": ("llama", 64, 65536, 10000.0, {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "mscale": 0.9, "mscale_all_dim": 0.7}),
    "yarn_attention_factor": ("qwen3", 80, 65536, 10000.0, {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "attention_factor": 1.25}),
    "yarn_no_original": ("llama", 32, 512, 10000.0, {"rope_type": "yarn", "factor": 2.0}),
}


class DoubleTorch:
    """torch, but float and float32 are float64."""
    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def frequencies(config, in_double):
    modeling_rope_utils.torch = DoubleTorch() if in_double else torch
    rope_type = config.rope_parameters["rope_type"]
    if rope_type == "default":
        d = config.head_dim
        dtype = torch.float64 if in_double else torch.float32
        return 1.0 / config.rope_parameters["rope_theta"] ** (torch.arange(0, d, 2, dtype=dtype) / d), 1.0
    return modeling_rope_utils.ROPE_INIT_FUNCTIONS[rope_type](config, "cpu")


def make():
    out = {}
    for name, (family, head_dim, positions, theta, scaling) in CASES.items():
        cls = {"llama": LlamaConfig, "qwen3": Qwen3Config}[family]
        sizes = dict(vocab_size=16, hidden_size=2 * head_dim, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                     num_key_value_heads=2, head_dim=head_dim, max_position_embeddings=positions)
        config = cls(**sizes, rope_parameters={**(scaling or {"rope_type": "default"}), "rope_theta": theta})
        values, scale = frequencies(config, True)
        single, _ = frequencies(config, False)
        assert torch.allclose(values, single.double(), rtol=2e-6), name
        file = {"model_type": family, **sizes, "rope_theta": theta, "rope_scaling": scaling}
        out[name] = {"config": file, "inverse_frequencies": values.tolist(), "attention_scale": scale}
    return out


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        stored = json.load(open(sys.argv[2]))
        fresh = make()
        assert stored.keys() == fresh.keys(), stored.keys() ^ fresh.keys()
        for name, case in fresh.items():
            assert stored[name]["config"] == case["config"], name
            got, want = (torch.tensor(c["inverse_frequencies"], dtype=torch.float64) for c in (stored[name], case))
            assert torch.allclose(got, want, rtol=1e-12, atol=0) and abs(stored[name]["attention_scale"] - case["attention_scale"]) < 1e-12, name
        print(f"{len(fresh)} RoPE cases agree with transformers")
    else:
        json.dump(make(), open(sys.argv[1], "w"), indent=1)
