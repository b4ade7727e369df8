#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Perplexities and logits of Dual Chunk Attention, computed in float64 by dual_chunk_attention() of the reference.

    python3 make_dca_expected.py GOLDEN_DIR

For the base of each GOLDEN_DIR/models/NAME and each of some sizes: the perplexity over the golden windows, and the logits
behind a prompt and behind each of some more tokens. Writes GOLDEN_DIR/models/NAME/dca.json, a list of {"sizes": {..},
"magnitude": m, "perplexity": p, "accuracy": a, "prompt": [..], "forced": [..], "logits": rows}.
"""
import dataclasses
import json
import math
import pathlib
import struct
import sys

import torch

from make_generation_expected import FORCED_TOKENS, PROMPT_TOKENS, R, read_model, read_safetensors

LENGTH, STRIDE = 96, 64
SIZES = [  # the defaults; odd ones; the paper's window for Llama; chunks longer than the windows
    {"pretraining_length": 64, "local_window": 4, "mscale": False},
    {"pretraining_length": 18, "local_window": 3, "mscale": False},
    {"pretraining_length": 32, "local_window": 8, "mscale": True},
    {"pretraining_length": 256, "local_window": 16, "mscale": False},
]


def use_dca(sizes, magnitude):
    """The reference's forward() with Dual Chunk Attention as attention "dca"."""
    chunk_size = sizes["pretraining_length"] * 3 // 4
    chunk_len = chunk_size - sizes["local_window"]
    R.ATTENTION["dca"] = lambda p, pre, c, h, x, positions, valid, seg: R.dual_chunk_attention(
        p, pre, c, h, x, positions, chunk_len, chunk_size, magnitude)


def expected_of(p, c, tokens, head, sizes, reach):
    magnitude = 0.05 * math.log(LENGTH / reach) + 1 if sizes["mscale"] else 1.0
    use_dca(sizes, magnitude)
    perplexity, accuracy = R.perplexity(p, c, None, head, LENGTH, "dca", stride=STRIDE)
    count = PROMPT_TOKENS + FORCED_TOKENS
    with torch.no_grad():  # causal: what a token gives does not depend on those behind it
        logits = R.forward(p, c, None, tokens[None, :count], "dca")[0, PROMPT_TOKENS - 1:]
    return {"sizes": sizes, "magnitude": magnitude, "perplexity": perplexity, "accuracy": accuracy,
            "prompt": tokens[:PROMPT_TOKENS].tolist(), "forced": tokens[PROMPT_TOKENS:count].tolist(),
            "logits": logits.tolist()}


def main(golden):
    for folder in sorted((golden / "models").iterdir()):
        _, config, _ = read_model(folder)
        c = dataclasses.replace(config, rope_factor=1.0)
        p = read_safetensors(folder / "base" / "model.safetensors")
        raw = (folder / "tokens.bin").read_bytes()
        tokens = torch.tensor(struct.unpack(f"<{len(raw) // 2}H", raw))
        head = tokens[:json.loads((folder / "expected.json").read_text())["eval_tokens"]]
        reach = json.loads((folder / "base" / "config.json").read_text())["max_position_embeddings"]
        cases = [sizes for sizes in SIZES if not (c.qk_norm and sizes["mscale"])]
        rows = [expected_of(p, c, tokens, head, sizes, reach) for sizes in cases]
        (folder / "dca.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
