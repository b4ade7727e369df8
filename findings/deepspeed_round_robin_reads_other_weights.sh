#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DeepSpeed 0.19.8 with torch 2.11.0: with "round_robin_gradients": true, ZeRO stages 1 and 2, safe_get_full_fp32_param()
# gives the elements of other parameters, before any step, without a word. The flat vector is in the order of the
# shuffled groups, the map from parameters to it (which is also the `param_slice_mappings` of a checkpoint) in that of
# the unshuffled ones. ds_to_universal.py cuts the vector by this map: a universal checkpoint of such a run has the
# weights mixed up, and training goes on from it. zero_to_fp32.py takes the order of `param_shapes`, which is right.
# Three parameters of two elements each, full of 1, 2 and 3, over two ranks:
# What it means here: training checkpoints are read by `param_shapes`, and a universal checkpoint of such a run is refused.
# Seen on CPUs on 2026-11-30:
#   model: 1 2 3
#   safe_get_full_fp32_param: 1 3 2
#   zero_to_fp32: 1 2 3
#   universal: 1 3 2
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.11.0 numpy==2.4.1 setuptools wheel
"$work/venv/bin/pip" install -q --no-build-isolation deepspeed==0.19.8
cat >"$work/run.py" <<'END'
import argparse
import os
import sys

import deepspeed
import torch
from deepspeed.checkpoint import ds_to_universal
from deepspeed.utils import safe_get_full_fp32_param, zero_to_fp32

sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # compiles nothing
folder = sys.argv[1]


def shown(what, tensors):
    print("seen", what + ":", *(" ".join(f"{value:g}" for value in sorted(set(t.flatten().tolist()))) for t in tensors),
          file=sys.__stdout__, flush=True)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (torch.nn.Parameter(torch.full((2,), float(n))) for n in (1, 2, 3))


def rank(number):
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="29773")
    deepspeed.init_distributed("gloo", auto_mpi_discovery=False)
    model = Model()
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config={
        "train_micro_batch_size_per_gpu": 1, "zero_allow_untested_optimizer": True,
        "optimizer": {"type": "AdamW", "params": {"lr": 0.0, "torch_adam": True, "weight_decay": 0.0}},
        "zero_optimization": {"stage": 2, "round_robin_gradients": True}})
    engine.backward(sum(p.sum() for p in engine.module.parameters()))
    engine.step()  # at rate 0: only so that the optimizer has a state to write
    held = [safe_get_full_fp32_param(p) for p in (model.a, model.b, model.c)]
    if number == 0:
        shown("model", (model.a, model.b, model.c))
        shown("safe_get_full_fp32_param", held)
    engine.save_checkpoint(folder)
    torch.distributed.barrier()


child = os.fork()
rank(1 if child == 0 else 0)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
found = zero_to_fp32.get_fp32_state_dict_from_zero_checkpoint(folder)
shown("zero_to_fp32", [found[name] for name in "abc"])
step = open(folder + "/latest").read()
ds_to_universal.main(argparse.Namespace(
    input_folder=f"{folder}/{step}", output_folder=f"{folder}/universal", num_extract_workers=1, num_merge_workers=1,
    keep_temp_folder=False, strict=True, inject_missing_state=True))
shown("universal", [torch.load(f"{folder}/universal/zero/{name}/fp32.pt")["param"] for name in "abc"])
os._exit(0)
END
DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 "$work/venv/bin/python" "$work/run.py" "$work/checkpoint" 2>"$work/log" | sed -n 's/^seen //p' | tee "$work/seen"
diff "$work/seen" - <<'END'
model: 1 2 3
safe_get_full_fp32_param: 1 3 2
zero_to_fp32: 1 2 3
universal: 1 3 2
END
echo "as stated"
