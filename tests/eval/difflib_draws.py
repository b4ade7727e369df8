#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pairs of texts for SequenceMatcher: lines of code with edits, few letters, many letters, texts around the 200 characters where
popular characters begin no block, characters of one to four bytes. Run, it writes what DifflibTest compares with:

    tests/eval/difflib_draws.py     # tests/eval/data/difflib_pairs.jsonl: [a, b, ratio, fuzz.ratio without python-Levenshtein]

No unit test runs this; tests/integration/test_score.py draws others from it.
"""
import difflib
import json
import pathlib
import random

WORDS = ("self return for in range ( ) [ ] : = + - . , == import def class None True if else not value index data name "
         "request response result path open with as lambda assert raise").split()
ALPHABETS = ["a", "ab", "abc ", "abcdefghijklmnopqrstuvwxyz    ", "\u6f6e\u6c34\u6bcf\u5929\u4e0a\u6da8\u4e24\u6b21",
             "a\u00e9\u6f6e\U0001f600", "".join(map(chr, range(0x4e00, 0x4f00))) + " a"]


def letters(chance, length):
    alphabet = chance.choice(ALPHABETS)
    return "".join(chance.choice(alphabet) for _ in range(length))


def code(chance, length):
    text = ""
    while len(text) < length:
        text += chance.choice(WORDS) + chance.choice(["", " ", " ", "_", "  "])
    return text[:length]


def edited(chance, text):
    """The text with some pieces taken out, put in, moved and repeated."""
    for _ in range(chance.randrange(1, 8)):
        begin = chance.randrange(len(text) + 1)
        end = min(len(text), begin + chance.randrange(1, 20))
        piece = text[begin:end]
        rest = text[:begin] + text[end:]
        at = chance.randrange(len(rest) + 1)
        text = chance.choice([rest, rest[:at] + piece + rest[at:], text[:begin] + code(chance, 7) + text[begin:],
                              text[:end] + piece + text[end:]])
    return text


def draw(chance, longest=500):
    """(prediction, answer) without line ends, never equal, never empty, and no line that LongBench passes over."""
    while True:
        length = chance.choice([chance.randrange(1, 30), chance.randrange(30, 190), chance.randrange(190, 215), chance.randrange(longest) + 1])
        make = chance.choice([letters, code, code])
        answer = make(chance, length)
        other = edited(chance, answer) if chance.random() < 0.7 else make(chance, chance.randrange(1, 2 * length + 1))
        pair = (answer, other) if chance.random() < 0.5 else (other, answer)
        if all(pair) and pair[0] != pair[1]:
            return pair


def percent(a, b):
    """fuzz.ratio of fuzzywuzzy 0.18 where python-Levenshtein is not installed."""
    return round(100 * difflib.SequenceMatcher(None, a, b).ratio())


def main():
    chance = random.Random(16)
    pairs = [("", ""), ("", "a"), ("abcd", "bcde"), ("a" * 199, "a" * 199 + "b"), ("a" * 200, "a" * 200 + "b"),
             ("x" + "ab" * 150, "ab" * 150), ("ab" * 150, "x" + "ab" * 150), ("tide", "diet"), ("diet", "tide")]
    pairs += [draw(chance) for _ in range(250)] + [draw(chance, 4000) for _ in range(12)]
    lines = [json.dumps([a, b, difflib.SequenceMatcher(None, a, b).ratio(), percent(a, b)], ensure_ascii=False) for a, b in pairs]
    (pathlib.Path(__file__).parent / "data" / "difflib_pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
