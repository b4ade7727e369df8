#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0 beside 4.57.6, a tokenizer.json in the form that Llama-2's has, tokenizer_class LlamaTokenizer: 5 takes
# vocabulary, merges and post-processor of the file, builds normalizer and pre-tokenizer itself, and drops add_eos_token of
# tokenizer_config.json. So, without a word:
# - behind a special token within a text it puts no space, where the file says one and 4 puts one: what a chat template writes
#   gets other ids. Before a text that begins with a space it puts none either;
# - a model that was fine-tuned with add_eos_token true gets no </s> behind its texts any more.
# What it means here: hici encodes as the file says, and lines name where transformers differs.
# Seen on 2026-11-30:
#   4.57.6 text ['<s>', '_a', 'b', '</s>'] behind a special token ['<s>', '_a', 'b', '</s>']
#   5.24.0 text ['<s>', '_a', 'b'] behind a special token ['<s>', 'a', 'b', '</s>']
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/encode.py" <<'END'
import json
import pathlib
import sys

import transformers
from tokenizers import Tokenizer, models, normalizers, processors

folder = pathlib.Path(sys.argv[1])
vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "\u2581": 3, "a": 4, "b": 5, "\u2581a": 6}
tokenizer = Tokenizer(models.BPE(vocabulary, [("\u2581", "a")], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
tokenizer.save(str(folder / "tokenizer.json"))
(folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
(folder / "tokenizer_config.json").write_text(json.dumps({
    "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": False,
    "add_bos_token": True, "add_eos_token": True}))
loaded = transformers.AutoTokenizer.from_pretrained(folder)
text = loaded.convert_ids_to_tokens(loaded("ab")["input_ids"])
behind = loaded.convert_ids_to_tokens(loaded("<s>ab</s>", add_special_tokens=False)["input_ids"])
print(transformers.__version__, "text", [token.replace("\u2581", "_") for token in text],
      "behind a special token", [token.replace("\u2581", "_") for token in behind])
END
for version in 4.57.6 5.24.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "transformers==$version"
  mkdir "$work/files-$version"
  "$work/$version/bin/python" "$work/encode.py" "$work/files-$version" 2>/dev/null
done | tee "$work/seen"
diff "$work/seen" - <<'END'
4.57.6 text ['<s>', '_a', 'b', '</s>'] behind a special token ['<s>', '_a', 'b', '</s>']
5.24.0 text ['<s>', '_a', 'b'] behind a special token ['<s>', 'a', 'b', '</s>']
END
echo "as stated"
