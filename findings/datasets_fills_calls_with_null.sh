#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# datasets 5.2.0 with TRL 1.16.0: two calls of one message to tools of different arguments share one struct in Arrow, so
# each comes back with the other's arguments as None. apply_chat_template writes them as null: SFTTrainer learns calls
# with arguments that the data never had, and the same rows as JSON give other tokens. `on_mixed_types="use_json"` (or
# load_dataset("json"), which chooses it by itself) keeps the calls; TRL's remove_none_values must be asked for.
# What it means here: `hici sft` leaves members of structs out that are null, so both forms give the tokens of the rows
# (tests/integration/test_sft_rows.py).
# Seen on a CPU on 2026-11-30:
#   from_list: {"port": "Brest", "zone": null} {"port": null, "zone": "CET"}
#   use_json: {"port": "Brest"} {"zone": "CET"}
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pyarrow==26.0.1 transformers==5.23.0 jinja2==3.1.6
cat >"$work/rows.py" <<'END'
from datasets import Dataset, disable_progress_bars
from transformers import PreTrainedTokenizerFast
from tokenizers import Tokenizer, models

disable_progress_bars()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
tokenizer.chat_template = ("{% for m in messages %}{% for call in m.tool_calls or [] %}{{ call.function.arguments | tojson }} "
                           "{% endfor %}{% endfor %}")
calls = [{"function": {"name": "tide", "arguments": {"port": "Brest"}}}, {"function": {"name": "time", "arguments": {"zone": "CET"}}}]
rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": calls}]}]
for name, options in (("from_list", {}), ("use_json", {"on_mixed_types": "use_json"})):
    (row,) = Dataset.from_list(rows, **options)
    print(f"{name}:", tokenizer.apply_chat_template(row["messages"], tokenize=False).strip())
END
"$work/venv/bin/python" "$work/rows.py" 2>/dev/null | grep -E "^(from_list|use_json):" | tee "$work/seen"
diff "$work/seen" - <<'END'
from_list: {"port": "Brest", "zone": null} {"port": null, "zone": "CET"}
use_json: {"port": "Brest"} {"zone": "CET"}
END
echo "as stated"
