# SPDX-License-Identifier: Apache-2.0
"""Tiny models of transformers, and the loss that both sides compare. Imports torch: not for tests that need none."""
import json
import math
import random
import struct

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from support import FolderTest

VOCABULARY, LENGTH, STRIDE = 113, 96, 64
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
         "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
         "initializer_range": 0.2, "rms_norm_eps": 1e-6}
RELATIVE = 1e-5

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()


def ascii_tokenizer(texts, vocabulary, more_letters=""):
    """Byte-level BPE whose tokens are ASCII, with a BOS in front: what a random model writes is text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = [chr(c) for c in range(33, 127)] + ["\u0120", *more_letters]  # \u0120: a space in byte-level letters
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=1, special_tokens=["<|bos|>", "<|eos|>"], initial_alphabet=letters,
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
    return tokenizer


def tokens_of(path):
    raw = path.read_bytes()
    return list(struct.unpack(f"<{len(raw) // 2}H", raw))


def transformers_loss(model, tokens):
    """Mean loss over all predictions of the sliding windows, which start while start < tokens - LENGTH."""
    losses = []
    with torch.no_grad():
        for start in range(0, len(tokens) - LENGTH, STRIDE):
            window = torch.tensor([tokens[start:start + LENGTH]])
            logits = model(window).logits[0, :-1].double()
            losses.append(torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction="none"))
    return torch.cat(losses).mean().item()


def rope(rope_type, theta=10000.0, **more):
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": theta, **more}}


ROPES = {
    "default": rope("default", 50000.0),
    "linear": rope("linear", factor=4.0),
    "llama3": rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64),
    "yarn": rope("yarn", factor=4.0, original_max_position_embeddings=64),
}


def random_model(family, rope_type, is_tied):
    config, model = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
                     "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM)}[family]
    torch.manual_seed(7)
    model = model(config(**SIZES, **ROPES[rope_type], tie_word_embeddings=is_tied)).float().eval()
    with torch.no_grad():  # a norm of ones would hide a norm that is not applied
        for name, parameter in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                parameter.mul_(8)  # as drawn, scores are all but even, and a RoPE that is not applied would not show
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


class LossTest(FolderTest):
    """Losses of `hici eval ppl` against those of transformers."""

    def hici_loss(self, base, tokens, *more):
        result = self.folder / "result.json"
        self.run_hici("eval", "ppl", "--base_model", base, "--data_path", tokens, "--seq_len", LENGTH,
                      "--sliding_window", STRIDE, "--eval_mode", "full", "--dtype", "float32", "--device", "cpu",
                      "--output", result, *more)
        found = json.loads(result.read_text())
        self.assertAlmostEqual(found["perplexity"], math.exp(found["loss"]), delta=RELATIVE * found["perplexity"])
        return found["loss"]

    def assert_same_loss(self, loss, expected):
        # The perplexity is compared: exp(loss) to RELATIVE is the loss itself to RELATIVE.
        self.assertLess(abs(math.expm1(loss - expected)), RELATIVE, f"{loss} is not {expected}")

    def write_tokens(self, count=600):
        chance = random.Random(11)
        tokens = [chance.randrange(VOCABULARY) for _ in range(count)]
        path = self.folder / "tokens.bin"
        path.write_bytes(struct.pack(f"<{count}H", *tokens))
        return path
