#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DeepSpeed 0.19.8 with torch 2.11.0: in the section "optimizer" of its configuration, {"type": "AdamW", "params":
# {"adam_w_mode": false}} still decays the weights apart from the gradient; the same key is obeyed where the type is
# "Adam". One step on a weight of 1 with gradient 0, rate 0.1 and decay 0.5: AdamW without adam_w_mode gives 0.95, as
# decoupled decay does; Adam without it gives 0.9, because there the decay goes through the moments.
# What it means here: `--deepspeed FILE` takes the decay of a type AdamW, and refuses `adam_w_mode` false by name.
# Seen on a CPU on 2026-11-30:
#   AdamW False 0.95
#   AdamW True 0.95
#   Adam False 0.9
#   Adam True 0.95
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.11.0 numpy==2.4.1 setuptools wheel
"$work/venv/bin/pip" install -q --no-build-isolation deepspeed==0.19.8
cat >"$work/step.py" <<'END'
import os

import torch
import deepspeed

os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="29771")
deepspeed.init_distributed("gloo", auto_mpi_discovery=False)
for kind in ("AdamW", "Adam"):
    for mode in (False, True):
        layer = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(layer.weight)
        params = {"lr": 0.1, "weight_decay": 0.5, "adam_w_mode": mode, "torch_adam": True}
        engine, *_ = deepspeed.initialize(model=layer, model_parameters=layer.parameters(), config={
            "train_batch_size": 1, "optimizer": {"type": kind, "params": params}})
        engine.backward(engine(torch.zeros(1, 1)).sum())  # an input of zero: the gradient is 0
        engine.step()
        print(f"seen {kind} {mode} {layer.weight.item():.4g}", flush=True)
END
"$work/venv/bin/python" "$work/step.py" 2>/dev/null | sed -n 's/^seen //p' | tee "$work/seen"
diff "$work/seen" - <<'END'
AdamW False 0.95
AdamW True 0.95
Adam False 0.9
Adam True 0.95
END
echo "as stated"
