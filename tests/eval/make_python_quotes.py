#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/eval/data/python_quotes.jsonl: texts and their repr() in Python 3.11.

Every assigned character that repr() escapes is in it with its neighbours, and texts that are drawn from all planes. No
test runs this: the result is in the repository.
"""
import json
import pathlib
import random
import sys
import unicodedata

assert sys.version_info[:2] == (3, 11), "which characters are assigned depends on the version"
random.seed(5)
assigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
private = [c for c in assigned if unicodedata.category(c) == "Co"]
escaped = [c for c in assigned if not c.isprintable() and unicodedata.category(c) != "Co"]
edges = [chr(ord(c) + d) for c in escaped for d in (-1, 1) if 0 <= ord(c) + d < 0x110000]
edges = [c for c in edges if unicodedata.category(c) not in ("Cn", "Cs")]
texts = ["", "'", '"', "'\"", "\\", "a'b", 'a"b', "it's \"both\"", "\n\r\t\x0b", "plain"]
singles = escaped + edges + private[:2] + private[-2:]
texts += ["".join(singles[i:i + 12]) for i in range(0, len(singles), 12)]
for _ in range(200):
    pool = random.choice([assigned, escaped, list("ab'\"\\ \n")])
    texts.append("".join(random.choice(pool) for _ in range(random.randrange(1, 9))))
path = pathlib.Path(__file__).resolve().parent / "data" / "python_quotes.jsonl"
path.write_text("".join(json.dumps({"text": text, "repr": repr(text)}) + "\n" for text in texts))
