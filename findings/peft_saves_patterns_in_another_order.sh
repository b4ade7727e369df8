#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PEFT 0.21.2 with transformers 5.23.0: the first key of rank_pattern and alpha_pattern that matches a layer counts, and
# save_pretrained() writes the keys sorted by name. Where two keys match one layer, the adapter that is loaded again is
# another one than the adapter that was trained. With rank_pattern loading fails with shapes that do not fit; with
# alpha_pattern it succeeds, and the scale of the layer is another one without a word.
# What it means here: hici matches in the order of the file, as PEFT does when it loads, so both agree on a saved adapter;
# neither can know the order of training. hici itself writes the patterns in the order that was typed.
# Seen on a CPU on 2026-11-30:
#   trained: 16 saved: 2 loaded: 2
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.11.0 numpy==2.4.6 transformers==5.23.0 peft==0.21.2
cat >"$work/scales.py" <<'END'
import json
import sys

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

folder = sys.argv[1]
SIZES = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def scale(model):
    return f"{model.get_submodule('base_model.model.model.layers.1.self_attn.q_proj').scaling['default']:g}"


settings = LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj"],
                      alpha_pattern={"q_proj": 64, "layers.1.self_attn.q_proj": 8})
model = get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZES)), settings)
model.save_pretrained(folder)
first = next(iter(json.load(open(f"{folder}/adapter_config.json"))["alpha_pattern"].values()))
loaded = PeftModel.from_pretrained(LlamaForCausalLM(LlamaConfig(**SIZES)), folder)
print(f"trained: {scale(model)} saved: {first / 4:g} loaded: {scale(loaded)}")
END
"$work/venv/bin/python" "$work/scales.py" "$work/adapter" 2>/dev/null | grep "^trained:" | tee "$work/seen"
diff "$work/seen" - <<'END'
trained: 16 saved: 2 loaded: 2
END
echo "as stated"
