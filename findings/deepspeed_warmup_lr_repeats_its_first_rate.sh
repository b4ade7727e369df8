#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DeepSpeed 0.19.8 with torch 2.11.0: the schedule WarmupLR gives the optimizer its first rate twice, so the whole
# schedule is one step behind, and without "warmup_type" the warm-up is logarithmic, not linear. With 4 steps of linear
# warm-up to rate 1 the first six updates run at 0, 0, 0.25, 0.5, 0.75, 1; transformers' schedule of the same length has
# 0, 0.25, 0.5, 0.75, 1, 1. A config.json that says {"scheduler": {"type": "WarmupLR"}} trains other numbers than the
# options --lr_scheduler_type constant_with_warmup --warmup_steps of the same script, whose Trainer then leaves the
# schedule to DeepSpeed.
# What it means here: `--deepspeed FILE` with a `scheduler` is refused by name; --lr_scheduler_type says the schedule.
# Seen on a CPU on 2026-11-30:
#   linear: 0 0 0.25 0.5 0.75 1
#   default: 0 0 0.5 0.7925 1 1
#   transformers: 0 0.25 0.5 0.75 1 1
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.11.0 numpy==2.4.1 transformers==5.17.0 setuptools wheel
"$work/venv/bin/pip" install -q --no-build-isolation deepspeed==0.19.8
cat >"$work/rates.py" <<'END'
import torch
from deepspeed.runtime.lr_schedules import WarmupLR
from transformers import get_constant_schedule_with_warmup


def rates(make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer)
    seen = []
    for _ in range(6):
        seen.append(f"{optimizer.param_groups[0]['lr']:.4g}")  # of the update that follows
        optimizer.step()
        schedule.step()
    return " ".join(seen)


print("linear:", rates(lambda o: WarmupLR(o, warmup_max_lr=1.0, warmup_num_steps=4, warmup_type="linear")))
print("default:", rates(lambda o: WarmupLR(o, warmup_max_lr=1.0, warmup_num_steps=4)))
print("transformers:", rates(lambda o: get_constant_schedule_with_warmup(o, num_warmup_steps=4)))
END
"$work/venv/bin/python" "$work/rates.py" 2>/dev/null | grep -E "^(linear|default|transformers):" | tee "$work/seen"
diff "$work/seen" - <<'END'
linear: 0 0 0.25 0.5 0.75 1
default: 0 0 0.5 0.7925 1 1
transformers: 0 0.25 0.5 0.75 1 1
END
echo "as stated"
