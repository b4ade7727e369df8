# SPDX-License-Identifier: Apache-2.0
"""Matrices in 4 bits as bitsandbytes stores and unpacks them, for nf4_test.cpp.

    make_nf4_expected.py OUT.json           write them
    make_nf4_expected.py --check FILE.json  fail when they differ from FILE's
"""
import hashlib
import json
import sys

import torch
from bitsandbytes import functional

# Rows, columns. 1.25 groups of scales; a width that blocks do not divide; one block. A block of zeros is in each but the last.
SHAPES = ((40, 512), (64, 86), (1, 64))
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def matrix(rows, columns):
    """Numbers that are the same everywhere: 24 bits of a multiplicative sequence, times a power of two for each block."""
    index = torch.arange(rows * columns, dtype=torch.int64)
    values = ((index * 2654435761 + 12345) % 2**32 // 256 - 2**23).to(torch.float64) / 2**23
    block = index // 64
    return torch.where(block == 3, torch.zeros(()), values * 2.0 ** -(block % 7).to(torch.float64)).to(torch.float32).view(rows, columns)


def digest(tensor):
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def quantised(weight, double):
    """As functional.quantize_4bit(compress_statistics=double), but for the 8-bit codes of scales: for float32 on a CPU bitsandbytes
    looks the nearest code up in a table that is too coarse and may find the second nearest. For float64 it compares with all codes, which
    gives what its kernel for GPUs gives. In one row: its kernel for CPUs unpacks wrongly where blocks begin inside rows whose width is a
    multiple of 16."""
    packed, state = functional.quantize_4bit(weight.reshape(1, -1), blocksize=64, quant_type="nf4")
    if double:
        mean, code = state.absmax.mean(), functional.create_dynamic_map()
        codes, groups = torch.ops.bitsandbytes.quantize_blockwise((state.absmax - mean).double(), code, 256)
        state.absmax, state.offset, state.nested = codes, mean, True
        state.state2 = functional.QuantState(absmax=groups, code=code, blocksize=256, dtype=torch.float32)
    return packed, state


def expected():
    cases = []
    for rows, columns in SHAPES:
        for name, dtype in TYPES.items():
            for double in (False, True):
                weight = matrix(rows, columns).to(dtype)
                packed, state = quantised(weight, double)
                case = {"rows": rows, "columns": columns, "type": name, "double": double, "codes": digest(packed.flatten()),
                        "unpacked": digest(functional.dequantize_4bit(packed, state)), "first_codes": packed.flatten()[:4].tolist()}
                if double:
                    # Of scales that are all equal nothing is left, and any code will do.
                    codes = digest(state.absmax) if state.state2.absmax.all() else None
                    case |= {"scale_codes": codes, "mean": state.offset.item(), "groups": state.state2.absmax.tolist()}
                else:
                    case |= {"scales": digest(state.absmax)}
                cases.append(case)
    return cases


def main():
    torch.set_num_threads(1)
    found = expected()
    if sys.argv[1] != "--check":
        open(sys.argv[1], "w").write(json.dumps(found, indent=1) + "\n")
        return
    if found != json.load(open(sys.argv[2])):
        sys.exit(f"{sys.argv[2]} differs from what bitsandbytes makes; what changed?")


if __name__ == "__main__":
    main()
