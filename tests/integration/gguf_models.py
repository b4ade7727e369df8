# SPDX-License-Identifier: Apache-2.0
"""Tiny models with tokenizers in the styles of Llama-2, Llama-3 and Qwen3, and an adapter for each: what test_gguf.py and
gguf_in_llama_cpp.py turn into GGUF files. Imports torch."""
import functools
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                r"\s+(?!\S)|\s+")
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
SPACE = "\u2581"
STYLES = ("llama2", "llama3", "qwen3")
ROWS = 640  # of the embedding: some more than the tokenizers have tokens

# What tokenizers divide differently: contractions, runs of spaces, digits, scripts, no text at all.
SAMPLES = [
    "Hello world", " leading space", "trailing space ", "two  spaces   and\ttabs\t\tand\n\n\nlines \n x", "I'LL say we'Ve don't",
    "1 12 123 1234567 3.14159e-10", "def f(x):\n    return x**2  # comment\n", "naïve café Zürich ÅÄÖ", "日本語のテキスト。中文，文本",
    "Привет мир! Καλημέρα", "😀🏳️‍🌈 emoji", "مرحبا بالعالم", "a" * 33, "----====----", "\r\n\r\n windows\r\n", "\u00a0nbsp\u3000wide", "",
    "x\u2581y", "<0x0A> </ s> <s", "\x00\x01control\x7f"]
PROMPTS = ["The quick brown fox", "def tokenizer(", "Once upon a time there", "1234 and 5678", "naïve café: 日本"]


def training_texts():
    """English and Python that is there anyway."""
    return [path.read_text() for path in sorted(pathlib.Path(__file__).parent.glob("test_[m-r]*.py"))]


@functools.cache
def llama2_pieces(size):
    """A vocabulary as SentencePiece orders it: control tokens, bytes, pieces by score, letters."""
    trainer = Tokenizer(models.BPE())
    trainer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "always")
    trainer.train_from_iterator((text.replace("\n", " ") for text in training_texts()), trainers.BpeTrainer(
        vocab_size=size - 259, special_tokens=[], show_progress=False, limit_alphabet=90))
    by_id = sorted(trainer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    letters, merged = ([piece for piece, _ in by_id if (len(piece) == 1) == is_letter] for is_letter in (True, False))
    return ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *merged, *letters]


def sentence_piece_merges(pieces, normal):
    """As transformers makes them of a SentencePiece model (generate_merges): all pairs that make a piece, by its score."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    merges = []
    for piece in normal:
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in ids and piece[i:] in ids]
        merges += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return merges


def sentence_piece_decoder():
    """That of Llama-2's tokenizer.json."""
    return decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def llama2_tokenizer_of(pieces):
    normal = pieces[259:]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, sentence_piece_merges(pieces, normal),
                                     unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = sentence_piece_decoder()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def byte_level_tokenizer(split, ignore_merges, special, size):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(training_texts(), trainers.BpeTrainer(
        vocab_size=size - len(special), special_tokens=[], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    return tokenizer


def tokenizer_of(style, size=600):
    """(tokenizer, what tokenizer_config.json says)"""
    if style == "llama2":
        return llama2_tokenizer_of(llama2_pieces(size)), {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                                                          "legacy": True, "tokenizer_class": "LlamaTokenizerFast"}
    if style == "llama3":
        names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
        tokenizer = byte_level_tokenizer(LLAMA3_SPLIT, True, names, size)
        bos = tokenizer.token_to_id(names[0])
        tokenizer.post_processor = processors.TemplateProcessing(f"{names[0]} $A", special_tokens=[(names[0], bos)])
        return tokenizer, {"bos_token": names[0], "eos_token": names[1], "tokenizer_class": "PreTrainedTokenizerFast"}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = byte_level_tokenizer(QWEN2_SPLIT, False, names, size - 2)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<think>", "</think>")])
    return tokenizer, {"eos_token": names[2], "pad_token": names[0], "tokenizer_class": "Qwen2Tokenizer"}


def save_tokenizer(folder, tokenizer, config):
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))


ROPES = {
    "default": {},
    "linear": {"factor": 4.0},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 64},
    "longrope": {"short_factor": [1.0 + i / 3 for i in range(8)], "long_factor": [1.0 + i / 3 for i in range(8)],
                 "factor": 4.0, "original_max_position_embeddings": 64},
}


def save_model(folder, family, rope_type="default", rope=None, rows=ROWS, dtype=torch.float32, **config):
    """A random model of rows that Q8_0 can hold, without tokenizer."""
    make_config, make_model = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
                               "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM)}[family]
    torch.manual_seed(11)
    parameters = {"rope_type": rope_type, "rope_theta": 10000.0, **(ROPES[rope_type] if rope is None else rope)}
    sizes = {"vocab_size": rows, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
             "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256, "initializer_range": 0.2,
             "rms_norm_eps": 1e-6, "bos_token_id": 1, "eos_token_id": 2, **config}
    model = make_model(make_config(**sizes, rope_parameters=parameters)).float().eval()
    with torch.no_grad():  # a norm of ones would hide a norm that is not applied, an even attention a RoPE that is not
        for name, parameter in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                parameter.mul_(4)
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.config.dtype = dtype
    model.config.save_pretrained(folder)  # model.save_pretrained() imports all of DeepSpeed
    tensors = {name: tensor.clone() for name, tensor in model.to(dtype).state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def save_adapter(folder, base, family="llama"):
    """LoRA on three projections of each layer, as PEFT writes it."""
    folder.mkdir(parents=True)
    torch.manual_seed(12)
    tensors = {}
    shapes = {"self_attn.q_proj": (128, 64), "self_attn.k_proj": (32, 64), "mlp.up_proj": (96, 64)}
    for layer in range(2):
        for name, (rows, columns) in shapes.items():
            stem = f"base_model.model.model.layers.{layer}.{name}.lora_"
            tensors[stem + "A.weight"], tensors[stem + "B.weight"] = torch.randn(2, columns) * 0.1, torch.randn(rows, 2) * 0.1
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [name.split(".")[1] for name in shapes],
         "base_model_name_or_path": str(base), "task_type": "CAUSAL_LM", "bias": "none"}))
    return folder


def save_both(folder, style, rope_type="default", **more):
    """(base, adapter) of a style, with its tokenizer."""
    family = "qwen3" if style == "qwen3" else "llama"
    tokenizer, config = tokenizer_of(style)
    ids = {key + "_id": tokenizer.token_to_id(config[key]) for key in ("bos_token", "eos_token") if key in config}
    base = save_model(folder / "base", family, rope_type, **{"bos_token_id": None, **ids, **more})
    save_tokenizer(base, tokenizer, config)
    return base, save_adapter(folder / "adapter", base)
