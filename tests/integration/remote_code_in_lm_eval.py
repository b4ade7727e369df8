# SPDX-License-Identifier: Apache-2.0
"""`lm_eval --model hf` on a merged HiCI model gives the numbers of hici. Run by scripts/check_remote_code, not by CTest."""
import json
import math
import os
import subprocess
import sys
import unittest

from test_remote_code import CONTEXT, TEXT, RemoteCodeTest

TASKS = {
    "rolling": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
                "metric_list": [{"metric": "word_perplexity"}, {"metric": "byte_perplexity"}]},
    "answers": {"output_type": "generate_until", "doc_to_text": "{{text}}", "doc_to_target": "",
                "generation_kwargs": {"until": ["<|none|>"], "max_gen_toks": 12, "do_sample": False},
                "metric_list": [{"metric": "bypass"}]},
}
# Longer than a window, a part of a segment, several segments.
DOCUMENTS = [TEXT[:700], TEXT[30:50], TEXT[100:260]]
PROMPTS = [TEXT[:120], "a", "When it wakes up, the sun"]


class LmEvalTest(RemoteCodeTest):
    def lm_eval(self, folder, task, texts, *more):
        data, tasks, out = (self.folder / f"{folder.name}-{name}" for name in ("data.jsonl", "tasks", "out"))
        data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        tasks.mkdir(exist_ok=True)
        (tasks / "task.yaml").write_text(json.dumps({  # JSON is YAML
            "task": task, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test",
            **TASKS[task]}))
        done = subprocess.run([sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args",
                               f"pretrained={folder},trust_remote_code=True,dtype=float32,max_length={CONTEXT}", "--tasks", task,
                               "--include_path", tasks, "--device", "cpu", "--output_path", out, "--log_samples", *more],
                              text=True, capture_output=True, env={**os.environ, "HF_HOME": str(self.folder / "hf"), "HF_DATASETS_OFFLINE": "1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads(next(out.rglob("results_*.json")).read_text())["results"][task]
        samples = [json.loads(line) for line in next(out.rglob("samples_*.jsonl")).read_text().splitlines()]
        return results, sorted(samples, key=lambda sample: sample["doc_id"]), data

    def test_rolling_perplexity_is_that_of_hici(self):
        for name, mode in (("llama", "none"), ("qwen3", "causal_gi"), ("llama.wide", "causal_shift")):
            with self.subTest(model=name, mode=mode):
                folder = self.model_of(name, mode)
                results, _, data = self.lm_eval(folder, "rolling", DOCUMENTS, "--batch_size", "1")
                output = self.folder / "result.json"
                self.run_hici("eval", "ppl", "--rolling", "--base_model", folder, "--data_path", data, "--seq_len", CONTEXT,
                              "--eval_mode", "hici", "--dtype", "float32", "--device", "cpu", "--output", output)
                ours = json.loads(output.read_text())
                for key in ("word_perplexity", "byte_perplexity"):
                    relative = abs(math.log(results[f"{key},none"] / ours[key]))
                    print(f"{name} {mode}: {key} {results[f'{key},none']:.9g}, hici {ours[key]:.9g}")
                    self.assertLess(relative, 1e-5)

    def test_answers_are_those_of_hici_generate(self):
        for name, mode in (("llama", "none"), ("qwen3", "causal_gi_gonly")):
            with self.subTest(model=name, mode=mode):
                folder = self.model_of(name, mode)
                _, samples, _ = self.lm_eval(folder, "answers", PROMPTS, "--batch_size", "3")
                batch = self.folder / "prompts.jsonl"
                batch.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
                done = self.run_hici("generate", "--base_model", folder, "--attention", "hici", "--batch_file", batch,
                                     "--max_new_tokens", 12, "--dtype", "float32", "--device", "cpu")
                ours = [json.loads(line)["answer"] for line in done.stdout.splitlines()]
                self.assertEqual([sample["resps"][0][0] for sample in samples], ours)


if __name__ == "__main__":
    unittest.main(verbosity=2)
