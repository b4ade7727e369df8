# SPDX-License-Identifier: Apache-2.0
"""Training checkpoints by the real DeepSpeed: its ranks are forks of this process, so that DeepSpeed is imported once."""
import contextlib
import io
import os
import sys
import traceback

# Before DeepSpeed: nothing of it may look for a GPU, and no rank may spread over cores.
os.environ.update(DS_ACCELERATOR="cpu", OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="lo")

import deepspeed
import torch
import torch._dynamo  # here, or every rank imports it for itself
from deepspeed.checkpoint import ds_to_universal
from deepspeed.utils import zero_to_fp32

from processes import free_port, place

# A collective for one host that DeepSpeed would compile when a group begins; gloo's own does as well.
sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None


def settings(stage, dtype="fp32", **zero):
    """The file of --deepspeed. AdamW of torch: DeepSpeed's own would be compiled."""
    out = {"train_micro_batch_size_per_gpu": 1, "steps_per_print": 1000000, "zero_allow_untested_optimizer": True,
           "optimizer": {"type": "AdamW", "params": {"lr": 1e-2, "torch_adam": True}},
           "zero_optimization": {"stage": stage, **zero}}
    if dtype != "fp32":
        out[dtype] = {"enabled": True}
    return out


def in_ranks(world_size, log, work):
    """Runs work(rank) in as many forks as there are ranks. AssertionError with what the first that failed wrote to `log`."""
    port, processes = free_port(), []
    for rank in range(world_size):
        process = os.fork()
        if process == 0:
            code = 1
            try:
                out = os.open(f"{log}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(out, 1)
                os.dup2(out, 2)
                os.environ.update(place(rank, world_size, port))
                deepspeed.init_distributed("gloo", auto_mpi_discovery=False, verbose=False)
                work(rank)
                torch.distributed.barrier()
                torch.distributed.destroy_process_group()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        processes.append(process)
    codes = [os.waitpid(process, 0)[1] for process in processes]
    for rank, code in enumerate(codes):
        assert code == 0, open(f"{log}-{rank}").read()[-4000:]


def train(folder, make_model, config, world_size=2, groups_of=None, run=None, after=None, **saving):
    """Two steps and a checkpoint in `folder`. `groups_of`: parameters to groups of the optimizer; `run`: the loss of a
    batch; `after(engine, rank)`: what more is to be done."""
    folder.mkdir(parents=True, exist_ok=True)

    def work(rank):
        torch.manual_seed(3)
        model = make_model()
        trained = [p for p in model.parameters() if p.requires_grad]
        engine, *_ = deepspeed.initialize(model=model, config=config,
                                          model_parameters=groups_of(trained) if groups_of else trained)
        torch.manual_seed(rank)
        for _ in range(2):
            engine.backward(run(engine))
            engine.step()
        engine.save_checkpoint(str(folder), **saving)
        if after:
            after(engine, rank)

    in_ranks(world_size, folder / "log", work)


def quietly(call, *arguments, **keywords):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return call(*arguments, **keywords)


def weights_by_deepspeed(folder):
    return quietly(zero_to_fp32.get_fp32_state_dict_from_zero_checkpoint, str(folder))


def make_universal(folder):
    """Puts a universal checkpoint in the place of the one that `latest` names."""
    step = (folder / "latest").read_text().strip()
    quietly(ds_to_universal.main, ds_to_universal.argparse.Namespace(
        input_folder=str(folder / step), output_folder=str(folder / f"{step}_universal"), num_extract_workers=1,
        num_merge_workers=1, keep_temp_folder=False, strict=True, inject_missing_state=True))
    (folder / "latest").unlink()
    for file in (folder / step).iterdir():
        file.unlink()
    (folder / step).rmdir()
