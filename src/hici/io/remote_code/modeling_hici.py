# SPDX-License-Identifier: Apache-2.0
"""Llama and Qwen3 with HiCI attention (https://arxiv.org/abs/2603.20843), on the layers of transformers 4.51 and newer.

A whole sequence, model(input_ids), is cut into segments as in training; the argument segment_length or num_segments, or the
same of the configuration (hici_segment_length, hici_num_segments), says otherwise. Padding may be on either side: a row gives
what it gives alone. With a cache, as in generate(), the prompt is one segment with its slots in front, and each token after it
attends to slots and tokens.

Shapes: B batch, T tokens, N segments, S tokens of a segment, H hidden size, M local slots, P slots that a segment sees,
R = B N.
"""
import json
import os
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from .configuration_hici import LlamaConfig, Qwen3Config  # first: it refuses a transformers that is too old

from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (LlamaAttention, LlamaForCausalLM, apply_rotary_pos_emb,
                                                      eager_attention_forward)
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3ForCausalLM
from transformers.utils import cached_file

MODULES_NAME = "hici_modules.safetensors"
SETTINGS_NAME = "hici_config.json"
PARTS = ("local_constructor", "global_integrator")
CAUSAL_MODES = ("none", "causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly")
SHIFTED = ("causal_shift", "causal_shift_g")  # a segment sees the slots of the one before it, the first none
GLOBAL_ONLY = ("causal_shift_g", "causal_gi_gonly")
# What a cache is called: since 5.24 `cache`.
CACHE_NAME = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"
# Of the arguments that transformers hands to a model: those of the loss, and those that change nothing here.
OF_THE_LOSS = ("num_items_in_batch", "shift_labels", "ignore_index")
NEUTRAL = ("cache_position", "token_type_ids", "use_return_dict")
PLACES = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """0 where allowed, else the lowest number; not -inf: a row with nothing allowed must stay finite."""
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


# ------------------------------------------------------------------------------------------------------------- modules

class LocalConstructor(nn.Module):
    """M learned slots read each segment by multi-head attention."""

    def __init__(self, hici: dict, hidden_size: int):
        super().__init__()
        self.num_heads = hici["num_heads"]
        width = hici["bottleneck_dim"] if hici["use_bottleneck"] else hidden_size
        self.memory_slots = nn.Parameter(torch.empty(hici["num_local_slots"], hidden_size))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(hidden_size, width, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(width, hidden_size, bias=False) if hici["use_bottleneck"] else None

    def forward(self, x: torch.Tensor, padding: Optional[torch.Tensor]) -> torch.Tensor:
        """x [R, S, H], padding additive [R, 1, 1, S] -> [R, M, H]"""
        def heads(t):
            return t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        query = heads(self.q_proj(self.memory_slots)[None]).expand(x.shape[0], -1, -1, -1)
        read = F.scaled_dot_product_attention(query, heads(self.k_proj(x)), heads(self.v_proj(x)), attn_mask=padding)
        read = read.transpose(1, 2).flatten(2)
        return read if self.o_proj is None else self.o_proj(read)


class GlobalIntegrator(nn.Module):
    """Learned queries attend over five statistics of the local slots, compressed; the result is expanded and gated."""

    def __init__(self, hici: dict, hidden_size: int):
        super().__init__()
        self.num_heads, self.is_shared = hici["num_heads"], hici["shared_compressor"]
        width, shared_width = hici["bottleneck_dim"], hici["shared_compress_dim"]

        def link(inner, outer):
            return nn.Sequential(nn.Linear(inner, outer, bias=False), nn.LayerNorm(outer))
        self.global_queries = nn.Parameter(torch.empty(hici["global_slots"], width))
        if self.is_shared:
            self.shared_compressor = link(hidden_size, shared_width)
            self.stat_expand = link(shared_width, width) if shared_width < width else nn.Identity()
        else:
            self.stat_compressors = nn.ModuleList(link(hidden_size, width) for _ in range(5))
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.expand = nn.Linear(width, hidden_size, bias=False)
        self.expand_scale_param = nn.Parameter(torch.empty(()))

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """[R, 5, H] -> [R, K, H]"""
        if self.is_shared:
            z = self.stat_expand(self.shared_compressor(statistics))
        else:
            z = torch.stack([link(statistics[:, i]) for i, link in enumerate(self.stat_compressors)], 1)

        def heads(t):
            return t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        query = heads(self.q_proj(self.global_queries)[None]).expand(z.shape[0], -1, -1, -1)
        read = F.scaled_dot_product_attention(query, heads(self.k_proj(z)), heads(self.v_proj(z)))
        return self.expand(self.o_proj(read.transpose(1, 2).flatten(2))) * F.softplus(self.expand_scale_param)


def statistics_of_all(local: torch.Tensor, is_filled: torch.Tensor) -> torch.Tensor:
    """local [B, N, M, H], is_filled [B, N] -> mean, max, min, standard deviation and unit mean [B, 5, H]. A segment of nothing
    but padding has no part in them."""
    filled = is_filled[:, :, None, None]
    count = (is_filled.sum(1) * local.shape[2]).clamp(min=1)[:, None]
    mean = (local * filled).sum((1, 2)) / count
    deviations = (local - mean[:, None, None]) * filled
    std = (deviations.pow(2).sum((1, 2)) / count).sqrt().clamp(min=1e-6)
    top = local.masked_fill(~filled, torch.finfo(local.dtype).min).amax((1, 2))
    low = local.masked_fill(~filled, torch.finfo(local.dtype).max).amin((1, 2))
    return torch.stack((mean, top, low, std, F.normalize(mean, dim=-1, eps=1e-6)), 1)


def statistics_up_to_each(local: torch.Tensor) -> torch.Tensor:
    """The same over the segments up to each: [B, N, M, H] -> [B, N, 5, H]. The variance is E[x^2] - E[x]^2."""
    count = (torch.arange(1, local.shape[1] + 1, device=local.device, dtype=local.dtype) * local.shape[2]).view(1, -1, 1)
    mean = local.sum(2).cumsum(1) / count
    variance = (local.pow(2).sum(2).cumsum(1) / count - mean.pow(2)).clamp(min=1e-12)
    top, low = local.amax(2).cummax(1).values, local.amin(2).cummin(1).values
    return torch.stack((mean, top, low, variance.sqrt(), F.normalize(mean, dim=-1, eps=1e-6)), 2)


# ----------------------------------------------------------------------------------------------------------- attention

@dataclass
class HiciCall:
    """What the layers of one forward have in common."""
    mode: str
    segments: int                            # N
    mask: torch.Tensor                       # additive [R or 1, 1, S, P + keys]
    padding: Optional[torch.Tensor]          # additive [R, 1, 1, S], for the local constructor
    is_filled: torch.Tensor                  # [B, N]: segments with a token
    makes_slots: bool
    cache: Optional[DynamicCache] = None     # with one segment: the prompt, or a token after it
    slots: Optional[Dict[int, Tuple[torch.Tensor, torch.Tensor]]] = None  # by layer, keys and values of cached slots


class HiciAttention:
    """The attention of a family with HiCI: causal inside each segment, over [global slots, local slots, tokens]."""

    def __init__(self, config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.local_constructor = self.global_integrator = None  # from_pretrained() brings them, with their weights

    def add_modules(self):
        hici = self.config.hici
        self.local_constructor = LocalConstructor(hici, self.config.hidden_size)
        self.global_integrator = GlobalIntegrator(hici, self.config.hidden_size) if hici["use_global_integrator"] else None

    def make_slots(self, x: torch.Tensor, call: HiciCall) -> torch.Tensor:
        """x [B, T, H] -> the slots that each segment sees [R, P, H]"""
        batch, hidden = x.shape[0], x.shape[2]
        padding = None if call.padding is None else call.padding.to(x.device)
        local = self.local_constructor(x.reshape(batch * call.segments, -1, hidden), padding)
        local = local.view(batch, call.segments, -1, hidden)
        shown = []
        if self.global_integrator is not None:
            exact = local.float() if local.dtype in (torch.float16, torch.bfloat16) else local
            if call.mode == "none":
                made = self.global_integrator(statistics_of_all(exact, call.is_filled.to(x.device)).to(x.dtype))
                shown.append(made[:, None].expand(-1, call.segments, -1, -1))
            else:
                made = self.global_integrator(statistics_up_to_each(exact).flatten(0, 1).to(x.dtype))
                shown.append(made.view(batch, call.segments, -1, hidden))
        if call.mode not in GLOBAL_ONLY:
            shown.append(local)
        slots = torch.cat(shown, 2)
        if call.mode in SHIFTED:
            slots = torch.cat((torch.zeros_like(slots[:, :1]), slots[:, :-1]), 1)
        return slots.flatten(0, 1)

    def slot_keys_and_values(self, x: torch.Tensor, call: HiciCall):
        """[R, heads, P, D] twice, or None: the layer's own projections of the slots, without rotation and QK-norm."""
        if call.makes_slots:
            slots = self.make_slots(x, call)
            made = tuple(p(slots).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for p in (self.k_proj, self.v_proj))
            if call.slots is not None:
                call.slots[self.layer_idx] = made
            return made
        return None if call.slots is None else call.slots.get(self.layer_idx)

    def project_tokens(self, x: torch.Tensor, position_embeddings):
        q, k, v = (p(x).unflatten(-1, (-1, self.head_dim)) for p in (self.q_proj, self.k_proj, self.v_proj))
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = apply_rotary_pos_emb(q.transpose(1, 2), k.transpose(1, 2), *position_embeddings)
        return q, k, v.transpose(1, 2)

    def forward(self, hidden_states, position_embeddings=None, hici_call: Optional[HiciCall] = None, **ignored):
        if hici_call is None:
            raise ValueError("HiCI attention is part of the whole model: call the model, not model.model")
        call = hici_call
        q, k, v = self.project_tokens(hidden_states, position_embeddings)
        if call.cache is not None:
            k, v = call.cache.update(k, v, self.layer_idx)

        def by_segment(t):  # [B, heads, T, D] -> [R, heads, S, D]
            return t.unflatten(2, (call.segments, -1)).transpose(1, 2).flatten(0, 1)
        q, k, v = by_segment(q), by_segment(k), by_segment(v)
        slots = self.slot_keys_and_values(hidden_states, call)
        if slots is not None:
            k, v = torch.cat((slots[0], k), 2), torch.cat((slots[1], v), 2)
        kind = self.config._attn_implementation
        attend = eager_attention_forward if kind == "eager" else ALL_ATTENTION_FUNCTIONS[kind]
        out = attend(self, q, k, v, call.mask.to(q.device), dropout=0.0, scaling=self.scaling)[0]
        return self.o_proj(out.reshape(*hidden_states.shape[:2], -1)), None


class HiciLlamaAttention(HiciAttention, LlamaAttention):
    pass


class HiciQwen3Attention(HiciAttention, Qwen3Attention):
    pass


def rotary_tables(rotary, x: torch.Tensor, position_ids: torch.Tensor):
    """Cosine and sine [B or 1, T, D] at the frequencies of the family's layer. Angles are in float64, as in hici: far into a
    sequence float32 is too coarse for them."""
    exact = torch.float32 if x.device.type == "mps" else torch.float64
    angles = position_ids.to(x.device, exact)[..., None] * rotary.inv_freq.to(x.device, exact)
    angles = torch.cat((angles, angles), -1)
    return tuple((table * rotary.attention_scaling).to(x.dtype) for table in (angles.cos(), angles.sin()))


# ----------------------------------------------------------------------------------------- what goes through the layers

def check_settings(config):
    hici = config.hici
    if not isinstance(hici, dict):
        raise ValueError("config.json: has no `hici`, the settings of HiCI modules; was the model made by "
                         "`hici merge --with_hici True`?")
    if hici["causal_mode"] not in CAUSAL_MODES:
        raise ValueError(f"config.json: hici.causal_mode {hici['causal_mode']!r} is not known; known: {', '.join(CAUSAL_MODES)}")
    if config._attn_implementation not in ("eager", "sdpa"):
        raise ValueError(f"attn_implementation {config._attn_implementation!r} has no form for HiCI; use 'sdpa' or 'eager'")


def slots_per_segment(hici: dict) -> int:
    return ((hici["global_slots"] if hici["use_global_integrator"] else 0) +
            (0 if hici["causal_mode"] in GLOBAL_ONLY else hici["num_local_slots"]))


def tokens_of_rows(tokens: int, attention_mask: Optional[torch.Tensor]) -> Optional[int]:
    """The tokens of each row without its padding; None where they differ."""
    if attention_mask is None:
        return tokens
    counts = attention_mask.bool().sum(1)
    return int(counts[0]) if bool((counts == counts[0]).all()) else None


def segment_length_of(config, tokens: Optional[int], segment_length: Optional[int], num_segments: Optional[int]) -> int:
    """The tokens of a segment of rows of so many tokens."""
    hici = config.hici
    if segment_length is None and num_segments is None:
        segment_length, num_segments = config.hici_segment_length, config.hici_num_segments
    if segment_length is not None and num_segments is not None:
        raise ValueError(f"segment_length {segment_length} and num_segments {num_segments} say the same; give one of them")
    if segment_length is None and num_segments is None:
        if hici.get("context_size"):
            return -(-hici["context_size"] // hici["num_segments"])
        num_segments = hici["num_segments"]
    for name, value in (("segment_length", segment_length), ("num_segments", num_segments)):
        if value is not None and value < 1:
            raise ValueError(f"{name} {value} is not positive")
    if segment_length is not None:
        return segment_length
    if tokens is None:
        raise ValueError(f"num_segments {num_segments}: the rows have different numbers of tokens, and each would be cut in another way; "
                         f"give segment_length, or rows of one length")
    if tokens % num_segments != 0:
        raise ValueError(f"a sequence length of {tokens} tokens is no multiple of num_segments {num_segments}; give "
                         f"segment_length instead, whose last segment may be shorter")
    return tokens // num_segments


def check_is_one_document(position_ids: Optional[torch.Tensor], valid: Optional[torch.Tensor]):
    """position_ids [B, T] of rows whose padding is behind, valid [B, T] or None"""
    if position_ids is None or position_ids.shape[1] < 2:
        return
    goes_back = position_ids[:, 1:] <= position_ids[:, :-1]
    if bool((goes_back if valid is None else goes_back & valid[:, 1:]).any()):
        raise ValueError("position_ids begin again inside a row: several documents in a row (packing) have no form with HiCI; give each "
                         "document a row of its own, with padding and attention_mask")


class HiciCache:
    """What a cache has beside its own class once it holds a prompt: slots that go with its rows. hici_slots: by layer, keys and values
    [B, heads, P, D]; hici_prompt: tokens of the prompt, padding included."""

    def _change_slots(self, change):
        self.hici_slots.update({layer: tuple(change(t) for t in both) for layer, both in self.hici_slots.items()})

    def reorder_cache(self, beam_idx):
        super().reorder_cache(beam_idx)
        self._change_slots(lambda t: t.index_select(0, beam_idx.to(t.device)))

    def batch_select_indices(self, indices):
        super().batch_select_indices(indices)
        self._change_slots(lambda t: t[indices, ...])

    def batch_repeat_interleave(self, repeats):
        super().batch_repeat_interleave(repeats)
        self._change_slots(lambda t: t.repeat_interleave(repeats, dim=0))

    def crop(self, max_length):
        left = max_length if max_length >= 0 else self.get_seq_length() + max_length
        if left < self.hici_prompt:
            raise ValueError(f"crop to {left} tokens: the slots are those of the whole prompt, which has {self.hici_prompt}; begin with an "
                             f"empty cache")
        super().crop(max_length)


def begin_slots(cache: DynamicCache, prompt: int):
    """Makes an empty cache one that holds slots."""
    cache.hici_slots, cache.hici_prompt = {}, prompt
    if not isinstance(cache, HiciCache):
        cache.__class__ = type(f"Hici{type(cache).__name__}", (HiciCache, type(cache)), {})


class WholeSequences:
    """Rows as the layers see them: padding moved behind the tokens of a row, and whole segments."""

    def __init__(self, config, x, attention_mask, position_ids, length: int):
        """x [B, T, H], attention_mask [B, T] or None, position_ids [B or 1, T] or None; S = length"""
        batch, self.tokens = x.shape[:2]
        if position_ids is not None:
            position_ids = position_ids.expand(batch, -1)
        self.order, longest, valid = None, self.tokens, None
        if attention_mask is not None and not attention_mask.all():
            valid = attention_mask.bool()
            longest = max(1, int(valid.sum(1).max()))
            self.order = valid.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
            x = x.gather(1, self.order[..., None].expand(-1, -1, x.shape[2]))
            valid = valid.gather(1, self.order)
            position_ids = None if position_ids is None else position_ids.gather(1, self.order)
        check_is_one_document(position_ids, valid)
        length = min(length, longest)  # a single segment need not be filled up
        segments = -(-longest // length)
        self.longest, missing = longest, segments * length - longest
        if missing and valid is None:
            valid = torch.ones(batch, longest, dtype=torch.bool, device=x.device)
        self.x = F.pad(x, (0, 0, 0, missing))
        valid = None if valid is None else F.pad(valid, (0, missing))
        counted = torch.arange(segments * length, device=x.device)[None]
        self.position_ids = counted if position_ids is None else F.pad(position_ids, (0, missing))
        self.call = self._make_call(config, batch, segments, length, valid)

    def _make_call(self, config, batch, segments, length, valid):
        mode, device, dtype = config.hici["causal_mode"], self.x.device, self.x.dtype
        has_slots = not (mode in SHIFTED and segments == 1)
        allowed = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None]
        if valid is not None:
            allowed = allowed & valid.view(batch * segments, 1, length)
        if has_slots:
            num_slots = slots_per_segment(config.hici)
            sees = torch.ones(batch, segments, length, num_slots, dtype=torch.bool, device=device)
            if mode in SHIFTED:
                sees[:, 0] = False
            sees = sees.flatten(0, 1) if mode in SHIFTED or valid is not None else sees[0, :1]
            allowed = torch.cat((sees, allowed.expand(sees.shape[0], -1, -1)), 2)
        padding, is_filled = None, torch.ones(batch, segments, dtype=torch.bool, device=device)
        if valid is not None:
            padding = additive(valid.view(batch * segments, 1, 1, length), dtype)
            is_filled = valid.view(batch, segments, length).any(2)
        return HiciCall(mode, segments, additive(allowed[:, None], dtype), padding, is_filled, has_slots)

    def restored(self, hidden: torch.Tensor) -> torch.Tensor:
        """Rows of the layers [B, .., H] in the places of the input [B, T, H]; 0 at padding."""
        hidden = hidden[:, :self.longest]
        if self.order is None:
            return hidden
        empty = hidden.new_zeros(hidden.shape[0], self.tokens, hidden.shape[2])
        return empty.scatter(1, self.order[..., None].expand_as(hidden), hidden)


class CachedTokens:
    """A prompt, one segment, or a token after it."""

    def __init__(self, config, x, attention_mask, position_ids, cache):
        mode, (batch, new) = config.hici["causal_mode"], x.shape[:2]
        past = self._checked_length(cache, new, attention_mask)
        valid = torch.ones(batch, past + new, dtype=torch.bool, device=x.device)
        if attention_mask is not None:
            valid = attention_mask.bool()
        if position_ids is None:
            position_ids = (valid.long().cumsum(1) - 1).clamp(min=0)[:, -new:]
        self.x, self.position_ids = x, position_ids
        if past == 0:
            begin_slots(cache, new)
        makes_slots = past == 0 and mode not in SHIFTED
        num_slots = slots_per_segment(config.hici) if makes_slots or (cache.hici_slots and config.hici_cache_slots) else 0
        allowed = torch.ones(new, past + new, dtype=torch.bool, device=x.device).tril(past) & valid[:, None]
        allowed = F.pad(allowed, (num_slots, 0), value=True)
        self.call = HiciCall(mode, 1, additive(allowed[:, None], x.dtype), additive(valid[:, None, None], x.dtype),
                             torch.ones(batch, 1, dtype=torch.bool, device=x.device), makes_slots, cache,
                             cache.hici_slots if past == 0 or config.hici_cache_slots else None)

    @staticmethod
    def _checked_length(cache, new: int, attention_mask) -> int:
        past = cache.get_seq_length()
        if attention_mask is not None and attention_mask.shape[1] != past + new:
            raise ValueError(f"attention_mask has {attention_mask.shape[1]} columns, the cache and the input have {past + new} tokens")
        if past > 0 and not hasattr(cache, "hici_slots"):
            raise ValueError("the cache holds tokens without their slots; begin with an empty one")
        if past > 0 and new > 1:
            raise ValueError(f"{new} tokens after a prompt of a cache: its slots are those of the whole prompt, so give the prompt "
                             f"at once (no prefill_chunk_size, no assistant model), then one token at a time")
        if past == 0 and attention_mask is not None and not attention_mask[:, -1].all():
            raise ValueError("padding on the right of a prompt: generation goes on after the last column; set "
                             "tokenizer.padding_side = 'left'")
        return past

    def restored(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


# -------------------------------------------------------------------------------------------------------------- models

class HiciForCausalLM:
    """The causal language model of a family with HiCI attention."""
    _supports_flash_attn = _supports_flash_attn_2 = _supports_flex_attn = _supports_static_cache = False
    _can_compile_fullgraph = False
    attention_class = None

    def __init__(self, config):
        super().__init__(config)
        check_settings(config)
        for i, layer in enumerate(self.model.layers):
            layer.self_attn = self.attention_class(config, i)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As of transformers; the weights of the HiCI modules come from a file of their own."""
        places = {name: kwargs[name] for name in PLACES if kwargs.get(name) is not None}
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.load_hici_modules(cached_file(pretrained_model_name_or_path, MODULES_NAME, **places))
        return loaded

    def load_hici_modules(self, file):
        tensors = load_file(file)
        for i, layer in enumerate(self.model.layers):
            weight = layer.self_attn.q_proj.weight
            if weight.device.type == "meta":
                raise ValueError(f"layer {i} is offloaded by device_map; HiCI needs all layers on devices")
            layer.self_attn.add_modules()
            for part in PARTS:
                module = getattr(layer.self_attn, part)
                prefix = f"model.layers.{i}.self_attn.{part}."
                own = {name[len(prefix):]: tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
                if module is None and not own:
                    continue
                try:
                    module.load_state_dict(own)
                except (AttributeError, RuntimeError) as error:
                    reason = " ".join(str(error).split())
                    raise ValueError(f"{file}: does not hold the modules that `hici` in config.json says: {prefix}*: {reason}") from None
                module.to(device=weight.device, dtype=self.dtype).train(self.training)
        if tensors:
            raise ValueError(f"{file}: tensor {min(tensors)!r} belongs to no layer of the model")

    def save_pretrained(self, save_directory, *args, **kwargs):
        """The layout of `hici merge --with_hici True`: without this code the directory is a plain model."""
        modules = {name: tensor.contiguous() for name, tensor in self.state_dict().items()
                   if any(f".self_attn.{part}." in name for part in PARTS)}
        self._keys_to_ignore_on_save = set(modules)
        type(self).register_for_auto_class("AutoModelForCausalLM")  # so that the files of this code are copied
        super().save_pretrained(save_directory, *args, **kwargs)
        if not kwargs.get("is_main_process", args[0] if args else True):
            return
        save_file(modules, os.path.join(save_directory, MODULES_NAME), metadata={"format": "pt"})
        with open(os.path.join(save_directory, SETTINGS_NAME), "w", encoding="utf-8") as file:
            json.dump(self.config.hici, file, indent=2)

    def prepare_inputs_for_generation(self, input_ids, **kwargs):
        if kwargs.get(CACHE_NAME) is None:
            raise ValueError("use_cache False: HiCI generates with a cache, which holds the slots of the prompt; leave it at True")
        return super().prepare_inputs_for_generation(input_ids, **kwargs)

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
                labels=None, use_cache=None, logits_to_keep=0, segment_length=None, num_segments=None, cache=None,
                output_hidden_states=None, return_dict=None, **kwargs):
        """segment_length, num_segments: how a whole sequence is cut. kwargs: num_items_in_batch, shift_labels, ignore_index, as the loss of
        transformers takes them. With use_cache=True or a cache (past_key_values is its older
        name) the input is a prompt, one segment, or a token after it."""
        cache = past_key_values if cache is None else cache
        if cache is None and use_cache:
            cache = DynamicCache()
        of_loss = {name: kwargs.pop(name) for name in OF_THE_LOSS if kwargs.get(name) is not None}
        self._check_input(input_ids, attention_mask, inputs_embeds, cache, kwargs)
        x = self.model.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if cache is None:
            if attention_mask is not None and attention_mask.shape[1] != x.shape[1]:
                raise ValueError(f"attention_mask has {attention_mask.shape[1]} columns, the input has {x.shape[1]} tokens")
            length = segment_length_of(self.config, tokens_of_rows(x.shape[1], attention_mask), segment_length, num_segments)
            rows = WholeSequences(self.config, x, attention_mask, position_ids, length)
        elif segment_length is None and num_segments is None:
            rows = CachedTokens(self.config, x, attention_mask, position_ids, cache)
        else:
            raise ValueError("segment_length and num_segments are for whole sequences; with a cache the prompt is one segment")
        x, states = rows.x, []
        position_embeddings = rotary_tables(self.model.rotary_emb, x, rows.position_ids)
        for layer in self.model.layers:
            states.append(x)
            x = layer(x, position_embeddings=position_embeddings, hici_call=rows.call)
            x = x[0] if isinstance(x, tuple) else x
        x = self.model.norm(x)
        states = tuple(rows.restored(state) for state in [*states, x]) if output_hidden_states else None
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(rows.restored(x)[:, kept])
        loss = None
        if labels is not None or "shift_labels" in of_loss:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **of_loss)
        out = CausalLMOutputWithPast(loss=loss, logits=logits, hidden_states=states, **{CACHE_NAME: cache})
        return out.to_tuple() if return_dict is False else out

    def _check_input(self, input_ids, attention_mask, inputs_embeds, cache, kwargs):
        if self.model.layers[0].self_attn.local_constructor is None:
            raise ValueError("the model has no weights of HiCI modules: make it with from_pretrained()")
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give one of input_ids and inputs_embeds")
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given.shape[0] == 0 or given.shape[1] == 0:
            raise ValueError(f"the input has the shape {tuple(given.shape)}: no tokens")
        if cache is not None and not isinstance(cache, DynamicCache):
            raise ValueError(f"the cache is a {type(cache).__name__}; HiCI works with a DynamicCache")
        if attention_mask is not None and attention_mask.dim() != 2:
            raise ValueError(f"attention_mask has {attention_mask.dim()} dimensions; give one of [batch, tokens], 0 at padding")
        if attention_mask is not None and attention_mask.shape[0] != given.shape[0]:
            raise ValueError(f"attention_mask has {attention_mask.shape[0]} rows, the input has {given.shape[0]}")
        if kwargs.pop("output_attentions", None):
            raise ValueError("output_attentions: is not available with HiCI; `hici eval attention` shows where attention goes")
        for name, value in kwargs.items():
            if value is not None and name not in NEUTRAL:
                raise ValueError(f"{name}: is no argument that HiCI knows; leave it out")


class NoForm:
    """What auto_map names for all other heads: a plain model in their place would say nothing of the modules that it lacks."""

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        raise ValueError("HiCI has a form as a causal language model alone; use AutoModelForCausalLM, or load without trust_remote_code "
                         "for the plain model without its HiCI modules")

    from_config = from_pretrained

    @classmethod
    def register_for_auto_class(cls, *args, **kwargs):
        pass


class HiciLlamaForCausalLM(HiciForCausalLM, LlamaForCausalLM):
    config_class = LlamaConfig
    attention_class = HiciLlamaAttention


class HiciQwen3ForCausalLM(HiciForCausalLM, Qwen3ForCausalLM):
    config_class = Qwen3Config
    attention_class = HiciQwen3Attention
