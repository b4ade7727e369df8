#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shares of attention and maps of a segment, in float64, from the softmax of attend() of the reference.

    python3 make_attention_expected.py GOLDEN_DIR

For each GOLDEN_DIR/models/NAME, base and adapter, two rows of its tokens, with and without padding, in every causal mode.
Writes GOLDEN_DIR/models/NAME/attention.json: {"tokens": rows, "max_blocks": N, "cases": [{"mode", "valid": tokens of each
row, "shares": [layer][head][global slots, local slots, tokens], "maps": [...]}]}.
"""
import json
import math
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import torch

from make_generation_expected import R, read_model

LENGTH, SEGMENTS, MAX_BLOCKS = 96, 4, 5
PLACES = [{"layer": 1, "sequence": 0, "segment": 3, "head": None}, {"layer": 0, "sequence": 0, "segment": 0, "head": 2}]


def weights_of_every_layer(p, c, h, tokens, valid):
    """[B, N, heads, S, P + S] for each layer, with a zero where a query sees nothing; and P."""
    layers, attend = [], R.attend

    def watched(q, k, v, allowed):
        out, lse = attend(q, k, v, allowed)
        score = q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).transpose(-1, -2) / math.sqrt(q.shape[-1])
        weights = torch.exp(score.masked_fill(~allowed, -math.inf) - lse[..., None]).nan_to_num()
        layers.append(weights.unflatten(0, (len(tokens), SEGMENTS)))
        return out, lse

    R.attend = watched
    try:
        R.forward(p, c, h, tokens, "hici", valid, LENGTH // SEGMENTS)
    finally:
        R.attend = attend
    return layers, layers[0].shape[-1] - LENGTH // SEGMENTS


def pooled(weights, slots, count, head):
    """The rows of a map: weights [heads, S, P + S] of one segment, of which the first `count` queries are valid."""
    weights = weights.mean(0) if head is None else weights[head]
    block = -(-weights.shape[0] // MAX_BLOCKS)
    rows = torch.stack([part.mean(0) for part in weights[:count].split(block)])
    return torch.cat([rows[:, :slots]] + [part.sum(1, keepdim=True) for part in rows[:, slots:].split(block, 1)], 1)


def case(p, c, h, tokens, mode, lengths):
    h.causal_mode = mode
    valid = torch.arange(LENGTH) < torch.tensor(lengths)[:, None]
    layers, slots = weights_of_every_layer(p, c, h, tokens, valid)
    counted = valid.view(len(tokens), SEGMENTS, 1, -1)
    shares = []
    for weights in layers:
        parts = weights.split([h.global_slots, slots - h.global_slots, LENGTH // SEGMENTS], -1)
        shares.append(torch.stack([(part.sum(-1) * counted).sum((0, 1, 3)) / valid.sum() for part in parts], 1).tolist())
    maps = []
    for place in PLACES:
        count = int(counted[place["sequence"], place["segment"]].sum())
        weights = layers[place["layer"]][place["sequence"], place["segment"]]
        maps.append({**place, "rows": pooled(weights, slots, count, place["head"]).tolist()})
    return {"mode": mode, "valid": lengths, "shares": shares, "maps": maps}


def main(golden):
    for folder in sorted((golden / "models").iterdir()):
        p, c, h = read_model(folder)
        tokens = struct.unpack(f"<{2 * LENGTH}H", (folder / "tokens.bin").read_bytes()[:4 * LENGTH])
        tokens = torch.tensor(tokens).view(2, LENGTH)
        cases = [case(p, c, h, tokens, mode, lengths) for mode in R.CAUSAL_MODES
                 for lengths in ([LENGTH, LENGTH], [LENGTH - 3, 30])]
        (folder / "attention.json").write_text(json.dumps({"tokens": tokens.tolist(), "max_blocks": MAX_BLOCKS,
                                                           "cases": cases}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
