# SPDX-License-Identifier: Apache-2.0
"""hici merge --format gguf: read back with the package gguf, and compared with transformers, tokenizers and the directory
that hici merge writes without it. scripts/check_gguf runs llama.cpp itself on such files."""
import json
import math
import os
import shutil
import unittest

import gguf
import numpy
import torch
import transformers
from gguf.quants import quantize
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

import gguf_models
from gguf_models import ROPES, ROWS, SAMPLES, SPACE, STYLES
from support import FolderTest, GOLDEN

transformers.utils.logging.disable_progress_bar()
TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "Q8_0": None}


def value_of(field):
    return field.contents()


class Reader(gguf.GGUFReader):
    """The file with its values by key and its tensors by name."""

    def __init__(self, path):
        super().__init__(path)
        self.values = {key: value_of(field) for key, field in self.fields.items()}
        self.by_name = {tensor.name: tensor for tensor in self.tensors}


class GgufTest(FolderTest):
    def merge(self, base, adapter, *more, code=0, context=256):
        self.out = self.folder / f"merged-{len(os.listdir(self.folder))}"
        return self.run_hici("merge", "--base_model", base, "--peft_model", adapter, "--context_size", context, "--save_path",
                             self.out, *more, code=code)

    def gguf(self, base, adapter, kind="F32", **more):
        done = self.merge(base, adapter, "--format", "gguf", "--gguf_type", kind, **more)
        self.assertEqual(sorted(os.listdir(self.out)), ["hici_merge.json", f"model-{kind}.gguf"])
        self.assertIn("full attention, against base and adapter", done.stdout)
        self.messages = done.stderr
        return Reader(self.out / f"model-{kind}.gguf")

    def refused(self, base, adapter, *needles, **more):
        done = self.merge(base, adapter, "--format", "gguf", code=1, **more)
        self.assert_one_error_line(done, "merge", *needles)
        self.assertFalse(self.out.exists())

    def model(self, family="llama", *arguments, **more):
        base = gguf_models.save_model(self.folder / f"base-{len(os.listdir(self.folder))}", family, *arguments, **more)
        return base, gguf_models.save_adapter(base.with_name(base.name + "-adapter"), base)


def permuted(weight, heads):
    """llama.cpp's converter (LlamaModel.permute)."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


class WeightsTest(GgufTest):
    def expected(self, family, weights):
        """The merged directory's weights under the names and in the order of the package and of llama.cpp's converter."""
        architecture = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen3": gguf.MODEL_ARCH.QWEN3}[family]
        names, out = gguf.get_tensor_name_map(architecture, 2), {}
        for name, weight in weights.items():
            if family == "llama" and ("q_proj" in name or "k_proj" in name):
                weight = permuted(weight, 8 if "q_proj" in name else 2)
            out[names.get_name(name, try_suffixes=(".weight",))] = weight
        return out

    def test_tensors_are_those_of_the_merged_directory(self):
        for family, is_tied, kinds in (("llama", False, TYPES), ("llama", True, ["F32"]), ("qwen3", False, ["F16", "Q8_0"])):
            base, adapter = self.model(family, tie_word_embeddings=is_tied)
            self.merge(base, adapter)
            expected = self.expected(family, load_file(self.out / "model.safetensors"))
            self.assertEqual("output.weight" in expected, not is_tied)
            for kind in kinds:
                with self.subTest(family=family, tied=is_tied, type=kind):
                    reader = self.gguf(base, adapter, kind)
                    self.assertEqual(set(reader.by_name), set(expected))
                    for name, weight in expected.items():
                        self.assert_same(reader.by_name[name], weight, "F32" if weight.dim() == 1 else kind)

    def assert_same(self, tensor, weight, kind):
        self.assertEqual(tensor.tensor_type.name, kind, tensor.name)
        self.assertEqual(list(reversed(tensor.shape.tolist())), list(weight.shape), tensor.name)
        self.assertEqual(tensor.data_offset % 32, 0)
        if kind == "Q8_0":
            wanted = quantize(weight.numpy(), gguf.GGMLQuantizationType.Q8_0).tobytes()
        else:
            wanted = weight.to(TYPES[kind]).contiguous().view(torch.uint8).numpy().tobytes()
        self.assertEqual(tensor.data.tobytes(), wanted, tensor.name)

    def test_the_type_is_that_of_the_base_without_an_option(self):
        for dtype, kind in ((torch.bfloat16, "BF16"), (torch.float32, "F32")):
            with self.subTest(kind):
                base, adapter = self.model(dtype=dtype)
                done = self.merge(base, adapter, "--format", "gguf")
                self.assertIn(f"GGUF {kind}", done.stdout)
                reader = Reader(self.out / f"model-{kind}.gguf")
                self.assertEqual(reader.by_name["token_embd.weight"].tensor_type.name, kind)
        record = json.loads((self.out / "hici_merge.json").read_text())
        self.assertEqual((record["gguf_type"], record.get("torch_dtype")), ("F32", None))

    def test_golden_adapters_with_weights_stored_whole(self):
        for name in ("llama-gqa", "qwen3-gqa"):
            with self.subTest(name):
                base, adapter = GOLDEN / name / "base", GOLDEN / name / "adapter"
                self.merge(base, adapter, context=96)
                merged = load_file(self.out / "model.safetensors")
                reader = self.gguf(base, adapter, context=96)
                self.assertIn("has no tokenizer", self.messages)
                self.assertEqual(reader.values["tokenizer.ggml.model"], "none")
                self.assertTrue(numpy.array_equal(reader.by_name["token_embd.weight"].data,
                                                  merged["model.embed_tokens.weight"].numpy()))
                scaling = reader.values[reader.values["general.architecture"] + ".rope.scaling.factor"]
                self.assertEqual(scaling, 2.0 if name.startswith("llama") else 1.5)


class RopeTest(GgufTest):
    """Frequencies and scale as llama.cpp computes them from the file (ggml_rope_yarn_corr_dims, rope_yarn in ggml-cpu/ops.cpp
    and llama_context of its commit in llama-cpp-python 0.3.36), against transformers' own."""

    def llama_cpp_rope(self, reader):
        values, arch = reader.values, reader.values["general.architecture"]
        get = lambda key, absent=None: values.get(f"{arch}.rope.{key}", absent)
        size, kind, base = get("dimension_count"), get("scaling.type", "linear"), get("freq_base")
        scale = get("scaling.attn_factor", 1.0)
        shared = {name for name in reader.by_name if name.startswith("rope_")}
        factors = numpy.ones(size // 2)
        if kind == "longrope":
            self.assertEqual(shared, {"rope_factors_long.weight", "rope_factors_short.weight"})
            factors = reader.by_name["rope_factors_long.weight"].data
            self.assertTrue(numpy.array_equal(factors, reader.by_name["rope_factors_short.weight"].data))
        elif shared:
            self.assertEqual(shared, {"rope_freqs.weight"})
            factors = reader.by_name["rope_freqs.weight"].data
        plain = base ** (-numpy.arange(0, size, 2) / size) / factors
        factor = get("scaling.factor", 1.0)
        if kind != "yarn":
            return plain / factor, scale
        dim = lambda turns: size * math.log(get("scaling.original_context_length") / (turns * 2 * math.pi)) / (2 * math.log(base))
        low, high = max(0, math.floor(dim(32))), min(size - 1, math.ceil(dim(1)))
        share = numpy.clip((numpy.arange(size // 2) - low) / max(0.001, high - low), 0, 1)
        return plain / factor * share + plain * (1 - share), scale * (1 + 0.1 * math.log(factor))

    def assert_rope(self, base, adapter, **more):
        reader = self.gguf(base, adapter, **more)
        if more:  # a context factor, which the directory of the same merge has
            self.merge(base, adapter, **more)
        config = transformers.AutoConfig.from_pretrained(self.out if more else base)
        kind = config.rope_parameters["rope_type"]
        if kind == "default":
            wanted, scale = config.rope_parameters["rope_theta"] ** (-torch.arange(0, 16, 2) / 16), 1.0
        else:
            wanted, scale = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS[kind](config, "cpu")
        found, found_scale = self.llama_cpp_rope(reader)
        self.assertLess(numpy.abs(found / wanted.double().numpy() - 1).max(), 1e-6)
        self.assertAlmostEqual(found_scale, scale, places=6)
        return reader

    def test_every_type_of_llama(self):
        for kind in ROPES:
            with self.subTest(kind):
                reader = self.assert_rope(*self.model("llama", kind))
                self.assertEqual(reader.values["llama.context_length"], 1024 if kind == "linear" else 256)

    def test_longer_contexts(self):
        for kind, wanted in (("default", 1024), ("yarn", 1024), ("longrope", 1024)):
            with self.subTest(kind):
                reader = self.assert_rope(*self.model("llama", kind), context=1000)
                self.assertEqual(reader.values["llama.context_length"], wanted)

    def test_yarn_with_values_of_its_own(self):
        yarn = ROPES["yarn"]
        for more in ({"attention_factor": 1.3}, {"beta_slow": 2.0}, {"truncate": False}):
            with self.subTest(**more):
                reader = self.assert_rope(*self.model("llama", "yarn", {**yarn, **more}))
                self.assertEqual(reader.values["llama.rope.scaling.type"], "yarn" if "attention_factor" in more else "longrope")

    def test_types_of_qwen3(self):
        for kind in ("default", "linear", "yarn"):
            with self.subTest(kind):
                self.assert_rope(*self.model("qwen3", kind))
        self.assert_rope(*self.model("qwen3", "yarn", {**ROPES["yarn"], "attention_factor": 1.3}))
        no_place = ("llama.cpp's qwen3 has no place for the factors of pairs; merge without --format gguf",)
        self.refused(*self.model("qwen3", "llama3"), "its rotary embedding is llama3", *no_place)
        self.refused(*self.model("qwen3", "longrope"), "its rotary embedding is longrope", *no_place)
        self.refused(*self.model("qwen3", "yarn"), "its rotary embedding is longrope", *no_place, context=1000)
        self.refused(*self.model("qwen3", "yarn", {**ROPES["yarn"], "beta_slow": 2.0}),
                     "yarn with beta_fast 32, beta_slow 2 (llama.cpp has 32, 1 and truncates)", *no_place)


def sentence_piece_ids(values, text):
    """llama.cpp's llm_tokenizer_spm on one piece of text."""
    ids = {token: i for i, token in enumerate(values["tokenizer.ggml.tokens"])}
    scores = values["tokenizer.ggml.scores"]
    symbols = list((SPACE if values["tokenizer.ggml.add_space_prefix"] and text else "") + text.replace(" ", SPACE))
    while True:
        pairs = [(-scores[ids[x + y]], i) for i, (x, y) in enumerate(zip(symbols, symbols[1:])) if x + y in ids]
        if not pairs:
            break
        i = min(pairs)[1]
        symbols[i:i + 2] = ["".join(symbols[i:i + 2])]
    out = []
    for symbol in symbols:
        out += [ids[symbol]] if symbol in ids else [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]
    return out


class TokenizerTest(GgufTest):
    def both(self, style, change=None, **more):
        folder = self.folder / f"{style}-{len(os.listdir(self.folder))}"
        folder.mkdir()
        base, adapter = gguf_models.save_both(folder, style, **more)
        if change:
            path = base / "tokenizer.json"
            tokenizer = Tokenizer.from_file(str(path))
            tokenizer = change(tokenizer) or tokenizer
            tokenizer.save(str(path))
        return base, adapter

    def test_tokens_and_special_ids(self):
        expected = {
            "llama2": {"model": "llama", "pre": "default", "bos": 1, "eos": 2, "unknown": 0, "add_bos_token": True,
                       "add_space_prefix": True},
            "llama3": {"model": "gpt2", "pre": "llama-bpe", "add_bos_token": True},
            "qwen3": {"model": "gpt2", "pre": "qwen2", "add_bos_token": False}}
        for style in STYLES:
            with self.subTest(style):
                base, adapter = self.both(style)
                values = self.gguf(base, adapter).values
                get = lambda key: values.get(f"tokenizer.ggml.{key}", values.get(f"tokenizer.ggml.{key}_token_id"))
                self.assertEqual({key: get(key) for key in expected[style]}, expected[style])
                self.assertFalse(get("add_eos_token"))
                tokenizer, config = Tokenizer.from_file(str(base / "tokenizer.json")), gguf_models.tokenizer_of(style)[1]
                self.assertEqual(get("eos"), tokenizer.token_to_id(config["eos_token"]))
                self.assert_tokens(tokenizer, get("tokens"), get("token_type"))
                if style != "llama2":
                    merges = json.loads(tokenizer.to_str())["model"]["merges"]
                    self.assertEqual(get("merges"), [" ".join(merge) for merge in merges])
                self.assertIn("{% for m in messages %}", values["tokenizer.chat_template"])
                self.assertEqual("form NFC" in self.messages, style == "qwen3")

    def assert_tokens(self, tokenizer, tokens, types):
        self.assertEqual((len(tokens), len(types), len(set(tokens))), (ROWS, ROWS, ROWS))
        added = tokenizer.get_added_tokens_decoder()
        for i, (token, kind) in enumerate(zip(tokens, types)):
            kind = gguf.TokenType(kind).name
            if token == "<unk>":
                self.assertEqual(kind, "UNKNOWN")
            elif i in added:
                self.assertEqual((token, kind), (added[i].content, "CONTROL" if added[i].special else "USER_DEFINED"))
            elif tokenizer.id_to_token(i) is None:
                self.assertEqual(kind, "UNUSED")
            else:
                self.assertEqual(token, tokenizer.id_to_token(i))
                self.assertEqual(kind, "BYTE" if token.startswith("<0x") else "NORMAL")

    def test_scores_divide_text_as_the_merges_do(self):
        base, adapter = self.both("llama2")
        values, tokenizer = self.gguf(base, adapter).values, Tokenizer.from_file(str(base / "tokenizer.json"))
        lines = [line for text in gguf_models.training_texts() for line in text.splitlines()]
        for text in SAMPLES + [line for line in lines[::20] if not any(name in line for name in ("<unk>", "<s>", "</s>"))]:
            self.assertEqual(sentence_piece_ids(values, text), tokenizer.encode(text, add_special_tokens=False).ids, repr(text))

    def test_other_rules_that_llama_cpp_has(self):
        def gpt2(tokenizer):
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.assertEqual(self.gguf(*self.both("qwen3", gpt2)).values["tokenizer.ggml.pre"], "gpt-2")

        def without_ignored_merges(tokenizer):
            tokenizer.model.ignore_merges = False
        self.assertEqual(self.gguf(*self.both("llama3", without_ignored_merges)).values["tokenizer.ggml.pre"], "smaug-bpe")

        def without_space(tokenizer):
            tokenizer.normalizer = normalizers.Replace(" ", SPACE)
        self.assertFalse(self.gguf(*self.both("llama2", without_space)).values["tokenizer.ggml.add_space_prefix"])

    def test_all_ends_of_an_answer(self):
        base, adapter = self.both("qwen3")
        (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6, 601, 603]}))
        tokens = Tokenizer.from_file(str(base / "tokenizer.json"))
        values = self.gguf(base, adapter).values
        # <|im_end|>, the tokenizer's own, is not among them, so no answer of transformers ends there.
        self.assertNotIn(tokens.token_to_id("<|im_end|>"), (5, 6, 601, 603))
        self.assertEqual([values[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")], [5, 6, 601])
        self.assertIn("of which a GGUF file says three", self.messages)
        (base / "generation_config.json").write_text(json.dumps({"eos_token_id": tokens.token_to_id("<|im_end|>"), "repetition_penalty": 1.3}))
        values = self.gguf(base, adapter).values
        self.assertEqual(values["tokenizer.ggml.eos_token_id"], tokens.token_to_id("<|im_end|>"))
        self.assertIn("repetition_penalty 1.3 has no place in a GGUF file; give it to llama.cpp: --repeat-penalty 1.3", self.messages)

    def test_tokenizer_of_the_adapter_goes_before_that_of_the_base(self):
        base, adapter = self.both("llama3")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(base / name, adapter / name)
        config = json.loads((adapter / "tokenizer_config.json").read_text())
        (adapter / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": "of the adapter"}))
        self.assertEqual(self.gguf(base, adapter).values["tokenizer.chat_template"], "of the adapter")

    def test_what_llama_cpp_does_otherwise_is_refused(self):
        def change(style, *needles):
            def decorate(changed):
                with self.subTest(changed.__name__):
                    self.refused(*self.both(style, changed), *needles)
            return decorate

        @change("llama2", "puts spaces by normalizer", "Metaspace")
        def prefix_at_the_start_alone(tokenizer):
            tokenizer.normalizer = None
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", False)

        @change("llama2", "added token 'more' has normalized true")
        def normalized(tokenizer):
            tokenizer.add_tokens([AddedToken("more", normalized=True)])

        @change("llama2", "does not merge", "which llama.cpp does as")
        def missing_merge(tokenizer):
            content = json.loads(tokenizer.to_str())
            content["model"]["merges"].pop()
            return Tokenizer.from_str(json.dumps(content))

        @change("llama2", "between those of other tokens")
        def merges_in_another_order(tokenizer):
            content = json.loads(tokenizer.to_str())
            merges = content["model"]["merges"]
            both = next(i for i in range(1, len(merges)) if "".join(merges[i]) == "".join(merges[i - 1]))
            merges.append(merges.pop(both))
            return Tokenizer.from_str(json.dumps(content))

        @change("llama2", "has byte_fallback, and no token <0x41>")
        def missing_byte(tokenizer):
            content = json.loads(tokenizer.to_str())
            content["model"]["vocab"]["<byte 41>"] = content["model"]["vocab"].pop("<0x41>")
            return Tokenizer.from_str(json.dumps(content))

        @change("llama3", "has pre_tokenizer", "ignore_merges true")
        def unknown_rule(tokenizer):
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(False)])

        @change("qwen3", 'has normalizer {"type":"NFKC"},')
        def unknown_normalizer(tokenizer):
            tokenizer.normalizer = normalizers.NFKC()

        @change("qwen3", "added token '<|mask|>' has lstrip true")
        def stripped(tokenizer):
            tokenizer.add_tokens([AddedToken("<|mask|>", lstrip=True, normalized=False)])

        @change("qwen3", "added tokens 'ab' and 'bcd' overlap")
        def overlapping(tokenizer):
            tokenizer.add_tokens([AddedToken("ab", normalized=False), AddedToken("bcd", normalized=False)])

        @change("qwen3", "has id 640, and the model has 640 rows")
        def beyond_the_model(tokenizer):
            tokenizer.add_tokens([AddedToken(f"<{i}>", normalized=False) for i in range(41)])

    def test_no_end_and_other_files(self):
        base, adapter = self.both("qwen3", eos_token_id=None)
        config = json.loads((base / "tokenizer_config.json").read_text())
        config.pop("eos_token")
        (base / "tokenizer_config.json").write_text(json.dumps(config))
        self.refused(base, adapter, "no file says which token ends an answer", "give eos_token in tokenizer_config.json")
        (base / "tokenizer.json").rename(base / "tokenizer.model")
        self.refused(base, adapter, "tokenizer.model")


class BadInputTest(GgufTest):
    def assert_usage(self, *more_and_needle):
        *more, needle = more_and_needle
        base, adapter = GOLDEN / "llama-gqa" / "base", GOLDEN / "llama-gqa" / "adapter"
        done = self.merge(base, adapter, *more, code=2)
        self.assert_one_error_line(done, "merge", needle)
        self.assertFalse(self.out.exists())

    def test_options_that_do_not_fit(self):
        self.assert_usage("--format", "bin", "--format: unknown format 'bin'; use safetensors or gguf")
        self.assert_usage("--format", "gguf", "--gguf_type", "Q4_K", "--gguf_type: unknown GGUF type 'Q4_K'; use F32, F16, BF16 or Q8_0")
        self.assert_usage("--gguf_type", "F16", "--gguf_type: has no effect without --format gguf")
        self.assert_usage("--format", "gguf", "--with_hici", "True", "llama.cpp has no HiCI attention; leave out --with_hici")
        self.assert_usage("--format", "gguf", "--torch_dtype", "float16", "--torch_dtype: has no effect with --format gguf")
        self.assert_usage("--format", "gguf", "--max_shard_size", "1GB", "--max_shard_size: --format gguf writes one file")

    def test_place_that_is_taken_and_weights_that_do_not_fit(self):
        base, adapter = self.model(rows=100)
        self.gguf(base, adapter)
        taken, before = self.out, (self.out / "model-F32.gguf").read_bytes()
        done = self.run_hici("merge", "--base_model", base, "--peft_model", adapter, "--context_size", 256, "--save_path", taken,
                             "--format", "gguf", code=1)
        self.assert_one_error_line(done, "merge", taken)
        self.assertEqual((taken / "model-F32.gguf").read_bytes(), before)

        weights = load_file(base / "model.safetensors")
        large = weights["lm_head.weight"].clone()
        large[3, 5] = 1e5
        save_file({**weights, "lm_head.weight": large}, base / "model.safetensors", {"format": "pt"})
        done = self.merge(base, adapter, "--format", "gguf", "--gguf_type", "F16", code=1)
        self.assert_one_error_line(done, "merge", "tensor 'lm_head.weight' has values that float16 cannot hold", "use --gguf_type BF16")
        self.assertFalse(self.out.exists())
        large[3, 5] = 1e7
        save_file({**weights, "lm_head.weight": large}, base / "model.safetensors", {"format": "pt"})
        done = self.merge(base, adapter, "--format", "gguf", "--gguf_type", "Q8_0", code=1)
        self.assert_one_error_line(done, "merge", "output.weight", "which Q8_0 cannot hold; use --gguf_type BF16")
        self.assertFalse(self.out.exists())

    def test_rows_without_whole_blocks(self):
        base, adapter = GOLDEN / "llama-gqa" / "base", GOLDEN / "llama-gqa" / "adapter"
        width = json.loads((base / "config.json").read_text())["hidden_size"]
        self.assertNotEqual(width % 32, 0)
        done = self.merge(base, adapter, "--format", "gguf", "--gguf_type", "Q8_0", code=1)
        self.assert_one_error_line(done, "merge", f"has rows of {width}, and Q8_0 has blocks of 32; use --gguf_type F16")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
