#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lm-eval 0.4.13: loglikelihood_rolling hands the windows of a batch to a cache that runs equal inputs once. The last window
# of a document is moved back to full length and scores only its end. Where another window of the batch has the same input,
# as in texts that repeat themselves, the logits are those of the window with more targets, and torch.gather takes them from
# the first position on, not up to the last: the wrong positions are scored, without a word. With batch_size=1 it is right.
# What it means here: hici eval ppl --rolling is compared with lm-eval in batches of one window
# (tests/eval/make_rolling_expected.py).
# Seen on a CPU on 2026-11-30:
#   batches of 1 and 2 agree: True of 1 and 3: False
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.11.0 numpy==2.4.6 transformers==5.23.0 accelerate==1.15.0 lm-eval==0.4.13
cat >"$work/windows.py" <<'END'
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import manual_seed
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "b": 2}, unk_token="<s>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>")
manual_seed(1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=3, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
                                     num_attention_heads=2, initializer_range=0.5))


def score(batch_size):
    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, max_length=4, batch_size=batch_size)
    text = Instance(request_type="loglikelihood_rolling", doc={}, arguments=("a b a b a b a b a b",), idx=0)
    return wrapped.loglikelihood_rolling([text], disable_tqdm=True)[0]


one, two, three = score(1), score(2), score(3)
print("batches of 1 and 2 agree:", abs(one - two) < 1e-4, "of 1 and 3:", abs(one - three) < 1e-4)
END
"$work/venv/bin/python" "$work/windows.py" 2>/dev/null | grep "^batches" | tee "$work/seen"
diff "$work/seen" - <<'END'
batches of 1 and 2 agree: True of 1 and 3: False
END
echo "as stated"
