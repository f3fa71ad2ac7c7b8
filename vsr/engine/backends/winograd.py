"""The backend `winograd`: Winograd F(4x4, 3x3) convolutions in fp32 on CPUs."""

from __future__ import annotations

import torch

from vsr.engine.backends.own_kernels import own

BACKEND = own(
    "winograd",
    takes="networks of 3x3 convolutions, and RRDB of multiples of 16 channels, in fp32",
    needs="llvmlite and a CPU with FMA",
    best_dtypes=(torch.float32,),
    in_trial=True,
)
