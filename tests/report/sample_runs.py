# SPDX-License-Identifier: Apache-2.0
"""Run directories with everything that a report shows, for the tests of `hici report`."""
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


def write_metrics(directory, steps):
    """Training that falls, with a loss that is none at step 7 and a last line that was cut."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "metrics.jsonl", "w") as lines:
        for step in range(1, steps + 1):
            loss = None if step == 7 else 2 + math.exp(-step / 50)
            lines.write(json.dumps({"step": step, "loss": loss, "learning_rate": 1e-3, "hici_learning_rate": 2e-3,
                                    "tokens_per_second": 1e4, "tokens": step * 512, "seconds": step}) + "\n")
        lines.write('{"step": 999, "lo')


def write_perplexity(directory, label, attention, contexts, growth):
    for context in contexts:
        write_json(directory / f"ppl-{attention}-{context}.json",
                   {"command": "eval ppl", "label": label, "attention": attention, "seq_len": context,
                    "perplexity": 4 + growth * context / 1000, "accuracy": 0.5})


def write_passkey(directory, label, attention, lengths, last_found):
    draw = random.Random(label)
    results = []
    for length in lengths:
        tests = [{"seed": seed, "depth": draw.random(), "key": 12345, "answer": "12345", "prompt_tokens": length,
                  "correct": length <= last_found or draw.random() < 0.4} for seed in range(10)]
        accuracy = sum(test["correct"] for test in tests) / len(tests)
        results.append({"target": length, "tokens": length, "rope_factor": 1.0, "accuracy": accuracy, "tests": tests})
    write_json(directory / f"passkey-{attention}.json",
               {"command": "eval passkey", "label": label, "attention": attention, "lengths": results})


def write_attention(directory, label, layers=32, heads=8):
    draw = random.Random(label)
    of_slots = [[[draw.uniform(0, 0.3) for _ in range(heads)] for _ in range(layers)] for _ in range(2)]
    tokens = [[1 - a - b for a, b in zip(*rows)] for rows in zip(*of_slots)]
    write_json(directory / "attention.json",
               {"command": "eval attention", "label": label, "layers": layers, "heads": heads,
                "global": of_slots[0], "local": of_slots[1], "token": tokens})


def write_longbench(root, model, seed):
    draw = random.Random(seed)
    write_json(root / "pred" / model / "result.json", {task: round(draw.uniform(0, 70), 2) for task in TASKS})
    write_json(root / "pred_e" / model / "result.json",
               {task: {"0-4k": round(draw.uniform(0, 70), 2), "4-8k": round(draw.uniform(0, 70), 2), "8k+": None}
                for task in ("qasper", "hotpotqa", "lcc")})


def write_judged(directory):
    files = {f"{number}_response.txt": [50 - number, 50] for number in (5, 10, 15)}
    judged = {name: [correct - 1, 49, 1] for name, (correct, _) in files.items()}
    write_json(directory / "judged.json", {"by_rule": {"judged-model": files}, "judge_model": "gpt-4o-mini",
                                           "by_judge": {"judged-model": judged}})


def write_everything(root, label):
    """All kinds of results under `root`; the first model is called `label`."""
    write_metrics(root / "run", 1500)
    write_metrics(root / "runs & <more>", 30)
    for name, of, attention, end, growth in (("a", label, "hici", 32768, 0.02), ("b", "Llama-2-7b", "full", 4096, 1)):
        write_perplexity(root / name, of, attention, CONTEXTS, growth)
        write_passkey(root / name, of, attention, [1024 * i for i in (4, 8, 12, 16, 24, 32, 48, 64)], end)
        write_attention(root / name, of)
    for seed, model in enumerate(("my-sft-16k", "Llama-2-7b-chat-4k")):
        write_longbench(root, model, seed)
    write_judged(root)
