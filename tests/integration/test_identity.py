# SPDX-License-Identifier: Apache-2.0
"""A checkpoint is what its manifest says, whoever reads it; another base, tokenizer or model than before is noticed."""
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest

from support import ENVIRONMENT, HICI, TIMEOUT_SECONDS, FolderTest, hici, read_safetensors, write_safetensors

WORDS = "the of and a to in he that it his unto for i with is as be they not them said lord my all".split()
HICI_SIZES = ["--num_chunks", 4, "--num_local_slots", 2, "--global_slots", 2, "--num_heads", 2, "--bottleneck_dim", 8,
              "--shared_compress_dim", 4]
CPU = ["--dtype", "float32", "--device", "cpu"]
scratch = None


def run(*arguments):
    done = hici(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def training(output, *more, command="train", base="base", data="tokens.bin", rank=("--lora_r", 4)):
    return [command, "--model_name_or_path", scratch / base, "--data_path", scratch / data, "--output_dir", output,
            "--model_max_length", 64, "--max_steps", 2, "--save_steps", 1, *rank, *HICI_SIZES, *CPU, *more]


def setUpModule():
    """A tokenizer, two bases of the same shapes, tokens, and runs: LoRA, another seed of it, all parameters."""
    global scratch
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="hici-integration-"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, ignore_errors=True)
    chance = random.Random(1)
    for name, words in (("text", WORDS), ("other", WORDS[::-1] * 2 + ["selah"])):
        (scratch / f"{name}.txt").write_text(" ".join(chance.choice(words) for _ in range(3000)))
        run("train-tokenizer", "--text_file", scratch / f"{name}.txt", "--output_dir", scratch / f"{name}-tokenizer",
            "--vocab_size", 300)
    for name, seed in (("base", 1), ("other-base", 2)):
        run("init", "--output_dir", scratch / name, "--tokenizer", scratch / "text-tokenizer", "--hidden_size", 16,
            "--intermediate_size", 24, "--num_hidden_layers", 1, "--num_attention_heads", 2, "--seed", seed,
            "--max_position_embeddings", 512)
    run("tokenize", "--model_path", scratch / "base", "--text_file", scratch / "text.txt", "--output", scratch / "tokens.bin")
    run("tokenize", "--model_path", scratch / "other-tokenizer", "--text_file", scratch / "text.txt", "--output",
        scratch / "foreign.bin")
    run(*training(scratch / "lora"))
    run(*training(scratch / "lora-2", "--seed", 7))
    run(*training(scratch / "whole", "--low_rank_training", False, rank=()))


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 2 // 3] ^= 0x10
    path.write_bytes(raw)


def cut(path):
    os.truncate(path, path.stat().st_size - 2)  # the last byte of JSON is a line end, without which it is whole


class CheckpointTest(FolderTest):
    def checkpoint(self, run_name="lora", name="checkpoint-2"):
        copy = self.folder / "run" / name
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(scratch / run_name / "checkpoint-2", copy)
        return copy

    def ppl(self, base, adapter=None):
        more = ["--peft_model", adapter] if adapter else []
        return ["eval", "ppl", "--base_model", base, *more, "--data_path", scratch / "tokens.bin", "--seq_len", 64,
                "--sliding_window", 64, "--limit_tokens", 130, *CPU]

    def readers(self, checkpoint):
        """Every command that reads an adapter -> its arguments."""
        model = ["--base_model", scratch / "base", "--peft_model", checkpoint]
        cases = self.folder / "1_topics.jsonl"
        cases.write_text(json.dumps({"test_id": 0, "prompt": "the lord ", "prompt_length": 1, "topics": ["x"]}) + "\n")
        out = self.folder / "out"
        rows = self.folder / "rows.json"
        rows.write_text(json.dumps([{"instruction": "the lord", "output": "said"}] * 4))
        sft = training(out / "sft", "--pretrained_hici_path", checkpoint, command="sft", rank=())
        sft[sft.index("--data_path") + 1] = rows
        return {
            "eval ppl": self.ppl(scratch / "base", checkpoint),
            "eval attention": ["eval", "attention", *model, "--data_path", scratch / "tokens.bin", "--seq_len", 64, *CPU],
            "eval passkey": ["eval", "passkey", *model, "--max_tokens", 300, "--interval", 300, "--num_tests", 1, *CPU],
            "eval topics": ["eval", "topics", cases, *model, "--output_dir", out, *CPU],
            "generate": ["generate", "--prompt", "the lord", *model, "--max_new_tokens", 2, *CPU],
            "merge": ["merge", *model, "--save_path", out / "merged"],
            "extract": ["extract", "--checkpoint_path", checkpoint, "--output_dir", out / "extracted", "--format", "bin"],
            "train": training(out / "train", "--init_adapter", checkpoint, rank=()),
            "sft": sft,
        }

    def assert_refused(self, arguments, *needles):
        name = " ".join(map(str, arguments[:2])) if arguments[0] == "eval" else arguments[0]
        done = self.run_hici(*arguments, code=1)
        self.assert_one_error_line(done, name, *needles)

    def test_every_file_of_an_adapter_is_held_against_the_manifest(self):
        read_whole = {"adapter_model.safetensors", "trainable_params.safetensors", "adapter_config.json", "hici_config.json",
                      "hici_identity.json", "training_state.json", "manifest.json"}
        names = {path.name for path in self.checkpoint().iterdir()}
        self.assertEqual(names, read_whole | {"optimizer.safetensors"})
        for name in sorted(names):
            damages = {"cut": cut, "missing": pathlib.Path.unlink, "flipped": flip,
                       "of another run": lambda path: shutil.copy(scratch / "lora-2" / "checkpoint-2" / path.name, path)}
            for damage, apply in damages.items():
                is_same = (scratch / "lora" / "checkpoint-2" / name).read_bytes() == \
                    (scratch / "lora-2" / "checkpoint-2" / name).read_bytes()
                if damage == "of another run" and is_same or damage == "missing" and name == "manifest.json":
                    continue  # nothing is wrong then; without a manifest nothing is promised
                if damage in ("flipped", "of another run") and name == "optimizer.safetensors":
                    continue  # evaluation does not read it
                with self.subTest(name=name, damage=damage):
                    checkpoint = self.checkpoint()
                    apply(checkpoint / name)
                    self.assert_refused(self.ppl(scratch / "base", checkpoint), checkpoint)

    def test_every_command_that_reads_an_adapter_refuses_a_damaged_one(self):
        checkpoint = self.checkpoint()
        flip(checkpoint / "trainable_params.safetensors")
        for command, arguments in self.readers(checkpoint).items():
            with self.subTest(command=command):
                self.assert_refused(arguments, "trainable_params.safetensors: ", "manifest.json", "damaged")
        done = self.run_hici("inspect", checkpoint, code=1)
        self.assertIn("trainable_params.safetensors", done.stdout + done.stderr)
        self.assertEqual([p for p in (self.folder / "out").rglob("*") if p.name in ("merged", "extracted")], [])

    def test_every_command_takes_a_whole_one(self):
        for command, arguments in self.readers(self.checkpoint()).items():
            with self.subTest(command=command):
                done = self.run_hici(*arguments)
                self.assertNotIn("warning", done.stderr)

    def test_what_is_not_listed_is_no_part_of_it(self):
        """Also where another file comes first for this reader: a second one may look for the name."""
        checkpoint = self.checkpoint()
        shutil.copy(checkpoint / "adapter_model.safetensors", checkpoint / "adapter_model.bin")
        self.assert_refused(self.ppl(scratch / "base", checkpoint), "adapter_model.bin: is not in manifest.json")
        (checkpoint / "adapter_model.bin").unlink()
        (checkpoint / "notes.txt").write_text("mine")
        self.run_hici(*self.ppl(scratch / "base", checkpoint))
        shutil.copy(scratch / "base" / "config.json", checkpoint)
        self.assert_refused(self.ppl(scratch / "base", checkpoint), "config.json: is not in manifest.json")

    def test_a_manifest_of_another_step_is_refused(self):
        checkpoint = self.checkpoint(name="checkpoint-3")
        self.assert_refused(self.ppl(scratch / "base", checkpoint), "is of step 2, the folder is named checkpoint-3")

    def test_a_whole_model_is_held_as_base_and_as_tokenizer(self):
        for name in ("model.safetensors", "config.json", "hici_config.json", "tokenizer.json", "generation_config.json"):
            checkpoint = self.checkpoint("whole")
            if not (checkpoint / name).exists():
                continue
            with self.subTest(name=name):
                flip(checkpoint / name)
                self.assert_refused(self.ppl(checkpoint), name)
        flip(self.checkpoint("whole") / "tokenizer.json")
        self.assert_refused(["tokenize", "--model_path", checkpoint, "--text_file", scratch / "text.txt", "--output",
                             self.folder / "t.bin"], "tokenizer.json: its SHA-256")
        self.run_hici(*self.ppl(self.checkpoint("whole")))

    def test_a_run_directory_stands_for_its_newest_whole_checkpoint(self):
        shutil.copytree(scratch / "lora", self.folder / "run")
        flip(self.folder / "run" / "checkpoint-2" / "adapter_model.safetensors")
        done = self.run_hici(*self.ppl(scratch / "base", self.folder / "run"))
        self.assertIn("checkpoint-2 is skipped", done.stderr)


class IdentityTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "run"
        shutil.copytree(scratch / "lora", self.out)

    def resume(self, *more, code=0, **keywords):
        arguments = training(self.out, "--resume_from_checkpoint", "latest", *more, **{"rank": (), **keywords})
        arguments[arguments.index("--max_steps") + 1] = 3
        return self.run_hici(*arguments, code=code)

    def test_resuming_on_another_base_is_refused(self):
        done = self.resume(base="other-base", code=1)
        self.assert_one_error_line(done, "train", "the base model is another one", "tensors differ",
                                   "--allow_changes_on_resume")
        done = self.resume("--allow_changes_on_resume", True, base="other-base")
        self.assertIn("the base model is another one", done.stderr)

    def test_resuming_with_another_tokenizer_is_refused(self):
        text = ["--data_path", scratch / "text.txt"]
        out = self.folder / "text"
        arguments = training(out)
        arguments[arguments.index("--data_path"):arguments.index("--output_dir")] = text
        self.run_hici(*arguments)
        shutil.copytree(scratch / "base", self.folder / "base")
        shutil.copy(scratch / "other-tokenizer" / "tokenizer.json", self.folder / "base")
        arguments[arguments.index("--model_name_or_path") + 1] = self.folder / "base"
        done = self.run_hici(*arguments, "--resume_from_checkpoint", "latest", code=1)
        self.assert_one_error_line(done, "train", "the tokenizer is", "the checkpoint has")

    def base_with(self, **changes):
        """The same weights under a config.json with other values."""
        base = self.folder / "base"
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(scratch / "base", base)
        config = json.loads((base / "config.json").read_text())
        if "rope_theta" in changes:
            config.pop("rope_parameters")  # the newer form of the same, which would contradict
        (base / "config.json").write_text(json.dumps({**config, **changes}))
        return base

    def test_resuming_on_the_same_weights_with_other_numbers_is_refused(self):
        for changes, name, before, now in (({"rms_norm_eps": 1e-3}, "rms_norm_eps", "1e-06", "0.001"),
                                           ({"rope_theta": 5e5}, "rope_theta", "10000", "500000"),
                                           ({"max_position_embeddings": 32}, "max_position_embeddings", "512", "32"),
                                           ({"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 4}, "head_dim",
                                            "8", "4")):
            with self.subTest(name):
                done = self.resume(base=self.base_with(**changes), code=1)
                self.assert_one_error_line(done, "train", f"config.json: the base's {name} is {now}, the checkpoint has {before}",
                                           "--allow_changes_on_resume")
        done = self.resume("--allow_changes_on_resume", True, base=self.base_with(rms_norm_eps=1e-3))
        self.assertIn("the base's rms_norm_eps is 0.001, the checkpoint has 1e-06; going on", done.stderr)

    def test_numbers_that_change_nothing_are_the_same_base(self):
        # The weights have a head of their own, which is used whatever the file says.
        self.resume(base=self.base_with(use_cache=False, torch_dtype="bfloat16", rms_norm_eps=0.000001, bos_token_id=None,
                                        tie_word_embeddings=True))

    def test_the_same_weights_with_other_numbers_are_named_by_every_command(self):
        adapter = ["--peft_model", scratch / "lora" / "checkpoint-2"]
        ppl = ["--data_path", scratch / "tokens.bin", "--seq_len", 64, "--limit_tokens", 130, *CPU]
        other = self.base_with(rms_norm_eps=1e-3)
        for command, more in ((["eval", "ppl"], ppl), (["generate"], ["the lord", "--max_new_tokens", 2, *CPU]),
                              (["merge"], ["--save_path", self.folder / "merged"])):
            with self.subTest(command=command):
                done = self.run_hici(*command, "--base_model", other, *adapter, *more)
                self.assertIn(f"was trained with another config.json than that of {other} (rms_norm_eps was 1e-06 and is "
                              "0.001)", done.stderr)
                self.assertNotIn("another base", done.stderr)
                shutil.rmtree(self.folder / "merged", ignore_errors=True)
                done = self.run_hici(*command, "--base_model", scratch / "base", *adapter, *more, "--context_size", 2048)
                self.assertNotIn("another config.json", done.stderr)  # hici's own stretching is no other base

    def test_a_checkpoint_that_does_not_know_the_config_is_taken_as_before(self):
        for checkpoint in self.out.glob("checkpoint-*"):
            identity = json.loads((checkpoint / "hici_identity.json").read_text())
            self.assertEqual(identity["version"], 1)  # what an older hici reads
            identity.pop("config")
            (checkpoint / "hici_identity.json").write_text(json.dumps(identity))
            (checkpoint / "manifest.json").unlink()
            old_manifest(checkpoint, int(checkpoint.name.split("-")[1]))
        self.assertNotIn("config.json", self.resume(base=self.base_with(rms_norm_eps=1e-3)).stderr)

    def test_a_copy_of_the_base_in_other_shards_is_the_same_base(self):
        copy = self.folder / "base"
        shutil.copytree(scratch / "base", copy)
        tensors = read_safetensors(copy / "model.safetensors")
        (copy / "model.safetensors").unlink()
        names = sorted(tensors)
        shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for shard, members in shards.items():
            write_safetensors(copy / shard, {name: tensors[name] for name in members})
        index = {"weight_map": {name: shard for shard, members in shards.items() for name in members}}
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
        arguments = training(self.out, "--resume_from_checkpoint", "latest", rank=())
        arguments[arguments.index("--model_name_or_path") + 1] = copy
        self.run_hici(*arguments)

    def test_what_the_checkpoint_decides_is_refused_when_typed_otherwise(self):
        for option, value in (("lora_r", 8), ("lora_alpha", 7), ("use_llama_init", True), ("add_pad_token", True)):
            for more in ([], ["--allow_changes_on_resume", True]):
                with self.subTest(option=option, more=more):
                    done = self.resume(f"--{option}", value, *more, code=1)
                    self.assert_one_error_line(done, "train", f"--{option} is {value}, the checkpoint has")
        self.resume("--lora_r", 4, "--use_llama_init", False)

    def test_the_options_that_are_kept_are_those_in_force(self):
        arguments = training(self.out, "--resume_from_checkpoint", "latest", rank=())
        arguments[arguments.index("--num_chunks"):arguments.index("--dtype")] = []
        arguments[arguments.index("--max_steps") + 1] = 3  # a run that has made all its steps changes nothing
        self.run_hici(*arguments)
        lines = (self.out / "options.ini").read_text().splitlines()
        for line in ("# lora_r = 4", "# num_local_slots = 2", "# num_chunks = 4", "# causal_mode = none"):
            self.assertIn(line, lines)

    def test_an_adapter_on_another_base_is_named_and_the_same_base_is_not(self):
        adapter = ["--peft_model", scratch / "lora" / "checkpoint-2"]
        ppl = ["--data_path", scratch / "tokens.bin", "--seq_len", 64, "--limit_tokens", 130, *CPU]
        generate = ["the lord", "--max_new_tokens", 2, *CPU]
        merge = ["--save_path", self.folder / "merged"]
        for command, more in ((["eval", "ppl"], ppl), (["generate"], generate), (["merge"], merge)):
            with self.subTest(command=command):
                done = self.run_hici(*command, "--base_model", scratch / "other-base", *adapter, *more)
                self.assertIn("was trained on another base than", done.stderr)
                shutil.rmtree(self.folder / "merged", ignore_errors=True)
                done = self.run_hici(*command, "--base_model", scratch / "base", *adapter, *more)
                self.assertNotIn("another base", done.stderr)
        done = self.run_hici(*training(self.folder / "t", "--init_adapter", adapter[1], base="other-base", rank=()))
        self.assertIn("was trained on another base than", done.stderr)

    def test_an_adapter_that_was_extracted_knows_its_base(self):
        self.run_hici("extract", "--checkpoint_path", scratch / "lora", "--output_dir", self.folder / "e", "--format", "bin")
        done = self.run_hici("generate", "the", "--base_model", scratch / "other-base", "--peft_model", self.folder / "e",
                             "--max_new_tokens", 1, *CPU)
        self.assertIn("was trained on another base than", done.stderr)

    def test_what_is_extracted_into_a_checkpoint_would_be_no_part_of_it(self):
        checkpoint = self.folder / "checkpoint-2"
        shutil.copytree(scratch / "lora" / "checkpoint-2", checkpoint)
        names = sorted(path.name for path in checkpoint.iterdir())
        done = self.run_hici("extract", "--checkpoint_path", checkpoint, "--format", "bin", code=1)
        self.assert_one_error_line(done, "extract", f"{checkpoint}: has a manifest.json", "--output_dir")
        self.assertEqual(sorted(path.name for path in checkpoint.iterdir()), names)

    def test_inspect_compares_with_a_base(self):
        adapter = scratch / "lora" / "checkpoint-2"
        self.assertIn("equal in ", self.run_hici("inspect", adapter, "--base_model", scratch / "base").stdout)
        done = self.run_hici("inspect", adapter, "--base_model", scratch / "other-base", code=1)
        self.assertIn("was trained on another base than", done.stdout)

    def test_tokens_of_another_tokenizer_are_named(self):
        command = ["eval", "ppl", "--base_model", scratch / "base", "--seq_len", 64, "--limit_tokens", 130, *CPU, "--data_path"]
        self.assertNotIn("another tokenizer", self.run_hici(*command, scratch / "tokens.bin").stderr)
        self.assertIn("foreign.bin: is of another tokenizer", self.run_hici(*command, scratch / "foreign.bin").stderr)
        done = self.run_hici(*training(self.folder / "t", data="foreign.bin"))
        self.assertIn("foreign.bin: is of another tokenizer", done.stderr)

    def test_files_of_an_older_hici_are_taken_as_before(self):
        for checkpoint in self.out.glob("checkpoint-*"):
            (checkpoint / "hici_identity.json").unlink()
            state = json.loads((checkpoint / "training_state.json").read_text())
            state.pop("start_options")
            (checkpoint / "training_state.json").write_text(json.dumps(state))
            (checkpoint / "manifest.json").unlink()
            old_manifest(checkpoint, state["step"])
        self.resume("--lora_r", 8, code=1)  # the adapter itself says its rank
        self.resume(base="other-base")
        done = self.run_hici("generate", "the", "--base_model", scratch / "other-base", "--peft_model",
                             scratch / "lora" / "checkpoint-1", "--max_new_tokens", 1, *CPU)
        self.assertIn("was trained on another base", done.stderr)


def old_manifest(checkpoint, step):
    """manifest.json of version 1, without hashes of tensors."""
    files = [{"name": path.name, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
             for path in sorted(checkpoint.iterdir())]
    body = {"files": files, "format": "hici-checkpoint", "step": step, "version": 1}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    (checkpoint / "manifest.json").write_text(
        json.dumps({**body, "manifest_sha256": hashlib.sha256(text.encode()).hexdigest()}))


class HierarchyOptionTest(FolderTest):
    """What was typed is never overruled in silence: it is in force, refused by name, or said to have no effect."""

    def test_modules_that_are_there_cannot_be_left_out(self):
        shutil.copytree(scratch / "lora", self.folder / "run")
        adapter = ["--peft_model", scratch / "lora" / "checkpoint-2"]
        tokens = ["--data_path", scratch / "tokens.bin", "--seq_len", 64, "--limit_tokens", 130, *CPU]
        base = ["--base_model", scratch / "base"]
        commands = {"train": [training(self.folder / "run", "--resume_from_checkpoint", "latest", rank=()),
                              training(self.folder / "new", "--init_adapter", scratch / "lora", rank=())],
                    "eval ppl": [["eval", "ppl", *base, *adapter, *tokens, "--eval_mode", "hici"],
                                 ["eval", "ppl", "--base_model", scratch / "whole" / "checkpoint-2", *tokens]],
                    "generate": [["generate", "the", *base, *adapter, "--attention", "hici", *CPU]],
                    "merge": [["merge", *base, *adapter, "--save_path", self.folder / "merged"]]}
        for name, several in commands.items():
            for arguments in several:
                with self.subTest(name=name):
                    done = self.run_hici(*arguments, "--use_hierarchical_forward", False, code=2)
                    self.assert_one_error_line(done, name, "--use_hierarchical_forward: False contradicts the adapter, which "
                                               "has HiCI modules; leave the option out")
        done = self.run_hici(*commands["eval ppl"][0], "--use_global_integrator", False, code=2)
        self.assert_one_error_line(done, "eval ppl", "--use_global_integrator: False contradicts the adapter, which has True")

    def test_a_run_without_modules_says_only_what_it_uses(self):
        done = self.run_hici(*training(self.folder / "run", "--use_hierarchical_forward", False))
        self.assertIn("RoPE factor 1, 4 segments without slots\n", done.stderr)
        self.assertIn("--num_local_slots has no effect with --use_hierarchical_forward False", done.stderr)
        for words in ("  hici 0", "HiCI 0", "causal mode"):
            self.assertNotIn(words, done.stderr)
        self.assertIn("\nuse_hierarchical_forward = False\n", (self.folder / "run" / "options.ini").read_text())
        full = training(self.folder / "full", "--attention", "full")
        done = self.run_hici(*full)
        self.assertRegex(done.stderr, r"attention full, float32 on cpu, RoPE factor 1\n")
        self.assertNotIn("HiCI 0", done.stderr)
        s2 = training(self.folder / "s2", "--attention", "s2", "--segment_length", 32)
        at = s2.index("--num_chunks")
        self.assertIn("RoPE factor 1, 2 segments\n", self.run_hici(*s2[:at], *s2[at + 2:]).stderr)
        self.assertIn("\n# num_chunks = 2\n", (self.folder / "s2" / "options.ini").read_text())

    def test_lengths_beyond_the_model_are_told(self):
        ppl = ["eval", "ppl", "--base_model", scratch / "base", "--data_path", scratch / "tokens.bin", "--limit_tokens", 700,
               *CPU, "--seq_len"]
        words = ("warning: --seq_len: 640 tokens are beyond the 512 that the model's RoPE covers, and results get poor there; "
                 "--context_size 640 stretches it")
        self.assertIn(words, self.run_hici(*ppl, 640).stderr)
        for more in ([512], [640, "--context_size", 640], [640, "--eval_mode", "dca"]):
            self.assertNotIn("warning", self.run_hici(*ppl, *more).stderr)
        attention = ["eval", "attention", *ppl[2:], 640, "--peft_model", scratch / "lora" / "checkpoint-2"]
        self.assertIn(words, self.run_hici(*attention).stderr)


class EvaluationTest(FolderTest):
    """--resume never mixes answers of two models or settings, and holds a finished file against its settings."""

    def setUp(self):
        super().setUp()
        self.base = self.folder / "base"
        shutil.copytree(scratch / "base", self.base)
        self.adapter = self.folder / "adapter"
        self.use_adapter("lora")

    def use_adapter(self, name):
        shutil.rmtree(self.adapter, ignore_errors=True)
        shutil.copytree(scratch / name / "checkpoint-2", self.adapter)

    def commands(self):
        rows = self.folder / "cases"
        rows.mkdir(exist_ok=True)
        case = {"test_id": 0, "prompt": "the lord said ", "prompt_length": 1}
        (rows / "1_topics.jsonl").write_text(json.dumps({**case, "topics": ["x"]}) + "\n")
        (rows / "1_lines.jsonl").write_text(json.dumps({**case, "expected_number": 1}) + "\n")
        bench = self.folder / "LongBench"
        (bench / "data").mkdir(parents=True, exist_ok=True)
        (bench / "config").mkdir(exist_ok=True)
        row = {"input": "the lord?", "context": "said the lord", "answers": ["x"], "all_classes": None, "length": 3, "_id": "1",
               "dataset": "lcc", "language": "en"}
        (bench / "data" / "lcc.jsonl").write_text(json.dumps(row) + "\n")
        (bench / "config" / "dataset2prompt.json").write_text(json.dumps({"lcc": "{context}{input}"}))
        (bench / "config" / "dataset2maxlen.json").write_text(json.dumps({"lcc": 3}))
        model = ["--base_model", self.base, "--peft_model", self.adapter, *CPU]
        out = ["--label", "m", "--output_dir", self.folder / "out"]
        result = self.folder / "result.json"
        tokens = ["--data_path", scratch / "tokens.bin", "--seq_len", 64, "--limit_tokens", 130]
        return {
            "topics": ["eval", "topics", rows, *model, *out, "--max_new_tokens", 3],
            "lines": ["eval", "lines", rows, *model, *out[:-1], self.folder / "out" / "lines", "--max_new_tokens", 3],
            "longbench": ["eval", "longbench", "--longbench_dir", bench, *model, *out],
            "passkey": ["eval", "passkey", *model, "--max_tokens", 300, "--interval", 300, "--num_tests", 1, "--output", result],
            "ppl": ["eval", "ppl", *model, *tokens, "--output", result],
            "attention": ["eval", "attention", *model, *tokens, "--output", result],
        }

    def test_a_finished_result_of_other_weights_is_refused(self):
        for name, command in self.commands().items():
            with self.subTest(name=name):
                (self.folder / "result.json").unlink(missing_ok=True)
                self.use_adapter("lora")
                self.run_hici(*command, "--resume")
                kept = {p: p.read_bytes() for p in (self.folder / "out").rglob("*") if p.is_file()}
                self.run_hici(*command, "--resume")
                self.use_adapter("lora-2")
                done = self.run_hici(*command, "--resume", code=1)
                self.assert_one_error_line(done, f"eval {name}", "is finished, with weights_hash", "remove the file")
                self.assertEqual(kept, {p: p.read_bytes() for p in (self.folder / "out").rglob("*") if p.is_file()})

    def test_a_finished_result_of_other_settings_is_refused(self):
        command, length = self.commands()["topics"], ["--max_new_tokens", 3]
        self.run_hici(*command)
        command = command[:command.index("--dtype")] + command[command.index("--device"):]  # auto is float32 here
        command = [part for part in command if part not in ("--max_new_tokens", 3)]
        self.assertIn("stays", self.run_hici(*command, *length, "--resume", "--batch_size", 2).stderr)
        shutil.move(self.base, self.folder / "moved")  # a folder that was moved is the same model
        moved = [self.folder / "moved" if part == self.base else part for part in command]
        self.run_hici(*moved, *length, "--resume")
        for more, key in ((["--max_new_tokens", 4], "max_new_tokens"), (["--dtype", "float64"], "dtype"),
                          (["--attention", "hici"], "attention"), (["--context_size", 128], "context_size"),
                          (["--chat_template", "alpaca"], "chat_template")):
            with self.subTest(key=key):
                done = self.run_hici(*moved, "--resume", *more, *(length if key != "max_new_tokens" else []), code=1)
                self.assert_one_error_line(done, "eval topics", f"is finished, with {key} ")

    def test_answers_of_other_weights_are_not_gone_on_from(self):
        command = self.commands()["topics"]
        cases = self.folder / "cases" / "1_topics.jsonl"
        cases.write_text(cases.read_text() * 2)
        first = subprocess.run([HICI, *map(str, command)], env={**ENVIRONMENT, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.use_adapter("lora-2")
        done = self.run_hici(*command, "--resume", code=1)
        self.assert_one_error_line(done, "eval topics", ".part-0-of-2: answers with weights_hash ", "now it is")
        self.use_adapter("lora")
        self.run_hici(*command, "--resume")

    def test_the_content_of_a_chat_template_counts(self):
        command = [*self.commands()["topics"], "--chat_template", "model"]
        template = self.base / "chat_template.jinja"
        template.write_text("{{ messages[0].content }}")
        self.run_hici(*command)
        template.write_text("{{ messages[0].content }}!")
        done = self.run_hici(*command, "--resume", code=1)
        self.assert_one_error_line(done, "eval topics", "is finished, with chat_template_sha256 ")

    def test_finished_answers_that_were_changed_are_refused(self):
        for name in ("topics", "lines", "longbench"):
            with self.subTest(name=name):
                command = self.commands()[name]
                known = set((self.folder / "out").rglob("*"))
                self.run_hici(*command)
                made = [path for path in set((self.folder / "out").rglob("*")) - known if path.is_file()]
                answers = next(path for path in made if path.suffix != ".json")
                whole = answers.read_bytes()
                self.run_hici(*command, "--resume")
                answers.write_bytes(whole.replace(b"e", b"E", 1))
                done = self.run_hici(*command, "--resume", code=1)
                self.assert_one_error_line(done, f"eval {name}", f"{answers}: was changed after it was finished")
                answers.write_bytes(whole)
                record = answers.with_suffix(".json")
                settings = json.loads(record.read_text())
                for key in ("weights_hash", "max_new_tokens", "answers_sha256"):
                    record.write_text(json.dumps({k: value for k, value in settings.items() if k != key}))
                    done = self.run_hici(*command, "--resume", code=1)
                    self.assert_one_error_line(done, f"eval {name}", f"{record}: has no {key}, so that it is damaged")
                record.write_text("{}")
                done = self.run_hici(*command, "--resume", code=1)
                self.assert_one_error_line(done, f"eval {name}", f"{record}: has no command, so that it is damaged")

    def test_a_result_on_another_base_says_so_and_so_does_its_report(self):
        for name in ("ppl", "topics"):
            command = self.commands()[name]
            command[command.index("--base_model") + 1] = scratch / "other-base"
            self.assertIn("another base", self.run_hici(*command).stderr)
        for result in (self.folder / "result.json", self.folder / "out" / "m" / "1_response.json"):
            self.assertIn("tensors differ", json.loads(result.read_text())["other_base"])
        done = self.run_hici("report", self.folder / "result.json", self.folder / "out", "--output", self.folder / "r.html")
        self.assertEqual(done.stdout.count("on another base than the adapter was trained on"), 2, done.stdout)
        (self.folder / "result.json").unlink()
        self.run_hici(*self.commands()["ppl"])
        self.assertNotIn("other_base", (self.folder / "result.json").read_text())

    def test_a_result_of_an_older_hici_stays(self):
        command = self.commands()["topics"]
        self.run_hici(*command)
        record = self.folder / "out" / "m" / "1_response.json"
        settings = json.loads(record.read_text())
        for key in ("weights_hash", "config_hash", "stop_ids", "library_version", "device"):
            settings.pop(key)
        record.write_text(json.dumps(settings))
        done = self.run_hici(*command, "--resume")
        self.assertIn("does not say of which weights it is", done.stderr)


class RawTextTest(FolderTest):
    """A tokenizer of 150,000 words takes 70 MiB while the text is read, and is no burden on the steps behind it."""
    VOCABULARY = 150_000

    def setUp(self):
        super().setUp()
        model = {"type": "WordLevel", "vocab": {f"word{i}": i for i in range(self.VOCABULARY)}, "unk_token": "word0"}
        sections = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
        tokenizer = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"}, **sections, "model": model}
        (self.folder / "tokenizer").mkdir()
        (self.folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(tokenizer))
        (self.folder / "tokenizer" / "tokenizer_config.json").write_text("{}")
        chance = random.Random(1)
        words = (f"word{chance.randrange(self.VOCABULARY)}" for _ in range(1000))
        (self.folder / "text.txt").write_text(" ".join(words))
        run("init", "--tokenizer", self.folder / "tokenizer", "--output_dir", self.folder / "model", "--hidden_size", 32,
            "--intermediate_size", 64, "--num_hidden_layers", 2)

    def peak_memory(self, data, output):
        command = training(output, "--gradient_accumulation_steps", 1, "--low_rank_training", "False", data=data,
                           base=self.folder / "model", rank=())
        process = subprocess.Popen([HICI, *map(str, command)], env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        self.assertEqual(status, 0)
        return usage.ru_maxrss / 1024

    def test_steps_have_the_memory_of_the_tokenizer(self):
        raw = self.peak_memory(self.folder / "text.txt", self.folder / "raw")
        tokens = self.peak_memory(self.folder / "raw" / "data.bin", self.folder / "tokens")
        self.assertLess(raw - tokens, 16, "MiB; 2 where it is given back, 34 where it is not")


if __name__ == "__main__":
    unittest.main()
