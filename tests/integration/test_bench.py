#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hici bench on the CPU: what it writes is whole, and what cannot be measured is one line or one row."""
import csv
import json
import math
import pathlib
import subprocess
import sys
import unittest

from support import ENVIRONMENT, HICI, TIMEOUT_SECONDS, FolderTest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

QUICK = ["--repetitions", 1, "--warmup", 1, "--device", "cpu"]
TOO_MANY = 1 << 46  # tokens: their ids alone are more than an address space holds, on any machine
FACTS = {"model", "parameters", "device_name", "dtype", "torch_version", "cuda", "git_revision", "matrix_tflops",
         "copy_gb_per_second"}


class BenchTest(FolderTest):
    def bench(self, what, *arguments, model="quickstart"):
        file = self.folder / "bench.json"
        done = self.run_hici("bench", what, "--model", model, *QUICK, *arguments, "--output", file)
        result = json.loads(file.read_text())
        self.assertEqual(result["command"], f"bench {what}")
        self.assertLessEqual(FACTS, set(result))
        self.assertGreater(result["matrix_tflops"], 0)
        self.assertGreater(result["copy_gb_per_second"], 0)
        return result, done

    def assert_finite(self, value, place=""):
        if isinstance(value, dict):
            for key, item in value.items():
                self.assert_finite(item, f"{place}/{key}")
        elif isinstance(value, (int, float)):
            self.assertTrue(math.isfinite(value), place)

    def assert_model_rows(self, result, cases):
        self.assertEqual([(row["seq_len"], row["attention"]) for row in result["rows"]], cases)
        for row in result["rows"]:
            self.assertEqual(row["status"], "ok")
            self.assert_finite(row)
            self.assertAlmostEqual(sum(row["parts_percent"].values()), 100, places=6)
            for part in ("attention", "linear", "loss", "rest"):
                self.assertGreater(row["parts_percent"][part], 0)
            self.assertEqual(row["parts_percent"]["hici"] > 0, row["attention"] == "hici")
            self.assertGreater(row["peak_memory_bytes"], 0)
            self.assertAlmostEqual(row["tflops_executed"], row["flops_executed"] / row["ms"] / 1e9)

    def test_decode_has_a_row_for_each_batch_size_and_context(self):
        result, done = self.bench("decode", "--seq_len", "64,200", "--batch_size", "1,3", "--new_tokens", 4)
        self.assertEqual([(row["batch_size"], row["seq_len"]) for row in result["rows"]],
                         [(1, 64), (1, 200), (3, 64), (3, 200)])
        for row in result["rows"]:
            self.assertEqual(row["status"], "ok")
            self.assert_finite(row)
            # All weights but the embedding, 1024 x 128, and 2 x 4 layers x 128 values a row; float32.
            rows = row["seq_len"] + 2.5
            self.assertEqual(row["bytes_read"], 4 * (result["parameters"] - 1024 * 128 + row["batch_size"] * rows * 2 * 4 * 128))
            self.assertAlmostEqual(row["tokens_per_second"], row["batch_size"] / row["ms"] * 1e3)
            self.assertAlmostEqual(row["bound_percent"], 100 * row["tokens_per_second"] / row["bound_tokens_per_second"])
        self.assertIn("% of bound", done.stdout)

    def test_decode_in_8_bits_reads_half_of_what_is_in_them(self):
        wide, _ = self.bench("decode", "--seq_len", 64, "--new_tokens", 2)
        narrow, done = self.bench("decode", "--seq_len", 64, "--new_tokens", 2, "--fp8_base", "True")
        self.assertEqual(narrow["base_format"], "fp8")
        self.assertIn("matrices in 8 bits", done.stdout)
        # Four bytes of each weight of projections and MLPs of 4 layers, width 128, MLP 344, become one.
        self.assertEqual(wide["rows"][0]["bytes_read"] - narrow["rows"][0]["bytes_read"], 3 * 4 * (4 * 128 * 128 + 3 * 128 * 344))

    def test_eval_in_8_bits(self):
        result, done = self.bench("eval", "--seq_len", 128, "--attention", "full,hici", "--num_chunks", 2, "--fp8_base", "True")
        self.assert_model_rows(result, [(128, "full"), (128, "hici")])
        self.assertIn("frozen matrices in 8 bits", done.stdout)

    def test_the_guard_fails_where_a_row_lost_and_nowhere_else(self):
        def guard(*more):
            return subprocess.run([sys.executable, "-B", SCRIPTS / "bench_gpu", "--output", self.folder / "guard", "--hici", HICI,
                                   "--rows", "decode_llama2,eval8k_fp8", "--dry-run", *map(str, more)], env=ENVIRONMENT,
                                  text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=TIMEOUT_SECONDS)

        expected = self.folder / "expected.json"
        done = guard("--write-expected", expected)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(expected.read_text())
        self.assertEqual(list(seen["rows"]), ["decode_llama2/1x128", "decode_llama2/8x128", "eval8k_fp8/full", "eval8k_fp8/hici"])

        def told(share, rate, memory=1, **changes):
            # The factors lie far from 1: what this machine happens to do in the next run is not tested.
            rows = {name: {**row, "share_percent": row["share_percent"] * share, "spread_percent": 1,
                           "tokens_per_second": row["tokens_per_second"] * rate,
                           "peak_memory_bytes": int(row["peak_memory_bytes"] * memory)} for name, row in seen["rows"].items()}
            rows["eval8k_fp8/hici"]["peak_memory_bytes"] *= 2
            expected.write_text(json.dumps({**seen, "rows": rows, **changes}))
            return guard("--expected", expected)

        kept = told(0.01, 0.01, memory=2)
        self.assertEqual((kept.returncode, kept.stderr), (0, ""))
        self.assertIn("no row has lost", kept.stdout)
        slower = told(100, 100, memory=2)
        self.assertEqual(slower.returncode, 1)
        self.assertEqual(slower.stdout.count("SLOWER, -9"), 4, slower.stdout)
        self.assertIn("4 of 4 rows have lost: decode_llama2/1x128, ", slower.stdout)
        for factors in ((100, 0.01), (0.01, 100)):  # one of both may differ for other reasons
            self.assertEqual(told(*factors, memory=2).returncode, 0, factors)
        fatter = told(0.01, 0.01, memory=0.25)
        self.assertEqual(fatter.returncode, 1)
        self.assertEqual(fatter.stdout.count("MORE MEMORY"), 4, fatter.stdout)
        other = told(100, 100, device_name="another card")
        self.assertEqual(other.returncode, 0)
        self.assertIn("is of another card, this is ", other.stdout)
        unknown = guard("--rows", "nosuch")
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("--rows: no row nosuch; known: step8k, ", unknown.stderr)

    def test_decode_without_room_for_the_cache_says_so_in_its_row(self):
        result, _ = self.bench("decode", "--seq_len", f"64,{TOO_MANY}", "--new_tokens", 2)
        self.assertEqual([row["status"] for row in result["rows"]], ["ok", "out of memory"])

    def test_step_has_a_row_for_each_case_and_the_same_table_as_csv_and_latex(self):
        table, tabular = self.folder / "bench.csv", self.folder / "bench.tex"
        result, done = self.bench("step", "--seq_len", "256,512", "--attention", "hici,full,s2,segments", "--csv", table,
                                  "--latex", tabular)
        self.assert_model_rows(result, [(length, kind) for length in (256, 512)
                                        for kind in ("hici", "full", "s2", "segments")])
        self.assertEqual(result["activation_policy"], "auto")
        for row in result["rows"]:
            self.assertEqual(row["flops_executed"], row["flops_model"])
            self.assertEqual(row["parts_percent"]["optimizer"], 0)
            self.assertEqual(row["activations"], "keep")
            self.assertGreater(row["planned_memory_bytes"], 0)
        self.assertIn("HiCI's own parts", done.stdout)
        rows = list(csv.DictReader(table.read_text().splitlines()))
        self.assertEqual([(row["tokens"], row["attention"]) for row in rows],
                         [(str(row["seq_len"]), row["attention"]) for row in result["rows"]])
        self.assertEqual([float(row["ms"]) for row in rows], [row["ms"] for row in result["rows"]])
        self.assertEqual(tabular.read_text().count("\\\\"), 1 + len(rows))

    def test_step_counts_recomputation_and_the_optimizer(self):
        result, _ = self.bench("step", "--seq_len", "256", "--gradient_checkpointing", "--with_optimizer")
        self.assert_model_rows(result, [(256, "hici")])
        row = result["rows"][0]
        # The layers' forward once more: a quarter to a third of a step with frozen weights.
        self.assertGreater(row["flops_executed"], 1.2 * row["flops_model"])
        self.assertLess(row["flops_executed"], 1.6 * row["flops_model"])
        self.assertGreater(row["parts_percent"]["optimizer"], 0)

    def test_step_takes_the_names_of_the_research_script(self):
        result, _ = self.bench("step", "--context_lengths", 256, 512, "--methods", "full_attn", "longlora")
        self.assert_model_rows(result, [(256, "full"), (256, "s2"), (512, "full"), (512, "s2")])

    def test_step_measures_every_causal_mode(self):
        for mode in ("causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly"):
            result, _ = self.bench("step", "--seq_len", "256", "--causal_mode", mode, "--num_chunks", 8)
            self.assert_model_rows(result, [(256, "hici")])
            self.assertEqual((result["causal_mode"], result["num_segments"]), (mode, 8))

    def test_eval(self):
        result, _ = self.bench("eval", "--seq_len", "256", "--attention", "hici,full", "--dtype", "bfloat16")
        self.assert_model_rows(result, [(256, "hici"), (256, "full")])

    def test_attention(self):
        result, done = self.bench("attention", "--seq_len", "128,256", "--tokens", 512, "--prefix_slots", 3, "--pause_ms", 2)
        self.assertEqual(result["pause_ms"], 2)
        self.assertIn("for warm-up, 2 ms of rest before each", done.stdout)
        self.assertEqual([(row["seq_len"], row["segments"]) for row in result["rows"]], [(128, 4), (256, 2)])
        for row in result["rows"]:
            self.assert_finite(row)
            pairs = row["segments"] * (row["seq_len"] * (row["seq_len"] + 1) / 2 + row["seq_len"] * 3)
            self.assertEqual(row["forward"]["flops"], 4 * 4 * 32 * pairs)
            self.assertEqual(row["backward"]["flops"], 10 * 4 * 32 * pairs)

    def test_loss(self):
        result, _ = self.bench("loss", "--seq_len", "128,300")
        for row in result["rows"]:
            self.assert_finite(row)
            self.assertEqual(row["both"]["flops"], 4 * row["seq_len"] * 128 * 1024)

    def test_a_case_without_room_says_so_and_the_others_go_on(self):
        result, done = self.bench("loss", "--seq_len", f"{TOO_MANY},128")
        self.assertEqual([(row["seq_len"], row["status"]) for row in result["rows"]],
                         [(TOO_MANY, "out of memory"), (128, "ok")])
        self.assertIn("out of memory", done.stdout)
        self.assertNotIn("both", result["rows"][0])
        done = self.run_hici("bench", "loss", "--model", "quickstart", *QUICK, "--seq_len", TOO_MANY, code=1)
        self.assertIn("out of memory", done.stdout)

    def test_steps_without_room_leave_the_others_alone(self):
        result, _ = self.bench("step", "--seq_len", f"256,{TOO_MANY}", "--attention", "segments,full")
        self.assertEqual([row["status"] for row in result["rows"]], ["ok", "ok", "out of memory", "out of memory"])

    def test_a_model_directory_needs_its_config_only(self):
        config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 32,
                  "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                  "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "hidden_act": "silu"}
        model = self.folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config))
        result, _ = self.bench("step", "--seq_len", 64, "--num_heads", 4, "--bottleneck_dim", 16,
                               "--shared_compress_dim", 8, model=model)
        self.assert_model_rows(result, [(64, "hici")])

    def test_a_plan_names_what_fits_with_its_figures(self):
        done = self.run_hici("plan", "--model", "llama2-7b", "--model_max_length", "64K", "--segment_length", "8K", "--memory",
                             "40GB", "--activation_policy", "keep")
        self.assertRegex(done.stdout, r"37\.25 GiB card: the total may be up to 35\.4\d;")
        self.assertRegex(done.stdout, r"65536 does not fit: \d+\.\d\d of 35\.4\d GiB\n")
        for change in ("--stream_segments True --causal_mode causal_gi", "a GPU with as many GiB"):
            self.assertRegex(done.stdout, rf"(?m)^{change} .*\d+\.\d\d$")
        contradiction = self.run_hici("plan", "--segment_length", 1024, "--num_chunks", 4, code=2)
        self.assert_one_error_line(contradiction, "plan", "--segment_length: says the same as --num_chunks")

    def test_a_step_on_a_cpu_takes_what_was_planned(self):
        """Of the whole process, LibTorch included; 24 % more was seen with LibTorch's own allocator."""
        for name, arguments in (("kept", ("--batch_size", 4)),
                                ("streamed", ("--batch_size", 8, "--stream_segments", "--causal_mode", "causal_gi"))):
            with self.subTest(name):
                result, _ = self.bench("step", "--seq_len", 1024, "--with_optimizer", "--parts", False, *arguments)
                (row,) = result["rows"]
                self.assertAlmostEqual(row["peak_memory_bytes"] / row["planned_memory_bytes"], 1, delta=0.1)

    def test_a_plan_is_the_same_as_table_and_json_and_what_cannot_be_planned_is_one_line(self):
        file = self.folder / "plan.json"
        done = self.run_hici("plan", "--model", "llama2-7b", "--model_max_length", "8192,65536", "--memory", 80,
                             "--output", file)
        rows = json.loads(file.read_text())["rows"]
        self.assertEqual([row["model_max_length"] for row in rows], [8192, 65536])
        for row in rows:
            self.assertTrue(row["fits"])
            self.assertIn(f"{row['total'] / 2**30:.2f}", done.stdout)
        for arguments, needles in [(("--processes", 4, "--segment_parallel", 3), ("--segment_parallel", "3")), (("--memory", 0), ("--memory",)),
                                   (("--model_max_length", 8190), ("--num_chunks", "8190")),
                                   (("--model_max_length", TOO_MANY), ("--model_max_length", str(TOO_MANY))),
                                   (("--dtype", "int8"), ("--dtype", "'int8'")),
                                   (("--stream_segments",), ("--stream_segments", "causal"))]:
            self.assert_one_error_line(self.run_hici("plan", *arguments, code=2), "plan", *needles)

    def test_what_cannot_be_measured_is_one_line(self):
        for arguments, needles in [(("step", "--attention", "hici,flash"), ("--attention", "'flash'", "segments")),
                                   (("step", "--seq_len", "256,1q"), ("--seq_len", "'1q'")),
                                   (("eval", "--seq_len", "258"), ("--num_chunks", "258")),
                                   (("loss", "--model", "gpt2"), ("--model", "'gpt2'", "llama2-7b")),
                                   (("step", "--repetitions", 0), ("--repetitions",))]:
            model = [] if "--model" in arguments else ["--model", "quickstart"]
            done = self.run_hici("bench", *arguments, *model, "--device", "cpu", code=2)
            self.assert_one_error_line(done, f"bench {arguments[0]}", *needles)


if __name__ == "__main__":
    unittest.main()
