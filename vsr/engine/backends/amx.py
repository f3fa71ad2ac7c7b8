"""The backend `amx`: convolutions in bf16 on the matrix units of CPUs with AMX."""

from __future__ import annotations

import torch

from vsr.engine.backends.own_kernels import own

BACKEND = own(
    "amx",
    takes="networks of 3x3 convolutions, and RRDB of 32 or 64 channels, in bf16",
    needs="a CPU with AMX in bf16, Linux and llvmlite",
    best_dtypes=(torch.bfloat16,),
)
