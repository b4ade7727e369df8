#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws of numpy's legacy generator and passkey prompts made in Python, for passkey_prompt_test.cpp:

    tests/eval/make_passkey_expected.py >tests/eval/data/passkey_expected.json

data/numpy_draws.json beside it, rows of [n, seed, prefix length, key], is not from here.
"""
import hashlib
import json

import numpy as np

TASK = ("There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
        "I will quiz you about the important information there.")
FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
BOUNDS = [(0, 1), (0, 2), (0, 3), (5, 6), (-7, 9), (0, 255), (0, 256), (0, 257), (1, 50000), (0, 2**31), (0, 2**32 - 1), (0, 2**32)]


def prompt(n, seed):
    random = np.random.RandomState(seed)
    prefix = int(random.randint(0, n))
    key = int(random.randint(1, 50000))
    filler = " ".join([FILLER] * (n // len(FILLER) + 1))
    line = f"The pass key is {key}. Remember it. {key} is the pass key."
    lines = [TASK, filler[:prefix], line, filler[:n - prefix], "What is the pass key? The pass key is"]
    return [n, seed, prefix, key, hashlib.sha256("\n".join(lines).encode()).hexdigest()]


draws = []
for seed in (0, 1, 42, 2**31, 2**32 - 1):
    random = np.random.RandomState(seed)
    draws.append([seed, [[low, high, int(random.randint(low, high, dtype=np.int64))] for _ in range(8) for low, high in BOUNDS]])
lengths = {str(tokens): int(3.75 * tokens // 1024 * 1024) for tokens in (100, 273, 274, 1024, 4096, 8192, 16384, 32768, 100000, 262144)}
cases = [prompt(n, seed) for n, seed in ((1, 0), (89, 1), (90, 2), (91, 3), (3840, 7), (30720, 8), (384000, 123456))]
print(json.dumps({"draws": draws, "lengths": lengths, "prompts": cases}))
