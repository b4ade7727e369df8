# SPDX-License-Identifier: Apache-2.0
"""Models, tokenizers and documents of the test of `hici eval ppl --rolling` (test_rolling.py) and of the script that asks lm-eval
for the values it compares with (tests/eval/make_rolling_expected.py). The weights are NumPy's legacy draws, which no version changes."""
import json

import numpy
import torch
import transformers

from models import ROPES, SIZES, ascii_tokenizer

FAMILIES = ("llama", "qwen3")
WINDOWS = (16, 40, 64)
TEXT = "the tide rises twice a day at brest when the moon pulls water north along the coast, and falls as often. "
VOCABULARY = 150


def documents():
    """Of all lengths around the windows; what starts with BOS as text; white space of every kind; no text at all."""
    long = TEXT * 12
    return [long[:400], "a", "", "<|bos|>the tide falls", "<|eos|>the tide rises", " two  spaces\tand\n\na line ",
            "wide\u3000space\u2003and\u00a0more\u2028\x1c\x85.", long, *(long[7:7 + n] for n in (15, 30, 60, 90, 120, 150)), "end"]


def make_model(folder, family):
    """A folder that transformers, lm-eval and hici load. Llama's tokenizer writes BOS before a text, Qwen3's has none at all."""
    tokenizer = ascii_tokenizer([TEXT], VOCABULARY, more_letters="\u00c4\u00c2\u00e3\u0122\u0123\u0142\u0144\u00a8\u00a9\u0127\u013e")
    is_llama = family == "llama"
    if not is_llama:
        from tokenizers import processors
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    names = {"bos_token": "<|bos|>"} if is_llama else {}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|eos|>", **names).save_pretrained(folder)
    config, model = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
                     "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM)}[family]
    sizes = {**SIZES, "vocab_size": tokenizer.get_vocab_size() + 3}
    model = model(config(**sizes, **ROPES["llama3" if is_llama else "default"], tie_word_embeddings=not is_llama)).float()
    chance = numpy.random.RandomState(FAMILIES.index(family) + 1)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            draws = torch.from_numpy(chance.standard_normal(tuple(parameter.shape)))
            scale = 0.6 if "q_proj" in name or "k_proj" in name else 0.2
            parameter.copy_(draws * scale + (1 if "norm" in name else 0))
    model.save_pretrained(folder)


def write_documents(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path
