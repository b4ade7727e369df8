#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes what the tests of scoring compare with, out of packages that we did not write:

    pip install jieba==0.42.1 rouge==1.0.1 fuzzywuzzy==0.18.0 Levenshtein==0.27.5
    tests/eval/make_expected.py LONGBENCH_PREDICTIONS LONGEVAL

LONGBENCH_PREDICTIONS is a folder DATASET.jsonl of one model, LONGEVAL a folder with topics/ and lines/. Written are
  tests/eval/data/longbench/*.jsonl       the first rows of each data set
  tests/eval/data/longbench_scores.json   the score of each of these rows, by LongBench's formulas
  tests/eval/data/pairs.jsonl             texts in pairs with ROUGE-L and fuzz.ratio
  tests/text/data/answers.jsonl           texts with their words and numbers
  tests/eval/data/longeval/               answers to LongEval's tasks, as they are, with the counts of right ones
No test runs this: the results are in the repository.
"""
import ast
import collections
import importlib.metadata
import json
import pathlib
import random
import re
import shutil
import string
import sys

import jieba
from fuzzywuzzy import fuzz
from rouge import Rouge

VERSIONS = {"jieba": "0.42.1", "rouge": "1.0.1", "fuzzywuzzy": "0.18.0", "Levenshtein": "0.27.5"}
ROWS = 12
CHINESE_PUNCTUATION = ("！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿"
                       "–—‘’‛“”„‟…‧﹏.")
tests = pathlib.Path(__file__).resolve().parent.parent


def english_words(text):
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def chinese_words(text):
    bare = ("".join(c for c in word.lower() if c not in string.punctuation + CHINESE_PUNCTUATION) for word in jieba.cut(text))
    return [word for word in ("".join(word.split()) for word in bare) if word]


def f1(words, answer_words):
    same = sum((collections.Counter(words) & collections.Counter(answer_words)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(words), same / len(answer_words)
    return 2 * precision * recall / (precision + recall)


def rouge_l(text, reference):
    try:
        return Rouge().get_scores([text], [reference], avg=True)["rouge-l"]["f"]
    except ValueError:  # an empty side; LongBench counts 0
        return 0.0


def segmented(text):
    return " ".join(jieba.cut(text))


def share_of_numbers(text, number):
    numbers = re.findall(r"\d+", text)
    return sum(n == number for n in numbers) / len(numbers) if numbers else 0.0


def classification(text, answer, classes):
    matches = [name for name in classes if name in text]
    for name in matches:
        if name in answer and name != answer:
            matches.remove(name)
    return 1.0 / len(matches) if answer in matches else 0.0


def code_similarity(text, answer):
    lines = (line for line in text.lstrip("\n").split("\n") if not any(mark in line for mark in ("`", "#", "//")))
    return fuzz.ratio(next(lines, ""), answer) / 100


METRICS = {
    **dict.fromkeys(["narrativeqa", "qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "musique", "triviaqa"],
                    lambda text, answer, row: f1(english_words(text), english_words(answer))),
    "multifieldqa_zh": lambda text, answer, row: f1(chinese_words(text), chinese_words(answer)),
    **dict.fromkeys(["gov_report", "qmsum", "multi_news", "samsum"], lambda text, answer, row: rouge_l(text, answer)),
    **dict.fromkeys(["dureader", "vcsum"], lambda text, answer, row: rouge_l(segmented(text), segmented(answer))),
    **dict.fromkeys(["trec", "lsht"], lambda text, answer, row: classification(text, answer, row["all_classes"])),
    "passage_count": lambda text, answer, row: share_of_numbers(text, answer),
    "passage_retrieval_en": lambda text, answer, row: share_of_numbers(text, re.findall(r"Paragraph (\d+)", answer)[0]),
    "passage_retrieval_zh": lambda text, answer, row: share_of_numbers(text, re.findall(r"段落(\d+)", answer)[0]),
    **dict.fromkeys(["lcc", "repobench-p"], lambda text, answer, row: code_similarity(text, answer)),
}


def row_score(dataset, row):
    text = row["pred"]
    if dataset in ("trec", "triviaqa", "samsum", "lsht"):
        text = text.lstrip("\n").split("\n")[0]
    return max(METRICS[dataset](text, answer, row) for answer in row["answers"])


def make_longbench(predictions):
    folder = tests / "eval/data/longbench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scores = {}
    for dataset in METRICS:
        lines = (predictions / f"{dataset}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:ROWS]
        (folder / f"{dataset}.jsonl").write_text("".join(lines), encoding="utf-8")
        scores[dataset] = [row_score(dataset, json.loads(line)) for line in lines]
    text = ",\n".join(f"{json.dumps(dataset)}: {json.dumps(values)}" for dataset, values in scores.items())
    (tests / "eval/data/longbench_scores.json").write_text("{\n" + text + "\n}\n")


def random_texts(seed, count):
    """Text at the seams of the segmenter: dictionary words, characters in and out of its ranges, Latin words with signs."""
    random_numbers = random.Random(seed)
    jieba.initialize()
    words = [word for word, frequency in jieba.dt.FREQ.items() if frequency]
    seams = ["AT&T", "C++", "c#", "C++11", "B超", "T恤", "4S店", "卡拉OK", "1.5%", "2.3.4", "a-b", "a-1", "a-1.5", "a.1b", "x_1",
             "3.14abc", "50%.", "#&", "+", "%", "-", "_", ".", "\r\n", "\n", "\t", "\x1c", "\u3000", "，", "。", "！", "「", "”", "é",
             "ß", "İ", "ΟΔΟΣ", "①", "½", "٣٤", "२", "the", "a", "an", "The", "theatre", "naïve", "龥", "龦", "鿕", "鿖", "㐀", "豈",
             "𠀀", "的", "是", "了", "人", "们", "😀", " ", "x\u0301"]
    for _ in range(count):
        pick = lambda: random_numbers.choice(words if random_numbers.random() < 0.4 else seams)
        yield "".join(pick() + (" " if random_numbers.random() < 0.2 else "") for _ in range(random_numbers.randint(1, 14)))


def make_answers():
    texts = ["", " ", "the", "The quick, brown fox: an apple a day!", "A-Team, a.k.a. the A.", "我们中出了一个叛徒", "IBM公司的C++程序员用了3.5小时",
             *random_texts(1, 400)]
    with open(tests / "text/data/answers.jsonl", "w", encoding="utf-8") as file:
        for text in texts:
            row = {"text": text, "segmented": segmented(text), "english": english_words(text), "chinese": chinese_words(text),
                   "numbers": re.findall(r"\d+", text)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def make_pairs():
    random_numbers = random.Random(2)
    words = ["the", "cat", "sat", "on", "mat", "a", "Cat", "dog", ".", ". ", "..", "\n", "\u00a0", "\u3000", "\x1d", "x.y", "é", "猫", ""]
    text = lambda: " ".join(random_numbers.choice(words) for _ in range(random_numbers.randint(0, 18)))
    pairs = [("", ""), ("", "a"), ("a", ""), (".", "a"), (" ", " "), (" . ", "."), ("abc", "abc"), ("int x = 1;", "int y = 2;"),
             *((text(), text()) for _ in range(300))]
    with open(tests / "eval/data/pairs.jsonl", "w", encoding="utf-8") as file:
        for a, b in pairs:
            file.write(json.dumps([a, b, rouge_l(a, b), fuzz.ratio(a, b)], ensure_ascii=False) + "\n")


def make_longeval(source):
    target = tests / "eval/data/longeval"
    shutil.rmtree(target, ignore_errors=True)
    counts = {}
    for file in sorted(source.glob("*/predictions/*/*_response.txt")):
        task, model = file.parts[-4], file.parts[-2]
        copy = target / task / model / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
        rows = [re.match(r"Label: (.*?), Predict: (.*?)(?:, Parsed: -?\d+)?, prompt length: -?\d+$", line)
                for line in file.read_text().splitlines() if not line.startswith("Accuracy: ")]
        if task == "topics":
            right = [row[1].lower() in ast.literal_eval(row[2])[0].lower() for row in rows]
        else:
            right = [int(re.findall(r"\d+", row[2])[-1]) == int(row[1]) for row in rows]
        counts.setdefault(task, {}).setdefault(model, {})[file.name] = [sum(right), len(right)]
    assert counts["topics"] == json.loads((source / "topics/scores.json").read_text())
    (tests / "eval/data/longeval/scores.json").write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    for package, version in VERSIONS.items():
        assert importlib.metadata.version(package) == version, package
    make_longbench(pathlib.Path(sys.argv[1]))
    make_answers()
    make_pairs()
    make_longeval(pathlib.Path(sys.argv[2]))
