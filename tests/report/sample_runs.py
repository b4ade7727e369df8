# SPDX-License-Identifier: Apache-2.0
"""Run directories with everything that a report shows, for the tests of `hici report`."""
import hashlib
import json
import math
import pathlib
import random

LONGEVAL = pathlib.Path(__file__).resolve().parents[1] / "eval" / "data" / "longeval"
CONTEXTS = (2048, 4096, 8192, 16384, 32768, 65536, 100000)
TASKS = ("narrativeqa qasper multifieldqa_en multifieldqa_zh hotpotqa 2wikimqa musique dureader gov_report qmsum "
         "multi_news vcsum trec triviaqa samsum lsht passage_count passage_retrieval_en passage_retrieval_zh lcc "
         "repobench-p").split()


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def hash_of(name):
    return hashlib.sha256(name.encode()).hexdigest()


def write_metrics(directory, steps, hici_grad_norm):
    """Training that falls, with a loss that is none at step 7 and a last line that was cut."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "metrics.jsonl", "w") as lines:
        for step in range(1, steps + 1):
            loss = None if step == 7 else 2 + math.exp(-step / 50)
            lines.write(json.dumps({"step": step, "loss": loss, "learning_rate": 1e-3, "hici_learning_rate": 2e-3, "hici_grad_norm": hici_grad_norm,
                                    "tokens_per_second": 1e4, "tokens": step * 512, "seconds": step}) + "\n")
        lines.write('{"step": 999, "lo')


def on_data(name):
    return {"data_path": f"data/{name}", "data_sha256": hash_of(name), "sliding_window": 256, "limit_tokens": 0}


def write_perplexity(directory, label, attention, contexts, growth, data="pg19.bin"):
    for context in contexts:
        write_json(directory / f"ppl-{data}-{hash_of(label)[:8]}-{attention}-{context}.json",
                   {"command": "eval ppl", "label": label, "attention": attention, "seq_len": context,
                    "perplexity": 4 + growth * context / 1000, "accuracy": 0.5, **on_data(data)})


def write_passkey(directory, label, attention, lengths, last_found):
    draw, luck = random.Random(1), random.Random(label)  # the prompts are the same for all models
    results = []
    for length in lengths:
        tests = [{"seed": seed, "depth": draw.random(), "key": 12345, "answer": "12345", "prompt_tokens": length,
                  "correct": length <= last_found or luck.random() < 0.4} for seed in range(10)]
        accuracy = sum(test["correct"] for test in tests) / len(tests)
        results.append({"target": length, "tokens": length, "rope_factor": 1.0, "accuracy": accuracy, "tests": tests})
    write_json(directory / f"passkey-{attention}.json",
               {"command": "eval passkey", "label": label, "attention": attention, "lengths": results})


def write_attention(directory, label, layers=32, heads=8):
    draw = random.Random(label)
    of_slots = [[[draw.uniform(0, 0.3) for _ in range(heads)] for _ in range(layers)] for _ in range(2)]
    tokens = [[1 - a - b for a, b in zip(*rows)] for rows in zip(*of_slots)]
    write_json(directory / "attention.json",
               {"command": "eval attention", "label": label, "layers": layers, "heads": heads, "seq_len": 8192,
                **on_data("pg19.bin"),
                "global": of_slots[0], "local": of_slots[1], "token": tokens})


def write_longbench(root, model, seed):
    draw = random.Random(seed)
    write_json(root / "pred" / model / "result.json", {task: round(draw.uniform(0, 70), 2) for task in TASKS})
    for task in TASKS:
        for folder in ("pred", "pred_e"):
            write_json(root / folder / model / f"{task}.json",
                       {"command": "eval longbench", "dataset": task, "max_length": 31500, "prompt_style": "chat",
                        "data_sha256": hash_of(task), "prompt_sha256": hash_of("prompt")})
    write_json(root / "pred_e" / model / "result.json",
               {task: {"0-4k": round(draw.uniform(0, 70), 2), "4-8k": round(draw.uniform(0, 70), 2), "8k+": None}
                for task in ("qasper", "hotpotqa", "lcc")})


def labels_sha256(answers):
    """Which test cases a file of answers is about, as `hici score topics` writes it."""
    labels = [line.split(", Predict: ")[0].removeprefix("Label: ") for line in answers.read_text().splitlines()]
    return hashlib.sha256("".join(label + "\n" for label in labels).encode()).hexdigest()


def write_judged(directory):
    files = {f"{number}_response.txt": [50 - number, 50] for number in (5, 10, 15)}
    judged = {name: [correct - 1, 49, 1] for name, (correct, _) in files.items()}
    write_json(directory / "judged.json", {"by_rule": {"judged-model": files}, "judge_model": "gpt-4o-mini",
                                           "by_judge": {"judged-model": judged},
                                           "cases": {"judged-model": {
                                               name: labels_sha256(LONGEVAL / "topics" / "longchat-7b-16k" / name) for name in files}}})


def write_everything(root, label):
    """All kinds of results under `root`; the first model is called `label`."""
    write_metrics(root / "run", 1500, 0.5)
    write_metrics(root / "runs & <more>", 30, 0)
    for number in range(7):  # more than there are colours
        write_perplexity(root / "many", f"Llama-2-7b-{number}-" + "long" * number, "full", CONTEXTS[:3], number, "proof-pile.bin")
    write_perplexity(root / "many", label, "hici", CONTEXTS[:3], 0.5, "proof-pile.bin")
    for name, of, attention, end, growth in (("a", label, "hici", 32768, 0.02), ("b", "Llama-2-7b", "full", 4096, 1)):
        write_perplexity(root / name, of, attention, CONTEXTS, growth)
        write_passkey(root / name, of, attention, [1024 * i for i in (4, 8, 12, 16, 24, 32, 48, 64)], end)
        write_attention(root / name, of)
    for seed, model in enumerate(("my-sft-16k", "Llama-2-7b-chat-4k")):
        write_longbench(root, model, seed)
    write_judged(root)
