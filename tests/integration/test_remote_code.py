# SPDX-License-Identifier: Apache-2.0
"""What `hici merge --with_hici True` writes for transformers: its classes give hici's logits and hici's generated tokens."""
import importlib.util
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import types
import unittest

SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="hici-integration-"))
unittest.addModuleCleanup(shutil.rmtree, SCRATCH, ignore_errors=True)
os.environ.update(HF_MODULES_CACHE=str(SCRATCH / "modules"), HF_HUB_OFFLINE="1")  # before transformers is imported

import torch
import transformers
from safetensors.torch import load_file, save_file

from models import ascii_tokenizer
from support import ENVIRONMENT, FolderTest, hici, read_safetensors

PRINT_LOGITS = os.environ["HICI_PRINT_LOGITS"]
VOCABULARY, CONTEXT, SEGMENT, NEW_TOKENS = 200, 96, 24, 24
MODES = ("none", "causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly")
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 6,
         "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": CONTEXT, "initializer_range": 0.12,
         "rms_norm_eps": 1e-6, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
LLAMA, QWEN3 = (transformers.LlamaConfig, transformers.LlamaForCausalLM), (transformers.Qwen3Config, transformers.Qwen3ForCausalLM)
YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": CONTEXT // 2}
# family, what the base has, options of HiCI, options of merging
MODELS = {
    "llama": (LLAMA, {}, {}, []),
    "qwen3": (QWEN3, {"tie_word_embeddings": True}, {}, []),
    "llama.wide": (LLAMA, {"num_key_value_heads": 6}, {"use_bottleneck": False, "shared_compressor": False},
                   ["--max_shard_size", "30KB"]),
    "qwen3.yarn": (QWEN3, {"rope_theta": 10000.0, "rope_scaling": YARN}, {"shared_compress_dim": 16}, []),
}
TEXT = ("The quick brown fox jumps over the lazy dog, and then it sleeps under a tree. When it wakes up, the sun is low; "
        "far away somebody plays the violin. ") * 8
PROMPTS = ["The quick brown fox", "a", TEXT[:200], "When it wakes up, the sun"]
IDS = [(7 * i * i + 3 * i + 5) % VOCABULARY for i in range(CONTEXT)]
SEQUENCES = [IDS, IDS[3:73], IDS[50:60]]  # whole segments, a last one that is shorter, less than one
LARGEST = {}  # difference of logits by family and mode, for a table

torch.set_num_threads(1)
torch.set_grad_enabled(False)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def randomise(file):
    """Modules as training starts them hardly change a logit."""
    chance, tensors = torch.Generator().manual_seed(5), load_file(file)
    for name, tensor in tensors.items():
        drawn = torch.randn(tensor.shape, generator=chance)
        if name.endswith("expand_scale_param"):
            tensors[name] = torch.tensor(0.7)
        elif name.endswith((".1.weight", ".1.bias")):
            tensors[name] = drawn * 0.2 + (1 if name.endswith("weight") else 0)
        else:
            tensors[name] = drawn * (1 / tensor.shape[-1] ** 0.5 if "slots" not in name else 1)
    save_file(tensors, file, metadata={"format": "pt"})


def made(*arguments):
    done = hici(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def make_model(name):
    (config, model), sizes, options, merging = MODELS[name]
    folder = SCRATCH / name
    base, run, merged = folder / "base", folder / "run", folder / "merged"
    torch.manual_seed(11)
    model(config(**{**SIZES, **sizes})).save_pretrained(base)
    ascii_tokenizer([TEXT], VOCABULARY).save(str(base / "tokenizer.json"))
    (base / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|bos|>", "eos_token": "<|eos|>"}))
    tokens = folder / "tokens.bin"
    tokens.write_bytes(struct.pack(f"<{4 * CONTEXT}H", *IDS * 4))
    options = {"num_chunks": CONTEXT // SEGMENT, "num_local_slots": 5, "global_slots": 3, "num_heads": 4, "bottleneck_dim": 16,
               "shared_compress_dim": 8, "model_max_length": CONTEXT, "max_steps": 1, "dtype": "float32", "device": "cpu",
               **options}
    made("train", "--model_name_or_path", base, "--data_path", tokens, "--output_dir", run,
         *(text for key, value in options.items() for text in (f"--{key}", str(value))))
    made("merge", "--base_model", base, "--peft_model", run, "--save_path", merged, "--with_hici", "True", *merging)
    randomise(merged / "hici_modules.safetensors")
    return merged


def cache_of(out):
    return getattr(out, "cache" if hasattr(out, "cache") else "past_key_values")  # the name before 5.24


class RemoteCodeTest(FolderTest):
    merged = {}

    def model_of(self, name, mode="none", **settings):
        """A copy of the merged model with this causal mode, and other settings of HiCI."""
        if name not in self.merged:
            self.merged[name] = make_model(name)
        folder = self.folder / f"{name}.{mode}"
        shutil.copytree(self.merged[name], folder)
        for file, path in (("config.json", ("hici",)), ("hici_config.json", ())):
            value = json.loads((folder / file).read_text())
            inner = value[path[0]] if path else value
            inner.update(settings, causal_mode=mode)
            (folder / file).write_text(json.dumps(value))
        return folder

    def load(self, folder, **options):
        return transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, torch_dtype=torch.float32, **options)

    def hici_logits(self, folder, sequences, segment_length):
        words = " / ".join(" ".join(map(str, ids)) for ids in sequences).split()
        done = subprocess.run([PRINT_LOGITS, "--segment_length", str(segment_length), folder, "", "0", *words], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [torch.tensor(json.loads(line)) for line in done.stdout.splitlines()]

    def difference(self, got, wanted):
        self.assertEqual(got.shape, wanted.shape)
        self.assertTrue(got.isfinite().all())
        return (got - wanted).abs().max().item()


class LogitsTest(RemoteCodeTest):
    def padded(self, side):
        longest = max(map(len, SEQUENCES))
        pad = [[9] * (longest - len(ids)) for ids in SEQUENCES]
        rows = [ids + p if side == "right" else p + ids for ids, p in zip(SEQUENCES, pad)]
        mask = [[1] * len(ids) + [0] * len(p) if side == "right" else [0] * len(p) + [1] * len(ids) for ids, p in zip(SEQUENCES, pad)]
        return torch.tensor(rows), torch.tensor(mask)

    def test_every_causal_mode_and_padding_on_either_side(self):
        for name in MODELS:
            seen = []
            for mode in MODES:
                folder = self.model_of(name, mode)
                wanted = self.hici_logits(folder, SEQUENCES, SEGMENT)
                model = self.load(folder)
                with self.subTest(model=name, mode=mode):
                    found = [self.difference(model(torch.tensor([ids])).logits[0], rows) for ids, rows in zip(SEQUENCES, wanted)]
                    for side in ("right", "left"):
                        ids, mask = self.padded(side)
                        logits = model(ids, attention_mask=mask).logits
                        found += [self.difference(row[m.bool()], rows) for row, m, rows in zip(logits, mask, wanted)]
                    LARGEST[name, mode] = max(found)
                    self.assertLess(max(found), 1e-5)
                seen.append(wanted[0])
            for i, one in enumerate(seen):  # they are different models, so a mode that is not applied would show
                for other in seen[:i]:
                    self.assertGreater((one - other).abs().max().item(), 1e-2)

    def test_local_slots_alone(self):
        for mode in ("none", "causal_shift"):
            folder = self.model_of("llama", mode, use_global_integrator=False)
            file = folder / "hici_modules.safetensors"
            save_file({name: tensor for name, tensor in load_file(file).items() if "global_integrator" not in name}, file)
            wanted = self.hici_logits(folder, SEQUENCES, SEGMENT)
            ids, mask = self.padded("right")
            for row, m, rows in zip(self.load(folder)(ids, attention_mask=mask).logits, mask, wanted):
                self.assertLess(self.difference(row[m.bool()], rows), 1e-5)

    def test_segments_of_another_length_and_number(self):
        folder = self.model_of("qwen3", "causal_shift")
        for length, keywords in ((32, {"segment_length": 32}), (48, {"num_segments": 2}), (CONTEXT, {"segment_length": 500})):
            (wanted,) = self.hici_logits(folder, [IDS], length)
            self.assertLess(self.difference(self.load(folder)(torch.tensor([IDS]), **keywords).logits[0], wanted), 1e-5)
            model = self.load(folder, **{f"hici_{key}": value for key, value in keywords.items()}, attn_implementation="eager")
            self.assertLess(self.difference(model(torch.tensor([IDS])).logits[0], wanted), 1e-5)

    def test_loss_hidden_states_and_positions(self):
        model = self.load(self.model_of("llama"))
        ids = torch.tensor([IDS])
        out = model(ids, labels=ids, output_hidden_states=True, position_ids=torch.arange(CONTEXT)[None], logits_to_keep=0)
        wanted = torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[0, 1:])
        self.assertAlmostEqual(out.loss.item(), wanted.item(), places=5)
        self.assertEqual([state.shape for state in out.hidden_states], [(1, CONTEXT, 48)] * 3)
        self.assertIsNone(cache_of(out))
        last = model(inputs_embeds=model.get_input_embeddings()(ids), logits_to_keep=2, return_dict=False)[0]
        self.assertLess(self.difference(last, out.logits[:, -2:]), 1e-6)

    def test_a_loss_is_what_trainers_ask_for(self):
        """With gradient accumulation a Trainer divides by the tokens of all micro-batches, and leaves that to the model."""
        model, ids = self.load(self.model_of("llama")), torch.tensor([IDS])
        mean = model(ids, labels=ids).loss
        self.assertAlmostEqual(model(ids, labels=ids, num_items_in_batch=4 * (CONTEXT - 1)).loss.item(), mean.item() / 4, places=5)
        shifted = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-100)
        for more in ({}, {"labels": ids}):
            self.assertAlmostEqual(model(ids, shift_labels=shifted, **more).loss.item(), mean.item(), places=5)

    def test_a_number_of_segments_is_of_the_row_without_its_padding(self):
        model, ids = self.load(self.model_of("qwen3", "causal_gi")), torch.tensor([IDS[:48]])
        wanted = model(ids, num_segments=4).logits[0]
        pad = torch.full((1, 48), 9)
        for rows, mask in ((torch.cat((ids, pad), 1), [1] * 48 + [0] * 48), (torch.cat((pad, ids), 1), [0] * 48 + [1] * 48)):
            mask = torch.tensor([mask])
            self.assertLess(self.difference(model(rows, attention_mask=mask, num_segments=4).logits[0][mask[0].bool()], wanted), 1e-5)


class GenerateTest(RemoteCodeTest):
    def hici_ids(self, folder, *more):
        batch = self.folder / "prompts.jsonl"
        batch.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
        done = self.run_hici("generate", "--base_model", folder, "--attention", "hici", "--batch_file", batch, "--return_ids",
                             "--ignore_eos", "--max_new_tokens", NEW_TOKENS, "--dtype", "float32", "--device", "cpu", *more)
        return [json.loads(line)["ids"] for line in done.stdout.splitlines()]

    def transformers_ids(self, folder, model, **options):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
        tokenizer.pad_token = "<|eos|>"
        batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, return_token_type_ids=False)
        out = model.generate(**batch, do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=None, **options)
        return out[:, batch["input_ids"].shape[1]:].tolist()

    def test_generate_gives_the_tokens_of_hici_generate(self):
        answers = set()
        for name in ("llama", "qwen3"):
            for mode in MODES:
                with self.subTest(model=name, mode=mode):
                    folder = self.model_of(name, mode)
                    wanted = self.hici_ids(folder)
                    self.assertEqual(self.transformers_ids(folder, self.load(folder)), wanted)
                    answers.add(str(wanted))
        self.assertEqual(len(answers), 6)  # with one segment the shifted modes see no slots, and `none` is causal_gi

    def test_slots_for_the_prompt_alone_and_beams(self):
        folder = self.model_of("llama")
        wanted = self.hici_ids(folder, "--cache_slots", "False")
        self.assertEqual(self.transformers_ids(folder, self.load(folder, hici_cache_slots=False)), wanted)
        self.assertNotEqual(self.hici_ids(folder), wanted)
        self.assertEqual(len(self.transformers_ids(folder, self.load(folder), num_beams=3)), len(PROMPTS))

    def test_a_prompt_over_the_cache_is_one_segment(self):
        model = self.load(self.model_of("qwen3", "causal_gi"))
        ids = torch.tensor([IDS[:20]])
        prompt = model(ids, use_cache=True)
        self.assertLess(self.difference(prompt.logits, model(ids, segment_length=20).logits), 1e-6)
        self.assertEqual(cache_of(prompt).get_seq_length(), 20)

    def test_slots_go_with_the_rows_of_a_cache(self):
        model = self.load(self.model_of("qwen3", "causal_gi"))
        rows, token = torch.tensor([IDS[:20], IDS[20:40]]), torch.tensor([[5], [6]])

        def next_of(order, change):
            cache = cache_of(model(rows, use_cache=True))
            change(cache)
            return model(token[:len(order)], past_key_values=cache).logits

        def fresh(order):
            return model(token[:len(order)], past_key_values=cache_of(model(rows[order], use_cache=True))).logits
        for order, change in (([1, 0], lambda c: c.reorder_cache(torch.tensor([1, 0]))),
                              ([1], lambda c: c.batch_select_indices(torch.tensor([1])))):
            self.assertLess(self.difference(next_of(order, change), fresh(order)), 1e-5)
            self.assertGreater(self.difference(fresh(order), fresh([0, 1])[:len(order)]), 1e-3)
        cache = cache_of(model(rows[:1], use_cache=True))
        cache.batch_repeat_interleave(2)
        self.assertLess(self.difference(model(token, past_key_values=cache).logits, fresh([0, 0])), 1e-5)
        cache.crop(-1)  # the answer alone
        self.assertLess(self.difference(model(token, past_key_values=cache).logits, fresh([0, 0])), 1e-5)
        with self.assertRaisesRegex(ValueError, "crop to 5 tokens: the slots are those of the whole prompt, which has 20"):
            cache.crop(5 - cache.get_seq_length())


class FilesTest(RemoteCodeTest):
    def test_without_the_code_it_is_a_plain_model(self):
        for name in MODELS:
            folder = self.model_of(name)
            model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, output_loading_info=True)
            self.assertIs(type(model), MODELS[name][0][1])
            self.assertEqual([names for names in info.values() if names], [])
            done = subprocess.run([PRINT_LOGITS, folder, "", "0", *map(str, IDS)], text=True, capture_output=True, env=ENVIRONMENT)
            self.assertEqual(done.stderr, "")
            self.assertLess(self.difference(model(torch.tensor([IDS])).logits[0], torch.tensor(json.loads(done.stdout))), 1e-5)

    def test_other_classes_find_what_belongs_to_the_family(self):
        folder = self.model_of("llama")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        self.assertEqual(tokenizer("The quick")["input_ids"], transformers.AutoTokenizer.from_pretrained(folder)("The quick")["input_ids"])
        for other in (transformers.AutoModel, transformers.AutoModelForSequenceClassification):
            with self.assertRaisesRegex(ValueError, "use AutoModelForCausalLM"):
                other.from_pretrained(folder, trust_remote_code=True)
        self.load(folder)
        plain = transformers.AutoModelForCausalLM.from_pretrained(folder)  # after one with the code, in the same process
        self.assertIs(type(plain), transformers.LlamaForCausalLM)

    def test_save_pretrained_keeps_the_layout_and_hici_reads_it(self):
        for name in ("llama.wide", "qwen3"):
            folder, saved = self.model_of(name), self.folder / "saved" / name
            model, info = self.load(folder, output_loading_info=True)
            self.assertEqual([names for names in info.values() if names], [])
            model.save_pretrained(saved)
            for file in ("configuration_hici.py", "modeling_hici.py"):
                self.assertEqual((saved / file).read_text(), (folder / file).read_text())
            self.assertFalse([key for key in read_safetensors(saved / "model.safetensors") if "local_constructor" in key])
            (wanted,) = self.hici_logits(folder, [IDS], SEGMENT)
            (read,) = self.hici_logits(saved, [IDS], SEGMENT)
            self.assertLess(self.difference(read, wanted), 1e-6)
            self.assertLess(self.difference(self.load(saved)(torch.tensor([IDS])).logits[0], wanted), 1e-5)

    def test_a_directory_made_of_it_does_not_promise_the_files(self):
        folder = self.model_of("llama")
        out = self.folder / "out"
        tokens = self.folder / "tokens.bin"
        tokens.write_bytes(struct.pack(f"<{4 * CONTEXT}H", *IDS * 4))
        self.run_hici("train", "--model_name_or_path", folder, "--data_path", tokens, "--output_dir", out, "--attention", "full",
                      "--low_rank_training", "False", "--model_max_length", CONTEXT, "--max_steps", 1, "--dtype", "float32",
                      "--device", "cpu")
        config = json.loads((out / "checkpoint-1" / "config.json").read_text())
        self.assertFalse({"hici", "auto_map"} & set(config))


class ErrorsTest(RemoteCodeTest):
    def assert_refused(self, words, body):
        with self.assertRaisesRegex(ValueError, words):
            body()

    def test_inputs_that_have_no_meaning_are_named(self):
        model = self.load(self.model_of("llama", "causal_gi"))
        ids, ones = torch.tensor([IDS[:90]]), torch.ones(1, 90, dtype=torch.long)
        generate = {"max_new_tokens": 2, "do_sample": False}
        right = ones.clone()
        right[0, -1] = 0
        for words, body in (
                ("sequence length of 90 tokens is no multiple of num_segments 4", lambda: model(ids, num_segments=4)),
                ("num_segments 0 is not positive", lambda: model(ids, num_segments=0)),
                ("segment_length 3 and num_segments 2 say the same", lambda: model(ids, num_segments=2, segment_length=3)),
                ("with a cache the prompt is one segment", lambda: model(ids, num_segments=2, use_cache=True)),
                ("padding_side = 'left'", lambda: model.generate(ids, attention_mask=right, **generate)),
                ("StaticCache|static", lambda: model.generate(ids, attention_mask=ones, cache_implementation="static", **generate)),
                ("use_cache False", lambda: model.generate(ids, attention_mask=ones, use_cache=False, **generate)),
                ("give the prompt at once", lambda: model(ids, past_key_values=cache_of(model(ids, use_cache=True)))),
                ("attention_mask has 4 dimensions", lambda: model(ids, attention_mask=ones[:, None, None])),
                ("one of input_ids and inputs_embeds", lambda: model()),
                ("output_attentions", lambda: model(ids, output_attentions=True)),
                ("attention_mask has 60 columns, the input has 90", lambda: model(ids, attention_mask=ones[:, :60])),
                ("attention_mask has 60 columns", lambda: model(ids, attention_mask=ones[:, :60], use_cache=True)),
                ("attention_mask has 1 rows, the input has 2", lambda: model(ids.repeat(2, 1), attention_mask=ones)),
                ("no tokens", lambda: model(ids[:, :0])),
                ("rows have different numbers of tokens", lambda: model(
                    ids.repeat(2, 1), attention_mask=torch.cat((ones, right)), num_segments=3)),
                ("begin again inside a row", lambda: model(ids, position_ids=torch.arange(45).repeat(2)[None])),
                ("segmnt_length: is no argument", lambda: model(ids, segmnt_length=3)),
                ("call the model, not model.model", lambda: model.model(ids))):
            with self.subTest(words):
                self.assert_refused(words, body)

    def test_directories_that_are_not_whole_are_named(self):
        folder = self.model_of("llama")
        tensors = load_file(folder / "hici_modules.safetensors")
        name = "model.layers.1.self_attn.local_constructor.k_proj.weight"
        save_file({key: value for key, value in tensors.items() if key != name}, folder / "hici_modules.safetensors")
        self.assert_refused("hici_modules.safetensors: .*model.layers.1.self_attn.local_constructor.*k_proj", lambda: self.load(folder))
        save_file({**tensors, "model.layers.2.self_attn.x": torch.ones(1)}, folder / "hici_modules.safetensors")
        self.assert_refused("tensor 'model.layers.2.self_attn.x' belongs to no layer", lambda: self.load(folder))
        (folder / "hici_modules.safetensors").unlink()
        with self.assertRaisesRegex(OSError, "hici_modules.safetensors"):
            self.load(folder)
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
        bare = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=True)
        self.assert_refused("no weights of HiCI modules", lambda: bare(torch.tensor([IDS])))
        config.hici = {**config.hici, "causal_mode": "sideways"}
        self.assert_refused("causal_mode 'sideways'", lambda: transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=True))

    def test_a_transformers_that_is_too_old_is_named(self):
        file = self.model_of("llama") / "configuration_hici.py"
        self.addCleanup(sys.modules.__setitem__, "transformers", transformers)
        for version, is_refused in (("4.50.3", True), ("3.5.1", True), ("4.51.0", False), ("5.0.0rc1", False)):
            sys.modules["transformers"] = types.SimpleNamespace(__version__=version)
            spec = importlib.util.spec_from_file_location("configuration_hici", file)
            try:
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
                said = ""
            except ImportError as error:
                said = str(error)
            self.assertEqual(f"modeling_hici.py: transformers {version} is too old" in said, is_refused, said)


def tearDownModule():
    if os.environ.get("HICI_SHOW_DIFFERENCES"):
        print(f"transformers {transformers.__version__}, largest difference of a logit:")
        for (name, mode), value in LARGEST.items():
            print(f"  {name:12} {mode:16} {value:.1e}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
